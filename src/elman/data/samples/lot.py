"""Random draws that use only `random()`, the one method whose numbers Python keeps the same between versions."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def draw_below(limit: int, generator: random.Random) -> int:
    """Draw an integer from 0 to ``limit - 1``."""
    return int(generator.random() * limit)


def pick(items: Sequence[Item], generator: random.Random) -> Item:
    """Draw one of several items."""
    return items[draw_below(len(items), generator)]


def shuffle(items: Iterable[Item], generator: random.Random) -> list[Item]:
    """Return the items in random order."""
    return sorted(items, key=lambda _: generator.random())
