"""Readers and writers of sentences whose words have tags: CoNLL-U, CoNLL-2002/2003 columns, and running text.

    Lines ──read──▶ Sentence(words, tags, lines as they came) ──write──▶ the same lines, with other tags

A sentence is handed out as soon as the blank line that ends it has been read, so that a pipe may go on for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

from elman.data import schemes
from elman.data.lines import Lines, Problems
from elman.data.tokenizer import split_words
from elman.errors import UsageError, nearest

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
                elif tagged and (not cells[self._column] or (cells[self._column] == "_" and not self._may_be_empty)):
                    problem = f"the word {cells[1][:_SHOWN]!r} has no tag in column {CONLLU_COLUMNS[self._column]}"
                if problem:
                    break
                words.append(cells[1])
                tags.append(cells[self._column])
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

    A line that begins with ``-DOCSTART-`` is no word. A ``#`` is a word like any other.

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
        self._words = words
        self._tags = tags

    def read(self, lines: Lines, problems: Problems, *, tagged: bool) -> Iterator[Sentence]:
        """Yield the sentences; see :class:`Format`."""
        for block in _blocks(lines):
            words: list[str] = []
            tags: list[str] = []
            rows: list[int] = []
            problem, place, width = "", 0, 0
            for place, line in enumerate(block.lines):
                if line.startswith("-DOCSTART-"):
                    continue
                cells = line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]
                width = width or len(cells)
                tag = self._place(len(cells)) if tagged else 0
                if len(cells) <= self._words or tag < 0:
                    tags_too = f" and the tags in {self._tags}" if tagged else ""
                    problem = f"{_columns(cells)} where the words are in column {self._words}{tags_too}, counted from 0"
                elif tagged and len(cells) != width:
                    problem = f"{_columns(cells)} where the sentence's first line has {width}"
                elif not cells[self._words]:
                    problem = "the word is empty"
                elif tagged and cells[tag] in ("", "_"):
                    problem = f"the word {cells[self._words][:_SHOWN]!r} has no tag"
                if problem:
                    break
                words.append(cells[self._words])
                tags.append(cells[tag])
                rows.append(place)
            sentence = Sentence(
                words, tags if tagged else None, block.first, block.lines, rows, problem, "columns", block.closing
            )
            yield from _checked(sentence, place, lines.name, problems)

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
        place = self._place(len(cells))
        if place >= 0:
            parts[cells[place]] = tag
            return "".join(parts)
        separator = " " if " " in line and not has_tabs else "\t"
        added = ["_"] * (self._tags - len(cells)) + [tag] + ["_"] * (-self._tags - 1)
        return separator.join([line.rstrip(" "), *added])

    def _place(self, width: int) -> int:
        """Return which of so many columns the tag is in; -1 if none is left for it."""
        place = self._tags if self._tags >= 0 else width + self._tags
        return place if place < width and place != self._words else -1


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
        return Columns(words, int(column)) if re.fullmatch("-?[0-9]+", column) else Conllu(column)
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
