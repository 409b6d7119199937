"""A step against the same one in plain PyTorch."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from elman.draws import drawing, uniform
from elman.training.schedule import TrainingSettings
from elman.training.steps import Handle, Steps

SETTINGS = TrainingSettings(device="cpu", clip_norm=0.5, weight_decay=0.3, minutes=1e-9)


class Batches:
    def batch(self, step):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return SimpleNamespace(x=x, first=step % 2 == 0, to=lambda device: self.batch(step))


class Regression:
    """The squared sum of a linear layer's outputs, with random noise in it."""

    def __init__(self):
        torch.manual_seed(0)
        self.network = nn.Linear(3, 2)
        self.carries = []

    def training_step(self, batch, carry):
        self.carries.append(carry)
        noise = uniform((2,), batch.x)
        return ((self.network(batch.x) + noise) ** 2).sum(), 8, len(self.carries)


def test_a_step_is_that_of_plain_pytorch():
    task, plain = Regression(), Regression()
    steps = Steps(task, Batches(), SETTINGS)
    weight, bias = plain.network.parameters()
    groups = [{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.99), weight_decay=0.3, fused=True)
    carry = None
    for number, learning_rate in enumerate([0.1, 0.02, 0.3]):
        step = steps.take(number, carry, learning_rate)
        carry = step.carry
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        with drawing(SETTINGS.seed, number):
            loss_sum, targets, _ = plain.training_step(Batches().batch(number), None)
        optimizer.zero_grad()
        (loss_sum / targets).backward()
        norm = nn.utils.clip_grad_norm_(plain.network.parameters(), 0.5)
        optimizer.step()
        assert (step.loss, step.norm, step.targets) == ((loss_sum / 8).item(), norm.item(), 8)
        assert step.norm > 0.5  # so that it was clipped
    assert task.carries == [None, 1, None]  # what is carried is dropped where a pass begins
    assert type(task.network) is nn.Linear
    assert all(map(torch.equal, task.network.parameters(), plain.network.parameters()))


def test_measuring_steps_changes_neither_weights_nor_random_numbers():
    task = Regression()
    steps = Steps(task, Batches(), SETTINGS)
    before = [parameter.clone() for parameter in steps.network.parameters()]
    torch.manual_seed(5)
    assert steps.trial_seconds() > 0
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), drawn)
    assert len(task.carries) == 8
    assert all(map(torch.equal, steps.network.parameters(), before))
    assert not steps.optimizer.state


class Precise(Regression):
    """A task that records the precision of the network."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def training_step(self, batch, carry):
        outputs = self.network(batch.x)
        self.seen.append((self.network.training, outputs.dtype))
        return (outputs.float() ** 2).sum(), 8, None

    def validate(self):
        self.seen.append((self.network.training, self.network(torch.ones(1, 3)).dtype))
        return {"error": 0.5}


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_the_loss_and_the_validation_are_computed_inside_what_is_wrapped(monkeypatch, precision, dtype):
    inside = []
    forward = Handle.forward
    monkeypatch.setattr(Handle, "forward", lambda self, work: inside.append(work) or forward(self, work))
    task = Precise()
    steps = Steps(task, Batches(), TrainingSettings(device="cpu", precision=precision))
    step = steps.take(0, None, 0.1)
    assert step.loss > 0
    assert steps.validate() == {"error": 0.5}
    assert task.seen == [(True, dtype), (False, dtype)]
    assert len(inside) == 2
    assert task.network.training
    assert [name for name, _ in steps.network.named_parameters()] == ["weight", "bias"]
