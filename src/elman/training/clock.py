"""The clock of a run: how much of its time budget has passed, and how many steps fit into the rest."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable

from elman.training.schedule import Schedule, TrainingSettings, budget_minutes, fit_schedule, refit_schedule

RECENT_STEPS = 20  # the median of at most so many steps is the current speed
RECENT_SHARE = 1 / 8  # of the time budget; older steps no longer tell the current speed
LEAST_RECENT = 3  # steps that are kept however long they took
REFIT_SHARE = 0.01  # of the time budget between two checks of the speed


def now() -> float:
    """Return the time in seconds; all training code reads the clock here."""
    return time.perf_counter()


def predict_seconds(work: Callable[[int], float], size: int) -> float:
    """Predict how long some work takes by timing a part of it.

    Args:
        work: does a part of at most the given size and returns its share of the whole. It first runs untimed with the
            smallest size, since kernels may have to be compiled.
        size: the size of the part that is timed.
    """
    work(1)
    began = now()
    share = work(size)
    return (now() - began) / share


class Clock:
    """Measures the time and the speed of a run.

    Args:
        settings: how long to train.
        started: when the time budget began, see :func:`now`; None for now.
        reserve: seconds of the time budget to leave for the work after the last step.
    """

    def __init__(self, settings: TrainingSettings, started: float | None = None, reserve: float = 0.0) -> None:
        self.reserve = reserve
        self._settings = settings
        self._began = now() if started is None else started
        self._budget = 60 * budget_minutes(settings)
        self._recent: deque[float] = deque(maxlen=RECENT_STEPS)
        self._checked = self._began

    def resume(self, seconds: float) -> None:
        """Resume a run that had taken ``seconds`` when it was interrupted."""
        self._began = self._checked = now() - seconds

    @property
    def seconds(self) -> float:
        """Seconds since the run began, not counting interruptions."""
        return now() - self._began

    @property
    def left(self) -> float:
        """Seconds left for training in the time budget; negative when it is over."""
        return self._began + self._budget - self.reserve - now()

    @property
    def share(self) -> float:
        """The share of the training time that has passed."""
        return self.seconds / max(self.seconds + self.left, 1e-9)

    def add_step(self, seconds: float) -> None:
        """Record how long a step took."""
        self._recent.append(seconds)
        while len(self._recent) > LEAST_RECENT and sum(self._recent) > RECENT_SHARE * self._budget:
            self._recent.popleft()

    @property
    def step_seconds(self) -> float:
        """How long a step takes at the current speed."""
        return statistics.median(self._recent)

    def fit(self, step_seconds: float, evaluation_seconds: float, batches_per_epoch: int) -> Schedule:
        """Fit the number of steps and of validations into the time left."""
        return fit_schedule(step_seconds, self.left, evaluation_seconds, batches_per_epoch, self._settings)

    @property
    def is_due(self) -> bool:
        """Whether it is time to check the speed again."""
        return len(self._recent) >= LEAST_RECENT and now() - self._checked >= REFIT_SHARE * self._budget

    def refit(
        self, schedule: Schedule, validated: list[int], step: int, evaluation_seconds: float, batches_per_epoch: int
    ) -> Schedule:
        """Change a schedule that would miss the time budget at the current speed; see :func:`refit_schedule`."""
        self._checked = now()
        speed = (self.step_seconds, self.left, evaluation_seconds)
        return refit_schedule(schedule, validated, step, *speed, batches_per_epoch, self._settings)
