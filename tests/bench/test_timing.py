"""Stopwatches with a clock that advances only on command."""

import contextlib

import torch

from elman.bench.timing import computing_on, in_turn, timed


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def takes(self, *seconds):
        """Create work with the given durations, one for each call."""
        left = iter(seconds)

        def work():
            self.now += next(left)

        return work


def test_a_stopwatch_times_the_work_and_not_what_prepares_it():
    clock = Clock()
    watch = timed(clock.takes(6.0), prepare=clock.takes(100.0), parts=4, clock=clock)
    assert watch() == 1.5


def test_medians_of_rounds_in_turn_without_the_first():
    clock, calls = Clock(), []

    def called(name, work):
        return lambda: (calls.append(name), work())

    ours = timed(called("ours", clock.takes(50.0, 1.0, 9.0, 2.0)), clock=clock)
    theirs = timed(called("theirs", clock.takes(70.0, 8.0, 4.0, 6.0)), clock=clock)
    assert in_turn({"ours": ours, "theirs": theirs}, 3) == {"ours": 2.0, "theirs": 6.0}
    assert calls == ["ours", "theirs"] * 4


def test_threads_are_restored():
    before = torch.get_num_threads()
    with contextlib.suppress(KeyError), computing_on(before + 1) as threads:
        assert threads == torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
    with computing_on(None) as threads:
        assert threads == before
