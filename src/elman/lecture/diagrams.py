"""Diagrams of a recurrent network: unrolled over the words that it reads, with its loop, and as a graphical model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INPUT, HIDDEN, OUTPUT = "#2f7fd1", "#c2571a", "#2f9e60"  # readable on white and on black
_ROWS = {"x": 0.0, "h": 1.5, "y": 3.0}  # the height of each layer
_COLOURS = {"x": INPUT, "h": HIDDEN, "y": OUTPUT}


def draw_unrolled(tokens: Sequence[str], input_size: int, hidden_size: int, output_size: int) -> Figure:
    """Draw the network once for each token, with the same three matrices at every step.

    Args:
        tokens: what it reads.
        input_size: the size of an input x.
        hidden_size: the size of a state h.
        output_size: the size of an output y.
    """
    figure, axes = _canvas(2.1 * len(tokens) + 1.2, 4.6)
    sizes = {"x": input_size, "h": hidden_size, "y": output_size}
    _circle(axes, (-1.6, _ROWS["h"]), "$h_0$", HIDDEN)
    for step, token in enumerate(tokens, start=1):
        x = 1.6 * (step - 1)
        for layer, y in _ROWS.items():
            _box(axes, (x, y), f"${layer}_{step}$", _COLOURS[layer], str(sizes[layer]))
        axes.text(x, -0.75, token, ha="center", va="center")
        _arrow(axes, (x, 0.38), (x, 1.12), "W")
        _arrow(axes, (x, 1.88), (x, 2.62), "V")
        _arrow(axes, (x - (1.22 if step == 1 else 1.1), 1.5), (x - 0.5, 1.5), "U")
    axes.set_xlim(-2.1, 1.6 * len(tokens) - 0.7)
    axes.set_ylim(-1.1, 3.5)
    return figure


def draw_recursive(input_size: int, hidden_size: int, output_size: int) -> Figure:
    """Draw the network once, with a loop from the hidden layer back to itself."""
    figure, axes = _canvas(3.6, 4.2)
    sizes = {"x": input_size, "h": hidden_size, "y": output_size}
    for layer, y in _ROWS.items():
        _box(axes, (0, y), f"${layer}_t$", _COLOURS[layer], str(sizes[layer]))
    _arrow(axes, (0, 0.38), (0, 1.12), "W")
    _arrow(axes, (0, 1.88), (0, 2.62), "V")
    loop = {"arrowstyle": "-|>", "color": "black", "connectionstyle": "arc,angleA=0,armA=40,angleB=0,armB=40,rad=12"}
    axes.annotate("", (0.5, 1.3), (0.5, 1.75), arrowprops=loop)
    axes.text(1.45, 1.5, "U\none step later", ha="left", va="center")
    axes.set_xlim(-0.9, 2.9)
    axes.set_ylim(-0.5, 3.5)
    return figure


def draw_graphical_model(steps: int) -> Figure:
    """Draw the states, inputs and outputs as the nodes of a graphical model; an arrow means "is computed from"."""
    figure, axes = _canvas(1.9 * steps + 1.4, 4.0)
    for step in range(steps + 1):
        x = 1.6 * step
        _circle(axes, (x, _ROWS["h"]), f"$h_{step}$", HIDDEN)
        if step:
            _circle(axes, (x, 0), f"$x_{step}$", INPUT)
            _circle(axes, (x, _ROWS["y"]), f"$y_{step}$", OUTPUT)
            _arrow(axes, (x, 0.38), (x, 1.12))
            _arrow(axes, (x, 1.88), (x, 2.62))
            _arrow(axes, (x - 1.22, 1.5), (x - 0.38, 1.5))
    axes.set_xlim(-0.6, 1.6 * steps + 0.6)
    axes.set_ylim(-0.5, 3.5)
    return figure


def draw_architectures(kinds: Mapping[str, tuple[int, Sequence[int], Sequence[int]]]) -> Figure:
    """Draw small networks side by side, which differ in the steps that have an input and an output.

    Args:
        kinds: for each name the number of steps, the steps with an input, and those with an output, from 1.
    """
    from matplotlib.patches import Rectangle

    figure, axes = _canvas(9, 2.4)
    left = 0.0
    for name, (steps, inputs, outputs) in kinds.items():
        places = {"x": inputs, "h": range(1, steps + 1), "y": outputs}
        for layer, numbers in places.items():
            for step in numbers:
                corner = (left + step - 0.3, _ROWS[layer] - 0.4)
                axes.add_patch(Rectangle(corner, 0.6, 0.8, fill=False, edgecolor=_COLOURS[layer], lw=1.5))
        for step in inputs:
            _arrow(axes, (left + step, 0.45), (left + step, 1.05))
        for step in outputs:
            _arrow(axes, (left + step, 1.95), (left + step, 2.55))
        for step in range(1, steps):
            _arrow(axes, (left + step + 0.32, 1.5), (left + step + 0.68, 1.5))
        axes.text(left + (steps + 1) / 2, -1.1, name, ha="center", va="center", fontsize=9)
        left += max(steps, 2) + 0.9
    axes.set_xlim(0, left + 0.3)
    axes.set_ylim(-1.6, 3.6)
    return figure


def _canvas(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(min(width, 9), height), layout="constrained")
    axes = figure.subplots()
    axes.set_aspect("equal")
    axes.axis("off")
    return figure, axes


def _box(axes: Any, centre: tuple[float, float], name: str, colour: str, size: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = centre
    axes.add_patch(
        FancyBboxPatch((x - 0.45, y - 0.33), 0.9, 0.66, boxstyle="round,pad=0.05", fill=False, edgecolor=colour, lw=2)
    )
    axes.text(x, y + 0.1, name, ha="center", va="center", fontsize=13)
    axes.text(x, y - 0.22, size, ha="center", va="center", fontsize=8)


def _circle(axes: Any, centre: tuple[float, float], name: str, colour: str) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle(centre, 0.36, fill=False, edgecolor=colour, lw=2))
    axes.text(*centre, name, ha="center", va="center", fontsize=13)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], name: str = "") -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0})
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    is_upright = start[0] == end[0]
    axes.text(
        x + (0.12 if is_upright else 0),
        y + (0 if is_upright else 0.16),
        name,
        ha="left" if is_upright else "center",
        va="center",
    )
