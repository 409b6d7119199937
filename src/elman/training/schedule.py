"""The training settings, and the schedule that follows from them: how many steps, at which learning rate."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from elman.errors import UsageError

MEASURED_SHARE = 0.02  # of the time budget for measuring the speed, before the number of steps is fixed
MEASURED_STEPS = 8, 100  # the least and the most steps to measure; the first two warm up and do not count
LEAST_STEPS = 1000  # max_epochs never ends a time budget before, however small the data
EVALUATION_SHARE = 0.08  # of a time budget for validating and sampling along the way
LEAST_EVALUATIONS = 3  # in a time budget, if `evaluations` allows
SLACK = 0.01  # of a time budget, or a twentieth of the time left: the schedule changes only to correct more than that


@dataclass(kw_only=True)
class TrainingSettings:
    """How to train a network: the settings that every model has."""

    minutes: float | None = None
    """Train for this long, including evaluation and saving. Default: 3, unless epochs or steps are given."""
    epochs: float | None = None
    """Train for this many passes over the training data instead of minutes."""
    steps: int | None = None
    """Train for this many optimizer steps instead of minutes."""
    max_epochs: float = 0
    """End a time budget after this many passes over the training data (but not before step 1000); 0: no limit."""
    learning_rate: float | None = 6e-3
    """Peak learning rate of AdamW: reached after the warm-up, then decays linearly to zero."""
    warmup_steps: int = 50
    """Steps over which the learning rate rises from zero (at most a tenth of the run)."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay, on matrices only."""
    clip_norm: float = 1.0
    """Clip the norm of the gradient to this value; 0: never."""
    evaluations: int = 20
    """The most validations in a run, including the one after the last step. A time budget spends at most 8 % on them,
    but makes at least three if this allows."""
    keep: Literal["best", "last", "average"] = "best"
    """The weights to keep: those of the best validation, those of the last step, or the average over the last fifth of
    the steps."""
    patience: int = 10
    """Stop early after this many validations in a row without a new best; 0: never."""
    seed: int = 1
    """Seed of all random numbers; the same seed and number of threads give the same bits."""
    threads: int | None = None
    """Number of CPU threads. Default: all cores."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes the GPU if there is one."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Numeric precision, by its Lightning Fabric name."""

    def check_training(self) -> None:
        """Raise UsageError for a value outside its limits."""
        given = [name for name in ("minutes", "epochs", "steps") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(f'`{name}`' for name in given)} are given together; give only one of them")
        for name in given:
            check_positive(name, getattr(self, name))
        check_positive("evaluations", self.evaluations)
        if self.learning_rate is not None:
            check_positive("learning_rate", self.learning_rate)
        for name in ("warmup_steps", "weight_decay", "clip_norm", "patience", "max_epochs"):
            check_positive(name, getattr(self, name), or_zero=True)
        if self.threads is not None:
            check_positive("threads", self.threads)
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed is {self.seed}; it must be at least zero and below 2^63")


def check_positive(name: str, value: float, *, or_zero: bool = False) -> None:
    """Raise UsageError unless ``value`` is a finite number above zero (or zero, if ``or_zero``)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UsageError(f"{name} is of type {type(value).__name__}; it must be a number")
    if not (math.isfinite(value) and (value > 0 or (or_zero and value == 0))):
        raise UsageError(f"{name} is {value}; it must be {'at least zero' if or_zero else 'above zero'}")


def check_whole(**values: int) -> None:
    """Raise UsageError unless each value is a whole number."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise UsageError(f"{name} is of type {type(value).__name__}; it must be a whole number")


@dataclass(frozen=True)
class Schedule:
    """The number of steps, when to validate, and the learning rate of each step."""

    total_steps: int
    warmup_steps: int
    eval_every: int
    changed_at: int = 0
    """The step at which the number of steps was last changed; 0: never."""
    factor_there: float = 1.0
    """The learning rate factor at that step."""
    planned_steps: int = 0
    """The number of steps of the first schedule, if it was changed."""

    @classmethod
    def from_saved(cls, saved: dict[str, Any]) -> Schedule:
        """Return the schedule in a checkpoint.

        Raises:
            ValueError: the schedule is invalid.
        """
        schedule = cls(**{field.name: saved[field.name] for field in fields(cls) if field.name in saved})
        starts = max(schedule.warmup_steps, schedule.changed_at)
        if not (schedule.warmup_steps >= 0 and schedule.changed_at >= 0 and starts < schedule.total_steps):
            raise ValueError("its schedule has no steps left after the warm-up")
        if schedule.eval_every < 1 or schedule.planned_steps < 0 or not 0 <= schedule.factor_there <= 1:
            raise ValueError("its schedule is invalid")
        return schedule

    @property
    def first_plan(self) -> int:
        """The number of steps of the first schedule. Dropout depends on it, so it stays the same over the whole run."""
        return self.planned_steps or self.total_steps

    def learning_rate_factor(self, step: int) -> float:
        """Return the factor of a step: it rises linearly over the warm-up, then falls linearly to zero at the end.

        Example:
            >>> schedule = Schedule(total_steps=30, warmup_steps=10, eval_every=10)
            >>> [schedule.learning_rate_factor(step) for step in (0, 9, 10, 20)]
            [0.1, 1.0, 1.0, 0.5]
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        falls_from = max(self.warmup_steps, self.changed_at)
        return self.factor_there * (self.total_steps - step) / (self.total_steps - falls_from)

    def change_total_steps(self, total_steps: int, step: int, eval_every: int | None = None) -> Schedule:
        """Change the number of steps at ``step``: from there the learning rate falls to zero over the remaining steps.

        A warm-up that is not over goes on to its full learning rate; it is cut to a tenth of the steps if it is longer.

        Example:
            >>> schedule = Schedule(total_steps=30, warmup_steps=10, eval_every=10).change_total_steps(25, step=20)
            >>> [schedule.learning_rate_factor(step) for step in (20, 21, 24)]
            [0.5, 0.4, 0.1]
            >>> schedule = Schedule(total_steps=150, warmup_steps=10, eval_every=10).change_total_steps(110, step=4)
            >>> [schedule.learning_rate_factor(step) for step in (4, 9, 10, 60)]
            [0.5, 1.0, 1.0, 0.5]
        """
        is_warming_up = step < self.warmup_steps
        return replace(
            self,
            total_steps=total_steps,
            warmup_steps=min(self.warmup_steps, max(total_steps // 10, step)),
            eval_every=eval_every or self.eval_every,
            changed_at=0 if is_warming_up else step,
            factor_there=1.0 if is_warming_up else self.learning_rate_factor(step),
            planned_steps=self.first_plan,
        )


def budget_minutes(settings: TrainingSettings) -> float:
    """Return the length of the time budget in minutes."""
    return 3.0 if settings.minutes is None else settings.minutes


def peak_learning_rate(settings: TrainingSettings) -> float:
    """Return the peak learning rate, which is known once a training begins."""
    assert settings.learning_rate is not None
    return settings.learning_rate


def plan_schedule(settings: TrainingSettings, batches_per_epoch: int) -> Schedule | None:
    """Return the schedule for a number of steps or epochs; None for a time budget, which needs the measured speed."""
    if settings.steps is not None:
        total = settings.steps
    elif settings.epochs is not None:
        total = max(1, round(settings.epochs * batches_per_epoch))
    else:
        return None
    return _schedule(total, settings.evaluations, settings)


def _schedule(total_steps: int, evaluations: int, settings: TrainingSettings) -> Schedule:
    return Schedule(
        total_steps=total_steps,
        warmup_steps=min(settings.warmup_steps, total_steps // 10),
        eval_every=max(1, math.ceil(total_steps / evaluations)),
    )


def is_measured(durations: list[float], settings: TrainingSettings) -> bool:
    """Return whether enough steps have been timed to trust their median."""
    least, most = MEASURED_STEPS
    enough = sum(durations) >= MEASURED_SHARE * 60 * budget_minutes(settings)
    return len(durations) >= most or (len(durations) >= least and enough)


def fit_schedule(
    step_seconds: float, left: float, evaluation_seconds: float, batches_per_epoch: int, settings: TrainingSettings
) -> Schedule:
    """Fit the number of steps, at least one, and of validations into the ``left`` seconds of a time budget."""
    evaluations = _evaluations(left, evaluation_seconds, 0, settings)
    steps = int((left - evaluations * evaluation_seconds) / step_seconds)
    return _schedule(max(_cap_steps(steps, batches_per_epoch, settings), 1), evaluations, settings)


def refit_schedule(
    schedule: Schedule,
    validated: list[int],
    step: int,
    step_seconds: float,
    left: float,
    evaluation_seconds: float,
    batches_per_epoch: int,
    settings: TrainingSettings,
) -> Schedule:
    """Fit the rest of a run into the rest of its time budget at the current speed.

    Args:
        schedule: the schedule so far.
        validated: the steps after which there was a validation, in order.
        step: the number of steps done.
        step_seconds: how long a step takes now.
        left: seconds left in the budget.
        evaluation_seconds: how long a validation takes.
        batches_per_epoch: batches in one pass over the data.
        settings: how long to train.

    Returns:
        The new schedule, or the same one if it is close enough to the budget.
    """
    evaluations = _evaluations(left, evaluation_seconds, len(validated), settings)
    rest = max(int((left - evaluations * evaluation_seconds) / step_seconds), 1)
    total_steps = max(_cap_steps(step + rest, batches_per_epoch, settings), step + 1)
    slack = max(SLACK * 60 * budget_minutes(settings), left / 20)
    if abs(total_steps - schedule.total_steps) * step_seconds <= slack:
        return schedule
    since = validated[-1] if validated else 0
    return schedule.change_total_steps(total_steps, step, math.ceil((total_steps - since) / evaluations))


def _evaluations(left: float, evaluation_seconds: float, done: int, settings: TrainingSettings) -> int:
    """Return the number of validations for the seconds left, including the one after the last step."""
    worthwhile = max(int(EVALUATION_SHARE * left / max(evaluation_seconds, 1e-3)), LEAST_EVALUATIONS - done)
    return max(min(worthwhile, int(settings.evaluations) - done), 1)


def _cap_steps(steps: int, batches_per_epoch: int, settings: TrainingSettings) -> int:
    """Limit the number of steps of a time budget to ``max_epochs``."""
    if not settings.max_epochs:
        return steps
    return min(steps, max(round(settings.max_epochs * batches_per_epoch), LEAST_STEPS))
