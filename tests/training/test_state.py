import math

import pytest
import torch

from elman.training.schedule import Schedule
from elman.training.state import RunState


def test_the_running_loss_is_an_exponential_mean():
    state, expected = RunState(), None
    for loss in (3.0, 1.0, 2.0, 0.5):
        expected = loss if expected is None else 0.95 * expected + 0.05 * loss
        assert state.add_loss(loss, 1.0) == ""
    assert (state.loss, state.first_loss) == (pytest.approx(expected), 3.0)


@pytest.mark.parametrize(
    ("loss", "norm", "trouble"),
    [
        (math.inf, 1.0, "grew from 2.00 to inf nats at step 8"),
        (math.nan, 1.0, "became nan at step 8"),
        (2.0, math.nan, "became 2.0 at step 8 (gradient norm nan)"),
        (2.0 + 4.1 / 0.05, 1.0, "grew from 2.00 to 6.10 nats at step 8 (gradient norm 1)"),  # the mean, above 2 x 2 + 2
        (2.0 + 3.9 / 0.05, 1.0, ""),
    ],
)
def test_divergence_is_described(loss, norm, trouble):
    state = RunState(step=7)
    state.add_loss(2.0, 1.0)
    said = state.add_loss(loss, norm)
    assert said.startswith(trouble) if trouble else said == ""


def test_the_best_weights_are_a_copy_and_ties_are_not_better():
    weights, state = {"w": torch.zeros(2)}, RunState()
    for step, error in enumerate([3.0, 2.0, 2.0, 5.0], start=1):
        state.step = step
        weights["w"].fill_(step)
        state.keep_best({"error": error}, lambda metrics: (metrics["error"],), weights)
    assert (state.best["step"], state.best["metrics"], state.since_best) == (2, {"error": 2.0}, 2)
    assert state.best["network"]["w"].tolist() == [2.0, 2.0]


def test_a_state_is_restored_from_its_saved_form():
    state = RunState(step=3, schedule=Schedule(total_steps=9, warmup_steps=1, eval_every=2), carry=(torch.ones(1),))
    state.add_validation({"error": 1.0}, 2.5)
    assert state.history == [{"step": 3, "targets": 0, "seconds": 2.5, "train_nats": None, "error": 1.0}]
    assert RunState.from_saved(state.to_saved()) == state
    with pytest.raises(ValueError, match="it is at step 10 of 9"):
        RunState.from_saved({**state.to_saved(), "step": 10})
