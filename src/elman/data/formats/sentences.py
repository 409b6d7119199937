"""Shared parts of the formats of sentences whose words have tags.

    Lines ──read──▶ Sentence(words, tags, original lines) ──a model──▶ TaggedSentence ──write──▶ lines

A sentence is yielded as soon as the blank line after it has been read, so that an endless pipe works too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from elman.data import schemes
from elman.data.lines import Lines, Problems
from elman.data.records import Problem, Sentence, TaggedSentence

SHOWN = 40  # characters of a word in a message


class SentenceFormat(Protocol):
    """A format of tagged sentences."""

    name: str
    """Its name in the options of the shell, and the ``format`` of its sentences."""
    copies: bool
    """Whether it writes what it reads unchanged, except for the tags."""

    def read(self, lines: Lines, problems: Problems, *, tagged: bool = False) -> Iterator[Sentence | Problem]:
        """Yield the sentences.

        Args:
            lines: the lines to read.
            problems: collects the sentences that cannot be read.
            tagged: whether to read the tags. If so, a sentence that is unreadable or has no words is skipped; otherwise
                a `Problem` is yielded for an unreadable one, and one without words is yielded to be copied.
        """
        ...

    def write(self, records: Iterable[TaggedSentence | Problem]) -> Iterator[str]:
        """Write sentences with their tags; their original lines are kept if they are in this format."""
        ...


class Block(NamedTuple):
    """The lines of a sentence, the number of the first, and the blank line after them."""

    first: int
    lines: list[str]
    closing: str


def read_blocks(lines: Lines) -> Iterator[Block]:
    """Yield the lines of each sentence."""
    block: list[str] = []
    for line in lines:
        if line and not line.isspace():
            block.append(line)
        elif block:
            yield Block(lines.number - len(block), block, line)
            block = []
    if block:
        yield Block(lines.number - len(block) + 1, block, "")


def check_sentence(
    block: Block, sentence: Sentence, place: int, problem: str, name: str, problems: Problems
) -> Iterator[Sentence | Problem]:
    """Yield a sentence, or report its problem: then it is skipped in training and copied in prediction.

    Args:
        block: its lines.
        sentence: the sentence.
        place: the index of the line that was read last.
        problem: what is wrong with that line; an empty string if nothing is.
        name: the name of the file.
        problems: collects the problem.
    """
    tagged = sentence.tags is not None
    if problem:
        fate = "the sentence is skipped" if tagged else "the sentence is copied without tags"
        pause = "" if problem.endswith("?") else ";"
        problems.add(name, block.first + place, f"{problem}{pause} {fate}")
        if not tagged:
            yield Problem(block.first, problem, format_block(block.lines, block.closing))
    elif sentence.words or not tagged:
        yield sentence


def format_block(lines: Sequence[str], closing: str = "") -> str:
    """Join the lines of a sentence and the blank line after it."""
    return "".join(f"{line}\n" for line in [*lines, closing])


def count_columns(cells: Sequence[str]) -> str:
    """Return the number of columns, for a message."""
    return f"{len(cells)} column{'s' * (len(cells) != 1)}"


def report_inconsistencies(name: str, sentences: Sequence[Sentence], scheme: str, problems: Problems) -> None:
    """Report tags in positions where the scheme does not allow them, such as I- after O; they begin a span."""
    if not scheme:
        return
    for sentence in sentences:
        for place in schemes.find_inconsistencies(sentence.tags or [], scheme):
            line = sentence.line + (sentence.rows[place] if sentence.rows else 0)
            tag = (sentence.tags or [])[place]
            problems.add(name, line, f"{tag} is not allowed here in {scheme.upper()}; it is read as conlleval does")
