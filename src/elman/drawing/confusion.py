"""The confusion matrix, as a picture and as text for the terminal."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.integer[Any]]

_MOST_NUMBERED = 20  # labels, for counts in the cells of the picture
_MOST_TABULATED = 12  # labels, for a table on the terminal ...
_WIDEST = 100  # ... of at most this many columns


def confusion_table(confusion: Integers, labels: Sequence[str]) -> str:
    """Draw the confusion matrix, with true labels down and predicted labels across.

    A darker cell has a larger share of its row (on a square-root scale, so that rare confusions are visible). Correct
    labels, on the diagonal, are blue; the others are orange. With up to 20 labels, the cells show their counts.

    Args:
        confusion: the counts, true labels down, shape (K, K).
        labels: the names of the K labels.

    Returns:
        An SVG document, identical for identical counts.
    """
    import matplotlib
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    size = len(labels)
    digits = len(str(confusion.max(initial=0)))
    cell = 0.2 if size > _MOST_NUMBERED else max(0.4, 0.12 + 0.065 * digits)  # inches
    figure = Figure(figsize=(size * cell, size * cell))
    axes = figure.add_axes((0, 0, 1, 1))  # the table fills the figure; savefig adds space for the labels
    lines = np.arange(size + 1)
    axes.hlines(lines, 0, size, color="#e5e7eb", linewidth=0.5)
    axes.vlines(lines, 0, size, color="#e5e7eb", linewidth=0.5)

    rows, columns = np.nonzero(confusion)  # (C,) each: the cells with a count
    squares = np.stack([columns, rows], axis=1)[:, None] + [(0, 0), (1, 0), (1, 1), (0, 1)]  # (C, 4, 2)
    tints = np.sqrt(_shares(confusion)[rows, columns])  # (C,)
    blues, oranges = (matplotlib.colormaps[name](tints) for name in ("Blues", "Oranges"))  # (C, 4) each
    axes.add_collection(PolyCollection(list(squares), facecolors=np.where((rows == columns)[:, None], blues, oranges)))
    if size <= _MOST_NUMBERED:
        for row, column, tint in zip(rows, columns, tints, strict=True):
            colour = "white" if tint > 0.63 else "black"
            count = axes.text(column + 0.5, row + 0.5, str(confusion[row, column]), color=colour, fontsize=7)
            count.set(ha="center", va="center_baseline")

    axes.set_xticks(lines[:-1] + 0.5, labels, fontsize=8, parse_math=False, rotation=90)
    axes.set_yticks(lines[:-1] + 0.5, labels, fontsize=8, parse_math=False)
    axes.set(xlim=(0, size), ylim=(size, 0), xlabel="predicted", ylabel="true")
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    stream = io.StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "elman", "svg.fonttype": "none"}):
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the SVG keeps text as text, for the viewer's fonts
        figure.savefig(stream, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return stream.getvalue()


def confusion_text(confusion: Integers, labels: Sequence[str], most: int = 12) -> str:
    """Format the confusion matrix: a table for few labels, otherwise the most frequent confusions.

    Args:
        confusion: the counts, true labels down, shape (K, K).
        labels: the names of the K labels.
        most: the most confusions to list, if there are more than 12 labels or their names are too long for a table.

    Returns:
        Lines of text.

    Example:
        >>> print(confusion_text(np.array([[90, 10], [0, 7]]), ["NOUN", "VERB"]))
        true down, predicted across
              NOUN  VERB
        NOUN    90    10
        VERB     .     7
    """
    if len(labels) <= _MOST_TABULATED:
        table = _table(confusion, labels)
        if len(table[0]) <= _WIDEST:
            return "\n".join(["true down, predicted across", *table])
    wrong = np.where(np.eye(len(labels), dtype=bool), 0, confusion)  # (K, K)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(labels)) for place in order if wrong.flat[place]]
    if not pairs:
        return "no label was taken for another"
    true, predicted = (_align([labels[pair[side]] for pair in pairs]) for side in (0, 1))
    counts = [f"{confusion[pair]:,}" for pair in pairs]
    shares = _shares(confusion)  # (K, K)
    return "\n".join(
        f"{name} taken for {other}  {count:>{len(counts[0])}} {'time ' if count == '1' else 'times'}"
        f" ({100 * shares[pair]:.1f} % of {labels[pair[0]]})"
        for name, other, count, pair in zip(true, predicted, counts, pairs, strict=True)
    )


def _table(confusion: Integers, labels: Sequence[str]) -> list[str]:
    """Format the counts in columns under the labels, with a dot for zero."""
    cells = [[str(count) if count else "." for count in row] for row in confusion.tolist()]
    columns = [[label, *column] for label, column in zip(labels, zip(*cells, strict=True), strict=True)]
    widths = [max(map(len, column)) for column in columns]
    names = _align(["", *labels])
    return [
        "  ".join([name, *(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))])
        for name, row in zip(names, [labels, *cells], strict=True)
    ]


def _align(names: Sequence[str]) -> list[str]:
    width = max(map(len, names))
    return [f"{name:<{width}}" for name in names]


def _shares(confusion: Integers) -> npt.NDArray[np.float64]:
    """Return each count's share of its row, shape (K, K); 0 in an empty row."""
    shares: npt.NDArray[np.float64] = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return shares
