"""The state of a run: everything that changes during training, except the weights and the optimizer's state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from elman.documents import check_shape
from elman.training.schedule import Schedule
from elman.training.task import GRADIENT_REACH, Insight

SAVED_SHAPE = {  # of the state in a checkpoint
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
    "evaluation_seconds?": float,
    "verdict?": str,
    "average?": ({"steps": int, "network": {str: object}}, None),
}  # fmt: skip


Objective = Callable[[dict[str, Any]], tuple[float, ...]]
"""Turns validation metrics into numbers to minimize; later ones break ties."""


@dataclass
class RunState:
    """Everything that changes during training and is saved in the checkpoint."""

    step: int = 0
    targets: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0  # spent in training steps, without validation and saving
    loss: float | None = None  # nats per target, an exponential moving average over about 20 steps
    first_loss: float | None = None
    carry: Any = None
    schedule: Schedule | None = None
    best: dict[str, Any] | None = None  # step, metrics, network
    average: dict[str, Any] | None = None  # steps, network: the mean of its weights after so many steps
    since_best: int = 0
    history: list[dict[str, float | int | None]] = field(default_factory=list)  # one row per validation
    evaluation_seconds: float = 0.0  # the time of the last validation
    verdict: str = ""  # of the last measurement of gradients by lag

    def add_loss(self, loss: float, norm: float) -> str:
        """Add a step's loss to the moving average; return what went wrong, or an empty string.

        Args:
            loss: nats per target.
            norm: the norm of the step's gradient.

        Example:
            >>> state = RunState()
            >>> state.add_loss(2.0, 1.0), state.add_loss(1.0, 1.0), state.loss
            ('', '', 1.95)
            >>> state.add_loss(math.nan, 1.0)
            'became nan at step 1 (gradient norm 1)'
        """
        self.first_loss = loss if self.first_loss is None else self.first_loss
        self.loss = loss if self.loss is None else 0.95 * self.loss + 0.05 * loss
        exploded = self.loss > 2 * self.first_loss + 2
        if math.isfinite(loss) and math.isfinite(norm) and not exploded:
            return ""
        what = f"grew from {self.first_loss:.2f} to {self.loss:.2f} nats" if exploded else f"became {loss}"
        return f"{what} at step {self.step + 1:,} (gradient norm {norm:.3g})"

    @property
    def validated(self) -> list[int]:
        """The steps after which there was a validation, without the validation before the first step."""
        return [step for row in self.history if (step := int(row["step"] or 0)) > 0]

    def add_validation(self, metrics: dict[str, float | int], seconds: float) -> None:
        """Add a row to the history."""
        self.seconds = seconds
        row = {"step": self.step, "targets": self.targets, "seconds": round(seconds, 3), "train_nats": self.loss}
        self.history.append({**row, **metrics})

    def add_insight(self, insight: Insight) -> None:
        """Add the figures of a measurement to the row of the last validation, and keep its verdict."""
        self.history[-1].update(insight.figures)
        self.verdict = insight.verdict

    @property
    def gradient_reach(self) -> float | None:
        """How many steps back errors reached at the last measurement; None if there was none, or it was not finite."""
        return next((row[GRADIENT_REACH] for row in reversed(self.history) if GRADIENT_REACH in row), None)

    @property
    def measured(self) -> int:
        """The step of the last measurement of gradients by lag; 0 for none."""
        return max((int(row["step"] or 0) for row in self.history if GRADIENT_REACH in row), default=0)

    def keep_best(
        self,
        metrics: dict[str, float | int],
        objective: Objective,
        weights: dict[str, Tensor],
    ) -> None:
        """Keep a copy of the weights if their validation is the best so far."""
        if self.best is None or objective(metrics) < objective(self.best["metrics"]):
            self.keep_instead(metrics, weights)
            self.since_best = 0
        else:
            self.since_best += 1

    def add_to_average(self, weights: dict[str, Tensor]) -> None:
        """Add the weights after a step to their running average; whole numbers are replaced."""
        if self.average is None:
            self.average = {"steps": 0, "network": _copy(weights)}
        self.average["steps"] += 1
        for name, mean in self.average["network"].items():
            newest = weights[name].detach().cpu()
            if mean.is_floating_point():
                mean.lerp_(newest, 1 / self.average["steps"])
            else:
                mean.copy_(newest)

    def keep_instead(self, metrics: dict[str, float | int], weights: dict[str, Tensor]) -> None:
        """Keep a copy of these weights in place of those of the best validation."""
        self.best = {"step": self.step, "metrics": metrics, "network": _copy(weights)}

    def to_saved(self) -> dict[str, Any]:
        """Return the state as a nested value for :func:`~elman.training.checkpoint.save_checkpoint`."""
        return {**vars(self), "schedule": vars(self.schedule) if self.schedule else None}

    @classmethod
    def from_saved(cls, saved: dict[str, Any]) -> RunState:
        """Return the state from the value that :meth:`to_saved` returned.

        Raises:
            ValueError: the value is not such a state.
        """
        check_shape(saved, SAVED_SHAPE)
        kept = {field.name: saved[field.name] for field in fields(cls) if field.name in saved}
        if saved["schedule"] is not None:
            kept["schedule"] = schedule = Schedule.from_saved(saved["schedule"])
            if not 0 <= saved["step"] <= schedule.total_steps:
                raise ValueError(f"it is at step {saved['step']} of {schedule.total_steps}")
        return cls(**kept)


def _copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
