from types import SimpleNamespace

import pytest
import torch
from torch import nn

from elman.errors import ModelError
from elman.training import clock as clock_module
from elman.training.checkpoint import load_checkpoint
from elman.training.keeping import CHECKPOINT_SECONDS, Keeper
from elman.training.state import RunState


def loss(metrics):
    return (metrics["nats_per_token"],)


def trained(steps):
    """A network and its optimizer after some steps, always the same ones."""
    torch.manual_seed(1)
    network = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    for _ in range(steps):
        train_on(network, optimizer)
    return network, optimizer


def train_on(network, optimizer):
    optimizer.zero_grad()
    network(torch.tensor([[0.5, 0.2], [0.1, 0.9]])).pow(2).sum().backward()
    optimizer.step()


def test_a_restored_run_continues_as_if_never_interrupted(tmp_path):
    network, optimizer = trained(3)
    Keeper(tmp_path / "c", {"config": {"a": 1}}, network, optimizer).save(RunState(step=3, carry=(torch.ones(2), None)))
    train_on(network, optimizer)

    saved = load_checkpoint(tmp_path / "c")
    assert saved["config"] == {"a": 1}
    again, its_optimizer = trained(0)
    state = Keeper(tmp_path / "c", {}, again, its_optimizer).restore(saved, loss)
    assert (state.step, state.carry[0].tolist(), state.carry[1]) == (3, [1.0, 1.0], None)
    train_on(again, its_optimizer)
    assert all(map(torch.equal, network.parameters(), again.parameters()))


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("network", lambda part: part.update(weight=torch.zeros(3, 3))),
        ("optimizer", lambda part: part["state"][0].update(exp_avg=torch.zeros(5))),
        ("state", lambda part: part.pop("step")),
        ("state", lambda part: part["best"]["metrics"].pop("nats_per_token")),
    ],
)
def test_a_part_that_does_not_fit_is_an_error(tmp_path, part, damage):
    best = {"step": 2, "metrics": {"nats_per_token": 1.0}, "network": {}}
    Keeper(tmp_path / "c", {}, *trained(2)).save(RunState(step=2, best=best))
    saved = load_checkpoint(tmp_path / "c")
    damage(saved[part])
    with pytest.raises(ModelError, match=r"the checkpoint does not fit the training .*; start afresh with `overwrite`"):
        Keeper(None, {}, *trained(0)).restore(saved, loss)


def test_it_is_due_after_a_while_and_without_a_file_nothing_is_written(tmp_path, monkeypatch):
    time = SimpleNamespace(now=0.0)
    monkeypatch.setattr(clock_module, "time", SimpleNamespace(perf_counter=lambda: time.now))
    keeper = Keeper(None, {}, *trained(0))
    time.now += CHECKPOINT_SECONDS
    assert not keeper.is_due
    time.now += 1
    assert keeper.is_due
    keeper.save(RunState())
    assert not keeper.is_due
    assert not list(tmp_path.iterdir())
