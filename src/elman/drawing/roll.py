"""A tune as a piano roll: time from left to right, pitch upwards."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

_NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")


def piano_roll(notes: NDArray[np.float64], primer_seconds: float = 0.0) -> str:
    """Draw notes; louder ones are darker.

    Args:
        notes: (N, 4) start and duration in seconds, pitch (60 is middle C), velocity 1 to 127.
        primer_seconds: the length of the primer, whose notes have a different colour.

    Returns:
        An SVG document.
    """
    from matplotlib.figure import Figure

    seconds = float((notes[:, 0] + notes[:, 1]).max(initial=1.0))
    low, high = (int(notes[:, 2].min()) - 2, int(notes[:, 2].max()) + 2) if len(notes) else (58, 72)
    figure = Figure(figsize=(min(max(seconds / 3, 7), 40), max(2.5, (high - low) / 9)), layout="constrained")
    axes = figure.subplots()
    for pitch in range(low, high + 1):
        if "♯" in _NAMES[pitch % 12]:
            axes.axhspan(pitch - 0.5, pitch + 0.5, color="#f1f3f5", linewidth=0)
    for is_given, colour in ((True, "#6b7280"), (False, "#c2410c")):
        some = notes[(notes[:, 0] < primer_seconds - 1e-9) == is_given]
        if len(some):
            axes.barh(
                some[:, 2],
                some[:, 1],
                left=some[:, 0],
                height=0.8,
                color=[(*_rgb(colour), 0.35 + 0.65 * velocity / 127) for velocity in some[:, 3]],
                label="primer" if is_given else "written",
            )
    marks = [pitch for pitch in range(low, high + 1) if pitch % 12 in (0, 4, 7)]
    axes.set_yticks(marks, [f"{_NAMES[pitch % 12]}{pitch // 12 - 1}" for pitch in marks])
    axes.set_ylim(low - 0.5, high + 0.5)
    axes.set_xlim(0, seconds)
    axes.set_xlabel("seconds")
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    if primer_seconds > 0:
        axes.legend(frameon=False, loc="upper right")
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue
