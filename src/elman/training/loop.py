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

import math
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from elman.errors import DivergedError, Interrupted
from elman.training.checkpoint import save_checkpoint
from elman.training.progress import Progress, Report
from elman.training.schedule import Schedule, TrainingSettings, budget_minutes, fitted, measured, planned

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
    objective: str  # the name of the validation figure to minimise

    def training_step(self, batch: Any, carry: Any) -> tuple[torch.Tensor, int, Any]:
        """Return the summed loss in nats, the number of targets, and what to carry to the next batch, detached."""
        ...

    def validate(self) -> dict[str, float | int]:
        """Return the validation figures by name."""
        ...

    def sample(self) -> str:
        """Return a few lines that show what the network does now."""
        ...


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
        """Return the state that :meth:`saved` described."""
        schedule = Schedule(**saved["schedule"]) if saved["schedule"] else None
        return cls(**{**saved, "schedule": schedule})


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
    """
    from lightning_fabric import Fabric

    started = time.perf_counter() if started is None else started
    fabric = Fabric(accelerator=settings.device, devices=1, precision=settings.precision)
    decayed = [parameter for parameter in task.network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in task.network.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    network, optimizer = fabric.setup(
        task.network,
        torch.optim.AdamW(
            groups, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
        ),
    )
    task.network = network
    state = State()
    if resume is not None:
        state = State.restored(resume["state"])
        network.load_state_dict(resume["network"])
        optimizer.load_state_dict(resume["optimizer"])
        _set_random_state(resume["random"])
        state.carry = fabric.to_device(state.carry)
    else:
        state.schedule = planned(settings, len(batches))
    state_began = time.perf_counter() - state.seconds

    def save() -> None:
        if checkpoint is not None and state.schedule is not None:
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
            if not math.isfinite(metrics[task.objective]):  # the last step may have broken weights that no loss showed
                raise _diverged(f"became {metrics[task.objective]} in validation", state, settings, checkpoint)
            if state.best is None or metrics[task.objective] < state.best["metrics"][task.objective]:
                weights = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
                state.best = {"step": state.step, "metrics": metrics, "network": weights}
                state.since_best = 0
            else:
                state.since_best += 1
        progress.validated(state.step, metrics, sample, best=state.since_best == 0)

    network.train()
    durations: list[float] = []
    with _stop_signals() as stop, progress:
        before = time.perf_counter()
        if not state.history:
            evaluate()
            save()
        evaluation_seconds = time.perf_counter() - before
        last_saved = time.perf_counter()
        while not _finished(state, settings):
            step_began = time.perf_counter()
            batch = batches.batch(state.step).to(fabric.device)
            warmup_only = min(1.0, (state.step + 1) / max(settings.warmup_steps, 1))
            factor = state.schedule.learning_rate_factor(state.step) if state.schedule else warmup_only
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * factor

            loss_sum, targets, state.carry = task.training_step(batch, None if batch.first else state.carry)
            loss = loss_sum / targets
            optimizer.zero_grad()
            fabric.backward(loss)
            norm = fabric.clip_gradients(
                network, optimizer, max_norm=settings.clip_norm or math.inf, error_if_nonfinite=False
            )
            _note_loss(state, loss.item(), float(norm) if norm is not None else 0.0, settings, checkpoint)
            optimizer.step()
            state.step += 1
            state.targets += targets

            now = time.perf_counter()
            state.seconds = now - state_began
            durations.append(now - step_began)
            state.step_seconds += durations[-1]
            if state.schedule is None and measured(durations, settings):
                left = started + 60 * budget_minutes(settings) - now - reserve
                state.schedule = fitted(durations, state.step, left, evaluation_seconds, settings)
                progress.note(
                    f"{state.schedule.total_steps:,} steps fit into {budget_minutes(settings):g} min "
                    f"({1000 * statistics.median(durations[2:]):.0f} ms each)"
                )
                save()
            progress.step(_report(state, durations, targets))
            if state.schedule is not None:
                done = state.step == state.schedule.total_steps
                if done or state.step % state.schedule.eval_every == 0:
                    evaluate()
                    save()
                    last_saved = time.perf_counter()
                    if not done and _finished(state, settings):
                        progress.note(f"stopped early: no new best in {state.since_best} validations")
                elif now - last_saved > CHECKPOINT_SECONDS:
                    save()
                    last_saved = time.perf_counter()
            if stop.signal_number:
                save()
                kept = f"; {checkpoint} holds the training" if checkpoint and state.schedule else "; nothing was kept"
                raise Interrupted(f"stopped after step {state.step:,}{kept}", stop.signal_number)
    task.network = network.module
    return state


def seconds_per_step(task: Task, batches: Batches, settings: TrainingSettings, steps: int = 8) -> float:
    """Time a few forward and backward passes, without changing a weight: what ``--dry-run`` predicts from."""
    durations = []
    for step in range(steps):
        began = time.perf_counter()
        loss_sum, targets, _ = task.training_step(batches.batch(step), None)
        (loss_sum / targets).backward()  # type: ignore[no-untyped-call]
        task.network.zero_grad()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations[2:])


def _finished(state: State, settings: TrainingSettings) -> bool:
    """Say whether the last step is done, or there was no new best for too long."""
    if settings.patience and state.since_best >= settings.patience:
        return True
    return state.schedule is not None and state.step >= state.schedule.total_steps


def _note_loss(state: State, loss: float, norm: float, settings: TrainingSettings, checkpoint: Path | None) -> None:
    """Follow the loss; raise DivergedError where it is not a number or has exploded."""
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


def _report(state: State, durations: list[float], targets: int) -> Report:
    recent = statistics.median(durations[-20:])
    total = state.schedule.total_steps if state.schedule else None
    return Report(
        step=state.step,
        total_steps=total,
        nats=state.loss or 0.0,
        targets_per_second=targets / recent,
        seconds_left=None if total is None else (total - state.step) * recent,
    )


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
