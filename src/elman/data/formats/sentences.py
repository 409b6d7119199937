"""Sentences whose words have tags: what every format of them shares.

    Lines ──read──▶ Sentence(words, tags, lines as they came) ──a model──▶ TaggedSentence ──write──▶ lines

A sentence is handed out as soon as the blank line that ends it has been read, so that a pipe may go on for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from elman.data import schemes
from elman.data.lines import Lines, Problems
from elman.data.records import Problem, Sentence, TaggedSentence

SHOWN = 40  # characters of a word in a message: there are words of thousands


class SentenceFormat(Protocol):
    """A way to write down sentences."""

    name: str
    """What the user calls it; a sentence's ``format`` where its lines are kept."""
    copies: bool
    """Whether it writes what it reads as it came, but for the tags."""

    def read(self, lines: Lines, problems: Problems, *, tagged: bool = False) -> Iterator[Sentence | Problem]:
        """Yield the sentences.

        Args:
            lines: where they stand.
            problems: who is told of a sentence that cannot be read.
            tagged: whether the tags are wanted. Then a sentence that cannot be read, or has no words, is skipped;
                otherwise a problem stands in its place, and one without words is yielded, to be copied.
        """
        ...

    def write(self, records: Iterable[TaggedSentence | Problem]) -> Iterator[str]:
        """Write sentences with their tags, all else as it came; anew where they came in another format."""
        ...


class Block(NamedTuple):
    """Lines up to a blank one, the number of the first, and the blank one."""

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
    """Yield a sentence, or tell why it cannot be had: then it is skipped of training, and copied in prediction.

    Args:
        block: its lines.
        sentence: the sentence.
        place: which of its lines was read last.
        problem: what is wrong with that line; nothing where all is well.
        name: what to call the file.
        problems: who is told.
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
    """Return the lines of a sentence and the blank one after it."""
    return "".join(f"{line}\n" for line in [*lines, closing])


def count_columns(cells: Sequence[str]) -> str:
    """Say how many columns there are."""
    return f"{len(cells)} column{'s' * (len(cells) != 1)}"


def report_inconsistencies(name: str, sentences: Sequence[Sentence], scheme: str, problems: Problems) -> None:
    """Tell of tags that cannot stand where they do, such as I- after O; they are read as the beginning of a span."""
    if not scheme:
        return
    for sentence in sentences:
        for place in schemes.find_inconsistencies(sentence.tags or [], scheme):
            line = sentence.line + (sentence.rows[place] if sentence.rows else 0)
            tag = (sentence.tags or [])[place]
            problems.add(name, line, f"{tag} cannot stand here in {scheme.upper()}; it is read as conlleval does")
