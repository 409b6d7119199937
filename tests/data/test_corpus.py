import gc
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.corpus import Corpus, IdFile, build_corpus
from elman.data.text import Text
from elman.data.tokens.byte_pairs import BytePairTokenizer
from elman.data.tokens.characters import CharacterTokenizer
from elman.data.tokens.tokenizer import SPECIALS, Tokenizer
from elman.data.tokens.words import SpaceTokenizer, WordTokenizer
from elman.errors import StorageError

TRAINING = "the cat and the dog\n\nthe <unk> dog , the cat\n"
TOKENIZERS: list[Tokenizer] = [
    CharacterTokenizer.train([TRAINING]),
    WordTokenizer.train([TRAINING]),
    BytePairTokenizer.train([TRAINING], vocab_size=265),
    SpaceTokenizer.train([TRAINING]),
]
each_level = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.level)
TEXTS = st.lists(st.sampled_from(["the", "cat", "dog", "z", "<unk>", " ", "\n", ","]), min_size=1).map("".join)


def ids_of(corpus: Corpus) -> list[int]:
    return np.asarray(corpus.ids).tolist()  # type: ignore[no-any-return]


@each_level
@given(text=TEXTS, block_size=st.integers(8, 20), memory_limit=st.sampled_from([8, 10**6]))
def test_a_stream_is_the_text_encoded(tokenizer: Tokenizer, text: str, block_size: int, memory_limit: int) -> None:
    source = Text(text, block_size=block_size)
    corpus = build_corpus(source, tokenizer, memory_limit=memory_limit)
    expected = [token_id for chunk in source.chunks() for token_id in tokenizer.encode(chunk).tolist()]
    assert ids_of(corpus) == expected
    if all(len(chunk) < 4 * block_size for chunk in source.chunks()):  # no chunk is cut anywhere
        assert expected == tokenizer.encode(text).tolist()
    assert corpus.num_unknown == ids_of(corpus).count(0)
    assert np.asarray(corpus.offsets).tolist() == [0, corpus.num_tokens]
    assert (corpus.num_characters, corpus.num_sequences) == (len(text), 1)
    assert corpus.num_targets == max(corpus.num_tokens - 1, 0)


@each_level
@given(text=TEXTS, start=st.integers(0, 5), memory_limit=st.sampled_from([8, 10**6]))
def test_lines_are_sequences(tokenizer: Tokenizer, text: str, start: int, memory_limit: int) -> None:
    corpus = build_corpus(Text(text, block_size=50), tokenizer, start, lines=True, memory_limit=memory_limit)
    lines = text[start:].split("\n")
    encoded = [tokenizer.encode(line).tolist() for line in lines]
    expected = [[1, *ids, 2] for ids in encoded if ids]
    bounds = zip(corpus.offsets[:-1], corpus.offsets[1:], strict=True)
    assert [ids_of(corpus)[begin:end] for begin, end in bounds] == expected
    skipped = sum(not ids for ids in encoded[:-1])  # the last line has no newline
    at_the_end = text[start:].endswith("\n") or not text[start:] or bool(encoded[-1])
    assert corpus.num_characters == len(text[start:]) - skipped - (not at_the_end)
    assert corpus.num_targets == sum(len(ids) + 1 for ids in encoded if ids)
    assert corpus.num_unknown == sum(ids.count(0) for ids in encoded)


COUNTED = "the fox , <unk> (dog)\n\n\nit 's Mr. x\n \nend"  # 10 words, 5 line ends, none after the last word


@each_level
def test_predicted_words_are_what_stands_between_white_space_and_line_ends(tokenizer: Tokenizer) -> None:
    first = 0 if tokenizer.level == "char" else 1  # of the first word, all but its first letter is predicted
    assert build_corpus(Text(COUNTED), tokenizer).num_words == 15 - first
    assert build_corpus(Text(f"{COUNTED}\n"), tokenizer).num_words == 16 - first
    assert build_corpus(Text(COUNTED, block_size=8), tokenizer).num_words == 15 - first  # in several chunks
    blank_line = tokenizer.level in ("char", "bpe")  # the blank is a token, so that this line is no skipped one
    assert build_corpus(Text(COUNTED), tokenizer, lines=True).num_words == 10 + 3 + blank_line
    assert build_corpus(Text(f"{COUNTED}\n"), tokenizer, lines=True).num_words == 10 + 3 + blank_line


@pytest.mark.parametrize(
    ("text", "words"),  # for the levels in the order of TOKENIZERS: characters, words, byte pairs, between white space
    [
        ("a b", [1, 1, 1, 1]),  # a is the first token, and is not predicted
        ("<unk> b\n", [2, 2, 2, 2]),
        (" a b", [2, 1, 2, 1]),  # the blank is a token of its own, or none
        ("\na b", [2, 2, 2, 2]),
        (" \na b", [3, 2, 3, 2]),
        ("(the) cat", [2, 2, 2, 1]),
        ("xyz", [1, 0, 1, 0]),
        (" ", [0, 0, 0, 0]),
    ],
)
def test_the_first_token_is_no_predicted_word(text: str, words: list[int]) -> None:
    assert [build_corpus(Text(text), tokenizer).num_words for tokenizer in TOKENIZERS] == words


@given(text=TEXTS)
def test_between_white_space_every_predicted_token_is_a_word(text: str) -> None:
    corpus = build_corpus(Text(text), TOKENIZERS[3])
    assert corpus.num_words == corpus.num_targets
    lines = build_corpus(Text(text), TOKENIZERS[3], lines=True)
    assert lines.num_words == lines.num_targets


def test_part_of_a_text() -> None:
    corpus = build_corpus(Text("the cat and the dog"), TOKENIZERS[0], start=4, stop=7)
    assert TOKENIZERS[0].decode(ids_of(corpus)) == "cat"
    assert corpus.num_characters == 3


def test_ids_take_two_bytes_or_four() -> None:
    assert build_corpus(Text("cat"), TOKENIZERS[0]).ids.dtype == np.uint16
    large = CharacterTokenizer([*SPECIALS, *map(chr, range(0x10000, 0x20000))])
    corpus = build_corpus(Text("\U0001ffff"), large)
    assert corpus.ids.dtype == np.uint32
    assert ids_of(corpus) == [65538]


def test_a_file_of_ids_is_used_like_an_array_and_leaves_no_file(tmp_path: Path) -> None:
    text = "the cat and the dog " * 500
    in_memory = build_corpus(Text(text), TOKENIZERS[0])
    corpus = build_corpus(Text(text, block_size=100), TOKENIZERS[0], directory=tmp_path, memory_limit=1000)
    assert isinstance(in_memory.ids, np.ndarray)
    assert not in_memory.ids.flags.writeable
    assert isinstance(corpus.ids, IdFile)
    assert len(corpus.ids) == len(in_memory.ids) == 10_000
    for wanted in (slice(None), slice(5, 9), slice(-3, None), slice(9, 5), slice(9_990, 20_000), slice(0, 100, 7)):
        assert corpus.ids[wanted].tolist() == in_memory.ids[wanted].tolist()
    assert np.asarray(corpus.ids).dtype == np.uint16
    assert list(tmp_path.iterdir()) == []
    file = corpus.ids._file
    del corpus
    gc.collect()
    assert file.closed


def test_a_full_disk(tmp_path: Path) -> None:
    text = Text("the cat and the dog " * 50_000, block_size=10_000)  # one million characters, two bytes each
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError) as error:
            build_corpus(text, TOKENIZERS[0], directory=tmp_path, memory_limit=1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    expected = rf"^{re.escape(str(tmp_path))}: cannot write the text's ids: File too large; they need about 2\.0 MB"
    assert re.match(expected, str(error.value))
    with pytest.raises(StorageError, match=r"nowhere: cannot write the text's ids: No such file or directory"):
        build_corpus(text, TOKENIZERS[0], directory=tmp_path / "nowhere", memory_limit=1000)


def test_the_hint_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat").write_text("x")
    assert "pathlib.Path" in build_corpus(Text("cat"), TOKENIZERS[0]).hint


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("lines", [False, True])
def test_memory_stays_small(tmp_path: Path, lines: bool) -> None:
    path = tmp_path / "input.txt"
    path.write_text("the cat and the dog, and so on and on\n" * 800_000)  # 30 MB, whose ids take 60 MB
    code = f"""
import pathlib, re
from elman.data.batching import LineBatches, StreamBatches
from elman.data.corpus import build_corpus
from elman.data.text import Text
from elman.data.tokens.characters import CharacterTokenizer
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1000
before = peak()
text = Text(pathlib.Path({str(path)!r}), block_size=1 << 20)
tokenizer = CharacterTokenizer.train(text.chunks())
corpus = build_corpus(text, tokenizer, lines={lines}, directory=pathlib.Path({str(tmp_path)!r}), memory_limit=1 << 20)
batches = LineBatches(corpus, 100_000) if {lines} else StreamBatches(corpus, 32, 4096, 0)
for step in range(0, len(batches), 4):
    batches.batch(step)
print(peak() - before)
"""
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    tables = 800_000 * 60 / 1e6 if lines else 0  # offsets, starts, lengths and the order of the lines
    assert float(result.stdout) < 45 + tables, "MB of memory; the text takes 30 and its ids 60"
