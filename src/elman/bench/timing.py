"""How things are timed: in turn, round after round, so that a machine that slows down slows them all; medians count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

Work = Callable[[], object]
Stopwatch = Callable[[], float]
"""Does a piece of work and returns the seconds that it took."""


def timed(
    work: Work, *, prepare: Work = lambda: None, parts: int = 1, clock: Callable[[], float] = time.perf_counter
) -> Stopwatch:
    """Make a stopwatch of a piece of work.

    Args:
        work: what is timed.
        prepare: what is done before it, untimed.
        parts: of how many equal parts the work is; the seconds are those of one.
        clock: tells the time in seconds.
    """

    def watch() -> float:
        prepare()
        began = clock()
        work()
        return (clock() - began) / parts

    return watch


def in_turn(watches: Mapping[str, Stopwatch], repeats: int) -> dict[str, float]:
    """Read all stopwatches in turn, ``repeats`` times, after one round that does not count (it compiles).

    Returns:
        The median of each, in seconds.

    Example:
        >>> ticks = iter([9.0, 3.0, 1.0, 2.0])
        >>> in_turn({"a": lambda: next(ticks)}, 3)
        {'a': 2.0}
    """
    for watch in watches.values():
        watch()
    rounds = [{name: watch() for name, watch in watches.items()} for _ in range(repeats)]
    return {name: statistics.median(seconds[name] for seconds in rounds) for name in watches}


@contextmanager
def computing_on(threads: int | None) -> Iterator[int]:
    """Compute with so many of torch's threads (None: with as many as it has), then with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
