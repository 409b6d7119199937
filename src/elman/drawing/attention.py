"""A picture of attention weights."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def attention_map(read: Sequence[str], written: Sequence[str], weights: NDArray[np.float32]) -> str:
    """Draw attention weights: a row for each token written, a column for each token read; darker means more.

    Args:
        read: S tokens.
        written: T tokens.
        weights: (T, S), each row sums to 1.

    Returns:
        An SVG document.
    """
    from matplotlib.figure import Figure

    size = 0.32
    figure = Figure(figsize=(1.6 + size * len(read), 1.4 + size * len(written)), layout="constrained")
    axes = figure.subplots()
    borders = (np.arange(-0.5, len(read)), np.arange(-0.5, len(written)))
    fields = axes.pcolormesh(*borders, weights, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    for ticks, labels, names in (
        (axes.set_xticks, axes.set_xticklabels, read),
        (axes.set_yticks, axes.set_yticklabels, written),
    ):
        ticks(range(len(names)))
        labels([_visible(name) for name in names])
    axes.tick_params(length=0, labelsize=9)
    axes.tick_params(axis="x", labelrotation=90, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.set_xlabel("read")
    axes.set_ylabel("written")
    axes.set_xticks(borders[0], minor=True)
    axes.set_yticks(borders[1], minor=True)
    axes.grid(which="minor", color="#e4e7eb", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    colours: Any = figure.colorbar(fields, ax=axes, shrink=0.6, label="share of attention")
    colours.outline.set_visible(False)
    colours.solids.set_rasterized(False)  # vectors, as the fields are
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _visible(token: str) -> str:
    """Make blanks visible, and escape ``$``, which starts a formula in matplotlib."""
    return token.replace(" ", "␣").replace("$", r"\$")
