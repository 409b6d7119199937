"""Baselines for generated texts that copy a text of the training data, and counts of what two parts share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from elman.counting.words import Ints, WordNumbers, split_words
from elman.errors import DataError, UsageError

TYPICAL_TEXTS = 100  # distinct texts, the most frequent first, of which the most typical one is chosen


class NearestNeighbour:
    """Find the training text most similar to a text: the highest cosine of their words, weighted by rarity.

    The weight of a word is log(N / n) for a word in n of N texts, however often it occurs in a text. In a tie, and
    where no word is known, the first text is found.

    Example:
        >>> NearestNeighbour().fit(["a red cat", "a dog", "one bird"]).find(["the dog", "a bird", "so"]).tolist()
        [1, 2, 0]
    """

    def fit(self, texts: Sequence[str]) -> Self:
        """Count the words of the texts to find.

        Raises:
            DataError: there are no texts.
        """
        if not len(texts):
            raise DataError("there are no texts to compare with; give at least one")
        self._num_texts = len(texts)
        self._words = WordNumbers()
        words, rows = self._words.learn(texts)
        keys = np.unique(words * self._num_texts + rows)  # each word once in each text, sorted by word
        self._rows = keys % self._num_texts
        self._starts = np.searchsorted(keys // self._num_texts, np.arange(len(self._words) + 1))
        self._weights = np.log(self._num_texts / np.maximum(np.diff(self._starts), 1))  # (V,)
        squares = np.repeat(self._weights**2, np.diff(self._starts))
        norms = np.sqrt(np.bincount(self._rows, weights=squares, minlength=self._num_texts))  # (N,)
        self._scale = 1 / np.maximum(norms, 1e-9)
        return self

    def find(self, texts: Sequence[str]) -> Ints:
        """Return the row of the most similar training text for each text.

        Raises:
            UsageError: the model is not fitted.
        """
        if not hasattr(self, "_weights"):
            raise UsageError("this NearestNeighbour is not fitted yet; call fit(texts) first")
        words, rows = self._words.find(texts)
        found = np.zeros(len(texts), np.int64)
        starts = np.searchsorted(rows, np.arange(len(texts) + 1))
        for row in range(len(texts)):
            own = np.unique(words[starts[row] : starts[row + 1]])
            scores = np.zeros(self._num_texts)
            for word in own[own >= 0]:
                scores[self._rows[self._starts[word] : self._starts[word + 1]]] += self._weights[word] ** 2
            found[row] = int((scores * self._scale).argmax())
        return found


def pick_typical(texts: Iterable[str]) -> str:
    """Return the text that shares most words and pairs of words with the others, in the mean of their F1.

    Example:
        >>> pick_typical(["a dog runs", "a cat", "a dog sleeps", "a dog runs fast"])
        'a dog runs'
    """
    frequent = Counter(texts).most_common(TYPICAL_TEXTS)
    if not frequent:
        raise DataError("there are no texts to choose from; give at least one")
    terms = [_count_terms(text) for text, _ in frequent]
    sizes = [own.total() for own in terms]

    def score(row: int) -> float:
        return sum(
            count * 2 * (terms[row] & terms[other]).total() / max(sizes[row] + sizes[other], 1)
            for other, (_, count) in enumerate(frequent)
        )

    return frequent[max(range(len(frequent)), key=score)][0]


def _count_terms(text: str) -> Counter[Any]:
    words = split_words(text)
    return Counter([*words, *pairwise(words)])


def count_duplicates(train: Iterable[Any], held_out: Iterable[Any]) -> int:
    """Count the held-out items that also occur in the training data: texts, lists of words or arrays.

    Example:
        >>> count_duplicates(["so", "good"], ["good", "bad", "good"]), count_duplicates([[1, 2]], [[1, 2], [2]])
        (2, 1)
    """
    seen = set(map(_to_key, train))
    return sum(_to_key(item) in seen for item in held_out)


def _to_key(item: Any) -> Any:
    if isinstance(item, np.ndarray):
        content = hashlib.blake2b(np.ascontiguousarray(item).data, digest_size=16).digest()
        return item.shape, str(item.dtype), content
    return tuple(item) if isinstance(item, list) else item


def count_copied(train: npt.NDArray[Any], held_out: npt.NDArray[Any], length: int) -> int:
    """Count the held-out tokens in runs of at least ``length`` tokens that also occur in the training data.

    Runs are compared by a hash of 64 bits.

    Example:
        >>> count_copied(np.array([1, 2, 3, 4, 5]), np.array([9, 2, 3, 4, 5, 9, 1, 2]), 3)
        4
    """
    if min(len(train), len(held_out)) < length:
        return 0
    starts = np.flatnonzero(np.isin(_hash_runs(held_out, length), _hash_runs(train, length)))
    marks = np.zeros(len(held_out) + 1, np.int64)  # +1 where a run starts, -1 behind its end
    np.add.at(marks, starts, 1)
    np.add.at(marks, starts + length, -1)
    return int(np.count_nonzero(np.cumsum(marks)[:-1]))


def _hash_runs(tokens: npt.NDArray[Any], length: int) -> npt.NDArray[np.uint64]:
    """Return a hash of each run of ``length`` tokens, (N - length + 1,)."""
    number = len(tokens) - length + 1
    hashes = np.zeros(number, np.uint64)
    for offset in range(length):  # Horner's rule, modulo 2^64
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes += tokens[offset : offset + number].astype(np.uint64) + np.uint64(1)
    return hashes ^ (hashes >> np.uint64(29))
