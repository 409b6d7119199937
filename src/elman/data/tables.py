"""Readers of labelled texts: CSV, TSV, JSON lines, a folder of text files; a record at a time.

Lines ──read──▶ Example(text, label)
"""

from __future__ import annotations

import csv
import json
import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path

from elman.data.files import LONGEST_LINE, is_folder, listed, no_text, not_among, open_file, reading, reason
from elman.data.lines import Lines, Problems
from elman.errors import DataError, UsageError, nearest

logger = logging.getLogger(__name__)

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_USUAL = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LONGEST_RECORD = 100_000  # lines of one record: a quote that is open for longer was never closed
_SAMPLE = 20  # records of a table by which its separator is found
_JSON = (".jsonl", ".ndjson", ".json")
_JSON_BEGINS = re.compile(r"\s*(?:\[\s*)?(?:\{|$)")  # an object, or an array of objects, which is then refused
TEXT_AND_LABEL = ("text", "label")


@dataclass(frozen=True)
class Example:
    """A text and its label."""

    text: str
    label: str | None
    """None where it was not asked for."""
    line: int
    """The number of its first line."""
    problem: str = ""
    """Why it could not be read; then it has no text."""


class Delimited:
    r"""CSV or TSV: a record a line, cells separated by commas, tabs, semicolons or bars.

    A cell in double quotes may hold separators, line breaks and, doubled, quotes (RFC 4180); a quote within another
    cell is a character like any other, and so is every quote where tabs separate. Blanks around a label or the name of
    a column do not count; a text is what stands in its cell.

    Args:
        delimiter: one of `SEPARATORS`.
        text: the column of the text: its name or, where no column is called so, its number from 0.
        label: the column of the label.
        header: whether the first record names the columns.
        spaced: whether blanks after a separator belong to it, and not to the cell.
        nouns: what a record's two parts are called in messages.

    Example:
        >>> table = Delimited(",", "text", "label", header=True)
        >>> [example.text for example in table.read(Lines('label,text\n1,"so, so"\n'), Problems(), labelled=True)]
        ['so, so']
    """

    def __init__(
        self,
        delimiter: str,
        text: str = "text",
        label: str = "label",
        *,
        header: bool = True,
        spaced: bool = False,
        nouns: tuple[str, str] = TEXT_AND_LABEL,
    ) -> None:
        self.delimiter = delimiter
        self._spaced = spaced
        self._nouns = nouns
        self._text = text
        self._label = label
        self._header = header

    def read(self, lines: Lines, problems: Problems, *, labelled: bool) -> Iterator[Example]:
        """Yield the examples.

        Args:
            lines: where they stand.
            problems: who is told of a record that cannot be read.
            labelled: whether the labels are wanted. Then a record that cannot be read is left out; otherwise it is
                yielded without a text.

        Raises:
            DataError: there is no such column, or nothing at all.
        """
        line, width, text, label = 0, 0, -1, -1
        for line, cells, problem in self.records(lines):
            if not width and problem and self._header:
                raise DataError(f"{lines.name}:{line}: the names of the columns cannot be read: {problem}")
            if not width and not problem:
                width = len(cells)
                text, label = self._columns(cells, lines.name, labelled)
                if self._header:
                    continue
            if not problem and len(cells) != width:
                problem = f"{len(cells)} cells where the first line has {width}"
            if not problem:
                problem = lacks(cells[text], cells[label] if labelled else None, self._nouns)
            if problem:
                yield from _left_out(problem, lines.name, line, problems, labelled)
            else:
                yield Example(cells[text], cells[label].strip() if labelled else None, line)
        if not line:
            raise DataError(f"{lines.name}: is empty; it needs a {self._nouns[0]} and a {self._nouns[1]} a line")

    def _columns(self, cells: Sequence[str], name: str, labelled: bool) -> tuple[int, int]:
        names = column_names(cells, name) if self._header else []
        found = []
        for wanted in (self._text, self._label) if labelled else (self._text,):
            if wanted in names:
                found.append(names.index(wanted))
            elif wanted.isdecimal() and len(wanted) < 7 and int(wanted) < len(cells):
                found.append(int(wanted))
            elif self._header:
                raise DataError(f'{name}: no column is called "{wanted}"{not_among(names, wanted)}')
            else:
                raise DataError(
                    f'{name}: there is no column "{wanted}": without a header columns have numbers, here 0 to '
                    f"{len(cells) - 1}; name them with --{self._nouns[0]} and --{self._nouns[1]}"
                )
        return found[0], found[-1]

    def records(self, lines: Lines) -> Iterator[tuple[int, list[str], str]]:
        """Yield each record, the names of the columns too: its first line, its cells, and what is wrong with it."""
        if self.delimiter == "\t":
            for line in lines:
                if line.strip(" "):
                    cells = line.split("\t")
                    yield lines.number, [cell.lstrip(" ") for cell in cells] if self._spaced else cells, ""
            return
        closed = _closed(self.delimiter, self._spaced)
        pending: list[str] = []  # the lines of a record so far
        length = 0
        is_open = False  # whether a cell in quotes goes on in the next line
        for line in lines:
            pending.append(line)
            length += len(line)
            if '"' in line:
                is_open = not closed.fullmatch('"' + line if is_open else line)
            if not is_open or len(pending) > _LONGEST_RECORD or length > LONGEST_LINE:
                yield from self._record(lines.number - len(pending) + 1, pending, is_open)
                pending, length, is_open = [], 0, False
        if pending:
            yield from self._record(lines.number - len(pending) + 1, pending, is_open)

    def _record(self, number: int, lines: Sequence[str], is_open: bool) -> Iterator[tuple[int, list[str], str]]:
        """Split the lines of one CSV record into cells, however long these are; a blank line is no record.

        If it is none, or a quote of it is never closed, its first line is given up and each line after it read by
        itself.
        """
        record = "\n".join(lines)
        if not record.strip():
            return
        problem = "a quote opens here that is not closed"
        if not is_open:
            if len(record) > csv.field_size_limit():  # one limit for the whole process: it is raised, never lowered
                csv.field_size_limit(len(record))
            try:
                row = csv.reader([record], delimiter=self.delimiter, skipinitialspace=self._spaced, strict=True)
                yield number, next(row), ""
                return
            except csv.Error as error:
                problem = f"not CSV ({str(error).partition(' - ')[0]})"
        yield number, [], problem
        closed = _closed(self.delimiter, self._spaced)
        for place, line in enumerate(lines[1:], start=1):
            yield from self._record(number + place, [line], not closed.fullmatch(line))


class JsonLines:
    """A JSON object a line.

    Args:
        text: the key of the text.
        label: the key of the label; a number or true and false will do.
        nouns: what a record's two parts are called in messages.

    Example:
        >>> lines = Lines('{"text": "so, so", "label": 1}')
        >>> next(JsonLines().read(lines, Problems(), labelled=True)).label
        '1'
    """

    def __init__(self, text: str = "text", label: str = "label", nouns: tuple[str, str] = TEXT_AND_LABEL) -> None:
        self._nouns = nouns
        self._text = text
        self._label = label

    def read(self, lines: Lines, problems: Problems, *, labelled: bool) -> Iterator[Example]:
        """Yield the examples; see :meth:`Delimited.read`.

        Raises:
            DataError: there is nothing at all, or an array in place of a record a line.
        """
        is_empty = True
        for line in lines:
            if not line.strip():
                continue
            if is_empty and line.lstrip().startswith("["):
                raise DataError(f"{lines.name}: is an array; write its records a line each, as jq -c '.[]' does")
            is_empty = False
            text, label, problem = self._values(line, labelled)
            if problem:
                yield from _left_out(problem, lines.name, lines.number, problems, labelled)
            else:
                yield Example(text, label, lines.number)
        if is_empty:
            raise DataError(f"{lines.name}: is empty; it needs a JSON object a line")

    def _values(self, line: str, labelled: bool) -> tuple[str, str | None, str]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError, MemoryError) as error:
            return "", None, f"not JSON ({reason(error)})"
        if not isinstance(record, dict):
            return "", None, "not a JSON object"
        for key in (self._text, self._label) if labelled else (self._text,):
            if key not in record:
                return "", None, f'no "{key}"{not_among(record, key)}'
        text = record[self._text]
        if not isinstance(text, str):
            kind = "a list or an object" if isinstance(text, list | dict) else json.dumps(text)[:40]
            return "", None, f'"{self._text}" is no text but {kind}'
        label = record[self._label] if labelled else None
        if isinstance(label, list | dict):
            return "", None, f'"{self._label}" is not one label but a list or an object'
        if isinstance(label, float) and not math.isfinite(label):
            label = None  # pandas writes NaN for a label that is missing
        written = label.strip() if isinstance(label, str) else "" if label is None else json.dumps(label)
        return text, written if labelled else None, lacks(text, written if labelled else None, self._nouns)


class Plain:
    r"""Texts without labels, one a line, blank lines too.

    Example:
        >>> [example.text for example in Plain().read(Lines("so, so\n\n"), Problems(), labelled=False)]
        ['so, so', '']
    """

    def read(self, lines: Lines, problems: Problems, *, labelled: bool) -> Iterator[Example]:
        """Yield the texts; see :meth:`Delimited.read`.

        Raises:
            DataError: labels are wanted, which lines of text do not have.
        """
        if labelled:
            raise DataError(f"{lines.name}: lines of text have no labels; give CSV, TSV, JSON lines, or a folder")
        for line in lines:
            yield Example(line, None, lines.number)


def read_folder(folder: Path, problems: Problems, encoding: str = "utf-8") -> Iterator[Example]:
    """Read a folder of folders of text files: a file is a text, and the folder that it lies in its label.

    Raises:
        DataError: there are no such folders, or no files in them.
    """
    if not is_folder(folder):
        open_file(folder).close()
        raise DataError(f"{folder}: is a file, not a folder with a folder of texts for each label")
    labels = [child for child in _children(folder) if is_folder(child)]
    if not labels:
        raise DataError(f"{folder}: holds no folders; the texts of each label belong in a folder of its name")
    paths: list[Path] = []
    for label in labels:
        try:
            paths += [child for child in _children(label) if not is_folder(child)]
        except DataError as error:
            problems.add_error(str(label), error)
    if not paths:
        raise DataError(
            f"{folder}: its folders hold no files; the texts of each label belong in the folder of its name"
        )
    for path in paths:
        try:
            text = "\n".join(Lines(path, encoding))
            if problem := lacks(text, None):
                raise DataError(problem)
        except DataError as error:
            problems.add_error(str(path), error)
        else:
            yield Example(text, path.parent.name, 1)


def _children(folder: Path) -> list[Path]:
    with reading(str(folder)):
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def format_of(
    source: Path | str,
    text: str,
    label: str,
    header: bool,
    nouns: tuple[str, str] = TEXT_AND_LABEL,
    encoding: str = "utf-8",
) -> Delimited | JsonLines | Plain:
    r"""Find out how a file, or a text, writes its examples: by the file's ending and its first records.

    Args:
        source: a ``Path`` names a file, a ``str`` is its text.
        text: the column of the text.
        label: the column of the label.
        header: whether the first record names the columns.
        nouns: what a record's two parts are called in messages.
        encoding: how the file is encoded.

    Example:
        >>> type(format_of('{"text": "so, so"}', "text", "label", True)).__name__
        'JsonLines'
        >>> format_of("text;label\nso, so;bad\n", "text", "label", True).delimiter
        ';'
    """
    suffix = source.suffix.lower() if isinstance(source, Path) else ""
    if suffix == ".txt":
        return Plain()
    if suffix in _JSON:
        return JsonLines(text, label, nouns)
    lines = Lines(source, encoding, Problems(shown=0))
    if suffix not in _USUAL and _JSON_BEGINS.match(lines.beginning().lstrip("\n").partition("\n")[0]):
        return JsonLines(text, label, nouns)
    separator, spaced = separator_of(lines, (text, label), header=header)
    return Delimited(separator, text, label, header=header, spaced=spaced, nouns=nouns)


def separator_of(lines: Lines, wanted: Sequence[str], *, header: bool = True) -> tuple[str, bool]:
    r"""Find out what separates the cells of a table; where it is not what the file's ending says, that is told.

    It is what gives the first record the most of the wanted names; where there is none of them, what gives the first
    records two cells or more, and all of them as many. Where several do, the one of the ending is taken, or else the
    first of `SEPARATORS`. Blanks after it belong to it where they stand before a column's name, or before each cell but
    the first of all records.

    Args:
        lines: a file, or a text.
        wanted: the names of columns that are looked for.
        header: whether the first record names the columns.

    Returns:
        One of `SEPARATORS`, and whether blanks after it belong to it.

    Example:
        >>> separator_of(Lines("text; label\nso, so; bad\n"), ["text", "label"])
        (';', True)
    """
    begins = lines.beginning().lstrip("\n")
    suffix = lines.source.suffix.lower() if isinstance(lines.source, Path) else ""
    usual = _USUAL.get(suffix, "\t" if "\t" in begins.partition("\n")[0] else ",")
    named: dict[str, int] = {}
    regular: dict[str, bool] = {}
    sample: dict[str, list[list[str]]] = {}
    for separator in (usual, *SEPARATORS):
        records = [cells for _, cells, _ in islice(Delimited(separator).records(Lines(begins)), _SAMPLE)]
        names = [cell.strip() for cell in records[0]] if header and records else []
        named[separator] = len(set(wanted).intersection(names))
        regular[separator] = bool(records) and len(records[0]) > 1 and len(set(map(len, records))) == 1
        sample[separator] = records
    found = max(named, key=named.__getitem__)  # of several, the first
    if not named[found]:
        found = next((separator for separator in regular if regular[separator]), usual)
    if suffix in _USUAL and found != usual:
        logger.warning("%s: its cells are separated by %s, not by %s", lines.name, SEPARATORS[found], SEPARATORS[usual])
    later = [[cell.startswith(" ") for cell in cells[1:]] for cells in sample[found]]
    before_names = header and any(chain(*later[:1]))
    return found, before_names or (len(later) > 1 and all(chain(*later[1:])) and any(chain(*later[1:])))


def reader_named(
    name: str, text: str, label: str, header: bool, nouns: tuple[str, str] = TEXT_AND_LABEL
) -> Delimited | JsonLines | Plain:
    """Return the reader of a format that the user named: text, csv, tsv or jsonl; see :func:`format_of`.

    Raises:
        UsageError: there is no such format.
    """
    formats: dict[str, Delimited | JsonLines | Plain] = {
        "text": Plain(),
        "csv": Delimited(",", text, label, header=header, nouns=nouns),
        "tsv": Delimited("\t", text, label, header=header, nouns=nouns),
        "jsonl": JsonLines(text, label, nouns),
    }
    if name not in formats:
        listed = ", ".join(formats)
        raise UsageError(f"--input-format {name}: no such format{nearest(name, formats) or ';'} there are {listed}")
    return formats[name]


def column_names(cells: Sequence[str], name: str) -> list[str]:
    """Return the names of a table's columns, without blanks around them.

    Args:
        cells: its first record.
        name: what to call the table in messages.

    Raises:
        DataError: two columns have the same name, or a name is no text.

    Example:
        >>> column_names(["label", " text"], "tweets.csv")
        ['label', 'text']
    """
    names = [cell.strip() for cell in cells]
    if problem := no_text("".join(names)):
        raise DataError(f"{name}: {problem}")
    twice = next((cell for cell, count in Counter(names).items() if cell and count > 1), "")
    if twice:
        raise DataError(f'{name}: two columns are called "{listed([twice])}"; rename one')
    return names


def lacks(text: str, label: str | None, nouns: tuple[str, str] = TEXT_AND_LABEL) -> str:
    """Say what is wrong with the parts of a record: nothing, where both can be used.

    Example:
        >>> lacks("so, so", " ")
        'the label is empty'
    """
    if problem := no_text(text + (label or "")):
        return problem
    if not text.strip():
        return f"the {nouns[0]} is empty"
    return f"the {nouns[1]} is empty" if label is not None and not label.strip() else ""


@cache
def _closed(delimiter: str, spaced: bool) -> re.Pattern[str]:
    """Return what matches cells all of whose quotes are closed."""
    mark, blanks = re.escape(delimiter), " *+" if spaced else ""
    cell = f'{blanks}(?:"(?:[^"]++|"")*+"|(?!"))[^{mark}]*+'
    return re.compile(f"{cell}(?:{mark}{cell})*+")


def _left_out(problem: str, name: str, line: int, problems: Problems, labelled: bool) -> Iterator[Example]:
    fate = "the example is left out" if labelled else "it gets no label"
    problems.add(name, line, f"{problem}; {fate}")
    if not labelled:
        yield Example("", None, line, problem)
