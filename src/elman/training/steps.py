"""The steps of a run: forward, backward through time, clip, update, on the device and in the precision asked for."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from elman.draws import drawing
from elman.training.clock import now
from elman.training.schedule import TrainingSettings, is_measured
from elman.training.task import Batches, Task

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class StepResult(NamedTuple):
    """What came of one step."""

    loss: float
    """Nats per target, before the update."""
    norm: float
    """Of the gradient, before it was clipped."""
    targets: int
    carry: Any
    """What is handed to the next batch."""


class Handle(nn.Module):
    """What Fabric wraps: the network, with everything that training and validation compute with it.

    A wrapper, for several processes or for another precision, sees what goes through ``forward``. So the loss is
    computed there, from the batch on, and validation runs there too; the task knows its network as it is.

    Args:
        network: what is trained.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, work: Callable[[], Any]) -> Any:
        """Do a work of the task, such as a training step, with the network."""
        return work()


class Steps:
    """Takes the training steps of one network.

    Args:
        task: the network and its loss.
        batches: the training data.
        settings: how fast to learn, on what.
    """

    def __init__(self, task: Task, batches: Batches, settings: TrainingSettings) -> None:
        from lightning_fabric import Fabric

        self.fabric: Fabric = Fabric(accelerator=settings.device, devices=1, precision=settings.precision)
        self.network = task.network
        self._handle: Any = self.fabric.setup_module(Handle(task.network))
        self._task = task
        self._batches = batches
        self._settings = settings
        self.optimizer: Any = self.fabric.setup_optimizers(self._adamw(settings.learning_rate))

    def take(self, number: int, carry: Any, learning_rate: float) -> StepResult:
        """Take one step: the number decides on the batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        return self._step(self.optimizer, number, carry)

    def trial_seconds(self) -> float:
        """Time steps at a learning rate of zero: no weight changes."""
        optimizer = self._adamw(learning_rate=0.0)
        durations: list[float] = []
        carry = None
        while not is_measured(durations, self._settings):
            began = now()
            carry = self._step(optimizer, len(durations), carry).carry
            durations.append(now() - began)
        self.network.zero_grad()
        return statistics.median(durations[2:])

    def validate(self) -> dict[str, float | int]:
        """Validate the network, as :meth:`take` computes: through the same wrapper, in the same precision."""
        self._handle.eval()
        with drawing(self._settings.seed):
            figures: dict[str, float | int] = self._handle(self._task.validate)
        self._handle.train()
        return figures

    def _step(self, optimizer: Any, number: int, carry: Any) -> StepResult:
        batch = self._batches.batch(number).to(self.fabric.device)
        work = partial(self._task.training_step, batch, None if batch.first else carry)
        with drawing(self._settings.seed, number):
            loss_sum, targets, carry = self._handle(work)
        loss = loss_sum / targets
        optimizer.zero_grad()
        self.fabric.backward(loss)
        max_norm = self._settings.clip_norm or math.inf
        norm = self.fabric.clip_gradients(self._handle, optimizer, max_norm=max_norm, error_if_nonfinite=False)
        optimizer.step()
        return StepResult(loss.item(), float(norm) if norm is not None else 0.0, targets, carry)

    def _adamw(self, learning_rate: float) -> torch.optim.Optimizer:
        """AdamW; only matrices decay."""
        parameters: list[nn.Parameter] = list(self.network.parameters())
        matrices = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        decay = self._settings.weight_decay
        return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), weight_decay=decay, fused=True)
