"""The training loop of every model.

    while step < total_steps:
        loss_sum, targets, carry = task.training_step(batch, carry)     # forward
        (loss_sum / targets).backward()                                 # through time, within this batch
        clip, learning rate, optimizer.step()
        every eval_every steps:  validate, keep the best, checkpoint

The loop knows a model and its data only through the protocols of :mod:`elman.training.task`. A run is made of a
:class:`~elman.training.state.RunState`, a :class:`~elman.training.clock.Clock`, a
:class:`~elman.training.keeping.Keeper` for its checkpoint and :class:`~elman.training.steps.Steps`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from threading import Event
from typing import Any

from elman.errors import DivergedError, Interrupted
from elman.training.clock import Clock, now
from elman.training.keeping import Keeper
from elman.training.progress import Progress, StepReport
from elman.training.schedule import (
    Schedule,
    TrainingSettings,
    budget_minutes,
    fit_schedule,
    peak_learning_rate,
    plan_schedule,
)
from elman.training.signals import stop_signals
from elman.training.state import RunState
from elman.training.steps import Steps
from elman.training.task import Batches, GradientMeter, Task

logger = logging.getLogger(__name__)

AVERAGED_SHARE = 0.2  # of the steps, the last ones, whose weights are averaged
RESERVE_AFTER = 0.8  # of the training time, the time for the work after the last step is measured again
TELLING_SHARE = 0.5  # of the steps: before, gradients tell of the initial weights more than of the model
NOTED_CHANGE = 0.1  # of the number of steps: a larger change is reported


def train(
    task: Task,
    batches: Batches,
    settings: TrainingSettings,
    *,
    progress: Progress,
    summary: str = "",
    gradients: GradientMeter | None = None,
    started: float | None = None,
    reserve: Callable[[], float] = lambda: 0.0,
    checkpoint: Path | None = None,
    identity: dict[str, Any] | None = None,
    resume: dict[str, Any] | None = None,
    stop: Event | None = None,
) -> RunState:
    """Train a network and return the final state; ``state.best["network"]`` holds the weights to keep.

    Args:
        task: the network and its loss, see :class:`~elman.training.task.Task`.
        batches: the training data.
        settings: how to train.
        progress: the display to report to.
        summary: the data and the settings chosen for them, to report in one line with the number of passes.
        gradients: measures gradients by lag at validations, as often as takes less than 1 % of the time, and at the
            last one; None for never.
        started: ``time.perf_counter()`` when the time budget began; None for now.
        reserve: measures how many seconds of the time budget to leave for the caller's work afterwards. It is called
            before the first step and again near the end, when the network has learned and the machine may be faster or
            slower. Used for a time budget only.
        checkpoint: the file to save the run to; None to save nothing.
        identity: more entries for the checkpoint (settings, tokenizer, data).
        resume: a loaded checkpoint to resume from.
        stop: an event that any thread may set to end the run after the current step.

    Returns:
        The final state.

    Raises:
        DivergedError: the loss became NaN or exploded.
        Interrupted: SIGINT, SIGTERM or SIGHUP arrived, or ``stop`` was set; the checkpoint was written first.
        ModelError: the checkpoint to resume from does not fit.
    """
    clock = Clock(settings, started)
    steps = Steps(task, batches, settings)
    keeper = Keeper(checkpoint, identity or {}, steps.network, steps.optimizer)
    state = RunState()
    if resume is not None:
        state = keeper.restore(resume, task.objective)
        state.carry = steps.fabric.to_device(state.carry)
        clock.resume(state.seconds)
    run = _Run(task, len(batches), settings, progress, state, clock, keeper, steps, reserve, summary, gradients)
    with stop_signals() as signals, progress:
        run.begin()
        while not run.is_finished:
            run.step()
            if is_validated := run.is_validation_due:
                run.validate()
            run.keep_pace()
            if is_validated or keeper.is_due:
                keeper.save(state)
            if signals.signal_number or (stop is not None and stop.is_set()):
                keeper.save(state)
                saved = f"; {checkpoint} holds the training" if checkpoint else "; nothing was saved"
                raise Interrupted(f"stopped after step {state.step:,}{saved}", signals.signal_number or SIGINT)
        run.keep_chosen()
        if state.step < run.schedule.total_steps:
            progress.note(f"stopped early: no new best in {state.since_best} validations")
    return state


def predict_cost(task: Task, batches: Batches, settings: TrainingSettings) -> tuple[int, float]:
    """Return the number of steps that :func:`train` would take and the measured seconds per step; changes nothing."""
    steps = Steps(task, batches, settings)
    step_seconds = steps.trial_seconds()
    seconds = 60 * budget_minutes(settings)
    schedule = plan_schedule(settings, len(batches)) or fit_schedule(step_seconds, seconds, 0.0, len(batches), settings)
    return schedule.total_steps, step_seconds


def describe_run(summary: str, passes: float, settings: TrainingSettings) -> str:
    """Describe a run in one line: what is trained on, and for how long.

    Example:
        >>> describe_run("2,000 texts of about 790 tokens: batches of 16", 3.14, TrainingSettings(minutes=3))
        '2,000 texts of about 790 tokens: batches of 16, 3.1 passes in 3 minutes'
        >>> describe_run("900,000 pairs of about 40 tokens: batches of 50", 0.25, TrainingSettings(minutes=1))
        '900,000 pairs of about 40 tokens: batches of 50, only 25 % of a pass in 1 minute; give more `minutes`'
    """
    minutes = budget_minutes(settings)
    span = f" in {minutes:g} minute{'s' * (minutes != 1)}" if settings.steps is None and settings.epochs is None else ""
    if passes < 0.95 and span:
        return f"{summary}, only {passes:.0%} of a pass{span}; give more `minutes`".replace("%", " %")
    return f"{summary}, {passes:,.1f} passes{span}"


@dataclass
class _Run:
    """A run, assembled from its parts."""

    task: Task
    num_batches: int
    settings: TrainingSettings
    progress: Progress
    state: RunState
    clock: Clock
    keeper: Keeper
    steps: Steps
    reserve: Callable[[], float]
    summary: str
    gradients: GradientMeter | None
    is_remedy_shown: bool = False
    is_reserve_final: bool = False
    noted_steps: int = 0

    @property
    def schedule(self) -> Schedule:
        """The schedule, which :meth:`begin` sets."""
        assert self.state.schedule is not None
        return self.state.schedule

    @property
    def has_budget(self) -> bool:
        """Whether a time budget determines the number of steps."""
        return plan_schedule(self.settings, self.num_batches) is None

    @property
    def is_finished(self) -> bool:
        """Whether the last step is done, or patience has run out."""
        state, patience = self.state, self.settings.patience
        return state.step >= self.schedule.total_steps or 0 < patience <= state.since_best

    @property
    def is_validation_due(self) -> bool:
        """Whether this was the last step, or ``eval_every`` steps have passed since the last validation."""
        state, schedule = self.state, self.schedule
        last = state.validated[-1] if state.validated else 0
        return state.step == schedule.total_steps or state.step - last >= schedule.eval_every

    def begin(self) -> None:
        """Validate the untrained network and fix the schedule, unless the run is resumed."""
        is_fresh = not self.state.history
        if self.has_budget:
            self.clock.reserve = self.reserve()
        if is_fresh and self.has_budget:
            self.task.sample()  # compiles the kernels if needed, so that it does not count below
        self.steps.network.train()
        if is_fresh:
            self.validate()
        if self.state.schedule is None:
            self.state.schedule = plan_schedule(self.settings, self.num_batches) or self._measure()
        self.noted_steps = self.schedule.total_steps
        passes = self.schedule.first_plan / self.num_batches
        self.task.plan(passes)
        if self.summary and is_fresh:
            self.progress.note(describe_run(self.summary, passes, self.settings))
        if self.state.step == 0:
            self.keeper.save(self.state)

    def step(self) -> None:
        """Take the next step."""
        began = now()
        state = self.state
        learning_rate = peak_learning_rate(self.settings) * self.schedule.learning_rate_factor(state.step)
        step = self.steps.take(state.step, state.carry, learning_rate)
        state.carry = step.carry
        if problem := state.add_loss(step.loss, step.norm):
            raise self._diverged(problem)
        state.step += 1
        if self.settings.keep == "average" and state.step > (1 - AVERAGED_SHARE) * self.schedule.total_steps:
            state.add_to_average(self.steps.network.state_dict())
        state.targets += step.targets
        seconds = now() - began
        self.clock.add_step(seconds)
        state.step_seconds += seconds
        state.seconds = self.clock.seconds
        total, recent = self.schedule.total_steps, self.clock.step_seconds
        left = (total - state.step) * recent
        self.progress.step(StepReport(state.step, total, state.loss or 0.0, step.targets / recent, left))

    def keep_pace(self) -> None:
        """Change the number of steps if the time budget would be missed at the current speed."""
        state, clock = self.state, self.clock
        if not (self.has_budget and clock.is_due and state.step < self.schedule.total_steps):
            return
        if not self.is_reserve_final and clock.share > RESERVE_AFTER:
            self.is_reserve_final = True
            clock.reserve = self.reserve()
            self.steps.network.train()
        state.schedule = clock.refit(
            self.schedule, state.validated, state.step, state.evaluation_seconds, self.num_batches
        )
        steps = self.schedule.total_steps
        if abs(steps - self.noted_steps) > NOTED_CHANGE * self.noted_steps:
            self.noted_steps = steps
            self.progress.note(f"the speed has changed: {steps:,} steps now fit into the time budget")

    def validate(self) -> None:
        """Validate the network, and keep its weights if they are the best so far."""
        began = now()
        network, state = self.steps.network, self.state
        metrics = self.steps.validate()
        network.eval()
        sample = self.task.sample()
        network.train()
        state.add_validation(metrics, self.clock.seconds)
        remedy = ""
        if state.step > 0:
            for value in metrics.values():
                if not math.isfinite(value):  # the last update may have diverged after the last finite loss
                    raise self._diverged(f"became {value} in validation")
            state.keep_best(metrics, self.task.objective, network.state_dict())
            remedy = self._measure_gradients()
            network.train()
        self.progress.validated(state.step, metrics, sample, best=state.since_best == 0)
        if remedy and not self.is_remedy_shown:
            self.is_remedy_shown = True
            self.progress.note(remedy)
        state.evaluation_seconds = now() - began

    def keep_chosen(self) -> None:
        """Replace the best weights by the last ones or by the average, if these are to be kept."""
        state, network = self.state, self.steps.network
        if self.settings.keep == "best":
            return
        if self.settings.keep == "average" and state.average is not None:  # None: it stopped early
            network.load_state_dict(state.average["network"])
        state.keep_instead(self.steps.validate(), network.state_dict())

    def _measure_gradients(self) -> str:
        """Measure gradients by lag, unless the last measurement was too short ago.

        Returns:
            The verdict if it names a remedy and the network has been trained for long enough to tell.
        """
        state, gradients = self.state, self.gradients
        if gradients is None:
            return ""
        if not self.is_finished and state.step - state.measured < gradients.steps_between:
            return ""
        insight = gradients.measure(state.history)
        state.add_insight(insight)
        is_telling = self.is_finished or state.step >= TELLING_SHARE * self.schedule.total_steps
        return insight.verdict if insight.has_remedy and is_telling else ""

    def _measure(self) -> Schedule:
        """Fit a schedule into the time budget at the measured speed."""
        step_seconds = self.steps.trial_seconds()
        budget = budget_minutes(self.settings)
        if self.clock.left < step_seconds:
            logger.warning(
                "the %g minutes were over before the first step, after reading, measuring and evaluating; training "
                "takes one step, give more `minutes`",
                budget,
            )
        schedule = self.clock.fit(step_seconds, self.state.evaluation_seconds, self.num_batches)
        minutes = schedule.total_steps * step_seconds / 60
        steps = f"{schedule.total_steps:,} steps of {1000 * step_seconds:.0f} ms"
        passes = f"{self.settings.max_epochs:g} passes over the data"
        self.progress.note(
            f"{steps} fit into {budget:g} min"
            if not self.settings.max_epochs or minutes > 0.8 * budget
            else f"{steps}, {minutes:.1f} of {budget:g} min: more than {passes} gain nothing (`max_epochs`)"
        )
        return schedule

    def _diverged(self, what: str) -> DivergedError:
        best = "there was no validation yet"
        if self.state.best is not None:
            place = self.keeper.path or "the state"
            best = f"the best weights so far (step {self.state.best['step']:,}) are in {place}"
        return DivergedError(
            f"the loss {what}; {best}. Train again with "
            f"`overwrite` and a lower `learning_rate` (now {peak_learning_rate(self.settings):g}) or `clip_norm` "
            f"(now {self.settings.clip_norm:g})."
        )
