"""The loss and the gradients by lag over time as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

LAG = "gradient_lag_"  # what the names of the columns begin with


def loss_curves(history: Sequence[dict[str, Any]]) -> str:
    """Draw the training and the validation loss and, below them, the gradients by lag where they were measured.

    Args:
        history: one row per validation, with ``step``, ``train_nats`` and ``nats_per_token`` or ``nats_per_target``
            (missing if no target was known), and columns such as ``gradient_lag_4``.

    Returns:
        An SVG document.
    """
    from matplotlib.figure import Figure

    loss = next((name for name in history[0] if name.startswith("nats_per_")), "nats_per_target")
    names = dict.fromkeys(name for row in history for name in row if name.startswith(LAG))
    gradients = {int(name.removeprefix(LAG)): _points(history, name) for name in names}
    gradients = {lag: [(step, norm) for step, norm in points if norm > 0] for lag, points in gradients.items()}
    has_gradients = any(gradients.values())
    figure = Figure(figsize=(7, 6 if has_gradients else 4), layout="constrained")
    axes, *below = figure.subplots(
        2 if has_gradients else 1, sharex=True, squeeze=False, height_ratios=(2, 1) if has_gradients else None
    )[:, 0]
    for name, label, colour in (
        ("train_nats", "training (running mean)", "#9aa5b1"),
        (loss, "validation", "#c2410c"),
    ):
        if points := _points(history, name):
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=label)
    axes.set_ylabel(f"loss ({loss.replace('_', ' ')})")
    for panel in below:
        _draw_gradients(panel, {lag: points for lag, points in gradients.items() if points})
    for panel in (axes, *below):
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    (below or [axes])[-1].set_xlabel("optimizer steps")
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _points(history: Sequence[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """Return the steps and the values of a column, where it has any."""
    return [(row["step"], row[name]) for row in history if row.get(name) is not None]


def _draw_gradients(axes: Any, gradients: dict[int, list[tuple[int, float]]]) -> None:
    """Draw a line for each lag, paler the longer the lag is."""
    for index, (lag, points) in enumerate(gradients.items()):
        shade = 1 - 0.8 * index / len(gradients)
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color="#1d4ed8", alpha=shade, label=f"{lag}")
    axes.set_yscale("log")
    axes.set_ylabel("gradient by lag")
    axes.legend(frameon=False, title="lag", fontsize="x-small", title_fontsize="x-small", ncols=2)
