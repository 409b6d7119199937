"""The memory that a counting model takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np


def count_bytes(model: Any) -> int:
    """Count the bytes of a model and of everything that it refers to, each thing once.

    Example:
        >>> counts = np.zeros(1000)
        >>> count_bytes([counts, counts]) - count_bytes([None, None]) == sys.getsizeof(counts) - sys.getsizeof(None)
        True
    """
    seen: set[int] = set()
    waiting, total = [model], 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type) or callable(item):
            continue
        seen.add(id(item))
        total += sys.getsizeof(item)
        if isinstance(item, np.ndarray):
            total += 0 if item.base is None else item.nbytes
        elif isinstance(item, Mapping):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            waiting += item
        elif hasattr(item, "__dict__"):
            waiting.append(vars(item))
    return total
