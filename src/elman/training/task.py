"""What the training loop asks of a model and of its data; it knows nothing else of them.

batches.batch(step)                     a pure function, so that the position in the data is the step
task.training_step(batch, carry)        the summed loss in nats, how many targets it is of, what the next batch is told
task.validate(), task.sample()          figures by name, and a few lines to show
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn


class TrainingBatch(Protocol):
    """What the loop asks of a batch."""

    @property
    def first(self) -> bool:
        """Whether a new pass begins, so that what was carried is dropped."""
        ...

    def to(self, device: torch.device) -> TrainingBatch:
        """Return the batch with its tensors on ``device``."""
        ...


class Batches(Protocol):
    """The training data: a pure function from the step to its batch."""

    def __len__(self) -> int:
        """Batches in one pass over the data."""
        ...

    def batch(self, step: int) -> TrainingBatch:
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
        """Return the summed loss in nats, the number of targets, and what to carry to the next batch, detached.

        It runs inside ``forward`` of what Fabric wraps, as :meth:`validate` does.
        """
        ...

    def validate(self) -> dict[str, float | int]:
        """Return the validation figures by name."""
        ...

    def sample(self) -> str:
        """Return a few lines that show what the network does now."""
        ...
