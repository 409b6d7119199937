"""Window: which inputs matter, and the contract of the recurrent layers."""

import pytest
import torch
from torch import nn

from elman.errors import UsageError
from elman.nn.window import Window

DOUBLE = torch.float64
SAME = {"rtol": 1e-10, "atol": 1e-12}  # the same float64 sums in another order
every_window = pytest.mark.parametrize(("window", "num_layers"), [(1, 1), (2, 1), (4, 2), (9, 3)])


def build(window=4, num_layers=1, **options):
    torch.manual_seed(0)
    return Window(3, 5, num_layers, window=window, **options).double()


@every_window
def test_equals_the_equation_at_every_step(window, num_layers):
    layer = build(window, num_layers)
    inputs = torch.randn(2, 6, 3, dtype=DOUBLE)
    state = torch.randn(1, 2, window * 3, dtype=DOUBLE)
    outputs, _ = layer(inputs, state)
    seen = torch.cat((state[0].view(2, window, 3)[:, 1:], inputs), dim=1)
    for time in range(6):
        h = torch.cat([seen[:, time + back] for back in range(window)], dim=1)  # oldest first
        for dense in layer.layers:
            h = torch.tanh(h @ dense.weight.T + dense.bias)
        torch.testing.assert_close(outputs[:, time], h, **SAME)


@every_window
def test_chunks_with_carried_state_equal_the_whole(window, num_layers):
    layer = build(window, num_layers)
    inputs = torch.randn(2, 7, 3, dtype=DOUBLE)
    pieces, carry = [], None
    for piece in inputs.split([2, 1, 4], dim=1):
        outputs, carry = layer(piece, carry)
        pieces.append(outputs)
    whole, final = layer(inputs)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, **SAME)
    assert torch.equal(carry, final)
    torch.testing.assert_close(layer.hidden(final), whole[:, -1], **SAME)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_exactly_the_inputs_within_the_window_matter(num_layers):
    layer = build(4, num_layers)
    inputs = torch.randn(1, 8, 3, dtype=DOUBLE, requires_grad=True)
    layer(inputs)[0][0, 6].sum().backward()
    assert inputs.grad[0].any(dim=1).tolist() == [False, False, False, True, True, True, True, False]


@every_window
def test_lengths_equal_each_row_alone_and_padding_is_ignored(window, num_layers):
    layer = build(window, num_layers)
    lengths = torch.tensor([3, 6, 0, 1])
    inputs = torch.randn(4, 6, 3, dtype=DOUBLE)
    inputs[torch.arange(6) >= lengths[:, None]] = float("nan")
    inputs.requires_grad_()
    state = torch.randn(1, 4, window * 3, dtype=DOUBLE)
    outputs, final = layer(inputs, state, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, end = layer(inputs[row : row + 1, :length], state[:, row : row + 1])
        torch.testing.assert_close(outputs[row, :length], alone[0], **SAME)
        assert not outputs[row, length:].any()
        assert torch.equal(final[:, row : row + 1], end)
    outputs.sum().backward()
    assert torch.isfinite(inputs.grad).all()
    assert all(torch.isfinite(weight.grad).all() for weight in layer.parameters())


def test_dropout_between_layers_in_training_only():
    layer = build(num_layers=2, dropout=0.5)
    inputs = torch.randn(2, 6, 3, dtype=DOUBLE)
    assert not torch.equal(layer(inputs)[0], layer(inputs)[0])
    layer.eval()
    assert torch.equal(layer(inputs)[0], layer(inputs)[0])
    assert repr(layer).startswith("Window(\n  3, 5, num_layers=2, window=4, dropout=0.5")
    assert isinstance(layer, nn.Module)


def test_errors_name_the_value_and_the_limit():
    layer, inputs = Window(3, 5, window=4), torch.zeros(2, 6, 3)
    with pytest.raises(UsageError, match="window=0, expected at least 1"):
        Window(3, 5, window=0)
    with pytest.raises(UsageError, match=r"dropout=-0.1"):
        Window(3, 5, dropout=-0.1)
    with pytest.raises(UsageError, match=r"\(2, 6, 2\), expected \(B, T, 3\)"):
        layer(inputs[:, :, :2])
    with pytest.raises(UsageError, match=r"\(1, 2, 3\), expected .* = \(1, 2, 12\)"):
        layer(inputs, torch.zeros(1, 2, 3))
    with pytest.raises(UsageError, match="expected 0 … 6"):
        layer(inputs, lengths=torch.tensor([7, 1]))
