import statistics
from types import SimpleNamespace

import pytest

from elman.training import clock as clock_module
from elman.training.clock import LEAST_RECENT, RECENT_STEPS, Clock, predict_seconds
from elman.training.schedule import Schedule, TrainingSettings


@pytest.fixture
def time(monkeypatch):
    """A clock that advances only on command."""
    time = SimpleNamespace(now=100.0)
    monkeypatch.setattr(clock_module, "time", SimpleNamespace(perf_counter=lambda: time.now))
    return time


def test_a_budget_runs_from_its_start_and_leaves_a_reserve(time):
    clock = Clock(TrainingSettings(minutes=2), started=90.0, reserve=7.0)
    assert (clock.seconds, clock.left) == (10.0, 120 - 7 - 10)
    time.now += 200
    assert (clock.seconds, clock.left) == (210.0, 120 - 7 - 210)


def test_the_pause_of_an_interruption_does_not_count(time):
    clock = Clock(TrainingSettings(minutes=1))
    time.now += 1000
    clock.resume(20.0)
    assert (clock.seconds, clock.left) == (20.0, 40.0)


def test_the_speed_is_that_of_the_latest_steps():
    clock = Clock(TrainingSettings())
    durations = [9.0] * 5 + [0.1 * number for number in range(RECENT_STEPS)]
    for seconds in durations:
        clock.add_step(seconds)
    assert clock.step_seconds == statistics.median(durations[-RECENT_STEPS:])


def test_the_speed_is_not_that_of_long_ago():
    clock = Clock(TrainingSettings(minutes=1))
    for seconds in [3.0] * 5 + [1.0] * 8:  # an eighth of a minute holds the last seven
        clock.add_step(seconds)
    assert clock.step_seconds == 1.0


def test_the_steps_change_only_where_the_budget_would_be_missed(time):
    schedule = Schedule(total_steps=60, warmup_steps=0, eval_every=100)  # one a second, for a minute
    for seconds, total_steps in ((1.0, 60), (1.01, 60), (2.0, 10 + 50 // 2), (0.5, 10 + 50 * 2)):
        clock = Clock(TrainingSettings(minutes=1), started=time.now - 10)
        for _ in range(LEAST_RECENT):
            assert not clock.is_due  # too few steps to tell
            clock.add_step(seconds)
        assert clock.is_due
        assert clock.refit(schedule, [], 10, 0.0, 1000).total_steps == total_steps
        assert not clock.is_due  # it has just been looked at
        time.now += 1
        assert clock.is_due


def test_the_predicted_time_scales_with_the_part_and_ignores_compilation(time):
    sizes = []

    def work(size):
        time.now += 0.5 * size if sizes else 60.0  # the first call compiles
        sizes.append(size)
        return size / 30

    assert predict_seconds(work, 10) == pytest.approx(15.0)
    assert sizes == [1, 10]
