"""Pictures of a page: vector graphics that take the colour of the text around them, with words for who cannot see them.

Black becomes ``currentColor``, and the background is transparent, so a picture is readable on paper, on a light page
and on a dark one.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FILE_STYLE = (
    "<style>:root{color:#1b1f24}"
    "@media screen and (prefers-color-scheme:dark){:root{color:#e8eaed;background:#1b1f24}}</style>"
)


@dataclass(frozen=True)
class Picture:
    """A picture and what it shows."""

    svg: str
    """An ``<svg>`` element for a page of HTML."""
    alt: str
    """What it shows, in words."""

    @property
    def file(self) -> str:
        """The content of an SVG file, which follows the dark mode of whoever shows it."""
        head, start, rest = self.svg.partition(">")
        return f'<?xml version="1.0" encoding="utf-8"?>\n{head}{start}{_FILE_STYLE}{rest}\n'

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return what a notebook shows."""
        return {"text/html": self.svg, "text/plain": self.alt}


def picture(drawing: Figure | str, alt: str) -> Picture:
    """Make a picture for a page.

    Args:
        drawing: a matplotlib figure, or an SVG document.
        alt: what it shows, in words: the curves, the axes, and what there is to see.
    """
    svg = drawing if isinstance(drawing, str) else _save(drawing)
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # several pictures on one page would repeat them
    svg = re.sub(r"(stroke|fill): ?#000000", r"\1: currentColor", svg)
    svg = re.sub(r"fill: ?#ffffff", "fill: none", svg)
    head, start, rest = svg.partition(">")
    label = escape(" ".join(alt.split()))
    return Picture(
        f'{head} role="img" aria-label="{label}" fill="currentColor"{start}<title>{label}</title>{rest}', alt
    )


def _save(figure: Figure) -> str:
    """Write a figure as SVG: text stays text, and nothing hides the page behind it."""
    import matplotlib

    for axes in figure.axes:
        if {"top", "right"} <= set(axes.spines):
            axes.spines[["top", "right"]].set_visible(False)
        if (legend := axes.get_legend()) is not None:
            legend.set_frame_on(False)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": repr(figure.axes)}):
        figure.savefig(stream, format="svg", transparent=True, bbox_inches="tight")
    return stream.getvalue()
