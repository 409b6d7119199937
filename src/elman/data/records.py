"""What passes between files and models: the records that are read, and the records that a model answers with.

Lines ──a format's read──▶ Sentence | Example | Passage ... ──Model.answer──▶ TaggedSentence | Classification ...
                       └─▶ Problem, where something cannot be read ──────────▶ the same Problem, in its place
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
    """What stands in place of an input that cannot be read, and in place of the answer to it."""

    where: int | str
    """The number of its line, or its name."""
    what: str
    """Why it cannot be read."""
    text: str = ""
    """Its lines as they came, for a format that copies them."""
    is_reported: bool = True
    """Whether the user has been told, as a format that reads tells with file and line."""


# What is read.


@dataclass(frozen=True, eq=False)
class Sentence:
    """Words, their tags, and the lines that they came in."""

    words: list[str]
    tags: list[str] | None
    """None where they were not asked for."""
    line: int
    """The number of its first line."""
    lines: list[str] = field(default_factory=list)
    """As read, without the blank line after them; none where the sentence came from no such file."""
    rows: list[int] = field(default_factory=list)
    """Which of the lines each word stands in."""
    format: str = ""
    """What its lines are written in: the format's name."""
    closing: str = ""
    """The blank line after it, as read: it may hold blanks."""

    @property
    def is_comment(self) -> bool:
        """Whether it consists of comments: lines without a word."""
        return bool(self.lines) and not self.words


class Example(NamedTuple):
    """A text and its label."""

    text: str
    label: str | None
    """None where it was not asked for."""
    line: int
    """The number of its first line."""


class NumberSequence(NamedTuple):
    """Numbers (T, F), a row a time step, and their label."""

    values: NDArray[np.float32]
    label: str | None
    """None where it was not asked for."""
    line: int
    """The number of its first line; of an array, of its row from 0."""


class Passage(NamedTuple):
    """A piece of a running text, cut where tokens end: the pieces give the same tokens as the whole text."""

    text: str
    more: bool
    """Whether the next piece is at hand, so that this one need not be answered before that is read."""


class Picture(NamedTuple):
    """A picture (S, S, 3) uint8, or ready features of one (R, F) float32."""

    name: str
    array: NDArray[Any]


# What a model answers.


@dataclass(frozen=True, eq=False)
class TaggedSentence:
    """A sentence and a tag for every word."""

    sentence: Sentence
    tags: list[str]
    probabilities: list[float]
    """How likely each tag is; empty where that was not asked for."""


@dataclass(frozen=True)
class Classification:
    """The likeliest label, and how likely each one is."""

    label: Any
    probabilities: dict[Any, float]


@dataclass(frozen=True)
class Translation:
    """A source and the texts written for it, the best first, each with its score."""

    source: str
    candidates: list[tuple[str, float]]
    line: int = 0
    """The number of the source's first line."""
    warning: str = ""
    """What was not read of the source; empty where all of it was."""


@dataclass(frozen=True)
class Caption:
    """A picture's name and the captions written for it, the best first, each with its score."""

    picture: str
    candidates: list[tuple[str, float]]


@dataclass(frozen=True)
class Surprisals:
    """Tokens of a text, or events of a tune, each with its surprisal: -log p(token | all before it), in nats."""

    tokens: list[str]
    nats: list[float | None]
    """None for a first token, before which there is nothing."""


def drop_problems(items: Iterable[Item | Problem]) -> list[Item]:
    """Return the items that could be read."""
    return [item for item in items if not isinstance(item, Problem)]


def restore_problems(items: Sequence[Any], records: Iterable[Record]) -> Iterator[Record | Problem]:
    """Yield the records of the readable items, and each problem where it stands among them.

    Example:
        >>> list(restore_problems(["a", Problem(2, "no text"), "b"], ["A", "B"]))
        ['A', Problem(where=2, what='no text', text='', is_reported=True), 'B']
    """
    found = iter(records)
    for item in items:
        yield item if isinstance(item, Problem) else next(found)
