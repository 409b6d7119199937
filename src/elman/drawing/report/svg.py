"""Pieces of SVG that take their colours from the page, so that light, dark and print need no second picture."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape

Point = tuple[float, float]


def number(value: float) -> str:
    """Write a coordinate: a tenth of a pixel is enough."""
    return f"{value:.1f}".removesuffix(".0")


class Drawing:
    """Shapes on a plane that grows with them."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._left = self._top = math.inf
        self._right = self._bottom = -math.inf

    def include(self, *points: Point) -> None:
        """Make the picture large enough for some points."""
        for x, y in points:
            self._left, self._right = min(self._left, x), max(self._right, x)
            self._top, self._bottom = min(self._top, y), max(self._bottom, y)

    def box(self, centre: Point, size: Point, kind: str = "", radius: float = 6) -> None:
        """Draw a rectangle."""
        (x, y), (width, height) = centre, size
        left, top = x - width / 2, y - height / 2
        self.include((left, top), (left + width, top + height))
        self._parts.append(
            f'<rect class="box {kind}" x="{number(left)}" y="{number(top)}" width="{number(width)}" '
            f'height="{number(height)}" rx="{number(radius)}"/>'
        )

    def circle(self, centre: Point, radius: float, kind: str = "", title: str = "") -> None:
        """Draw a circle."""
        x, y = centre
        self.include((x - radius, y - radius), (x + radius, y + radius))
        inside = f"<title>{escape(title)}</title>" if title else ""
        self._parts.append(
            f'<circle class="{kind}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}">{inside}</circle>'
        )

    def text(self, at: Point, words: str, kind: str = "", anchor: str = "middle") -> None:
        """Write words of ours, with ``_{…}`` for what stands lower and ``*…*`` for variables."""
        self._write(at, re.sub(r"[_{}*]", "", words), _marked(words), kind, anchor)

    def token(self, at: Point, token: str) -> None:
        """Write a piece of anyone's text as it is."""
        self._write(at, token, escape(token), "token", "middle")

    def _write(self, at: Point, plain: str, inside: str, kind: str, anchor: str) -> None:
        x, y = at
        width = 7 * len(plain)
        left = {"middle": x - width / 2, "start": x, "end": x - width}[anchor]
        self.include((left, y - 10), (left + width, y + 4))
        self._parts.append(
            f'<text class="{kind}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">{inside}</text>'
        )

    def path(self, points: Sequence[Point], kind: str = "", *, arrow: bool = True, curved: bool = False) -> None:
        """Draw a line through points, or one Bézier curve of four, with an arrow's head at the end."""
        self.include(*points)
        (x, y), (tip_x, tip_y) = points[-2], points[-1]
        length = math.hypot(tip_x - x, tip_y - y) or 1.0
        along, head = ((tip_x - x) / length, (tip_y - y) / length), 7.0
        end = (tip_x - along[0] * head, tip_y - along[1] * head) if arrow else points[-1]
        body = [*points[:-1], end]
        places = [f"{number(px)} {number(py)}" for px, py in body]
        line = f"M{places[0]}C{' '.join(places[1:])}" if curved else "M" + "L".join(places)
        self._parts.append(f'<path class="edge {kind}" d="{line}"/>')
        if arrow:
            across = (-along[1] * 3.6, along[0] * 3.6)
            corners = [(end[0] + across[0], end[1] + across[1]), points[-1], (end[0] - across[0], end[1] - across[1])]
            drawn = " ".join(f"{number(px)},{number(py)}" for px, py in corners)
            self._parts.append(f'<polygon class="head {kind}" points="{drawn}"/>')

    def raw(self, piece: str) -> None:
        """Add a piece of SVG that lies within what was included."""
        self._parts.append(piece)

    def svg(self, label: str, *, kind: str = "", margin: float = 8) -> str:
        """Return the picture at its natural size.

        Args:
            label: what it shows, for who cannot see it.
            kind: classes of the element.
            margin: on all sides.
        """
        left, top = self._left - margin, self._top - margin
        width, height = self._right - self._left + 2 * margin, self._bottom - self._top + 2 * margin
        return (
            f'<svg class="{kind}" role="img" aria-label="{escape(label)}" width="{number(width)}" '
            f'height="{number(height)}" viewBox="{number(left)} {number(top)} {number(width)} {number(height)}">'
            f"{''.join(self._parts)}</svg>"
        )


def _marked(words: str) -> str:
    """Turn ``*h*_{t-1}`` into italics and a lowered part."""
    pieces = []
    is_low = False
    for italic, low, plain in re.findall(r"\*([^*]+)\*|_\{([^}]*)\}|([^*_]+|[*_])", words):
        shift = "" if is_low == bool(low) else f' dy="{"3" if low else "-3"}"'
        is_low = bool(low)
        kind = ' class="low"' if low else ' class="variable"' if italic else ""
        text = escape(italic or low or plain)
        pieces.append(f"<tspan{kind}{shift}>{text}</tspan>" if kind or shift else text)
    return "".join(pieces)
