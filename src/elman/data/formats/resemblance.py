"""What a file that was taken for tagged columns looks like, where it is something else."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence

LEAST_ROWS = 3  # of fewer nothing is said


def describe_other_format(rows: Sequence[str]) -> str:
    r"""Say what lines look like that hold no columns, a word a line; "" where they may hold them.

    In columns nearly every line has as many cells as the others, in prose hardly two have as many words. The lines of a
    table have the same number of separators, those of JSON begin with a brace.

    Args:
        rows: lines that are neither blank nor comments.

    Example:
        >>> describe_other_format(["EU B-ORG", "rejects O", ", O"])
        ''
        >>> describe_other_format(["text,label", "all is well,good", '"no",bad'])
        'a table with commas'
        >>> describe_other_format(["It was the best of times,", "it was the worst", "of times, an age of fools"])
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
    """Return how many cells the records of a table have; the last one may be cut off where the rows end."""
    try:
        numbers = [len(cells) for cells in csv.reader((f"{row}\n" for row in rows), delimiter=separator)]
    except csv.Error:  # a cell without an end
        return set()
    return set(numbers[:-1] if len(numbers) > LEAST_ROWS else numbers)
