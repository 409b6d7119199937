"""Readers of labelled texts: CSV, TSV, JSON lines, a folder of text files; a record at a time.

Lines ──read──▶ Example(text, label)
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from elman.data.lines import Lines, Problems
from elman.errors import DataError, nearest

_LONGEST_RECORD = 10_000  # lines of one record: a quote that is open for longer was never closed


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
    r"""CSV or TSV: a record a line, cells parted by commas or tabs.

    In CSV a cell in double quotes may hold commas, line breaks and, doubled, quotes (RFC 4180). TSV knows no quotes: a
    quote is a character like any other.

    Args:
        delimiter: a comma or a tab.
        text: the column of the text: its name or, where no column is called so, its number from 0.
        label: the column of the label.
        header: whether the first record names the columns.

    Example:
        >>> table = Delimited(",", "text", "label", header=True)
        >>> [example.text for example in table.read(Lines('label,text\n1,"so, so"\n'), Problems(), labelled=True)]
        ['so, so']
    """

    def __init__(self, delimiter: str, text: str = "text", label: str = "label", *, header: bool = True) -> None:
        self._delimiter = delimiter
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
        width, text, label = 0, -1, -1
        for line, cells, problem in self._records(lines):
            if not width:
                width = len(cells)
                text, label = self._columns(cells, lines.name, labelled)
                if self._header:
                    continue
            if not problem and len(cells) != width:
                problem = f"{len(cells)} cells where the first line has {width}"
            if not problem:
                problem = _lacks(cells[text], cells[label] if labelled else None)
            if problem:
                yield from _left_out(problem, lines.name, line, problems, labelled)
            else:
                yield Example(cells[text], cells[label] if labelled else None, line)
        if not width:
            raise DataError(f"{lines.name}: is empty; it needs a text and a label a line")

    def _columns(self, cells: Sequence[str], name: str, labelled: bool) -> tuple[int, int]:
        names = [cell.strip() for cell in cells] if self._header else []
        twice = next((cell for cell in names if cell and names.count(cell) > 1), "")
        if twice:
            raise DataError(f'{name}: two columns are called "{twice}"; rename one')
        found = []
        for wanted in (self._text, self._label) if labelled else (self._text,):
            if wanted in names:
                found.append(names.index(wanted))
            elif wanted.isdigit() and int(wanted) < len(cells):
                found.append(int(wanted))
            elif self._header:
                listed = ", ".join(names)
                raise DataError(
                    f'{name}: no column is called "{wanted}"{nearest(wanted, names) or ";"} it has {listed}'
                )
            else:
                raise DataError(
                    f'{name}: there is no column "{wanted}": without a header columns have numbers, here 0 to '
                    f"{len(cells) - 1}; name them with --text and --label"
                )
        return found[0], found[-1]

    def _records(self, lines: Lines) -> Iterator[tuple[int, list[str], str]]:
        """Yield each record's first line, its cells, and what is wrong with it."""
        if self._delimiter == "\t":
            for line in lines:
                if line.strip():
                    yield lines.number, line.split("\t"), ""
            return
        pending: list[str] = []
        for line in lines:
            if not pending and not line.strip():
                continue
            pending.append(line)
            if _is_open(pending):
                if len(pending) <= _LONGEST_RECORD:
                    continue
                yield lines.number - len(pending) + 1, [], "a quote opens here that is not closed"
            else:
                first = lines.number - len(pending) + 1
                try:
                    yield first, _cells("\n".join(pending)), ""
                except csv.Error as error:
                    yield first, [], f"not CSV ({error})"
            pending = []
        if pending:
            yield lines.number - len(pending) + 1, [], "a quote opens here that is not closed"


class JsonLines:
    """A JSON object a line.

    Args:
        text: the key of the text.
        label: the key of the label; a number or true and false will do.

    Example:
        >>> lines = Lines('{"text": "so, so", "label": 1}')
        >>> next(JsonLines().read(lines, Problems(), labelled=True)).label
        '1'
    """

    def __init__(self, text: str = "text", label: str = "label") -> None:
        self._text = text
        self._label = label

    def read(self, lines: Lines, problems: Problems, *, labelled: bool) -> Iterator[Example]:
        """Yield the examples; see :meth:`Delimited.read`."""
        for line in lines:
            if not line.strip():
                continue
            text, label, problem = self._values(line, labelled)
            if problem:
                yield from _left_out(problem, lines.name, lines.number, problems, labelled)
            else:
                yield Example(text, label, lines.number)

    def _values(self, line: str, labelled: bool) -> tuple[str, str | None, str]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            return "", None, f"not JSON ({error})"
        if not isinstance(record, dict):
            return "", None, "not a JSON object"
        for key in (self._text, self._label) if labelled else (self._text,):
            if key not in record:
                return "", None, f'no "{key}"{nearest(key, record) or ";"} it has {", ".join(record) or "nothing"}'
        text = record[self._text]
        if not isinstance(text, str):
            return "", None, f'"{self._text}" is no text but {json.dumps(text)[:40]}'
        label = record[self._label] if labelled else None
        if isinstance(label, list | dict):
            return "", None, f'"{self._label}" is a list or an object, not one label'
        written = label if isinstance(label, str) else "" if label is None else json.dumps(label)
        return text, written if labelled else None, _lacks(text, written if labelled else None)


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
        DataError: there are no such folders.
    """
    labels = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    if not labels:
        raise DataError(f"{folder}: holds no folders; the texts of each label belong in a folder of its name")
    for label in labels:
        for path in sorted(child for child in label.iterdir() if child.is_file() and not child.name.startswith(".")):
            try:
                text = "\n".join(Lines(path, encoding))
            except DataError as error:
                problems.add(str(path), 1, f"{str(error).partition(': ')[2]}; it is left out")
                continue
            if text.strip():
                yield Example(text, label.name, 1)
            else:
                problems.add(str(path), 1, "the text is empty; it is left out")


def format_of(source: Path | str, text: str, label: str, header: bool) -> Delimited | JsonLines | Plain:
    """Find out how a file, or a text, writes its examples: by the file's ending, else by the first line.

    Args:
        source: a ``Path`` names a file, a ``str`` is its text.
        text: the column of the text.
        label: the column of the label.
        header: whether the first record names the columns.

    Example:
        >>> type(format_of('{"text": "so, so"}', "text", "label", True)).__name__
        'JsonLines'
    """
    suffix = source.suffix.lower() if isinstance(source, Path) else ""
    if suffix == ".txt":
        return Plain()
    if suffix not in (".csv", ".tsv", ".tab", ".jsonl", ".ndjson"):
        first = next((line for line in Lines(source, problems=Problems(shown=0)) if line.strip()), "")
        suffix = ".jsonl" if first.lstrip().startswith("{") else ".tsv" if "\t" in first else ".csv"
    if suffix in (".jsonl", ".ndjson"):
        return JsonLines(text, label)
    return Delimited("," if suffix == ".csv" else "\t", text, label, header=header)


def _is_open(lines: Sequence[str]) -> bool:
    """Tell whether a quote is still open: their number is odd, since a quote within quotes is doubled."""
    return sum(line.count('"') for line in lines) % 2 == 1


def _cells(record: str) -> list[str]:
    """Split one CSV record, however long its cells are."""
    limit = csv.field_size_limit()
    if len(record) > limit:  # the limit is one for the whole process: it is raised, never lowered
        csv.field_size_limit(len(record))
    cells = next(csv.reader([record], strict=True))
    return cells


def _lacks(text: str, label: str | None) -> str:
    if not text.strip():
        return "the text is empty"
    return "the label is empty" if label is not None and not label.strip() else ""


def _left_out(problem: str, name: str, line: int, problems: Problems, labelled: bool) -> Iterator[Example]:
    fate = "the example is left out" if labelled else "it gets no label"
    problems.add(name, line, f"{problem}; {fate}")
    if not labelled:
        yield Example("", None, line, problem)
