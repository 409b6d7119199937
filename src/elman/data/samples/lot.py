"""Draws by `random()` alone, the one method whose numbers Python promises to keep between versions."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def draw_below(limit: int, generator: random.Random) -> int:
    """Draw a whole number from 0 to ``limit - 1``."""
    return int(generator.random() * limit)


def pick(items: Sequence[Item], generator: random.Random) -> Item:
    """Draw one of several items."""
    return items[draw_below(len(items), generator)]


def shuffle(items: Iterable[Item], generator: random.Random) -> list[Item]:
    """Return the items in an order that is drawn."""
    return sorted(items, key=lambda _: generator.random())
