import json
import unicodedata

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.data.tokens.byte_pairs import LONGEST_RUN, BytePairTokenizer, sample_evenly
from elman.data.tokens.tokenizer import Tokenizer
from elman.errors import ModelError, UsageError

from .texts import LIKELY, TEXT

TOKENIZER = BytePairTokenizer.train([TEXT], vocab_size=300)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])) | LIKELY)
@settings(max_examples=300)
def test_byte_pairs_round_trip(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_byte_pairs_are_deterministic_silent_and_small(capfd: pytest.CaptureFixture[str]) -> None:
    trained = [BytePairTokenizer.train([TEXT], vocab_size=290).to_json() for _ in range(2)]
    assert trained[0] == trained[1]
    assert len(json.loads(trained[0])["model"]["vocab"]) == 290
    assert capfd.readouterr() == ("", "")
    with pytest.raises(UsageError, match=r"a vocabulary of 258 byte pairs is too small: give at least 259"):
        BytePairTokenizer.train([TEXT], vocab_size=258)


def test_byte_pairs_hold_back_an_incomplete_character() -> None:
    tokenizer = BytePairTokenizer.train(["x"], vocab_size=259)
    decoder = tokenizer.stream_decoder()
    first, second = tokenizer.encode("é").tolist()
    assert tokenizer.tokens([first, second]) == ["\\xc3", "\\xa9"]
    assert [decoder.push(first), decoder.push(second), decoder.push(first), decoder.finish()] == ["", "é", "", "�"]


def test_sample_evenly() -> None:
    chunks = [" ".join(f"{number:07}" for number in range(start, start + 8192)) for start in range(0, 81920, 8192)]
    assert sample_evenly(chunks, 10**9) == chunks
    sample = sample_evenly(iter(chunks), 4 * len(chunks[0]))
    assert sample == chunks[::4]


def uncut(tokenizer: Tokenizer) -> str:
    """Return the file of a tokenizer that does not cut long runs, as in earlier versions."""
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
    for char in text[1:]:  # the kinds of the rule: letters, digits, whitespace, others
        before, now = (
            " " if some.isspace() else kind.get(unicodedata.category(some)[0], ".") for some in (runs[-1][-1], char)
        )
        runs.append([char]) if before != now else runs[-1].append(char)
    pieces = [""]  # the text between whole pieces of a long run is encoded unchanged
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


def test_no_learned_token_is_longer_than_a_piece() -> None:
    tokenizer = BytePairTokenizer.train(["ab" * 5000], vocab_size=4096)
    assert max(map(len, tokenizer.tokens(range(tokenizer.vocab_size)))) == LONGEST_RUN


@given(text=LIKELY | st.text())
def test_short_runs_are_not_cut(text: str) -> None:
    tokenizer = TOKENIZER
    plain = tokenizers.Tokenizer.from_str(uncut(tokenizer))
    scalars = text.encode("utf-8", "ignore").decode()
    assert tokenizer.encode(scalars).tolist() == plain.encode(scalars, add_special_tokens=False).ids


def test_with_short_runs_the_same_pairs_are_learned() -> None:
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


def test_a_tokenizer_saved_before_runs_were_cut_encodes_as_before() -> None:
    text = "abc" * LONGEST_RUN  # a piece ends within abc
    cut = BytePairTokenizer.train(["abc " * 9], vocab_size=261)
    file = uncut(cut)
    old = Tokenizer.from_json(file)
    theirs = tokenizers.Tokenizer.from_str(file).encode(text, add_special_tokens=False).ids
    assert old.encode(text).tolist() == theirs
    assert old.encode(text).tolist() != cut.encode(text).tolist()
    assert json.loads(old.to_json())["pre_tokenizer"] == json.loads(file)["pre_tokenizer"]
    assert Tokenizer.from_json(old.to_json()).encode(text).tolist() == theirs


def test_a_tokenizer_that_cuts_runs_in_another_way_is_refused() -> None:
    document = json.loads(TOKENIZER.to_json())
    document["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": "."}
    with pytest.raises(ModelError, match="a way that Elman does not know"):
        Tokenizer.from_json(json.dumps(document))
