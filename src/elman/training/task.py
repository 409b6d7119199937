"""What the training loop requires of a model and of its data; it knows nothing else about them.

batches.batch(step)                     a pure function, so the position in the data is the step
task.training_step(batch, carry)        the summed loss in nats, the number of targets, the state for the next batch
task.validate(), task.sample()          metrics by name, and a few lines to show
gradients.measure(history)              how far back errors reach, and what to make of it; optional
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

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


GRADIENT_REACH = "gradient_reach"
"""The column of the log for how many steps back errors reach."""


class Insight(NamedTuple):
    """What a measurement of gradients by lag found."""

    figures: dict[str, float | None]
    """Columns of the log; None for a figure that is not finite. Empty if nothing could be measured."""
    verdict: str = ""
    """What they say about the model, in words."""
    has_remedy: bool = False
    """Whether the verdict names a setting to change."""


class GradientMeter(Protocol):
    """Measures how far back in time the errors of a network reach, while it trains.

    It draws no random numbers of the run, and leaves the parameters and their gradients as they are; only the network
    may be in evaluation mode afterwards.
    """

    @property
    def steps_between(self) -> float:
        """The least number of steps between two measurements, the same in equal runs; infinite if there can be none."""
        ...

    def measure(self, history: Sequence[dict[str, Any]]) -> Insight:
        """Measure the network as it is now.

        Args:
            history: the rows of the log so far.
        """
        ...
