"""Readers and writers of sentences whose words have tags: CoNLL-U, CoNLL-2002/2003 columns, and running text.

    Lines ──read──▶ Sentence(words, tags, lines as they came) ──write──▶ the same lines, with other tags

A sentence is handed out as soon as the blank line that ends it has been read, so that a pipe may go on for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

from elman.data import schemes
from elman.data.lines import Lines, Problems
from elman.data.tokenizer import split_words
from elman.errors import UsageError, nearest

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")

_NO_WORD = re.compile(r"[0-9]+[-.][0-9]+")  # the ID of a range (3-4) or of an empty node (5.1)
_BLANKS = re.compile("[ \t]+")
_LEFT_OUT = "the sentence is left out"


@dataclass(frozen=True, eq=False)
class Sentence:
    """Words, their tags, and the lines that they came in."""

    words: list[str]
    tags: list[str] | None
    """None where they were not asked for."""
    line: int
    """The number of its first line."""
    lines: list[str] = field(default_factory=list)
    """As read, without the blank line after them; none where the sentence came from running text."""
    rows: list[int] = field(default_factory=list)
    """Which of the lines each word stands in."""
    problem: str = ""
    """Why it could not be read; then it has no words."""


class Format(Protocol):
    """A way to write down sentences."""

    def read(self, lines: Lines, problems: Problems, *, tagged: bool) -> Iterator[Sentence]:
        """Yield the sentences.

        Args:
            lines: where they stand.
            problems: who is told of a sentence that cannot be read.
            tagged: whether the tags are wanted. Then a sentence that cannot be read, or has no words, is left out;
                otherwise it is yielded without words, to be copied.
        """
        ...

    def write(self, sentence: Sentence, tags: list[str]) -> str:
        """Write a sentence with these tags; all else as it came."""
        ...


class Conllu:
    r"""CoNLL-U: ten columns with tabs between, a line a word; ranges (3-4) and empty nodes (5.1) are no words.

    Source: https://universaldependencies.org/format.html

    Args:
        column: which of the ten the tags are; "_" is no tag, but for feats, xpos and misc, where it says "none".

    Raises:
        UsageError: there is no such column.

    Example:
        >>> lines = Lines("# a comment\n1\tTeddy\t_\tPROPN\t_\t_\t_\t_\t_\t_\n\n")
        >>> sentence = next(Conllu().read(lines, Problems(), tagged=True))
        >>> sentence.words, sentence.tags, Conllu().write(sentence, ["NOUN"]).split()[4:7]
        (['Teddy'], ['PROPN'], ['Teddy', '_', 'NOUN'])
    """

    def __init__(self, column: str = "upos") -> None:
        if column not in CONLLU_COLUMNS:
            listed = ", ".join(CONLLU_COLUMNS)
            meant = nearest(column, CONLLU_COLUMNS) or ";"
            raise UsageError(f"--column {column}: CoNLL-U has no such column{meant} it has {listed}")
        self._column = CONLLU_COLUMNS.index(column)
        self._may_be_empty = column in ("feats", "xpos", "misc")

    def read(self, lines: Lines, problems: Problems, *, tagged: bool) -> Iterator[Sentence]:
        """Yield the sentences; see :class:`Format`."""
        for first, block in _blocks(lines):
            words: list[str] = []
            tags: list[str] = []
            rows: list[int] = []
            problem, place = "", 0
            for place, line in enumerate(block):
                if line.startswith("#"):
                    continue
                cells = line.split("\t")
                if len(cells) != 10:
                    problem = f"{len(cells)} columns where CoNLL-U has 10; is the file cut off?"
                elif not cells[0].isdigit():
                    if _NO_WORD.fullmatch(cells[0]):
                        continue
                    problem = f"the ID is {cells[0]!r}, expected a number"
                elif int(cells[0]) != len(words) + 1:
                    problem = f"the ID is {cells[0]}, expected {len(words) + 1}"
                elif not cells[1]:
                    problem = "the word is empty"
                elif tagged and (not cells[self._column] or (cells[self._column] == "_" and not self._may_be_empty)):
                    problem = f"the word {cells[1]!r} has no tag in column {CONLLU_COLUMNS[self._column]}"
                if problem:
                    break
                words.append(cells[1])
                tags.append(cells[self._column])
                rows.append(place)
            yield from _checked(Sentence(words, tags, first, block, rows), problem, place, lines, problems, tagged)

    def write(self, sentence: Sentence, tags: list[str]) -> str:
        """Write a sentence with these tags; all else as it came."""
        written = list(sentence.lines)
        if not written:
            for number, word in enumerate(sentence.words, start=1):
                written.append("\t".join([str(number), word, *"________"]))
        rows = sentence.rows or range(len(sentence.words))
        for row, tag in zip(rows, tags, strict=True):
            cells = written[row].split("\t")
            cells[self._column] = tag
            written[row] = "\t".join(cells)
        return "".join(f"{line}\n" for line in written) + "\n"


class Columns:
    r"""CoNLL-2002, CoNLL-2003 and their like: a line a word, columns parted by tabs or blanks, a blank line after each.

    A line that begins with ``-DOCSTART-`` is no word. A ``#`` is a word like any other.

    Args:
        words: the column of the words.
        tags: the column of the tags, from 0, or from the end with -1.

    Example:
        >>> sentence = next(Columns().read(Lines("EU\tB-ORG\nrejects\tO\n"), Problems(), tagged=True))
        >>> sentence.words, sentence.tags, Columns().write(sentence, ["O", "O"])
        (['EU', 'rejects'], ['B-ORG', 'O'], 'EU\tO\nrejects\tO\n\n')
    """

    def __init__(self, words: int = 0, tags: int = -1) -> None:
        self._words = words
        self._tags = tags

    def read(self, lines: Lines, problems: Problems, *, tagged: bool) -> Iterator[Sentence]:
        """Yield the sentences; see :class:`Format`."""
        for first, block in _blocks(lines):
            words: list[str] = []
            tags: list[str] = []
            rows: list[int] = []
            problem, place, width = "", 0, 0
            for place, line in enumerate(block):
                if line.startswith("-DOCSTART-"):
                    continue
                cells = _cells(line)
                width = width or len(cells)
                least = max(_least(self._words), _least(self._tags) if tagged else 1, 2 if tagged else 1)
                if len(cells) < least:
                    problem = (
                        f"{len(cells)} column{'s' * (len(cells) > 1)} where {least} are needed: a word and its tag"
                    )
                elif tagged and len(cells) != width:
                    problem = f"{len(cells)} columns where the sentence's first line has {width}"
                elif not cells[self._words]:
                    problem = "the word is empty"
                elif tagged and not cells[self._tags]:
                    problem = f"the word {cells[self._words]!r} has no tag"
                if problem:
                    break
                words.append(cells[self._words])
                tags.append(cells[self._tags])
                rows.append(place)
            yield from _checked(Sentence(words, tags, first, block, rows), problem, place, lines, problems, tagged)

    def write(self, sentence: Sentence, tags: list[str]) -> str:
        """Write a sentence with these tags; all else as it came. A line of a word alone gets a column for the tag."""
        written = list(sentence.lines) or list(sentence.words)
        rows = sentence.rows or range(len(sentence.words))
        for row, tag in zip(rows, tags, strict=True):
            cells = _cells(written[row])
            if len(cells) == 1 or not sentence.lines:
                written[row] = f"{written[row]}\t{tag}"
                continue
            separators = re.findall("\t" if "\t" in written[row] else _BLANKS, written[row])
            cells[self._tags] = tag
            written[row] = cells[0] + "".join(map(str.__add__, separators, cells[1:]))
        return "".join(f"{line}\n" for line in written) + "\n"


class Plain:
    """Running text, a sentence a line; words end at blanks, and marks stand alone.

    Example:
        >>> next(Plain().read(Lines("Teddy bears are on sale!"), Problems(), tagged=False)).words
        ['Teddy', 'bears', 'are', 'on', 'sale', '!']
    """

    def read(self, lines: Lines, problems: Problems, *, tagged: bool) -> Iterator[Sentence]:
        """Yield the sentences; see :class:`Format`.

        Raises:
            UsageError: tags are wanted, which running text does not have.
        """
        if tagged:
            raise UsageError(f"{lines.name}: running text has no tags to learn from; give CoNLL-U, or columns")
        for line in lines:
            yield Sentence(split_words(line), None, lines.number)

    def write(self, sentence: Sentence, tags: list[str]) -> str:
        """Write a sentence as ``word/TAG``, on one line."""
        return " ".join(f"{word}/{tag}" for word, tag in zip(sentence.words, tags, strict=True)) + "\n"


def format_of(
    source: Path | str, column: str | None = None, words: int = 0, encoding: str = "utf-8"
) -> Conllu | Columns:
    r"""Find out how a file, or a text, writes its sentences.

    Args:
        source: a ``Path`` names a file, a ``str`` is its text.
        column: which the tags are: a name of CoNLL-U's, or a number. None: upos of CoNLL-U, the last of another format.
        words: the column of the words, in formats other than CoNLL-U.
        encoding: how the file is encoded.

    Raises:
        UsageError: CoNLL-U has no such column, or the column's number is also the words'.

    Example:
        >>> type(format_of("EU B-ORG\n")).__name__, type(format_of("1\tEU" + "\t_" * 8 + "\n")).__name__
        ('Columns', 'Conllu')
    """
    if column is not None and not re.fullmatch("-?[0-9]+", column):
        return Conllu(column)
    if column is None:
        first = next((line for line in islice(Lines(source, encoding, Problems(shown=0)), 1000) if _is_row(line)), "")
        cells = first.split("\t")
        if len(cells) == 10 and re.fullmatch("[0-9]+([-.][0-9]+)?", cells[0]):
            return Conllu()
    tags = -1 if column is None else int(column)
    if tags == words:
        raise UsageError(
            f"column {tags} holds the words; name the tags' with --column, or the words' with --word-column"
        )
    return Columns(words, tags)


def _is_row(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("# ", "#\t", "-DOCSTART-"))


def _blocks(lines: Lines) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines between blank lines, and the number of the first."""
    block: list[str] = []
    for line in lines:
        if line and not line.isspace():
            block.append(line)
        elif block:
            yield lines.number - len(block), block
            block = []
    if block:
        yield lines.number - len(block) + 1, block


def _checked(
    sentence: Sentence, problem: str, place: int, lines: Lines, problems: Problems, tagged: bool
) -> Iterator[Sentence]:
    """Yield a sentence, or tell why it cannot be had: then it is left out of training, and copied in prediction."""
    if problem:
        fate = _LEFT_OUT if tagged else "the sentence is copied without tags"
        problems.add(lines.name, sentence.line + place, f"{problem}; {fate}")
        if not tagged:
            yield Sentence([], None, sentence.line, sentence.lines, [], problem)
        return
    if not tagged:
        yield Sentence(sentence.words, None, sentence.line, sentence.lines, sentence.rows)
    elif sentence.words:
        yield sentence


def tell_inconsistent(name: str, sentences: list[Sentence], scheme: str, problems: Problems) -> None:
    """Tell of tags that cannot stand where they do, such as I- after O; they are read as the beginning of a span."""
    if not scheme:
        return
    for sentence in sentences:
        for place in schemes.inconsistencies(sentence.tags or [], scheme):
            line = sentence.line + (sentence.rows[place] if sentence.rows else 0)
            tag = (sentence.tags or [])[place]
            problems.add(name, line, f"{tag} cannot stand here in {scheme.upper()}; it is read as conlleval does")


def _cells(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else _BLANKS.split(line.strip(" "))


def _least(column: int) -> int:
    """Return how many columns there must be for this one to exist."""
    return column + 1 if column >= 0 else -column
