import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.data.text import Text
from elman.data.tokenizer import (
    LEVELS,
    LONGEST_RUN,
    BytePairTokenizer,
    CharacterTokenizer,
    Tokenizer,
    WordTokenizer,
    _even_sample,
)
from elman.errors import DataError, ModelError, UsageError

TEXT = (
    "The cat's hat, the <unk> and <s> the dog's </s>: don't (the cat) hinder;\n"
    "\n  und der Hund sah die Katze: schön!\nहिन्दी में हिन्दी में\n"
) * 3
TOKENIZERS: list[Tokenizer] = [
    CharacterTokenizer.train([TEXT]),
    WordTokenizer.train([TEXT]),
    BytePairTokenizer.train([TEXT], vocab_size=300),
]


def texts_of(*parts: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(parts)).map("".join)


LIKELY = texts_of("the", "cat", "'s", "<unk>", "<s>", "</s>", " ", "\n", "\t", ".", "(", "é", "हि", "𝄞")
each_level = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.level)


@each_level
def test_what_all_levels_share(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokens([0, 1, 2]) == ["<unk>", "<s>", "</s>"]
    assert (tokenizer.unknown_id, tokenizer.begin_id, tokenizer.end_id) == (0, 1, 2)
    assert [tokenizer.token_to_id(name) for name in ("<unk>", "<s>", "</s>")] == [0, 1, 2]
    assert tokenizer.token_to_id("no single token") == 0
    assert len(set(tokenizer.tokens(range(tokenizer.vocab_size)))) == tokenizer.vocab_size
    assert LEVELS[tokenizer.level] is type(tokenizer)
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.encode("").dtype == tokenizer.encode("the cat").dtype == np.int32
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([1, *tokenizer.encode("the cat"), 2]) == "the cat"
    ids = tokenizer.encode("the <unk> <s></s>").tolist()
    assert ids.count(0) == 1 or tokenizer.level == "word"
    assert not {1, 2} & set(ids)
    assert "<unk>" in tokenizer.decode(ids)
    tokenizer.encode("a\ud800b\udc00")
    tokenizer.encode_lines("a\ud800\n\udc00")
    tokenizer.to_json().encode()


@each_level
@given(text=LIKELY | st.text())
def test_saved_tokenizer_is_the_same(tokenizer: Tokenizer, text: str) -> None:
    again = Tokenizer.from_json(tokenizer.to_json())
    assert type(again) is type(tokenizer)
    assert again.vocab_size == tokenizer.vocab_size
    assert again.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert again.to_json() == tokenizer.to_json()


@each_level
@given(text=LIKELY)
def test_the_file_means_the_same_to_hugging_face(tokenizer: Tokenizer, text: str) -> None:
    theirs = tokenizers.Tokenizer.from_str(tokenizer.to_json()).encode(text, add_special_tokens=False).ids
    assert tokenizer.encode(text).tolist() == theirs


@each_level
@given(text=LIKELY, block_size=st.integers(4, 20))
def test_chunks_give_the_same_ids(tokenizer: Tokenizer, text: str, block_size: int) -> None:
    chunks = list(Text(text, block_size=block_size).chunks()) if text else []
    if all(len(chunk) < 4 * block_size for chunk in chunks):
        ids = [token_id for chunk in chunks for token_id in tokenizer.encode(chunk).tolist()]
        assert ids == tokenizer.encode(text).tolist()


@each_level
@given(text=LIKELY)
def test_lines_are_encoded_one_by_one(tokenizer: Tokenizer, text: str) -> None:
    ids, lengths = tokenizer.encode_lines(text)
    one_by_one = [tokenizer.encode(line).tolist() for line in text.split("\n")]
    assert lengths.tolist() == [len(line) for line in one_by_one]
    assert ids.tolist() == [token_id for line in one_by_one for token_id in line]


@each_level
@given(ids=st.lists(st.integers(0, 29)))
def test_stream_decoder_adds_up_to_decode(tokenizer: Tokenizer, ids: list[int]) -> None:
    decoder = tokenizer.stream_decoder()
    assert "".join([decoder.push(token_id) for token_id in ids]) + decoder.finish() == tokenizer.decode(ids)


PLAIN = st.text().filter(lambda text: "<unk>" not in text)  # written in a text, <unk> is one token


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


def split_words(text: str) -> list[str]:
    """The rule of the word level in plain steps, for ASCII."""
    words, word, position = [], "", 0
    while position < len(text):
        char = text[position]
        inside = char.isalnum() or char == "_"
        following = text[position + 1 : position + 2]
        if inside or (word and char == "'" and (following.isalnum() or following == "_")):
            word += char
            position += 1
            continue
        if word:
            words.append(word)
            word = ""
        ending = re.match(r"'(s|d|m|t|ll|re|ve)(?![a-zA-Z0-9_])", text[position:])
        token = "<unk>" if text.startswith("<unk>", position) else ending[0] if ending else char
        if not token.isspace() or token == "\n":
            words.append(token)
        position += len(token)
    return [*words, word] if word else words


@given(texts_of("a", "B_", "9", "'", "s", "ll", "<unk>", "<", ">", " ", "\n", "\t", ",", "(", "<s>"))
def test_words_against_plain_steps(text: str) -> None:
    counts = Counter(split_words(text))
    del counts["<unk>"]
    if not counts:
        return
    expected = sorted(counts, key=lambda word: (-counts[word], word))
    tokenizer = WordTokenizer.train([text], min_count=1)
    assert tokenizer.tokens(range(3, tokenizer.vocab_size)) == expected
    ids = {word: 3 + rank for rank, word in enumerate(expected)}
    assert tokenizer.encode(text).tolist() == [ids.get(word, 0) for word in split_words(text)]


def test_words_are_limited_in_number_and_count() -> None:
    chunks = ["c c c b", " b a a a x"]
    assert WordTokenizer.train(chunks).tokens(range(6)) == ["<unk>", "<s>", "</s>", "a", "c", "b"]
    assert WordTokenizer.train(chunks, max_vocab=5).vocab_size == 5
    assert WordTokenizer.train(chunks, min_count=1).vocab_size == 7
    assert WordTokenizer.train(chunks).encode("b x a").tolist() == [5, 0, 3]
    with pytest.raises(DataError, match=r"no word of the text occurs 4 times"):
        WordTokenizer.train(chunks, min_count=4)
    with pytest.raises(UsageError, match=r"a vocabulary of 3 words is too small"):
        WordTokenizer.train(chunks, max_vocab=3)


def test_words_are_spaced_as_people_do() -> None:
    text = "Hello, (dear) reader: it's 'so' <unk>!\nNext line; don't?\n\n"
    tokenizer = WordTokenizer.train([text], min_count=1)
    assert tokenizer.decode(tokenizer.encode(text)) == "Hello, (dear) reader: it's' so' <unk>!\nNext line; don't?\n\n"
    corpus_style = WordTokenizer.train(["the dog 's tail"], min_count=1)
    assert corpus_style.decode(corpus_style.encode("the dog 's tail")) == "the dog's tail"
    assert WordTokenizer.train(["हिन्दी हिन्दी"]).vocab_size == 4  # combining marks stay in their word


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])) | LIKELY)
@settings(max_examples=300)
def test_byte_pairs_round_trip(text: str) -> None:
    assert TOKENIZERS[2].decode(TOKENIZERS[2].encode(text)) == text


def test_byte_pairs_are_deterministic_silent_and_small(capfd: pytest.CaptureFixture[str]) -> None:
    trained = [BytePairTokenizer.train([TEXT], vocab_size=290).to_json() for _ in range(2)]
    assert trained[0] == trained[1]
    assert len(json.loads(trained[0])["model"]["vocab"]) == 290
    assert capfd.readouterr() == ("", "")
    with pytest.raises(UsageError, match=r"a vocabulary of 258 byte pairs is too small: it takes at least 259"):
        BytePairTokenizer.train([TEXT], vocab_size=258)


def test_byte_pairs_hold_back_half_a_character() -> None:
    tokenizer = BytePairTokenizer.train(["x"], vocab_size=259)
    decoder = tokenizer.stream_decoder()
    first, second = tokenizer.encode("é").tolist()
    assert tokenizer.tokens([first, second]) == ["\\xc3", "\\xa9"]
    assert [decoder.push(first), decoder.push(second), decoder.push(first), decoder.finish()] == ["", "é", "", "�"]


def test_even_sample() -> None:
    chunks = [" ".join(f"{number:07}" for number in range(start, start + 8192)) for start in range(0, 81920, 8192)]
    assert _even_sample(chunks, 10**9) == chunks
    sample = _even_sample(iter(chunks), 4 * len(chunks[0]))
    assert sample == chunks[::4]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[:-20], "JSONDecodeError"),
        (lambda text: "[]", "it is [], expected an object"),
        (lambda text: "{}", 'it has no "model"'),
        (
            lambda text: text.replace('"<s>": 1', '"<s>": 999').replace('"<s>":1', '"<s>":999'),
            "the ids are not 0, 1, 2",
        ),
        (lambda text: text.replace("<s>", "<z>"), "the first three tokens must be <unk>, <s>, </s>"),
    ],
)
@each_level
def test_damaged_files(tokenizer: Tokenizer, damage: object, reason: str) -> None:
    with pytest.raises(ModelError, match=rf"^tokenizer\.json is damaged.*{re.escape(reason)}"):
        Tokenizer.from_json(damage(tokenizer.to_json()))  # type: ignore[operator]


def test_a_token_that_is_empty_is_refused() -> None:
    text = WordTokenizer.train(["the cat the cat"]).to_json()
    with pytest.raises(ModelError, match="a token is empty"):
        Tokenizer.from_json(text.replace('"cat"', '""'))


def test_files_of_another_kind() -> None:
    character, word, pair = (json.loads(tokenizer.to_json()) for tokenizer in TOKENIZERS)
    character["model"]["vocab"]["xy"] = len(character["model"]["vocab"])
    word["pre_tokenizer"] = {"type": "Whitespace", "behavior": ""}
    pair["model"]["merges"].append(["no", "such"])
    for document, reason in [
        (character, "must be one character"),
        (word, "a way that Elman does not know"),
        (pair, "Token `no` out of vocabulary"),
        ({**pair, "model": {"type": "BPE", "merges": [], "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2}}}, "all 256 bytes"),
    ]:
        with pytest.raises(ModelError, match=re.escape(reason)):
            Tokenizer.from_json(json.dumps(document))


def test_characters_need_no_library() -> None:
    code = (
        "import sys; from elman.data.tokenizer import CharacterTokenizer as Tokens;"
        "Tokens.from_json(Tokens.train(['x']).to_json()).encode('x');"
        "assert not {'tokenizers', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_vocabulary_holds_half_a_character() -> None:
    text = "\ud800 \ud800 \udfff"
    assert CharacterTokenizer.train([text]).tokens(range(3, 4)) == [" "]
    assert WordTokenizer.train([text]).tokens(range(3, 4)) == ["\ufffd"]
    tokenizer = BytePairTokenizer.train([text], vocab_size=259)
    assert tokenizer.decode(tokenizer.encode(text)) == "\ufffd \ufffd \ufffd"
    assert tokenizer.encode_lines(text)[0].tolist() == tokenizer.encode(text).tolist()


def uncut(tokenizer: Tokenizer) -> str:
    """The file of a tokenizer that does not cut long runs, as they all were once."""
    document = json.loads(tokenizer.to_json())
    document["pre_tokenizer"] = document["pre_tokenizer"]["pretokenizers"][1]
    return json.dumps(document)


RUNS = {
    "letters": "acgtéक" * 400,
    "digits": "0123456789" * 100,
    "blanks": " \t" * 500,
    "marks": "-=_*" * 300,
    "after a blank": " " + "acgt" * 200 + "x",
    "within a text": "the cat " + "at" * 300 + "'s 12 " + "9" * 700 + "\n\n" + "." * 256 + " hat",
}


@pytest.mark.parametrize("text", RUNS.values(), ids=RUNS)
def test_a_long_run_is_encoded_in_pieces_of_one_length(text: str) -> None:
    tokenizer = BytePairTokenizer.train([text, TEXT], vocab_size=400)
    kind = {"L": "x", "M": ".", "N": "9", "Z": " "}
    runs = [[text[0]]]
    for char in text[1:]:  # as the rule says it: letters, digits, blanks, and all else
        before, now = (
            " " if some.isspace() else kind.get(unicodedata.category(some)[0], ".") for some in (runs[-1][-1], char)
        )
        runs.append([char]) if before != now else runs[-1].append(char)
    pieces = [""]  # what lies between whole pieces of a long run is encoded as it stands
    for run in runs:
        whole = len(run) // LONGEST_RUN * LONGEST_RUN
        for start in range(0, whole, LONGEST_RUN):
            pieces += ["".join(run[start : start + LONGEST_RUN]), ""]
        pieces[-1] += "".join(run[whole:])
    ids = [token_id for piece in pieces for token_id in tokenizer.encode(piece).tolist()]
    assert tokenizer.encode(text).tolist() == ids
    assert tokenizer.decode(ids) == text
    assert Tokenizer.from_json(tokenizer.to_json()).encode(text).tolist() == ids
    theirs = tokenizers.Tokenizer.from_str(tokenizer.to_json()).encode(text, add_special_tokens=False).ids
    assert theirs == ids


def test_no_token_is_learned_that_is_longer_than_a_piece() -> None:
    tokenizer = BytePairTokenizer.train(["ab" * 5000], vocab_size=4096)
    assert max(map(len, tokenizer.tokens(range(tokenizer.vocab_size)))) == LONGEST_RUN


@given(text=LIKELY | st.text())
def test_where_no_run_is_long_nothing_is_cut(text: str) -> None:
    tokenizer = TOKENIZERS[2]
    plain = tokenizers.Tokenizer.from_str(uncut(tokenizer))
    scalars = text.encode("utf-8", "ignore").decode()
    assert tokenizer.encode(scalars).tolist() == plain.encode(scalars, add_special_tokens=False).ids


def test_where_no_run_is_long_the_same_pairs_are_learned() -> None:
    text = (TEXT + "x" * (LONGEST_RUN - 1) + "\n") * 3
    machine = tokenizers.Tokenizer(tokenizers.models.BPE())
    machine.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        min_frequency=2,
        show_progress=False,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
    )
    machine.train_from_iterator([text.replace("<unk>", " ")], trainer)
    learned = json.loads(BytePairTokenizer.train([text], vocab_size=400).to_json())["model"]
    theirs = json.loads(machine.to_str())["model"]
    assert (learned["vocab"], learned["merges"]) == (theirs["vocab"], theirs["merges"])


def test_a_tokenizer_that_was_saved_before_runs_were_cut_encodes_as_it_did() -> None:
    text = "abc" * LONGEST_RUN  # a piece ends within abc
    cut = BytePairTokenizer.train(["abc " * 9], vocab_size=261)
    file = uncut(cut)
    old = Tokenizer.from_json(file)
    theirs = tokenizers.Tokenizer.from_str(file).encode(text, add_special_tokens=False).ids
    assert old.encode(text).tolist() == theirs
    assert old.encode(text).tolist() != cut.encode(text).tolist()
    assert json.loads(old.to_json())["pre_tokenizer"] == json.loads(file)["pre_tokenizer"]
    assert Tokenizer.from_json(old.to_json()).encode(text).tolist() == theirs


def test_a_tokenizer_that_cuts_runs_otherwise_is_refused() -> None:
    document = json.loads(TOKENIZERS[2].to_json())
    document["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": "."}
    with pytest.raises(ModelError, match="a way that Elman does not know"):
        Tokenizer.from_json(json.dumps(document))


@each_level
def test_no_saved_vocabulary_holds_half_a_character(tokenizer: Tokenizer) -> None:
    document = json.loads(tokenizer.to_json())
    document["model"]["vocab"]["\ud800"] = len(document["model"]["vocab"])
    with pytest.raises(ModelError, match="surrogates not allowed"):
        Tokenizer.from_json(json.dumps(document))
