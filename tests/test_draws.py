"""Random draws in training depend only on the key and the row."""

import pytest
import torch

from elman.draws import bernoulli, drawing, dropout, normal, uniform
from elman.nn.dropout import LockedDropout
from elman.nn.recurrent import LSTM
from elman.nn.window import Window

X = torch.randn(24, 5, 7, generator=torch.Generator().manual_seed(0))  # (B, T, N)


def stacked(layer):
    torch.manual_seed(0)
    return layer(7, 6, num_layers=2, dropout=0.5).train()


DROPPING = {
    "locked": lambda: LockedDropout(0.5).train(),
    "lstm": lambda: stacked(lambda *sizes, **more: LSTM(*sizes, batch_first=True, **more)),
    "torch": lambda: stacked(lambda *sizes, **more: LSTM(*sizes, batch_first=True, backend="torch", **more)),
    "window": lambda: stacked(Window),
}


def run(module, x):
    found = module(x)
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("name", DROPPING)
def test_the_mask_of_a_row_does_not_depend_on_other_rows_or_draws(name):
    module = DROPPING[name]()
    with drawing(3, 9):
        whole = run(module, X)
    torch.rand(11)
    with drawing(3, 9):
        part = run(module, X[:10])
    with drawing(3, 10):
        other = run(module, X)
    assert torch.allclose(whole[:10], part, atol=1e-6)  # the order of summation depends on the shape
    assert not torch.allclose(whole, other, atol=1e-2)


@pytest.mark.parametrize("draw", [uniform, normal, lambda shape, like: bernoulli(shape, 0.3, like)])
def test_rows_are_numbered_in_order(draw):
    with drawing(1):
        whole, second = draw((33, 7), X), draw((33, 7), X)
    with drawing(1):
        part = draw((5, 7), X)
    assert torch.equal(whole[:5], part)
    assert not torch.equal(whole, second)  # each layer draws its own numbers


def test_the_dropped_fraction_is_the_requested_one():
    with drawing(1):
        dropped = dropout(torch.ones(50, 40, 30), 0.3, True, row_dim=1)
    shares = (dropped == 0).float().mean().item()
    assert shares == pytest.approx(0.3, abs=0.01)  # five standard deviations of 60,000 draws
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert torch.equal(dropout(X, 0.3, False, row_dim=0), X)


def test_torchs_generator_is_only_used_without_a_key():
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    with drawing(1):
        uniform((9,), X)
        normal((9,), X)
        bernoulli((9,), 0.5, X)
    assert torch.equal(uniform((3,), X), expected)
