"""Texts as the numbers of their words, for the models that count words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import regex

from elman.errors import DataError, UsageError

Ints: TypeAlias = npt.NDArray[np.int64]

_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|[\p{L}\p{M}\p{N}_'’]+|[^\s\p{L}\p{M}\p{N}_]"
)


def split_words(text: str) -> list[str]:
    """Split a text into words in lower case and punctuation; in scripts without spaces, into characters.

    Example:
        >>> split_words("It's a RIOT!"), split_words("東京へ")
        (["it's", 'a', 'riot', '!'], ['東', '京', 'へ'])
    """
    found: list[str] = _WORD.findall(text.lower())
    return found


def check_labelled(texts: Sequence[str], labels: Sequence[str]) -> None:
    """Raise UsageError unless there is one label for each text, and DataError if there are no texts."""
    if len(texts) != len(labels):
        raise UsageError(f"{len(texts)} texts, but {len(labels)} labels; give one label for each text")
    if not len(texts):
        raise DataError("there are no texts to count; give texts with their labels")


class WordNumbers:
    """The numbers of words, in order of first occurrence.

    Example:
        >>> numbers = WordNumbers()
        >>> numbers.learn(["so so good", "good"])
        (array([0, 0, 1, 1]), array([0, 0, 0, 1]))
        >>> numbers.find(["good", "so bad"])
        (array([ 1,  0, -1]), array([0, 1, 1]))
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def learn(self, texts: Sequence[str]) -> tuple[Ints, Ints]:
        """Number the words of some texts; return what :meth:`find` returns for them."""
        words = [split_words(text) for text in texts]
        for own in words:
            for word in own:
                self._numbers.setdefault(word, len(self._numbers))
        return self._look_up(words)

    def find(self, texts: Sequence[str]) -> tuple[Ints, Ints]:
        """Return the number of each word (T,), -1 if it is unknown, and the row of its text (T,)."""
        return self._look_up([split_words(text) for text in texts])

    def _look_up(self, words: Sequence[Sequence[str]]) -> tuple[Ints, Ints]:
        numbers = np.array([self._numbers.get(word, -1) for own in words for word in own], np.int64)
        return numbers, np.repeat(np.arange(len(words)), list(map(len, words)))
