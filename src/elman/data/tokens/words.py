"""Tokenizing text into words and punctuation marks, by a regular expression and a dictionary."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import repeat
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from elman.data.tokens.tokenizer import (
    SPECIALS,
    UNKNOWN,
    Ids,
    StreamDecoder,
    Tokenizer,
    concatenate,
    without_surrogates,
    word_level_json,
)
from elman.errors import DataError, UsageError


class WordTokenizer(Tokenizer):
    r"""One id for each frequent word, punctuation mark and newline; for texts such as WikiText and Penn Treebank.

    A token is a run of letters, digits and underscores (with apostrophes inside: ``don't``), an English suffix from a
    tokenized corpus (``'s``), any other single character, or a newline. Other whitespace only separates tokens and is
    lost: `decode` writes one space between words and none before ``.,!?;:)'``, after ``(`` or around a newline. Case is
    kept.

    Example:
        >>> tokenizer = WordTokenizer.train(["No, no!\nNo, I don't.\nI don't.\n"])
        >>> tokenizer.tokens(range(3, tokenizer.vocab_size))
        ['\n', ',', '.', 'I', 'No', "don't"]
        >>> tokenizer.decode(tokenizer.encode("No  , I don't   know .\n"))
        "No, I don't <unk>.\n"
    """

    level = "word"
    rule: ClassVar[dict[str, Any]] = {"type": "Split", "behavior": "Removed", "invert": True}

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__(vocabulary)
        self._ids = {token: token_id for token_id, token in enumerate(vocabulary)}

    @classmethod
    def train(cls, chunks: Iterable[str], max_vocab: int = 30_000, min_count: int = 2) -> WordTokenizer:
        """Count the words of a text and keep the most frequent.

        Args:
            chunks: the text, in pieces.
            max_vocab: the maximum number of tokens to keep, including the three special ones.
            min_count: how often a word must occur to be kept. With 1 and room for all words, ``<unk>`` never occurs in
                training, so a model learns nothing about it.

        Returns:
            The tokenizer, its tokens in order of frequency and then of spelling.

        Raises:
            UsageError: ``max_vocab`` leaves no room for words.
            DataError: no word occurs often enough.
        """
        if max_vocab <= len(SPECIALS):
            raise UsageError(
                f"a vocabulary of {max_vocab} words is too small: {len(SPECIALS)} are reserved; give a larger one"
            )
        counts: Counter[str] = Counter()
        rare = 1
        for chunk in chunks:
            counts.update(_word_pattern().findall(without_surrogates(chunk)))
            while len(counts) > 4_000_000:  # lossy counting: it bounds the memory and drops only rare words
                counts = Counter({word: count for word, count in counts.items() if count > rare})
                rare += 1
        del counts[UNKNOWN]
        kept = [word for word, count in counts.items() if count >= min_count]
        if not kept:
            raise DataError(f"no word of the text occurs {min_count} times: give more text, or `min_count` 1")
        kept.sort(key=lambda word: (-counts[word], word))
        return cls([*SPECIALS, *kept[: max_vocab - len(SPECIALS)]])

    def encode(self, text: str) -> Ids:
        """Convert text to ids, (N,) int32, one for each word, mark and newline; see `Tokenizer.encode`."""
        return np.fromiter(self._lookup(text), np.int32)

    def encode_lines(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        """Encode each line separately; see `Tokenizer.encode_lines`."""
        return concatenate([list(self._lookup(line)) for line in text.split("\n")])

    def _lookup(self, text: str) -> Iterable[int]:
        return map(self._ids.get, _word_pattern().findall(text), repeat(self.unknown_id))

    def stream_decoder(self) -> StreamDecoder:
        """Start decoding ids one by one; see `Tokenizer.stream_decoder`."""
        return _WordStreamDecoder(self)

    def to_json(self) -> str:
        """Return the tokenizer as the content of a ``tokenizer.json``."""
        return word_level_json(self._names, {**self.rule, "pattern": {"Regex": _word_pattern().pattern}}, None)


class _WordStreamDecoder(StreamDecoder):
    """Puts spaces between words, depending on the previous token."""

    _joins_next = True

    def push(self, token_id: int) -> str:
        if token_id in (Tokenizer.begin_id, Tokenizer.end_id):
            return ""
        (token,) = self._tokenizer.tokens([token_id])
        space = "" if self._joins_next or token[0] in "\n.,!?;:)'" else " "
        self._joins_next = token in ("\n", "(")
        return space + token


def split_words(text: str) -> list[str]:
    """Split running text into words and marks, as `WordTokenizer` does; line breaks only separate words.

    Example:
        >>> split_words("No, I don't know.")
        ['No', ',', 'I', "don't", 'know', '.']
    """
    return _word_pattern().findall(text.replace("\n", " "))


def restore_spelling(source: str, tokens: list[str]) -> list[str]:
    """Replace <unk> in the tokens of a source with the words of the source.

    Example:
        >>> restore_spelling("a Zebra .", ["a", "<unk>", "."])
        ['a', 'Zebra', '.']
    """
    words = split_words(source)
    return words[: len(tokens)] if len(words) >= len(tokens) else tokens


@cache
def _word_pattern() -> re.Pattern[str]:
    r"""Return the pattern of a token; Python's ``\w`` lacks the combining marks that many scripts need."""
    marks = "".join(char for char in map(chr, range(0x300, 0x10000)) if unicodedata.category(char).startswith("M"))
    return re.compile(rf"\w+(?:[\w{marks}]|'\w)*|'(?:s|d|m|t|ll|re|ve)\b|\n|<unk>|\S")
