"""The minimal GRU: its parallel form against the reference, each row alone, flips by hand, and chunks."""

import copy

import numpy as np
import pytest
import torch

from elman.errors import UsageError
from elman.nn import MinGRU, reference
from elman.nn.mingru import scan

DOUBLE = torch.float64
# The same float64 sums in another order: a few hundred roundings of 1e-16.
SAME = {"rtol": 1e-10, "atol": 1e-12}
LENGTHS = torch.tensor([3, 7, 0, 1, 7, 4])


def build(*sizes, **options):
    torch.manual_seed(0)
    return MinGRU(*sizes, **{"dtype": DOUBLE, **options})


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, **SAME)


def everything(layer, inputs, start, lengths=None):
    """Return outputs, final state, and all gradients, under a loss that weighs every entry differently."""
    inputs, start = inputs.clone().requires_grad_(), start.clone().requires_grad_()
    layer.zero_grad()
    results = layer(inputs, start, lengths=lengths)
    generator = torch.Generator().manual_seed(5)
    sum((each * torch.randn(each.shape, dtype=DOUBLE, generator=generator)).sum() for each in results).backward()
    return [*results, inputs.grad, start.grad, *(weight.grad for weight in layer.parameters())]


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 7, 16, 30])  # a square, below and above one
def test_the_scan_equals_the_loop(num_steps):
    torch.manual_seed(0)
    keep, add, h = (
        torch.rand(num_steps, 2, 3, dtype=DOUBLE),
        torch.randn(num_steps, 2, 3, dtype=DOUBLE),
        torch.ones(2, 3),
    )
    found = scan(keep, add, h.double())
    h = h.double()
    for t in range(num_steps):
        h = keep[t] * h + add[t]
        close(found[t], h)


def test_the_scan_with_fully_open_and_closed_gates():
    # a gate that is shut is exactly 0 in float32, whose logarithm or reciprocal would be infinite
    for gate in (0.0, 1.0):
        keep, add = torch.full((2000, 1, 1), gate), torch.zeros(2000, 1, 1)
        assert scan(keep, add, torch.ones(1, 1)).flatten().tolist() == [gate] * 2000


def test_gradients_equal_finite_differences():
    layer = build(3, 4, 2, bidirectional=True)
    names, weights = zip(*layer.named_parameters(), strict=True)

    def run(inputs, start, *weights):
        return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (inputs, start))

    given = torch.randn(5, 2, 3, dtype=DOUBLE), torch.randn(4, 2, 4, dtype=DOUBLE), *(w.detach() for w in weights)
    assert torch.autograd.gradcheck(run, [each.requires_grad_() for each in given])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "merge": "sum"}], ids=str)
def test_equals_the_reference(options, lengths, bias):
    fast = build(3, 5, bias=bias, **options)
    slow = build(3, 5, bias=bias, backend="reference", **options)
    inputs = torch.randn(7, 6, 3, dtype=DOUBLE)
    start = torch.randn(fast.num_layers * fast.num_directions, 6, 5, dtype=DOUBLE)
    for ours, theirs in zip(*(everything(layer, inputs, start, lengths) for layer in (fast, slow)), strict=True):
        close(ours, theirs)


def test_equals_its_equation():
    layer = build(3, 4)
    inputs, h = torch.randn(9, 2, 3, dtype=DOUBLE), np.ones((2, 4))
    outputs, _ = layer(inputs, torch.ones(1, 2, 4, dtype=DOUBLE))
    w, b = layer.weight_ih_l0.detach().numpy(), layer.bias_ih_l0.detach().numpy()
    for x_t, found in zip(inputs.numpy(), outputs.detach().numpy(), strict=True):
        z = reference.sigmoid(x_t @ w[:4].T + b[:4])
        h = (1 - z) * h + z * (x_t @ w[4:].T + b[4:])
        np.testing.assert_allclose(found, h, rtol=1e-10, atol=1e-12)
    assert [name for name, _ in layer.named_parameters()] == ["weight_ih_l0", "bias_ih_l0"]  # no U


def test_padding_is_ignored():
    layer = build(3, 5, 2, bidirectional=True)
    inputs = torch.randn(7, 6, 3, dtype=DOUBLE)
    padded = inputs.clone()
    for row, length in enumerate(LENGTHS.tolist()):
        padded[length:, row] = torch.nan
    start = torch.randn(4, 6, 5, dtype=DOUBLE)
    results = everything(layer, padded, start, LENGTHS)
    assert all(each.isfinite().all() for each in results)
    outputs, final = results[:2]
    for row, length in enumerate(LENGTHS.tolist()):
        assert not outputs[length:, row].any()
        if length == 0:
            close(final[:, row], start[:, row])
            continue
        alone, end = layer(inputs[:length, row : row + 1], start[:, row : row + 1])
        close(outputs[:length, row : row + 1], alone)
        close(final[:, row : row + 1], end)


def test_both_directions_equal_flipping_each_row_by_hand():
    both = build(3, 5, bidirectional=True, batch_first=True)
    ahead, back = MinGRU(3, 5, batch_first=True, dtype=DOUBLE), MinGRU(3, 5, batch_first=True, dtype=DOUBLE)
    with torch.no_grad():
        for name in ("weight_ih_l0", "bias_ih_l0"):
            getattr(ahead, name).copy_(getattr(both, name))
            getattr(back, name).copy_(getattr(both, f"{name}_reverse"))
    inputs = torch.randn(6, 7, 3, dtype=DOUBLE)
    outputs, final = both(inputs, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        if length:
            one, end = ahead(inputs[row : row + 1, :length])
            other, start = back(inputs[row : row + 1, :length].flip(1))
            close(outputs[row : row + 1, :length], torch.cat((one, other.flip(1)), dim=-1))
            close(final[:, row : row + 1], torch.cat((end, start)))


def test_chunks_with_carried_state_equal_the_whole():
    layer = build(3, 5, 2)
    inputs = torch.randn(11, 2, 3, dtype=DOUBLE)
    whole, end = layer(inputs)
    state, pieces = None, []
    for piece in inputs.split([4, 1, 6]):
        outputs, state = layer(piece, state)
        pieces.append(outputs)
    close(torch.cat(pieces), whole)
    close(state, end)


def test_float32_is_as_accurate_as_the_loop():
    torch.manual_seed(0)
    layer = MinGRU(8, 32)
    exact = copy.deepcopy(layer).double()
    inputs = torch.randn(3000, 1, 8)
    outputs, expected = layer(inputs)[0], exact(inputs.double())[0]
    # 1e-5: some hundred roundings of 6e-8, of numbers up to 3; a scan by logarithms would be off by 1e-3
    torch.testing.assert_close(outputs.double(), expected, rtol=0, atol=1e-5)


def test_autocast_computes_the_states_in_float32():
    layer = MinGRU(3, 5)
    inputs = torch.randn(6, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, state = layer(inputs)
        again, _ = layer(inputs, state)
    assert outputs.dtype == state.dtype == again.dtype == torch.float32
    torch.testing.assert_close(outputs, layer(inputs)[0], rtol=0.05, atol=0.05)  # bfloat16 has 8 bits


def test_the_fused_backend_is_refused():
    with pytest.raises(UsageError, match=r'no kernels for a MinGRU; use backend="auto"'):
        MinGRU(3, 5, backend="fused")(torch.zeros(2, 1, 3))
