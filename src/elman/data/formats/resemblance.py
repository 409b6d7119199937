"""Recognising files that are not tagged columns, although they would be read as such."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence

LEAST_ROWS = 3  # with fewer, the format cannot be recognised


def describe_other_format(rows: Sequence[str]) -> str:
    r"""Return what lines look like that are not columns with one word on each line; "" if they may be columns.

    In columns nearly all lines have the same number of cells; in prose the number of words varies. The lines of a table
    have the same number of separators; those of JSON begin with a brace.

    Args:
        rows: lines that are neither blank nor comments.

    Example:
        >>> describe_other_format(["EU B-ORG", "rejects O", ", O"])
        ''
        >>> describe_other_format(["text,label", "all is well,good", '"no",bad'])
        'a table with commas'
        >>> describe_other_format(["It was the best of times,", "it was the worst", "of times, it was the age of sin"])
        'plain text'
    """
    if len(rows) < LEAST_ROWS:
        return ""
    if all(row.startswith("{") for row in rows):
        return "JSON lines"
    widths = Counter(len(row.split("\t") if "\t" in row else row.split()) for row in rows)
    ((width, most),) = widths.most_common(1)
    for separator, called in ((",", "commas"), (";", "semicolons")):
        numbers = _count_cells(rows, separator)
        if len(numbers) == 1 and numbers != {1} and (width == 1 or len(widths) > 1):
            return f"a table with {called}"
    return "plain text" if 2 * most < len(rows) else ""


def _count_cells(rows: Sequence[str], separator: str) -> set[int]:
    """Return the numbers of cells that occur in the records of a table, except the last one, which may be cut off."""
    try:
        numbers = [len(cells) for cells in csv.reader((f"{row}\n" for row in rows), delimiter=separator)]
    except csv.Error:  # a quote that is never closed
        return set()
    return set(numbers[:-1] if len(numbers) > LEAST_ROWS else numbers)
