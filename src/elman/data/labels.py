"""Readers and writers of sentences whose words have tags: CoNLL-U, CoNLL-2002/2003 columns, and running text.

    Lines ──read──▶ Sentence(words, tags, lines as they came) ──write──▶ the same lines, with other tags

A sentence is handed out as soon as the blank line that ends it has been read, so that a pipe may go on for ever.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import dropwhile, islice
from pathlib import Path
from typing import NamedTuple, Protocol

from elman.data import schemes
from elman.data.lines import Lines, Problems
from elman.data.tokens.words import split_words
from elman.errors import UsageError, nearest

logger = logging.getLogger(__name__)

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")

_NO_WORD = re.compile(r"[0-9]+[-.][0-9]+")  # the ID of a range (3-4) or of an empty node (5.1)
_MAY_BE_EMPTY = ("form", "lemma", "xpos", "feats", "misc")
_SHOWN = 40  # characters of a word in a message: there are words of thousands


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
    problem: str = ""
    """Why it could not be read; then it has no words."""
    format: str = ""
    """What its lines are written in: conllu or columns."""
    closing: str = ""
    """The blank line after it, as read: it may hold blanks."""


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
        """Write a sentence with these tags, all else as it came; anew where it came in another format."""
        ...


class Conllu:
    r"""CoNLL-U: ten columns with tabs between, a line a word; ranges (3-4) and empty nodes (5.1) are no words.

    Source: https://universaldependencies.org/format.html

    Args:
        column: which of the ten the tags are; "_" is no tag, but for feats, xpos and misc, where it says "none", and
            for form and lemma, where it may be the mark itself.

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
        self._may_be_empty = column in _MAY_BE_EMPTY

    def read(self, lines: Lines, problems: Problems, *, tagged: bool) -> Iterator[Sentence]:
        """Yield the sentences; see :class:`Format`."""
        for block in _blocks(lines):
            words: list[str] = []
            tags: list[str] = []
            rows: list[int] = []
            problem, place = "", 0
            for place, line in enumerate(block.lines):
                if line.startswith("#"):
                    continue
                cells = line.split("\t")
                if len(cells) != 10:
                    problem = f"{_columns(cells)} where CoNLL-U has 10; is the file cut off?"
                elif cells[0] != str(len(words) + 1):
                    if _NO_WORD.fullmatch(cells[0]):
                        continue
                    problem = f"the ID is {cells[0][:_SHOWN]!r}, expected {len(words) + 1}"
                elif not cells[1]:
                    problem = "the word is empty"
                elif tagged and cells[self._column].strip() in (("",) if self._may_be_empty else ("", "_")):
                    problem = f"the word {cells[1][:_SHOWN]!r} has no tag in column {CONLLU_COLUMNS[self._column]}"
                if problem:
                    break
                words.append(cells[1])
                tags.append(cells[self._column].strip())
                rows.append(place)
            sentence = Sentence(
                words, tags if tagged else None, block.first, block.lines, rows, problem, "conllu", block.closing
            )
            yield from _checked(sentence, place, lines.name, problems)

    def write(self, sentence: Sentence, tags: list[str]) -> str:
        """Write a sentence with these tags; see :class:`Format`."""
        if sentence.problem:
            return _text(sentence.lines, sentence.closing)
        if sentence.format == "conllu":
            written = list(sentence.lines)
            rows: Sequence[int] = sentence.rows
        else:
            written = [
                "\t".join([str(number), word, *"________"]) for number, word in enumerate(sentence.words, start=1)
            ]
            rows = range(len(written))
        for row, tag in zip(rows, tags, strict=True):
            cells = written[row].split("\t")
            cells[self._column] = tag
            written[row] = "\t".join(cells)
        return _text(written, sentence.closing) if written or sentence.format == "conllu" else ""


class Columns:
    r"""CoNLL-2002, CoNLL-2003 and their like: a line a word, columns parted by tabs or blanks, a blank line after each.

    A line that begins with ``-DOCSTART-`` is no word. A ``#`` is a word like any other, and ``#topic`` too; but before
    the first word of a sentence a line that begins with it is a comment where it has other columns than the words have,
    or a tag that no word has (a line that begins with ``#topic`` only where the words stand further to the right).

    Args:
        words: the column of the words, from 0.
        tags: the column of the tags, from 0, or from the end with -1; "_" is no tag.

    Raises:
        UsageError: the words' column is counted from the end, or is also the tags'.

    Example:
        >>> sentence = next(Columns().read(Lines("EU\tB-ORG\nrejects\tO\n"), Problems(), tagged=True))
        >>> sentence.words, sentence.tags, Columns().write(sentence, ["O", "O"])
        (['EU', 'rejects'], ['B-ORG', 'O'], 'EU\tO\nrejects\tO\n\n')
    """

    def __init__(self, words: int = 0, tags: int = -1) -> None:
        if words < 0:
            raise UsageError(f"--word-column {words}: count the words' column from the first, which is 0")
        if tags == words:
            raise UsageError(
                f"column {tags} holds the words; name the tags' with --column, or the words' with --word-column"
            )
        self.words = words
        self._tags = tags

    def read(self, lines: Lines, problems: Problems, *, tagged: bool) -> Iterator[Sentence]:
        """Yield the sentences; see :class:`Format`."""
        known = _Known(self, lines)
        longest, counted = 0, True  # whether each word is its place in the sentence
        for block in _blocks(lines):
            words: list[str] = []
            tags: list[str] = []
            rows: list[int] = []
            problem, place, width = "", 0, 0
            for place, line in enumerate(block.lines):
                cells = self.cells(line)
                if line.startswith("-DOCSTART-") or (line[0] == "#" and not words and known.is_comment(cells, block)):
                    continue
                width = width or len(cells)
                tag = self.place(len(cells)) if tagged else 0
                if len(cells) <= self.words or tag < 0:
                    tags_too = f" and the tags in {self._tags}" if tagged else ""
                    problem = f"{_columns(cells)} where the words are in column {self.words}{tags_too}, counted from 0"
                elif tagged and len(cells) != width:
                    problem = f"{_columns(cells)} where the sentence's first line has {width}"
                elif not cells[self.words]:
                    problem = "the word is empty"
                elif tagged and cells[tag].strip() in ("", "_"):
                    problem = f"the word {cells[self.words][:_SHOWN]!r} has no tag"
                if problem:
                    break
                words.append(cells[self.words])
                tags.append(cells[tag].strip())
                rows.append(place)
            sentence = Sentence(
                words, tags if tagged else None, block.first, block.lines, rows, problem, "columns", block.closing
            )
            longest = max(longest, len(words))
            counted = counted and words == [str(number) for number in range(1, len(words) + 1)]
            yield from _checked(sentence, place, lines.name, problems)
        if tagged and counted and longest > 1:
            logger.warning(
                "%s: column %s counts the words of each sentence; name the column that holds them: --word-column %s",
                *(lines.name, self.words, self.words + 1),
            )

    def write(self, sentence: Sentence, tags: list[str]) -> str:
        """Write a sentence with these tags; see :class:`Format`. A line without a column for the tag gets one."""
        if sentence.problem:
            return _text(sentence.lines, sentence.closing)
        if sentence.format != "columns":
            written = [f"{word}\t{tag}" for word, tag in zip(sentence.words, tags, strict=True)]
            return _text(written) if written else ""
        written = list(sentence.lines)
        for row, tag in zip(sentence.rows, tags, strict=True):
            written[row] = self._tagged(written[row], tag)
        return _text(written, sentence.closing)

    def _tagged(self, line: str, tag: str) -> str:
        has_tabs = "\t" in line
        parts = re.split("(\t)" if has_tabs else "( +)", line)  # cells at 0, 2, 4 ..., what parts them between
        cells = [part for part in range(0, len(parts), 2) if parts[part] or has_tabs]
        place = self.place(len(cells))
        if place >= 0:
            parts[cells[place]] = tag
            return "".join(parts)
        separator = " " if " " in line and not has_tabs else "\t"
        added = ["_"] * (self._tags - len(cells)) + [tag] + ["_"] * (-self._tags - 1)
        return separator.join([line.rstrip(" "), *added])

    @staticmethod
    def cells(line: str) -> list[str]:
        """Split a line at its tabs or, where it has none, at its blanks."""
        return line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]

    def place(self, width: int) -> int:
        """Return which of so many columns the tag is in; -1 if none is left for it."""
        place = self._tags if self._tags >= 0 else width + self._tags
        return place if place < width and place != self.words else -1


class _Known:
    """What is known of the words of a file in columns: how many columns they have, and their tags.

    Only what cannot be taken for a comment counts. A file, or a text, is read once more to find out, and only where it
    has lines that may be comments; of a stream no more is known than the sentence at hand.
    """

    def __init__(self, columns: Columns, lines: Lines) -> None:
        self._columns = columns
        self._lines = lines

    @cached_property
    def _widths_and_tags(self) -> tuple[Counter[int], set[str]]:
        widths: Counter[int] = Counter()
        tags: set[str] = set()
        if isinstance(self._lines.source, Path | str):
            for block in _blocks(Lines(self._lines.source, self._lines.encoding, Problems(shown=0))):
                for cells in self._certain(block):
                    place = self._columns.place(len(cells))
                    widths[len(cells)] += 1
                    tags.update([cells[place].strip()] if place >= 0 else [])
        return widths, tags

    def is_comment(self, cells: Sequence[str], block: _Block) -> bool:
        """Tell whether a line that begins with # is a comment; no word of its sentence stands before it."""
        widths, tags = self._widths_and_tags
        allowed = {width for width, _ in widths.most_common(1)} | {len(some) for some in self._certain(block)}
        place = self._columns.place(len(cells))
        if not allowed or len(cells) not in allowed:
            return bool(allowed)
        may_be_word = not tags or place < 0 or cells[place].strip() in tags
        return not may_be_word and (cells[0] == "#" or self._columns.words > 0)  # a tweet may begin with a rare #topic

    def _certain(self, block: _Block) -> Iterator[list[str]]:
        """Yield the cells of the lines of a sentence from the first on that is no comment for certain."""
        lines = dropwhile(lambda line: line.startswith(("#", "-DOCSTART-")), block.lines)
        return map(self._columns.cells, lines)


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
        """Write a sentence as ``word/TAG``, on one line; as its lines came where it could not be read."""
        if sentence.problem:
            return _text(sentence.lines, sentence.closing)
        return " ".join(f"{word}/{tag}" for word, tag in zip(sentence.words, tags, strict=True)) + "\n"


def column_number(column: str) -> int | None:
    """Return the number that a column is called by; None where it is called by a name.

    Example:
        >>> column_number("-1"), column_number("upos")
        (-1, None)
    """
    return int(column) if re.fullmatch("-?[0-9]{1,6}", column) else None


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
    if column is not None:
        number = column_number(column)
        return Conllu(column) if number is None else Columns(words, number)
    if isinstance(source, Path) and source.suffix == ".conllu":
        return Conllu()
    first = next((line for line in islice(Lines(source, encoding, Problems(shown=0)), 1000) if _is_row(line)), "")
    cells = first.split("\t")
    if len(cells) == 10 and re.fullmatch("[0-9]+([-.][0-9]+)?", cells[0]):
        return Conllu()
    return Columns(words)


def _is_row(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("#", "-DOCSTART-"))


class _Block(NamedTuple):
    """Lines up to a blank one, the number of the first, and the blank one."""

    first: int
    lines: list[str]
    closing: str


def _blocks(lines: Lines) -> Iterator[_Block]:
    block: list[str] = []
    for line in lines:
        if line and not line.isspace():
            block.append(line)
        elif block:
            yield _Block(lines.number - len(block), block, line)
            block = []
    if block:
        yield _Block(lines.number - len(block) + 1, block, "")


def _checked(sentence: Sentence, place: int, name: str, problems: Problems) -> Iterator[Sentence]:
    """Yield a sentence, or tell why it cannot be had: then it is left out of training, and copied in prediction."""
    tagged = sentence.tags is not None
    if sentence.problem:
        fate = "the sentence is left out" if tagged else "the sentence is copied without tags"
        pause = "" if sentence.problem.endswith("?") else ";"
        problems.add(name, sentence.line + place, f"{sentence.problem}{pause} {fate}")
        sentence = replace(sentence, words=[], rows=[])
    if sentence.words or not tagged:
        yield sentence


def _text(lines: Sequence[str], closing: str = "") -> str:
    return "".join(f"{line}\n" for line in [*lines, closing])


def _columns(cells: Sequence[str]) -> str:
    return f"{len(cells)} column{'s' * (len(cells) != 1)}"


def tell_inconsistent(name: str, sentences: list[Sentence], scheme: str, problems: Problems) -> None:
    """Tell of tags that cannot stand where they do, such as I- after O; they are read as the beginning of a span."""
    if not scheme:
        return
    for sentence in sentences:
        for place in schemes.inconsistencies(sentence.tags or [], scheme):
            line = sentence.line + (sentence.rows[place] if sentence.rows else 0)
            tag = (sentence.tags or [])[place]
            problems.add(name, line, f"{tag} cannot stand here in {scheme.upper()}; it is read as conlleval does")
