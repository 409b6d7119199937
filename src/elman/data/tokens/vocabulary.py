"""Items and their ids: the words of an embedding, or the characters of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


class Vocabulary:
    """Distinct items and their ids; any unknown item has the id 0.

    Args:
        items: the items, in the order of their ids.

    Example:
        >>> vocabulary = Vocabulary(["<unk>", "cat", "dog"])
        >>> vocabulary.ids(["dog", "axolotl"]).tolist(), len(vocabulary)
        ([2, 0], 3)
    """

    def __init__(self, items: Sequence[str]) -> None:
        self.items = tuple(items)
        self._ids = {item: number for number, item in enumerate(self.items)}

    @classmethod
    def learn(cls, counts: Mapping[str, int], *, min_count: int = 1, specials: Sequence[str] = ()) -> Vocabulary:
        """Make a vocabulary of frequent items: ``specials`` first, then by decreasing frequency and by spelling.

        Example:
            >>> Vocabulary.learn({"b": 2, "a": 2, "c": 3, "d": 1}, min_count=2, specials=["<unk>"]).items
            ('<unk>', 'c', 'a', 'b')
        """
        kept = (item for item, count in counts.items() if count >= min_count and item not in specials)
        return cls([*specials, *sorted(kept, key=lambda item: (-counts[item], item))])

    def ids(self, items: Sequence[str]) -> NDArray[np.int64]:
        """Return the id of each item, (N,)."""
        known = self._ids
        return np.array([known.get(item, 0) for item in items], np.int64)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)
