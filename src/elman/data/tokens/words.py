"""Tokenizing text into words, by a regular expression and a dictionary: with marks split off, or as they stand."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import repeat
from typing import Any, ClassVar, Self

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
    unspaced_before: ClassVar[str] = "\n.,!?;:)'"
    """`decode` writes no space before a token that begins with one of these."""
    unspaced_after: ClassVar[str] = "\n("
    """`decode` writes no space after these tokens."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__(vocabulary)
        self._ids = {token: token_id for token_id, token in enumerate(vocabulary)}
        del self._ids["<s>"], self._ids["</s>"]  # in a text, they are words like any other

    @classmethod
    def pattern(cls) -> re.Pattern[str]:
        """Return the pattern of a token."""
        return _word_pattern()

    @classmethod
    def train(cls, chunks: Iterable[str], max_vocab: int = 30_000, min_count: int = 2) -> Self:
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
        return cls._choose(cls._count(chunks), max_vocab, min_count)

    @classmethod
    def _count(cls, chunks: Iterable[str]) -> Counter[str]:
        counts: Counter[str] = Counter()
        rare = 1
        for chunk in chunks:
            counts.update(cls.pattern().findall(without_surrogates(chunk)))
            while len(counts) > 4_000_000:  # lossy counting: it bounds the memory and drops only rare words
                counts = Counter({word: count for word, count in counts.items() if count > rare})
                rare += 1
        return counts

    @classmethod
    def _choose(cls, counts: Counter[str], max_vocab: int, min_count: int) -> Self:
        if max_vocab <= len(SPECIALS):
            raise UsageError(
                f"a vocabulary of {max_vocab} words is too small: {len(SPECIALS)} are reserved; give a larger one"
            )
        for special in SPECIALS:
            del counts[special]
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
        return map(self._ids.get, self.pattern().findall(text), repeat(self.unknown_id))

    def stream_decoder(self) -> StreamDecoder:
        """Start decoding ids one by one; see `Tokenizer.stream_decoder`."""
        return _WordStreamDecoder(self)

    def to_json(self) -> str:
        """Return the tokenizer as the content of a ``tokenizer.json``."""
        return word_level_json(self._names, {**self.rule, "pattern": {"Regex": self.pattern().pattern}}, None)


class SpaceTokenizer(WordTokenizer):
    r"""One id for each frequent token between white space, and for newline; for texts that are tokenized already.

    Nothing is split off a token: ``don't`` and ``(dear)`` are one each, and only a ``<unk>`` that stands alone is that
    token. ``<s>`` and ``</s>`` in a text are unknown words. `decode` writes one space between tokens and none around a
    newline. Case is kept.

    Example:
        >>> tokenizer = SpaceTokenizer.train(["no , no !\nno , i do n't .\n"], min_count=1)
        >>> tokenizer.tokens(range(3, tokenizer.vocab_size))
        ['no', '\n', ',', '!', '.', 'do', 'i', "n't"]
        >>> tokenizer.decode(tokenizer.encode("no ,  i   do !!\n"))
        'no , i do <unk>\n'
    """

    level = "space"
    rule: ClassVar[dict[str, Any]] = {**WordTokenizer.rule, "pattern": {"Regex": r"\n|\S+"}}
    unspaced_before = unspaced_after = "\n"

    @classmethod
    def pattern(cls) -> re.Pattern[str]:
        """Return the pattern of a token."""
        return re.compile(cls.rule["pattern"]["Regex"])

    @classmethod
    def train(cls, chunks: Iterable[str], max_vocab: int | None = None, min_count: int | None = None) -> Self:
        """Count the tokens of a text and keep the most frequent; see `WordTokenizer.train`.

        Args:
            chunks: the text, in pieces.
            max_vocab: the maximum number of tokens to keep. Default: 10,000; if the text contains ``<unk>``, its
                vocabulary was chosen before, and all its tokens are kept.
            min_count: how often a token must occur to be kept. Default: 2, or 1 if the text contains ``<unk>``.
        """
        counts = cls._count(chunks)
        most, fewest = (len(counts) + len(SPECIALS), 1) if UNKNOWN in counts else (10_000, 2)
        return cls._choose(counts, most if max_vocab is None else max_vocab, fewest if min_count is None else min_count)

    def to_json(self) -> str:
        """Return the tokenizer as the content of a ``tokenizer.json``."""
        return word_level_json(self._names, self.rule, None, unknown_within=False)


class _WordStreamDecoder(StreamDecoder):
    """Puts spaces between words, depending on the previous token."""

    _joins_next = True

    def __init__(self, tokenizer: WordTokenizer) -> None:
        super().__init__(tokenizer)
        self._unspaced_before, self._unspaced_after = tokenizer.unspaced_before, tuple(tokenizer.unspaced_after)

    def push(self, token_id: int) -> str:
        if token_id in (Tokenizer.begin_id, Tokenizer.end_id):
            return ""
        (token,) = self._tokenizer.tokens([token_id])
        space = "" if self._joins_next or token[0] in self._unspaced_before else " "
        self._joins_next = token in self._unspaced_after
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
