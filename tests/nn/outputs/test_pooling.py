"""Pooling against loops over each row's true steps; padding affects neither values nor gradients."""

import pytest
import torch

from elman.errors import UsageError
from elman.nn.outputs.pooling import POOLING_KINDS, Pooling

LENGTHS = torch.tensor([5, 2, 0, 1])
every_kind = pytest.mark.parametrize("kind", POOLING_KINDS)


def pool(kind, size=3):
    torch.manual_seed(0)
    return Pooling(kind, size).double(), torch.randn(4, 5, size, dtype=torch.float64), torch.randn(4, size).double()


def by_hand(pooling, steps):
    """Pool one row's true steps (n, N) by the formula."""
    if len(steps) == 0:
        return torch.zeros(steps.shape[1]).double()
    if pooling.kind == "mean":
        return sum(steps) / len(steps)
    if pooling.kind == "max":
        return torch.stack([max(column) for column in steps.T])
    weight, bias, context = pooling.projection.weight, pooling.projection.bias, pooling.context.weight[0]
    shares = [torch.exp(context @ torch.tanh(weight @ h + bias)) for h in steps]
    return sum(share * h for share, h in zip(shares, steps, strict=True)) / sum(shares)


@every_kind
@pytest.mark.parametrize("lengths", [LENGTHS, LENGTHS.int(), None])
def test_each_row_is_pooled_over_its_true_steps(kind, lengths):
    pooling, outputs, final = pool(kind)
    found = pooling(outputs, final, lengths)
    if kind == "last":
        assert found is final
        return
    counts = [5] * 4 if lengths is None else lengths.tolist()
    expected = torch.stack([by_hand(pooling, row[:count]) for row, count in zip(outputs, counts, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)  # float64, a handful of terms


@every_kind
@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, 1e30])
def test_padding_matters_neither_to_values_nor_to_gradients(kind, garbage):
    pooling, outputs, final = pool(kind)
    beyond = torch.arange(5) >= LENGTHS[:, None]
    results = []
    for filling in (0.0, garbage):
        leaves = [outputs.masked_fill(beyond[..., None], filling).requires_grad_(), final.clone().requires_grad_()]
        pooled = pooling(*leaves, LENGTHS)
        loss = (pooled * torch.arange(12).view(4, 3)).sum()
        gradients = torch.autograd.grad(loss, [*leaves, *pooling.parameters()], allow_unused=True)
        results.append([pooled.detach(), *(gradient for gradient in gradients if gradient is not None)])
    assert all(result.isfinite().all() for result in results[0])
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)
    if kind != "last":
        assert not results[1][1][beyond].any()


@every_kind
def test_gradients_are_those_of_finite_differences(kind):
    pooling, outputs, final = pool(kind)
    inputs = (outputs.requires_grad_(), final.requires_grad_())
    assert torch.autograd.gradcheck(lambda outputs, final: pooling(outputs, final, LENGTHS), inputs)


def test_attention_shows_its_weights():
    pooling, outputs, final = pool("attention")
    weights = pooling.weights(outputs, LENGTHS)
    assert ((weights > 0) == (torch.arange(5) < LENGTHS[:, None])).all()
    # float64
    torch.testing.assert_close(weights.sum(1), (LENGTHS > 0).double(), rtol=0, atol=1e-14)
    pooled = torch.einsum("bt,btn->bn", weights, outputs)
    torch.testing.assert_close(pooled, pooling(outputs, final, LENGTHS), rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        pooling.context.weight.mul_(1e3)  # all of it goes to one step
    assert pooling.weights(outputs, LENGTHS).isfinite().all()


@every_kind
@pytest.mark.parametrize(("rows", "steps", "size"), [(0, 3, 2), (2, 1, 1)])
def test_the_smallest_batches(kind, rows, steps, size):
    outputs = torch.randn(rows, steps, size)
    pooled = Pooling(kind, size)(outputs, outputs[:, -1], torch.full((rows,), steps))
    torch.testing.assert_close(pooled, outputs[:, -1])  # one step, or none: all kinds agree


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r'kind="atention".*did you mean "attention"'):
        Pooling("atention", 3)
    with pytest.raises(UsageError, match="size=0, expected at least 1"):
        Pooling("attention", 0)
    with pytest.raises(UsageError, match='kind="mean" has no attention weights'):
        Pooling("mean", 3).weights(torch.zeros(1, 2, 3))
    with pytest.raises(UsageError, match="expected 0 … 2"):
        Pooling("max", 3)(torch.zeros(1, 2, 3), torch.zeros(1, 3), torch.tensor([3]))
    assert repr(Pooling("max", 3)) == "Pooling(kind=max)"
