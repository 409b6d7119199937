"""SVG drawings that take their colours from the style sheet of the page, so that they follow light, dark and print."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape

Point = tuple[float, float]


def format_length(value: float) -> str:
    """Format a length or coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


class Drawing:
    """Shapes on a plane that grows to hold them."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._left = self._top = math.inf
        self._right = self._bottom = -math.inf

    def include(self, *points: Point) -> None:
        """Make the drawing large enough to show these points."""
        for x, y in points:
            self._left, self._right = min(self._left, x), max(self._right, x)
            self._top, self._bottom = min(self._top, y), max(self._bottom, y)

    def box(self, centre: Point, size: Point, kind: str = "", radius: float = 6) -> None:
        """Draw a rectangle."""
        (x, y), (width, height) = centre, size
        left, top = x - width / 2, y - height / 2
        self.include((left, top), (left + width, top + height))
        self._parts.append(
            f'<rect class="box {kind}" x="{format_length(left)}" y="{format_length(top)}" '
            f'width="{format_length(width)}" height="{format_length(height)}" rx="{format_length(radius)}"/>'
        )

    def circle(self, centre: Point, radius: float, kind: str = "", title: str = "") -> None:
        """Draw a circle."""
        x, y = centre
        self.include((x - radius, y - radius), (x + radius, y + radius))
        inside = f"<title>{escape(title)}</title>" if title else ""
        self._parts.append(
            f'<circle class="{kind}" cx="{format_length(x)}" cy="{format_length(y)}" r="{format_length(radius)}">'
            f"{inside}</circle>"
        )

    def text(self, at: Point, words: str, kind: str = "", anchor: str = "middle") -> None:
        """Write a label, with ``_{…}`` for subscripts and ``*…*`` for variables in italics."""
        self._write(at, re.sub(r"[_{}*]", "", words), _format_label(words), kind, anchor)

    def token(self, at: Point, token: str) -> None:
        """Write a token of the input, without markup."""
        self._write(at, token, escape(token), "token", "middle")

    def _write(self, at: Point, plain: str, inside: str, kind: str, anchor: str) -> None:
        x, y = at
        width = 7 * len(plain)
        left = {"middle": x - width / 2, "start": x, "end": x - width}[anchor]
        self.include((left, y - 10), (left + width, y + 4))
        self._parts.append(
            f'<text class="{kind}" x="{format_length(x)}" y="{format_length(y)}" text-anchor="{anchor}">{inside}</text>'
        )

    def path(self, points: Sequence[Point], kind: str = "", *, arrow: bool = True, curved: bool = False) -> None:
        """Draw a line through points, or a Bézier curve with four points, with an arrowhead at its end."""
        self.include(*points)
        (x, y), (tip_x, tip_y) = points[-2], points[-1]
        length = math.hypot(tip_x - x, tip_y - y) or 1.0
        along, head = ((tip_x - x) / length, (tip_y - y) / length), 7.0
        end = (tip_x - along[0] * head, tip_y - along[1] * head) if arrow else points[-1]
        body = [*points[:-1], end]
        places = [f"{format_length(px)} {format_length(py)}" for px, py in body]
        line = f"M{places[0]}C{' '.join(places[1:])}" if curved else "M" + "L".join(places)
        self._parts.append(f'<path class="edge {kind}" d="{line}"/>')
        if arrow:
            across = (-along[1] * 3.6, along[0] * 3.6)
            corners = [(end[0] + across[0], end[1] + across[1]), points[-1], (end[0] - across[0], end[1] - across[1])]
            drawn = " ".join(f"{format_length(px)},{format_length(py)}" for px, py in corners)
            self._parts.append(f'<polygon class="head {kind}" points="{drawn}"/>')

    def raw(self, piece: str) -> None:
        """Add a piece of SVG that lies within the points included so far."""
        self._parts.append(piece)

    def svg(self, label: str, *, kind: str = "", margin: float = 8) -> str:
        """Return the drawing at its natural size.

        Args:
            label: a description for screen readers.
            kind: the CSS classes of the element.
            margin: the margin on all sides.
        """
        left, top = self._left - margin, self._top - margin
        width, height = self._right - self._left + 2 * margin, self._bottom - self._top + 2 * margin
        box = " ".join(map(format_length, (left, top, width, height)))
        return (
            f'<svg class="{kind}" role="img" aria-label="{escape(label)}" width="{format_length(width)}" '
            f'height="{format_length(height)}" viewBox="{box}">'
            f"{''.join(self._parts)}</svg>"
        )


def _format_label(words: str) -> str:
    """Turn ``*h*_{t-1}`` into an italic letter with a subscript."""
    pieces = []
    is_low = False
    for italic, low, plain in re.findall(r"\*([^*]+)\*|_\{([^}]*)\}|([^*_]+|[*_])", words):
        shift = "" if is_low == bool(low) else f' dy="{"3" if low else "-3"}"'
        is_low = bool(low)
        kind = ' class="low"' if low else ' class="variable"' if italic else ""
        text = escape(italic or low or plain)
        pieces.append(f"<tspan{kind}{shift}>{text}</tspan>" if kind or shift else text)
    return "".join(pieces)
