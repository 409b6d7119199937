"""Delimited text: CSV, TSV and similar, read one record at a time."""

from __future__ import annotations

import csv
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path

from elman.data.files import LONGEST_LINE, join_names, suggest_among, text_problem
from elman.data.formats.examples import TEXT_AND_LABEL, find_problem, join_texts, report_skipped, text_columns
from elman.data.lines import Lines, Problems
from elman.data.records import Example, Problem
from elman.errors import DataError

logger = logging.getLogger(__name__)

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
ENDINGS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LONGEST_RECORD = 100_000  # lines; a quote that is open for longer was never closed
_SAMPLE = 20  # the number of records in which the separator is detected


class Delimited:
    r"""CSV or TSV: one record on each line, cells separated by commas, tabs, semicolons or bars.

    A cell in double quotes may contain separators, line breaks and doubled quotes (RFC 4180). A quote inside another
    cell is an ordinary character, and so is every quote in a TSV. Spaces around a label or the name of a column are
    ignored; a text is the unchanged content of its cell.

    Args:
        delimiter: one of `SEPARATORS`.
        text: the column of the text: its name or, if no column has this name, its number from 0. Several columns are
            separated by commas; their cells are joined by line breaks.
        label: the column of the label.
        header: whether the first record names the columns.
        spaced: whether spaces after a separator belong to it rather than to the cell.
        nouns: the names of the two parts of a record in messages.
        open_end: whether the last column is running text, which may contain unquoted separators.

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
        open_end: bool = False,
    ) -> None:
        self.delimiter = delimiter
        self._spaced = spaced
        self._nouns = nouns
        self._text = text
        self._label = label
        self._header = header
        self._open_end = open_end

    def read(self, lines: Lines, problems: Problems, *, labelled: bool = False) -> Iterator[Example | Problem]:
        """Yield the examples; see :class:`~elman.data.formats.examples.ExampleReader`."""
        line, width, text, label = 0, 0, list[int](), -1
        for line, cells, problem in self.records(lines):
            if not width and problem and self._header:
                raise DataError(f"{lines.name}:{line}: the names of the columns cannot be read: {problem}")
            if not width and not problem:
                width = len(cells)
                *text, label = self._find_columns(cells, lines.name, labelled)
                if self._header:
                    continue
            if self._open_end and len(cells) > width > 0:
                separator = f"{self.delimiter} " if self._spaced else self.delimiter
                cells[width - 1 :] = [separator.join(cells[width - 1 :])]
            if not problem and len(cells) != width:
                problem = f"{len(cells)} cell{'s' if len(cells) != 1 else ''} where the first line has {width}"
            joined = "" if problem else join_texts([cells[column] for column in text])
            if not problem:
                problem = find_problem(joined, cells[label] if labelled else None, self._nouns)
            if problem:
                yield from report_skipped(problem, lines.name, line, problems, labelled)
            else:
                yield Example(joined, cells[label].strip() if labelled else None, line)
        if not line:
            raise DataError(f"{lines.name}: is empty; each line needs a {self._nouns[0]} and a {self._nouns[1]}")

    def _find_columns(self, cells: Sequence[str], name: str, labelled: bool) -> list[int]:
        """Return the indices of the text columns and of the label column, -1 if the label is not requested."""
        names = column_names(cells, name) if self._header else []
        found = []
        for wanted in (*text_columns(self._text, names), *((self._label,) if labelled else ())):
            if wanted in names:
                found.append(names.index(wanted))
            elif (number := column_number(wanted)) is not None and 0 <= number < len(cells):
                found.append(number)
            elif self._header:
                text, label = self._nouns
                raise DataError(
                    f'{name}: no column is called "{wanted}"{suggest_among(names, wanted)}; name yours with `{text}` '
                    f"and `{label}` or, if the first line is data, give `no_header` `{text}` 0 `{label}` 1"
                )
            else:
                raise DataError(
                    f'{name}: there is no column "{wanted}": without a header, columns have numbers, here 0 to '
                    f"{len(cells) - 1}; give them with `{self._nouns[0]}` and `{self._nouns[1]}`"
                )
        return found if labelled else [*found, -1]

    def records(self, lines: Lines) -> Iterator[tuple[int, list[str], str]]:
        """Yield each record, including the header: the number of its first line, its cells, and a problem or ""."""
        if self.delimiter == "\t":
            for line in lines:
                if line.strip(" "):
                    cells = line.split("\t")
                    yield lines.number, [cell.lstrip(" ") for cell in cells] if self._spaced else cells, ""
            return
        closed = _compile_closed(self.delimiter, self._spaced)
        pending: list[str] = []  # the lines of a record so far
        length = 0
        is_open = False  # whether a quoted cell continues on the next line
        for line in lines:
            pending.append(line)
            length += len(line)
            if '"' in line:
                is_open = not closed.fullmatch('"' + line if is_open else line)
            if not is_open or len(pending) > _LONGEST_RECORD or length > LONGEST_LINE:
                yield from self._split_record(lines.number - len(pending) + 1, pending, is_open)
                pending, length, is_open = [], 0, False
        if pending:
            yield from self._split_record(lines.number - len(pending) + 1, pending, is_open)

    def _split_record(self, number: int, lines: Sequence[str], is_open: bool) -> Iterator[tuple[int, list[str], str]]:
        """Split the lines of one CSV record into cells of any length; a blank line is not a record.

        If it is not valid CSV, or a quote is never closed, its first line is a problem and each line after it is read
        as a record of its own.
        """
        record = "\n".join(lines)
        if not record.strip():
            return
        problem = "a quote opens here that is not closed"
        if not is_open:
            if len(record) > csv.field_size_limit():  # the limit is global to the process: only ever raise it
                csv.field_size_limit(len(record))
            try:
                row = csv.reader([record], delimiter=self.delimiter, skipinitialspace=self._spaced, strict=True)
                yield number, next(row), ""
                return
            except csv.Error as error:
                problem = f"not CSV ({str(error).partition(' - ')[0]})"
        yield number, [], problem
        closed = _compile_closed(self.delimiter, self._spaced)
        for place, line in enumerate(lines[1:], start=1):
            yield from self._split_record(number + place, [line], not closed.fullmatch(line))


def detect_separator(lines: Lines, wanted: Sequence[str], *, header: bool = True) -> tuple[str, bool]:
    r"""Detect the separator of a table; a warning says if it is not that of the file's ending.

    It is the separator with which the first record contains most of the wanted names. If it contains none, it is one
    with which the first records all have the same number of cells, two or more. In a tie, the separator of the file's
    ending comes first, then the order of `SEPARATORS`. Spaces after the separator belong to it if they precede a
    column's name, or every cell but the first of all records.

    Args:
        lines: a file or a string.
        wanted: the names of columns to look for.
        header: whether the first record names the columns.

    Returns:
        One of `SEPARATORS`, and whether spaces after it belong to it.

    Example:
        >>> detect_separator(Lines("text; label\nso, so; bad\n"), ["text", "label"])
        (';', True)
    """
    begins = lines.peek().lstrip("\n")
    suffix = lines.source.suffix.lower() if isinstance(lines.source, Path) else ""
    usual = ENDINGS.get(suffix, "\t" if "\t" in begins.partition("\n")[0] else ",")
    wanted = [*wanted, *(name for column in wanted for name in text_columns(column, ()))]
    named: dict[str, int] = {}
    regular: dict[str, bool] = {}
    sample: dict[str, list[list[str]]] = {}
    for separator in (usual, *SEPARATORS):
        records = [cells for _, cells, _ in islice(Delimited(separator).records(Lines(begins)), _SAMPLE)]
        names = [cell.strip() for cell in records[0]] if header and records else []
        named[separator] = len(set(wanted).intersection(names))
        regular[separator] = bool(records) and len(records[0]) > 1 and len(set(map(len, records))) == 1
        sample[separator] = records
    found = max(named, key=named.__getitem__)  # the first one in a tie
    if not named[found]:
        found = next((separator for separator in regular if regular[separator]), usual)
    if suffix in ENDINGS and found != usual:
        logger.warning("%s: its cells are separated by %s, not by %s", lines.name, SEPARATORS[found], SEPARATORS[usual])
    later = [[cell.startswith(" ") for cell in cells[1:]] for cells in sample[found]]
    before_names = header and any(chain(*later[:1]))
    return found, before_names or (len(later) > 1 and all(chain(*later[1:])) and any(chain(*later[1:])))


def column_names(cells: Sequence[str], name: str) -> list[str]:
    """Return the names of a table's columns, without spaces around them.

    Args:
        cells: its first record.
        name: the name of the table in messages.

    Raises:
        DataError: two columns have the same name, or a name is not valid text.

    Example:
        >>> column_names(["label", " text"], "tweets.csv")
        ['label', 'text']
    """
    names = [cell.strip() for cell in cells]
    if problem := text_problem("".join(names)):
        raise DataError(f"{name}: {problem}")
    twice = next((cell for cell, count in Counter(names).items() if cell and count > 1), "")
    if twice:
        raise DataError(f'{name}: two columns are called "{join_names([twice])}"; rename one')
    return names


def column_number(column: str) -> int | None:
    """Return the number of a column that is given as a number; None for a name.

    Example:
        >>> column_number("-1"), column_number("upos"), column_number("--3")
        (-1, None, None)
    """
    return int(column) if re.fullmatch("-?[0-9]{1,6}", column) else None


@cache
def _compile_closed(delimiter: str, spaced: bool) -> re.Pattern[str]:
    """Compile the pattern of a record whose quotes are all closed."""
    mark, blanks = re.escape(delimiter), " *+" if spaced else ""
    cell = f'{blanks}(?:"(?:[^"]++|"")*+"|(?!"))[^{mark}]*+'
    return re.compile(f"{cell}(?:{mark}{cell})*+")
