"""The records that pass between files and models: those that are read, and those that a model answers with.

Lines ──a format's read──▶ Sentence | Example | Passage ... ──Model.answer──▶ TaggedSentence | Classification ...
                       └─▶ Problem, for an unreadable input ─────────────────▶ the same Problem, in the same position
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Record = TypeVar("Record")


@dataclass(frozen=True)
class Problem:
    """A placeholder for an input that cannot be read, and for the answer to it."""

    where: int | str
    """The number of its line, or its name."""
    what: str
    """Why it cannot be read."""
    text: str = ""
    """Its original lines, for a format that copies them."""
    is_reported: bool = True
    """Whether the user has seen it already, as a format's reader reports it with file and line."""


# Records that are read.


@dataclass(frozen=True, eq=False)
class Sentence:
    """Words, their tags, and the lines that they were read from."""

    words: list[str]
    tags: list[str] | None
    """None if the tags were not requested."""
    line: int
    """The number of its first line."""
    lines: list[str] = field(default_factory=list)
    """Its original lines, without the blank line after them; empty if the format has no lines to copy."""
    rows: list[int] = field(default_factory=list)
    """The index of each word's line in ``lines``."""
    format: str = ""
    """The name of the format of its lines."""
    closing: str = ""
    """The blank line after it as read, which may contain spaces."""

    @property
    def is_comment(self) -> bool:
        """Whether it has only comments: lines without a word."""
        return bool(self.lines) and not self.words


class Example(NamedTuple):
    """A text and its label."""

    text: str
    label: str | None
    """None if it was not requested."""
    line: int
    """The number of its first line."""


class NumberSequence(NamedTuple):
    """Numbers (T, F), one row for each time step, and their label."""

    values: NDArray[np.float32]
    label: str | None
    """None if it was not requested."""
    line: int
    """The number of its first line; in an array, the index of its row."""


class Passage(NamedTuple):
    """A piece of a running text, split at a token boundary: the pieces give the same tokens as the whole text."""

    text: str
    more: bool
    """Whether the next piece is available, so that it can be read before this one is answered."""


class Picture(NamedTuple):
    """A picture (S, S, 3) uint8, or the precomputed features of one, (R, F) float32."""

    name: str
    array: NDArray[Any]


# Records that a model answers with.


@dataclass(frozen=True, eq=False)
class TaggedSentence:
    """A sentence and a tag for every word."""

    sentence: Sentence
    tags: list[str]
    probabilities: list[float]
    """The probability of each tag; empty if it was not requested."""


@dataclass(frozen=True)
class Classification:
    """The most probable label, and the probability of each label."""

    label: Any
    probabilities: dict[Any, float]


@dataclass(frozen=True)
class Translation:
    """A source and its candidate translations, the best first, each with its score."""

    source: str
    candidates: list[tuple[str, float]]
    line: int = 0
    """The number of the source's first line."""
    warning: str = ""
    """What part of the source was cut off; empty if all of it was read."""


@dataclass(frozen=True)
class Caption:
    """The name of a picture and its candidate captions, the best first, each with its score."""

    picture: str
    candidates: list[tuple[str, float]]


@dataclass(frozen=True)
class Surprisals:
    """The tokens of a text, or the events of a tune, each with its surprisal, -log p(token | history), in nats."""

    tokens: list[str]
    nats: list[float | None]
    """None for a first token, which has no history."""


def drop_problems(items: Iterable[Item | Problem]) -> list[Item]:
    """Return the items that are not problems."""
    return [item for item in items if not isinstance(item, Problem)]


def restore_problems(items: Sequence[Any], records: Iterable[Record]) -> Iterator[Record | Problem]:
    """Yield one record for each readable item, and each problem in its original position.

    Example:
        >>> list(restore_problems(["a", Problem(2, "no text"), "b"], ["A", "B"]))
        ['A', Problem(where=2, what='no text', text='', is_reported=True), 'B']
    """
    found = iter(records)
    for item in items:
        yield item if isinstance(item, Problem) else next(found)
