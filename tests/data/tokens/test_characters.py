import subprocess
import sys

from hypothesis import given

from elman.data.tokens.characters import CharacterTokenizer

from .texts import PLAIN


@given(PLAIN, PLAIN)
def test_characters_against_a_dictionary(training: str, text: str) -> None:
    tokenizer = CharacterTokenizer.train([training])
    known = sorted({char for char in training if not "\ud800" <= char <= "\udfff" and char != "\U0010ffff"})
    ids = {char: 3 + rank for rank, char in enumerate(known)}
    assert tokenizer.encode(text).tolist() == [ids.get(char, 0) for char in text]
    assert tokenizer.decode(tokenizer.encode(text)) == "".join([char if char in ids else "<unk>" for char in text])


def test_long_texts_are_looked_up_in_pieces() -> None:
    tokenizer = CharacterTokenizer.train(["ab<unk>"])
    assert tokenizer.vocab_size == 5
    text = "ab<unk>x" * 30_000
    assert tokenizer.encode(text).tolist() == [3, 4, 0, 0] * 30_000
    assert tokenizer.decode(tokenizer.encode(text)) == "ab<unk><unk>" * 30_000


def test_characters_do_not_import_tokenizers() -> None:
    code = (
        "import sys; from elman.data.tokens.characters import CharacterTokenizer as Tokens;"
        "Tokens.from_json(Tokens.train(['x']).to_json()).encode('x');"
        "assert not {'tokenizers', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
