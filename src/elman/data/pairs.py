"""Readers of pairs of texts: two parallel files, TSV, CSV, JSON lines.

Lines ──read──▶ Example(text = the source, label = the target)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from elman.data.lines import Lines, Problems
from elman.data.tables import Delimited, Example, JsonLines, Plain, format_of, lacks
from elman.errors import DataError

SOURCE_AND_TARGET = ("source", "target")


def read_parallel(sources: Lines, targets: Lines, problems: Problems) -> Iterator[Example]:
    r"""Read two files side by side: what stands in a line of one is the other's in the same line.

    A line that is empty in both parts nothing and is skipped; where one side is empty, the pair is left out.

    Args:
        sources: the lines of one file.
        targets: the lines of the other.
        problems: who is told of what is left out.

    Raises:
        DataError: one file has more lines than the other, so that the pairs are not certain; it names the line.

    Example:
        >>> pairs = read_parallel(Lines("a cat\na dog\n"), Lines("eine Katze\nein Hund\n"), Problems())
        >>> [(pair.text, pair.label) for pair in pairs]
        [('a cat', 'eine Katze'), ('a dog', 'ein Hund')]
    """
    number = 0
    for number, (source, target) in enumerate(zip_longest(sources, targets), start=1):
        if source is None or target is None:
            ended, longer = (sources, targets) if source is None else (targets, sources)
            raise DataError(
                f"{ended.name} ends after line {number - 1:,}, but {longer.name} goes on at line {number:,}; parallel "
                "files have a line of one for each line of the other: find where they part"
            )
        problem = lacks(source, target, SOURCE_AND_TARGET)
        if not problem:
            yield Example(source, target, number)
        elif source.strip() or target.strip():
            side = targets if source.strip() else sources
            problems.add(side.name, number, f"{problem}; the pair is left out")
    if not number:
        raise DataError(f"{sources.name}: is empty; it needs a source a line")


def table_of_pairs(
    source: Path | str, columns: tuple[str, str], header: bool, encoding: str = "utf-8"
) -> Delimited | JsonLines | Plain:
    r"""Find out how a single file, or a text, writes its pairs.

    A TSV (or a ``.txt`` with tabs) of two columns whose first line does not name them has no header: its lines are a
    source, a tab, a target.

    Args:
        source: a ``Path`` names a file, a ``str`` is its text.
        columns: the columns of the source and the target.
        header: whether the first record names the columns.
        encoding: how the file is encoded.

    Raises:
        DataError: a TSV of more columns does not name these.

    Example:
        >>> table = table_of_pairs("a cat\teine Katze\n", ("source", "target"), header=True)
        >>> next(table.read(Lines("a cat\teine Katze\n"), Problems(), labelled=True)).label
        'eine Katze'
    """
    lines = Lines(source, encoding, Problems(shown=0))
    found = format_of(source, *columns, header, SOURCE_AND_TARGET, encoding)
    if isinstance(found, Plain) and "\t" in lines.beginning().lstrip("\n").partition("\n")[0]:  # a .txt
        found = Delimited("\t", *columns, header=header, nouns=SOURCE_AND_TARGET)
    if header and columns == SOURCE_AND_TARGET and isinstance(found, Delimited):
        first = next((cells for _, cells, _ in found.records(Lines(lines.beginning()))), [])
        named = set(columns) & {cell.strip() for cell in first}
        if len(first) == 2 and not named and found.delimiter == "\t":
            return Delimited("\t", "0", "1", header=False, nouns=SOURCE_AND_TARGET)
        if len(first) > 2 and not named:
            raise DataError(
                f"{lines.name}: has {len(first)} columns, none of which is called source or target; say which they "
                "are: --source NAME --target NAME or, where no line names them, --no-header --source 0 --target 1"
            )
    return found
