"""The loss over time as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any


def loss_curves(history: Sequence[dict[str, Any]]) -> str:
    """Draw the training and the validation loss.

    Args:
        history: one row per validation, with ``step``, ``train_nats`` and ``nats_per_token`` or ``nats_per_target``
            (missing if no target was known).

    Returns:
        An SVG document.
    """
    from matplotlib.figure import Figure

    loss = next((name for name in history[0] if name.startswith("nats_per_")), "nats_per_target")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, label, colour in (
        ("train_nats", "training (running mean)", "#9aa5b1"),
        (loss, "validation", "#c2410c"),
    ):
        points = [(row["step"], row[name]) for row in history if row.get(name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=label)
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel(f"loss ({loss.replace('_', ' ')})")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
