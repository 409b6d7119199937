"""Labels that are made of parts, such as the morphological features of Universal Dependencies.

Case=Nom|Number=Sing ──split_label──▶ Case=Nom, Number=Sing
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_MEMBERS = 10_000_000  # labels times parts: the size of the table


def split_label(label: str) -> list[str]:
    """Return the parts of a label; a label without features, ``_``, is its own part."""
    return label.split("|")


def find_parts(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the parts of which some labels are made, sorted; none if the labels are not made of parts.

    They are if each is a list of features such as ``Case=Nom|Number=Sing``, or ``_``, some have several, and the table
    of both has at most ``MOST_MEMBERS`` entries.

    Example:
        >>> find_parts(["_", "Case=Acc|Number=Plur", "Case=Acc|Number=Sing", "Case=Nom|Number=Plur", "Case=Nom"])
        ('Case=Acc', 'Case=Nom', 'Number=Plur', 'Number=Sing', '_')
        >>> find_parts(["NOUN", "VERB"])
        ()
    """
    split = [split_label(label) for label in labels if label != "_"]
    if max(map(len, split), default=0) < 2 or not all("=" in part for parts in split for part in parts):
        return ()
    parts = {part for label in labels for part in split_label(label)}
    return tuple(sorted(parts)) if len(labels) * len(parts) <= MOST_MEMBERS else ()


def part_table(labels: Sequence[str], parts: Sequence[str]) -> NDArray[np.float32]:
    """Return which part (P) belongs to which label (K): ones and zeros (K, P)."""
    place = {part: number for number, part in enumerate(parts)}
    table = np.zeros((len(labels), len(parts)), np.float32)
    for row, label in zip(table, labels, strict=True):
        row[[place[part] for part in split_label(label)]] = 1
    return table
