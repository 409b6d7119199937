"""The clock of a run: what is over and left of its time budget, and how many steps fit into that."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable

from elman.training.schedule import Schedule, TrainingSettings, budget_minutes, fit_schedule, refit_schedule

RECENT_STEPS = 20  # at most, whose median says how fast the machine is now
RECENT_SHARE = 1 / 8  # of a time budget: what is older than that says no more how fast the machine is
LEAST_RECENT = 3  # steps, however long they took
LOOK_SHARE = 0.01  # of a time budget goes by between two looks at the speed


def now() -> float:
    """Return the time in seconds; all of training reads it here."""
    return time.perf_counter()


def predict_seconds(work: Callable[[int], float], size: int) -> float:
    """Predict how long a work takes from the time that a part of it takes.

    Args:
        work: does a part of at most the given size, and returns its share of the whole. It is called for the smallest
            part first, which is not timed: kernels may have to be compiled.
        size: of the part that is timed.
    """
    work(1)
    began = now()
    share = work(size)
    return (now() - began) / share


class Clock:
    """Measures the time of a run, and how fast it goes.

    Args:
        settings: how long to train.
        started: when the time budget began, see :func:`now`; now where not given.
        reserve: seconds of the time budget to leave for what comes after the last step.
    """

    def __init__(self, settings: TrainingSettings, started: float | None = None, reserve: float = 0.0) -> None:
        self.reserve = reserve
        self._settings = settings
        self._began = now() if started is None else started
        self._budget = 60 * budget_minutes(settings)
        self._recent: deque[float] = deque(maxlen=RECENT_STEPS)
        self._looked = self._began

    def resume(self, seconds: float) -> None:
        """Go on where a run was interrupted that had taken so long."""
        self._began = self._looked = now() - seconds

    @property
    def seconds(self) -> float:
        """Seconds since the run began, the pause of an interruption not counted."""
        return now() - self._began

    @property
    def left(self) -> float:
        """Seconds that are left of the time budget for training; below zero where it is over."""
        return self._began + self._budget - self.reserve - now()

    @property
    def share(self) -> float:
        """The share of the time for training that is over."""
        return self.seconds / max(self.seconds + self.left, 1e-9)

    def add_step(self, seconds: float) -> None:
        """Note how long a step took."""
        self._recent.append(seconds)
        while len(self._recent) > LEAST_RECENT and sum(self._recent) > RECENT_SHARE * self._budget:
            self._recent.popleft()

    @property
    def step_seconds(self) -> float:
        """How long a step takes now."""
        return statistics.median(self._recent)

    def fit(self, step_seconds: float, evaluation_seconds: float, batches_per_epoch: int) -> Schedule:
        """Fit the number of steps and of validations into what is left."""
        return fit_schedule(step_seconds, self.left, evaluation_seconds, batches_per_epoch, self._settings)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at the speed again."""
        return len(self._recent) >= LEAST_RECENT and now() - self._looked >= LOOK_SHARE * self._budget

    def refit(
        self, schedule: Schedule, validated: list[int], step: int, evaluation_seconds: float, batches_per_epoch: int
    ) -> Schedule:
        """Change a schedule where its budget would be missed at the speed of now; see :func:`refit_schedule`."""
        self._looked = now()
        speed = (self.step_seconds, self.left, evaluation_seconds)
        return refit_schedule(schedule, validated, step, *speed, batches_per_epoch, self._settings)
