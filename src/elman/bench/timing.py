"""Timing: all candidates run alternately, so that a machine that slows down affects all of them; medians count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

Work = Callable[[], object]
Stopwatch = Callable[[], float]
"""Does some work and returns the time in seconds."""


def timed(
    work: Work, *, prepare: Work = lambda: None, parts: int = 1, clock: Callable[[], float] = time.perf_counter
) -> Stopwatch:
    """Create a stopwatch for some work.

    Args:
        work: the work to time.
        prepare: work to do before, untimed.
        parts: the number of equal parts of the work; the time is that of one part.
        clock: returns the time in seconds.
    """

    def watch() -> float:
        prepare()
        began = clock()
        work()
        return (clock() - began) / parts

    return watch


def in_turn(watches: Mapping[str, Stopwatch], repeats: int) -> dict[str, float]:
    """Run all stopwatches in turn, ``repeats`` times, after a round that does not count (it compiles).

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
    """Set the number of torch's threads (None: leave it), then restore it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
