"""The steps of a run: forward, backward through time, clip, update, on the device and in the precision set for it."""

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
from elman.training.schedule import TrainingSettings, is_measured, peak_learning_rate
from elman.training.task import Batches, Task

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class StepResult(NamedTuple):
    """The result of one step."""

    loss: float
    """Nats per target, before the update."""
    norm: float
    """The norm of the gradient, before clipping."""
    targets: int
    """The number of targets."""
    carry: Any
    """The state for the next batch."""


class Handle(nn.Module):
    """The module that Fabric wraps: the network, with everything that training and validation compute with it.

    A wrapper, for several processes or for mixed precision, only sees what runs inside ``forward``. So the loss is
    computed there, and validation runs there too. The task itself holds the unwrapped network.

    Args:
        network: the network to train.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, compute: Callable[[], Any]) -> Any:
        """Call a method of the task, such as a training step on a batch.

        It takes a callable rather than the batch: mixed precision copies every dataclass it is passed, field by field,
        and refuses frozen ones, which batches are.
        """
        return compute()


class Steps:
    """Takes the training steps of one network.

    Args:
        task: the network and its loss.
        batches: the training data.
        settings: how to train: optimizer, device and precision.
    """

    def __init__(self, task: Task, batches: Batches, settings: TrainingSettings) -> None:
        from lightning_fabric import Fabric

        self.fabric: Fabric = Fabric(accelerator=settings.device, devices=1, precision=settings.precision)
        self.network = task.network
        self._handle: Any = self.fabric.setup_module(Handle(task.network))
        self._task = task
        self._batches = batches
        self._settings = settings
        self.optimizer: Any = self.fabric.setup_optimizers(self._adamw(peak_learning_rate(settings)))

    def take(self, number: int, carry: Any, learning_rate: float) -> StepResult:
        """Take one step; its number determines the batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        return self._step(self.optimizer, number, carry)

    def trial_seconds(self) -> float:
        """Measure how long a step takes, with a learning rate of zero so that no weight changes."""
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
        """Validate the network through the same wrapper and in the same precision as :meth:`take`."""
        self._handle.eval()
        with drawing(self._settings.seed):
            metrics: dict[str, float | int] = self._handle(self._task.validate)
        self._handle.train()
        return metrics

    def _step(self, optimizer: Any, number: int, carry: Any) -> StepResult:
        batch = self._batches.batch(number).to(self.fabric.device)
        compute = partial(self._task.training_step, batch, None if batch.first else carry)
        with drawing(self._settings.seed, number):
            loss_sum, targets, carry = self._handle(compute)
        loss = loss_sum / targets
        optimizer.zero_grad()
        self.fabric.backward(loss)
        max_norm = self._settings.clip_norm or math.inf
        norm = self.fabric.clip_gradients(self._handle, optimizer, max_norm=max_norm, error_if_nonfinite=False)
        optimizer.step()
        return StepResult(loss.item(), float(norm) if norm is not None else 0.0, targets, carry)

    def _adamw(self, learning_rate: float) -> torch.optim.Optimizer:
        """Create AdamW with weight decay on matrices only."""
        parameters: list[nn.Parameter] = list(self.network.parameters())
        matrices = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        decay = self._settings.weight_decay
        return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), weight_decay=decay, fused=True)
