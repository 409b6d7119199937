"""Generated pictures of two coloured shapes, with captions.

A picture shows two shapes with a size, a colour and a kind, one beside or above the other. Each of its two captions
starts from one of the shapes: "a small red circle left of a blue square", "a blue square right of a small red circle".
The combinations of two shapes and their positions are split at random, with a fixed seed, into two parts, so that
`unseen-shapes` contains only combinations that do not occur in `shapes`, although all their words do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.data.samples.lot import shuffle

SIDE = 48  # pixels
COLOURS = {
    "red": (214, 40, 40),
    "green": (46, 160, 67),
    "blue": (40, 84, 214),
    "yellow": (240, 200, 40),
    "purple": (150, 60, 180),
    "white": (240, 240, 240),
}
KINDS = ("circle", "square", "triangle", "cross")
SIZES = ("", "small")
_OPPOSITE = {"left of": "right of", "above": "below"}
_SEEN_SHARE = 0.75
_NUM_SEEN, _NUM_UNSEEN = 3_000, 500


class ColouredShape(NamedTuple):
    """One shape of a picture."""

    size: str
    colour: str
    kind: str

    def __str__(self) -> str:
        return " ".join(filter(None, ("a", *self)))


class Scene(NamedTuple):
    """The content of a picture."""

    name: str
    first: ColouredShape
    place: str
    second: ColouredShape

    @property
    def captions(self) -> tuple[str, str]:
        """Its two captions, one starting from each shape."""
        return (
            f"{self.first} {self.place} {self.second}",
            f"{self.second} {_OPPOSITE[self.place]} {self.first}",
        )


@cache
def list_scenes(unseen: bool) -> tuple[Scene, ...]:
    """List the scenes of one part; they are always the same.

    Example:
        >>> list_scenes(unseen=False)[0].captions[0].startswith("a ")
        True
    """
    generator = random.Random(1990)
    shapes = [ColouredShape(*parts) for parts in product(SIZES, COLOURS, KINDS)]
    combinations = shuffle(product(shapes, _OPPOSITE, shapes), generator)
    border = int(_SEEN_SHARE * len(combinations))
    some = combinations[border : border + _NUM_UNSEEN] if unseen else combinations[:border][:_NUM_SEEN]
    part = "unseen" if unseen else "shapes"
    return tuple(Scene(f"{part}-{number:04}.png", *combination) for number, combination in enumerate(some))


def write_captions(unseen: bool) -> str:
    """Return the captions as lines of `file<TAB>caption`, two for each picture."""
    lines = [f"{scene.name}\t{caption}" for scene in list_scenes(unseen) for caption in scene.captions]
    return "\n".join(lines) + "\n"


def draw_pictures(unseen: bool) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Draw the pictures: yield the name and the pixels (48, 48, 3) of each."""
    for number, scene in enumerate(list_scenes(unseen)):
        yield scene.name, draw_scene(scene, seed=2 * number + unseen)


def draw_scene(scene: Scene, seed: int) -> NDArray[np.uint8]:
    """Draw a scene (48, 48, 3), with small variations of position, size and colour, and some noise."""
    generator = random.Random(seed)

    def around(middle: float, spread: float) -> float:
        return middle + spread * (2 * generator.random() - 1)

    along, across = [around(12.5, 2.5), around(35.5, 2.5)], [around(24, 3), around(24, 3)]
    centres = list(zip(along, across, strict=True))  # (x, y) of the first and the second
    if scene.place == "above":
        centres = [(x, y) for y, x in centres]
    canvas = np.full((SIDE, SIDE, 3), around(70, 25), np.float64)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    for shape, (x, y) in zip((scene.first, scene.second), centres, strict=True):
        radius = around(5.0, 0.6) if shape.size == "small" else around(9.5, 0.8)
        inside = _find_covered(shape.kind, (columns - x) / radius, (rows - y) / radius)
        canvas[inside] = [around(value, 12) for value in COLOURS[shape.colour]]
    noise = np.array([generator.random() for _ in range(SIDE * SIDE)]).reshape(SIDE, SIDE, 1)
    return np.clip(canvas + 16 * (noise - 0.5), 0, 255).astype(np.uint8)


def _find_covered(kind: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points a shape of radius 1 around (0, 0) covers; y points down."""
    if kind == "circle":
        return x**2 + y**2 <= 1
    if kind == "square":
        return np.maximum(np.abs(x), np.abs(y)) <= 0.85
    if kind == "triangle":
        return (y <= 0.8) & (y >= 2 * np.abs(x) - 1)
    return (np.minimum(np.abs(x), np.abs(y)) <= 0.3) & (np.maximum(np.abs(x), np.abs(y)) <= 1)
