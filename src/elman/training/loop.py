"""The one training loop, for every model.

    while step < total_steps:
        loss_sum, targets, carry = task.training_step(batch, carry)     # forward
        (loss_sum / targets).backward()                                 # through time, within this batch
        clip, learning rate, optimizer.step()
        every eval_every steps:  validate, keep the best, checkpoint

The loop knows a model only through :class:`Task` and its data only through :class:`Batches`. A batch is a pure function
of its step, so the position in the data is the step; everything else a run needs to go on is in :class:`State`.
"""

from __future__ import annotations

import logging
import math
import signal
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from elman.documents import check_shape
from elman.errors import DivergedError, Interrupted, ModelError
from elman.training.checkpoint import save_checkpoint
from elman.training.progress import Progress, Report
from elman.training.schedule import (
    Schedule,
    TrainingSettings,
    budget_minutes,
    fitted,
    keeping_pace,
    measured,
    planned,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 30.0  # no more than so much work is lost to a power cut


class Batch(Protocol):
    """What the loop asks of a batch."""

    @property
    def first(self) -> bool:
        """Whether a new pass begins, so that what was carried is dropped."""
        ...

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on ``device``."""
        ...


class Batches(Protocol):
    """The training data: a pure function from the step to its batch."""

    def __len__(self) -> int:
        """Batches in one pass over the data."""
        ...

    def batch(self, step: int) -> Batch:
        """Return the batch of this step."""
        ...


class Task(Protocol):
    """What the loop asks of a model."""

    network: nn.Module  # its parameters are trained, its state_dict is kept

    def objective(self, metrics: dict[str, Any]) -> tuple[float, ...]:
        """Return what of the validation figures is to become small; later ones decide where earlier ones are equal."""
        ...

    def plan(self, passes: float) -> None:
        """Hear, before the first step, how many passes over the training data there will be."""
        ...

    def training_step(self, batch: Any, carry: Any) -> tuple[torch.Tensor, int, Any]:
        """Return the summed loss in nats, the number of targets, and what to carry to the next batch, detached."""
        ...

    def validate(self) -> dict[str, float | int]:
        """Return the validation figures by name."""
        ...

    def sample(self) -> str:
        """Return a few lines that show what the network does now."""
        ...


STATE = {  # of a state as the checkpoint keeps it
    "step": int,
    "targets": int,
    "seconds": float,
    "step_seconds": float,
    "loss": (float, None),
    "first_loss": (float, None),
    "carry": object,
    "schedule": ({"total_steps": int, "warmup_steps": int, "eval_every": int, "changed_at?": int,
                  "factor_there?": float, "planned_steps?": int}, None),
    "best": ({"step": int, "metrics": {str: float}, "network": {str: object}}, None),
    "since_best": int,
    "history": [{str: (float, None)}],
}  # fmt: skip


@dataclass
class State:
    """Everything that changes while a network is trained, and is kept in the checkpoint."""

    step: int = 0
    targets: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0  # of them in training steps, without validation and saving
    loss: float | None = None  # nats per target, an exponential mean over about 20 steps
    first_loss: float | None = None
    carry: Any = None
    schedule: Schedule | None = None
    best: dict[str, Any] | None = None  # step, metrics, network
    since_best: int = 0
    history: list[dict[str, float | int | None]] = field(default_factory=list)  # one row a validation

    def saved(self) -> dict[str, Any]:
        """Return the state as a nested value for :func:`~elman.training.checkpoint.save_checkpoint`."""
        return {**vars(self), "schedule": vars(self.schedule) if self.schedule else None}

    @classmethod
    def restored(cls, saved: dict[str, Any]) -> State:
        """Return the state that :meth:`saved` described.

        Raises:
            ValueError: it describes none.
        """
        check_shape(saved, STATE)
        kept = {name: saved[name] for name in STATE}
        if saved["schedule"] is not None:
            kept["schedule"] = schedule = Schedule.restored(saved["schedule"])
            if not 0 <= saved["step"] <= schedule.total_steps:
                raise ValueError(f"it is at step {saved['step']} of {schedule.total_steps}")
        return cls(**kept)


def train(
    task: Task,
    batches: Batches,
    settings: TrainingSettings,
    *,
    progress: Progress,
    started: float | None = None,
    reserve: float = 0.0,
    checkpoint: Path | None = None,
    identity: dict[str, Any] | None = None,
    resume: dict[str, Any] | None = None,
) -> State:
    """Train a network and return what became of it; ``state.best["network"]`` holds the best weights.

    Args:
        task: the network and its loss, see :class:`Task`.
        batches: the training data.
        settings: how long, how fast, on what.
        progress: who is told.
        started: ``time.perf_counter()`` when the time budget began; now where not given.
        reserve: seconds of the time budget to leave for what the caller does afterwards.
        checkpoint: the file to keep the run in; none where not given.
        identity: what the checkpoint is to say about the model besides (settings, tokenizer, data).
        resume: a loaded checkpoint to go on from.

    Returns:
        The final state.

    Raises:
        DivergedError: the loss became NaN or exploded.
        Interrupted: SIGINT or SIGTERM came; the checkpoint was written first.
        ModelError: the checkpoint to go on from does not fit.
    """
    started = time.perf_counter() if started is None else started
    fabric, network = _set_up(task, settings)
    optimizer: Any = fabric.setup_optimizers(_optimizer(network, settings, settings.learning_rate))
    state = State()
    if resume is not None:
        state = _restore(resume, network, optimizer)
        state.carry = fabric.to_device(state.carry)
    state_began = started if resume is None else time.perf_counter() - state.seconds
    budget = 60 * budget_minutes(settings)
    deadline = state_began + budget - reserve  # of a time budget

    def save() -> None:
        if checkpoint is not None:
            save_checkpoint(
                checkpoint,
                {
                    "state": state.saved(),
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "random": _random_state(),
                    **(identity or {}),
                },
            )

    def evaluate() -> None:
        network.eval()
        metrics = task.validate()
        sample = task.sample()
        network.train()
        state.seconds = time.perf_counter() - state_began
        state.history.append(
            {
                "step": state.step,
                "targets": state.targets,
                "seconds": round(state.seconds, 3),
                "train_nats": state.loss,
                **metrics,
            }
        )
        if state.step > 0:
            for figure in metrics.values():
                if not math.isfinite(figure):  # the last step may have broken weights that no loss showed
                    raise _diverged(f"became {figure} in validation", state, settings, checkpoint)
            if state.best is None or task.objective(metrics) < task.objective(state.best["metrics"]):
                weights = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
                state.best = {"step": state.step, "metrics": metrics, "network": weights}
                state.since_best = 0
            else:
                state.since_best += 1
        progress.validated(state.step, metrics, sample, best=state.since_best == 0)

    fixed = planned(settings, len(batches))  # None where there is a time budget
    with _stop_signals() as stop, progress:
        if not state.history and fixed is None:
            with torch.random.fork_rng():
                task.sample()  # the first time, kernels may have to be compiled: that is not to count below
        network.train()
        began = time.perf_counter()
        if not state.history:
            evaluate()
        schedule = state.schedule or fixed
        if schedule is None:
            evaluation_seconds = time.perf_counter() - began
            step_seconds = _trial_seconds(fabric, task, batches, settings)
            left = deadline - time.perf_counter()
            if left < step_seconds:
                logger.warning(
                    "%g minutes were over before the first step: reading, measuring and judging take as long; there is "
                    "one step now, give more --minutes",
                    budget_minutes(settings),
                )
            schedule = fitted(step_seconds, left, evaluation_seconds, len(batches), settings)
            minutes = schedule.total_steps * step_seconds / 60
            progress.note(
                f"{schedule.total_steps:,} steps of {1000 * step_seconds:.0f} ms fit into "
                f"{budget_minutes(settings):g} min"
                if not settings.max_epochs or minutes > 0.8 * budget_minutes(settings)
                else f"{schedule.total_steps:,} steps of {1000 * step_seconds:.0f} ms, {minutes:.1f} min: no more than "
                f"{settings.max_epochs:g} passes over the data"
            )
        state.schedule = schedule
        task.plan(schedule.most_steps / len(batches))
        if state.step == 0:
            save()
        last_saved = time.perf_counter()
        durations: deque[float] = deque(maxlen=20)
        while not _finished(state, schedule, settings):
            began = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * schedule.learning_rate_factor(state.step)
            batch = batches.batch(state.step).to(fabric.device)
            loss, norm, targets, state.carry = _step(fabric, task, optimizer, batch, state.carry, settings)
            _follow_loss(state, loss, norm, settings, checkpoint)
            state.step += 1
            state.targets += targets
            durations.append(time.perf_counter() - began)
            state.step_seconds += durations[-1]
            state.seconds = time.perf_counter() - state_began

            progress.step(_report(state, schedule, durations, targets))
            if state.step == schedule.total_steps or state.step % schedule.eval_every == 0:
                began = time.perf_counter()
                evaluate()
                if fixed is None and state.step < schedule.total_steps and len(durations) == durations.maxlen:
                    now, recent = time.perf_counter(), statistics.median(durations)
                    schedule = keeping_pace(schedule, state.step, recent, now - began, deadline - now, budget)
                    if schedule != state.schedule:
                        progress.note(f"the speed has changed: {schedule.total_steps:,} steps fit into the time")
                    state.schedule = schedule
                save()
                last_saved = time.perf_counter()
            elif time.perf_counter() - last_saved > CHECKPOINT_SECONDS:
                save()
                last_saved = time.perf_counter()
            if stop.signal_number:
                save()
                kept = f"; {checkpoint} holds the training" if checkpoint else "; nothing was kept"
                raise Interrupted(f"stopped after step {state.step:,}{kept}", stop.signal_number)
        if state.step < schedule.total_steps:
            progress.note(f"stopped early: no new best in {state.since_best} validations")
    task.network = network.module
    return state


def predict_cost(task: Task, batches: Batches, settings: TrainingSettings) -> tuple[int, float]:
    """Return how many steps :func:`train` would take, and the seconds that one takes, measured; nothing is changed."""
    fabric, network = _set_up(task, settings)
    step_seconds = _trial_seconds(fabric, task, batches, settings)
    task.network = network.module
    seconds = 60 * budget_minutes(settings)
    schedule = planned(settings, len(batches)) or fitted(step_seconds, seconds, 0.0, len(batches), settings)
    return schedule.total_steps, step_seconds


def _set_up(task: Task, settings: TrainingSettings) -> tuple[Fabric, Any]:
    """Let Fabric take the network to its device and precision."""
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator=settings.device, devices=1, precision=settings.precision)
    task.network = fabric.setup_module(task.network)
    return fabric, task.network


def _optimizer(network: nn.Module, settings: TrainingSettings, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW; only matrices decay."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups, lr=learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
    )


def _step(
    fabric: Fabric, task: Task, optimizer: Any, batch: Batch, carry: Any, settings: TrainingSettings
) -> tuple[float, float, int, Any]:
    """Forward, backward, clip, update; return loss, gradient norm, number of targets, and what to carry on."""
    loss_sum, targets, carry = task.training_step(batch, None if batch.first else carry)
    loss = loss_sum / targets
    optimizer.zero_grad()
    fabric.backward(loss)
    norm = fabric.clip_gradients(
        task.network, optimizer, max_norm=settings.clip_norm or math.inf, error_if_nonfinite=False
    )
    optimizer.step()
    return loss.item(), float(norm) if norm is not None else 0.0, targets, carry


def _trial_seconds(fabric: Fabric, task: Task, batches: Batches, settings: TrainingSettings) -> float:
    """Time steps at a learning rate of zero: no weight changes, and no random number is used up.

    So a run with a time budget takes the very steps that ``--steps`` with the same number takes.
    """
    optimizer = _optimizer(task.network, settings, learning_rate=0.0)
    durations: list[float] = []
    carry = None
    with torch.random.fork_rng():
        while not measured(durations, settings):
            began = time.perf_counter()
            batch = batches.batch(len(durations)).to(fabric.device)
            *_, carry = _step(fabric, task, optimizer, batch, carry, settings)
            durations.append(time.perf_counter() - began)
    task.network.zero_grad()
    return statistics.median(durations[2:])


def _finished(state: State, schedule: Schedule, settings: TrainingSettings) -> bool:
    """Say whether the last step is done, or there was no new best for too long."""
    too_long = settings.patience > 0 and state.since_best >= settings.patience
    return too_long or state.step >= schedule.total_steps


def _follow_loss(state: State, loss: float, norm: float, settings: TrainingSettings, checkpoint: Path | None) -> None:
    """Keep the running mean of the loss; raise DivergedError where it is not a number or has exploded."""
    state.first_loss = loss if state.first_loss is None else state.first_loss
    state.loss = loss if state.loss is None else 0.95 * state.loss + 0.05 * loss
    exploded = state.loss > 2 * state.first_loss + 2
    if math.isfinite(loss) and math.isfinite(norm) and not exploded:
        return
    what = f"grew from {state.first_loss:.2f} to {state.loss:.2f} nats" if exploded else f"became {loss}"
    raise _diverged(f"{what} at step {state.step + 1:,} (gradient norm {norm:.3g})", state, settings, checkpoint)


def _diverged(what: str, state: State, settings: TrainingSettings, checkpoint: Path | None) -> DivergedError:
    best = "no validation had been made"
    if state.best is not None:
        place = f"{checkpoint}" if checkpoint else "the state"
        best = f"the best weights so far (step {state.best['step']:,}) are kept in {place}"
    return DivergedError(
        f"the loss {what}; {best}. Begin again with "
        f"--overwrite and a lower --learning-rate (now {settings.learning_rate:g}) or --clip-norm "
        f"(now {settings.clip_norm:g})."
    )


def _report(state: State, schedule: Schedule, durations: deque[float], targets: int) -> Report:
    recent = statistics.median(durations)
    return Report(
        step=state.step,
        total_steps=schedule.total_steps,
        nats=state.loss or 0.0,
        targets_per_second=targets / recent,
        seconds_left=(schedule.total_steps - state.step) * recent,
    )


def _restore(saved: dict[str, Any], network: nn.Module, optimizer: Any) -> State:
    """Take network, optimizer and random numbers back to where a checkpoint was written; return the state there.

    Raises:
        ModelError: a part of the checkpoint does not fit.
    """
    try:
        state = State.restored(saved["state"])
        network.load_state_dict(saved["network"])
        groups = optimizer.state_dict()["param_groups"]  # what the settings say, whatever the file does
        optimizer.load_state_dict({"state": saved["optimizer"]["state"], "param_groups": groups})
        for parameter, moments in optimizer.state.items():
            if {name: part.shape for name, part in moments.items()} != {
                "step": torch.Size(),
                "exp_avg": parameter.shape,
                "exp_avg_sq": parameter.shape,
            }:
                raise ValueError(f"the optimizer's state of a weight of shape {tuple(parameter.shape)} is another's")
        _set_random_state(saved["random"])
    except Exception as error:  # torch checks each part in its own way
        raise ModelError(
            f"the checkpoint does not fit the training ({type(error).__name__}: {str(error).splitlines()[0]}); "
            "start afresh with --overwrite"
        ) from error
    return state


def _random_state() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_state(saved: dict[str, Any]) -> None:
    torch.set_rng_state(saved["torch"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(saved["cuda"])


class _Stop:
    """Remembers that a signal came; the loop looks between two steps."""

    signal_number = 0


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Let SIGINT and SIGTERM wait until the step is done; a second one ends the process at once."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def remember(number: int, frame: Any) -> None:
        stop.signal_number = number
        restore()

    former = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    try:
        yield stop
    finally:
        restore()
