"""Text laid out for a terminal: as wide as it is, with bold titles where it shows them."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable

WIDEST = 100  # columns; longer lines are hard to read
NARROW = 60  # columns; in fewer, an explanation starts on a line of its own unless all names are short
LONGEST = 24  # characters of a name with its explanation beside it


def columns() -> int:
    """Return the number of columns to fill."""
    return max(min(shutil.get_terminal_size().columns, WIDEST), 20)


def shows_styles() -> bool:
    """Tell whether standard output is a terminal that shows bold text and colours, and the user wants them."""
    is_plain = "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb"
    return sys.stdout.isatty() and not is_plain


def bold(text: str) -> str:
    """Return the text in bold, where standard output shows it."""
    return f"\033[1m{text}\033[0m" if shows_styles() else text


def paragraphs(text: str) -> str:
    """Wrap each paragraph of a text; lines that are indented stay as they are."""
    parts = textwrap.dedent(text).strip("\n").split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else _fill(part, "") for part in parts)


def listing(rows: Iterable[tuple[str, str]], column: int = 0) -> str:
    """Lay out names and their explanations, side by side where there is room.

    Args:
        rows: the names, each with its explanation.
        column: where explanations begin, see :func:`column_for`; by default, as these names need it.
    """
    rows = list(rows)
    column = column or column_for(name for name, _ in rows)
    lines = []
    for name, text in rows:
        explanation = _fill(text, " " * column)
        is_beside = len(name) + 4 <= column
        lines.append(f"  {name:<{column - 2}}{explanation[column:]}" if is_beside else f"  {name}\n{explanation}")
    return "\n".join(lines)


def column_for(names: Iterable[str]) -> int:
    """Return the column in which the explanations of some names begin."""
    longest = LONGEST if columns() >= NARROW else LONGEST // 2
    lengths = [len(name) for name in names]
    if columns() < NARROW and max(lengths, default=0) > longest:
        return 6
    return max((length for length in lengths if length <= longest), default=longest) + 4


def _fill(text: str, indent: str) -> str:
    return textwrap.fill(
        " ".join(text.split()),
        columns(),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
