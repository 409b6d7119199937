"""What the training loop requires of a model and of its data; it knows nothing else about them.

batches.batch(step)                     a pure function, so the position in the data is the step
task.training_step(batch, carry)        the summed loss in nats, the number of targets, the state for the next batch
task.validate(), task.sample()          metrics by name, and a few lines to show
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn


class TrainingBatch(Protocol):
    """What the loop requires of a batch."""

    @property
    def first(self) -> bool:
        """Whether a new pass over the data begins, so the carried state is dropped."""
        ...

    def to(self, device: torch.device) -> TrainingBatch:
        """Return the batch with its tensors on ``device``."""
        ...


class Batches(Protocol):
    """The training data, as a pure function from the step to its batch."""

    def __len__(self) -> int:
        """Return the number of batches in one pass over the data."""
        ...

    def batch(self, step: int) -> TrainingBatch:
        """Return the batch of this step."""
        ...


class Task(Protocol):
    """What the loop requires of a model."""

    network: nn.Module  # its parameters are trained, its state_dict is saved

    def objective(self, metrics: dict[str, Any]) -> tuple[float, ...]:
        """Return the numbers to minimize, computed from the validation metrics; later ones break ties."""
        ...

    def plan(self, passes: float) -> None:
        """Prepare for the given number of passes over the training data; called before the first step."""
        ...

    def training_step(self, batch: Any, carry: Any) -> tuple[torch.Tensor, int, Any]:
        """Return the summed loss in nats, the number of targets, and the detached state to carry to the next batch.

        It runs inside ``forward`` of the module that Fabric wraps, as does :meth:`validate`.
        """
        ...

    def validate(self) -> dict[str, float | int]:
        """Return the validation metrics by name."""
        ...

    def sample(self) -> str:
        """Return a few lines that show what the network can do now."""
        ...
