import json
import re

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from elman.data.text import Text
from elman.data.tokens.byte_pairs import BytePairTokenizer
from elman.data.tokens.characters import CharacterTokenizer
from elman.data.tokens.tokenizer import Tokenizer
from elman.data.tokens.words import SpaceTokenizer, WordTokenizer
from elman.errors import ModelError

from .texts import LIKELY, TEXT

TOKENIZERS: list[Tokenizer] = [
    CharacterTokenizer.train([TEXT]),
    WordTokenizer.train([TEXT]),
    BytePairTokenizer.train([TEXT], vocab_size=300),
    SpaceTokenizer.train([TEXT, "the cat\n"]),
]
each_level = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.level)


@each_level
def test_what_all_levels_share(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokens([0, 1, 2]) == ["<unk>", "<s>", "</s>"]
    assert (tokenizer.unknown_id, tokenizer.begin_id, tokenizer.end_id) == (0, 1, 2)
    assert len(set(tokenizer.tokens(range(tokenizer.vocab_size)))) == tokenizer.vocab_size
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.encode("").dtype == tokenizer.encode("the cat").dtype == np.int32
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([1, *tokenizer.encode("the cat"), 2]) == "the cat"
    ids = tokenizer.encode("the <unk> <s></s>").tolist()
    assert ids.count(0) == 1 or tokenizer.level in ("word", "space")
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
def test_hugging_face_reads_the_saved_file_the_same_way(tokenizer: Tokenizer, text: str) -> None:
    if tokenizer.level == "space":
        text = text.replace("<s>", "").replace("</s>", "")  # unknown here, but no plain vocabulary can say so
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
    ids = [token_id % tokenizer.vocab_size for token_id in ids]
    decoder = tokenizer.stream_decoder()
    assert "".join([decoder.push(token_id) for token_id in ids]) + decoder.finish() == tokenizer.decode(ids)


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
    character, word, pair, _ = (json.loads(tokenizer.to_json()) for tokenizer in TOKENIZERS)
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


def test_no_vocabulary_contains_a_lone_surrogate() -> None:
    text = "\ud800 \ud800 \udfff"
    assert CharacterTokenizer.train([text]).tokens(range(3, 4)) == [" "]
    assert WordTokenizer.train([text]).tokens(range(3, 4)) == ["\ufffd"]
    tokenizer = BytePairTokenizer.train([text], vocab_size=259)
    assert tokenizer.decode(tokenizer.encode(text)) == "\ufffd \ufffd \ufffd"
    assert tokenizer.encode_lines(text)[0].tolist() == tokenizer.encode(text).tolist()


@each_level
def test_no_saved_vocabulary_contains_a_lone_surrogate(tokenizer: Tokenizer) -> None:
    document = json.loads(tokenizer.to_json())
    document["model"]["vocab"]["\ud800"] = len(document["model"]["vocab"])
    with pytest.raises(ModelError, match="surrogates not allowed"):
        Tokenizer.from_json(json.dumps(document))
