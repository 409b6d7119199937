"""A comparison of models as a picture: a bar for each model, with its spread."""

from __future__ import annotations

import io
from collections.abc import Sequence


def comparison_bars(
    names: Sequence[str],
    values: Sequence[float],
    spreads: Sequence[float],
    seconds: Sequence[float],
    is_network: Sequence[bool],
    figure: str,
) -> str:
    """Draw a horizontal bar for each model, in the given order from the top.

    Args:
        names: the models.
        values: the figure in which they are compared.
        spreads: its standard deviation over seeds, drawn as a line; 0 for none.
        seconds: what each model cost, written beside its bar.
        is_network: whether each model is a network; baselines are grey.
        figure: the name of the figure, for the axis.

    Returns:
        An SVG document.
    """
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(7, 0.8 + 0.45 * len(names)), layout="constrained")
    axes = drawing.subplots()
    rows = range(len(names))
    colours = ["#c2410c" if flag else "#9aa5b1" for flag in is_network]
    bars = axes.barh(rows, values, xerr=[spread or float("nan") for spread in spreads], color=colours, capsize=3)
    axes.bar_label(
        bars, [f" {value:.4g}, {cost:,.0f} s" for value, cost in zip(values, seconds, strict=True)], fontsize=8
    )
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_xlabel(figure.replace("_", " ") + (" (lower is better)" if figure.startswith("nats_") else ""))
    axes.spines[["top", "right"]].set_visible(False)
    stream = io.StringIO()
    drawing.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
