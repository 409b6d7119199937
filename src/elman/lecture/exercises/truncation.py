"""Exercises on truncated backpropagation: the length of a chunk, and cutting a text into chunks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elman.lecture.exercises.exercise import Exercise

Ids = NDArray[np.int64]


def shortest_chunk(norms: Sequence[float], share: float) -> int:
    """Return the shortest chunk with which truncated backpropagation keeps a share of the gradient."""
    length = 1
    while _kept_share(norms, length) < share:
        length += 1
    return length


def _kept_share(norms: Sequence[float], length: int) -> float:
    """Return what a chunk keeps: lag k remains for the length - k losses that have k steps before them."""
    kept = sum(norm * max(length - lag, 0) / length for lag, norm in enumerate(norms))
    return kept / sum(norms)


def _reach_of_last_loss(norms: Sequence[float], share: float) -> int:
    """Return what would do if every loss of a chunk reached as far back as the last one."""
    return int(np.argmax(np.cumsum(norms) >= share * sum(norms))) + 1


def cut_chunk(ids: Ids, streams: int, length: int, number: int) -> Ids:
    """Return a chunk of every stream, (length + 1, streams)."""
    start = number * length
    return ids.reshape(streams, -1).T[start : start + length + 1]


def _deal_out(ids: Ids, streams: int, length: int, number: int) -> Ids:
    """Give neighbouring ids to different streams."""
    start = number * length
    return ids.reshape(-1, streams)[start : start + length + 1]


def _leave_gaps(ids: Ids, streams: int, length: int, number: int) -> Ids:
    """Begin each chunk behind the last target of the one before."""
    start = number * (length + 1)
    return ids.reshape(streams, -1).T[start : start + length + 1]


EXERCISES = (
    Exercise(
        page="truncated-backpropagation",
        answer=shortest_chunk,
        cases=lambda: [([1.0, 0.5, 0.25], 0.5), ([1.0, 0.8, 0.6, 0.4, 0.2], 0.9), ([1.0, 0.0, 0.0, 1.0], 0.75)],
        mistakes={
            "lets every loss reach back through a whole chunk; only the last loss of a chunk does, the first reaches "
            "back to its own step only": _reach_of_last_loss,
            "is one step too short: a loss k steps after the beginning of a chunk is its loss number k + 1": (
                lambda norms, share: shortest_chunk(norms, share) - 1
            ),
        },
    ),
    Exercise(
        page="a-network-in-a-hundred-lines",
        answer=cut_chunk,
        cases=lambda: [(np.arange(24), 2, 3, 0), (np.arange(24), 2, 3, 1), (np.arange(40), 4, 2, 3)],
        mistakes={
            "gives neighbouring characters to different streams; cut the text into long pieces, one for each stream": (
                _deal_out
            ),
            "skips an input between two chunks; the last target of one is the first input of the next": _leave_gaps,
            "has a row for each stream; time comes first": lambda *case: cut_chunk(*case).T,
            "leaves out the target of the last step": lambda *case: cut_chunk(*case)[:-1],
        },
    ),
)
