"""The reference against finite differences and against torch's own layers and autograd, all in float64."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from elman.errors import UsageError
from elman.nn import reference
from elman.nn.reference import Weights, cell_named

CELLS = sorted(reference.CELLS)
SIZES = [(1, 1, 1, 1), (5, 2, 4, 3), (1, 3, 2, 17), (7, 1, 3, 17), (4, 5, 1, 1)]  # T, B, I, H


def random_problem(name, num_steps, batch_size, input_size, hidden_size, seed=0):
    draw = np.random.default_rng(seed).standard_normal
    cell = cell_named(name)
    rows = cell.gates * hidden_size
    rows_of_u = 0 if name == "mingru" else rows
    weights = Weights(draw((rows, input_size)), draw((rows_of_u, hidden_size)), draw(rows), draw(rows_of_u))
    weights = Weights(*(0.5 * weight for weight in weights))
    state = tuple(draw((batch_size, hidden_size)) for _ in range(cell.num_states))
    d_outputs = draw((num_steps, batch_size, hidden_size))
    d_final = tuple(draw((batch_size, hidden_size)) for _ in range(cell.num_states))
    return cell, draw((num_steps, batch_size, input_size)), weights, state, d_outputs, d_final


class MinGRU(nn.Module):
    """The equations of the paper (section 3.1), step by step, for autograd to differentiate."""

    def __init__(self, input_size, hidden_size, dtype):
        super().__init__()
        shapes = {"w": (2 * hidden_size, input_size), "u": (0, hidden_size), "b": (2 * hidden_size,), "b_u": (0,)}
        for parameter, shape in shapes.items():
            self.register_parameter(parameter, nn.Parameter(torch.zeros(shape, dtype=dtype)))

    def forward(self, x, state):
        (h,), outputs = state, []
        for x_t in x:
            z, candidate = functional.linear(x_t, self.w, self.b).chunk(2, dim=-1)
            h = (1 - z.sigmoid()) * h + z.sigmoid() * candidate
            outputs.append(h)
        nothing = 0 * (self.u.sum() + self.b_u.sum())  # so that both have gradients, without an entry
        return torch.stack(outputs) + nothing, h[None]


def torch_layer(name, weights):
    input_size = weights.W.shape[1]
    hidden_size = weights.U.shape[1]
    make = {
        "rnn_tanh": nn.RNN,
        "rnn_relu": lambda *sizes, **where: nn.RNN(*sizes, nonlinearity="relu", **where),
        "gru": nn.GRU,
        "lstm": nn.LSTM,
        "mingru": MinGRU,
    }[name]
    layer = make(input_size, hidden_size, dtype=torch.float64)
    with torch.no_grad():
        for parameter, weight in zip(layer.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(weight))
    return layer


def run_torch(layer, x, state):
    """The layer, with states as tuples of (B, H)."""
    parts = tuple(part[None] for part in state)
    outputs, final = layer(x, parts if len(parts) == 2 else parts[0])
    final = final if isinstance(final, tuple) else (final,)
    return outputs, tuple(part[0] for part in final)


def close(ours, theirs):
    # Both sides compute in float64 with a different order of additions: a few hundred roundings of 1e-16 at most.
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bptt_length", [None, 1, 2, 3, 100])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_equals_torch(name, size, bptt_length):
    cell, x, weights, state, d_outputs, d_final = random_problem(name, *size)
    outputs, final, trace = reference.forward(cell, x, weights, state)
    found = reference.backward(cell, weights, trace, d_outputs, d_final, bptt_length)

    layer = torch_layer(name, weights)
    torch_x = torch.from_numpy(x).requires_grad_()
    first = tuple(torch.from_numpy(part).requires_grad_() for part in state)
    carry, loss, pieces = first, 0.0, []
    for start in range(0, len(x), bptt_length or len(x)):
        if start > 0:
            carry = tuple(part.detach() for part in carry)
        chunk = slice(start, start + (bptt_length or len(x)))
        piece, carry = run_torch(layer, torch_x[chunk], carry)
        loss = loss + (piece * torch.from_numpy(d_outputs[chunk])).sum()
        pieces.append(piece)
    loss = loss + sum((part * torch.from_numpy(d)).sum() for part, d in zip(carry, d_final, strict=True))
    loss.backward()

    close(outputs, torch.cat(pieces))
    for ours, theirs in zip(final, carry, strict=True):
        close(ours, theirs)
    close(found.x, torch_x.grad)
    for ours, theirs in zip(found.state, first, strict=True):
        close(ours, theirs.grad)
    for ours, theirs in zip(found.weights, layer.parameters(), strict=True):
        close(ours, theirs.grad)


@pytest.mark.parametrize("size", [(1, 1, 1, 1), (4, 2, 2, 3)], ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_gradients_equal_finite_differences(name, size):
    cell, x, weights, state, d_outputs, d_final = random_problem(name, *size, seed=1)

    def loss():
        outputs, final, _ = reference.forward(cell, x, weights, state)
        return (outputs * d_outputs).sum() + sum((p * d).sum() for p, d in zip(final, d_final, strict=True))

    _, _, trace = reference.forward(cell, x, weights, state)
    found = reference.backward(cell, weights, trace, d_outputs, d_final)
    pairs = [(x, found.x), *zip(state, found.state, strict=True), *zip(weights, found.weights, strict=True)]
    for array, gradient in pairs:
        # Central differences with step 1e-6: an error of about 1e-12 of curvature and 1e-16/1e-6 of rounding.
        np.testing.assert_allclose(gradient, central_differences(loss, array), rtol=1e-6, atol=1e-8)


def central_differences(loss, array, width=1e-6):
    slopes = np.empty_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + width
        above = loss()
        array[place] = kept - width
        slopes[place] = (above - loss()) / (2 * width)
        array[place] = kept
    return slopes


def test_a_truncated_gradient_stops_at_the_start_of_a_chunk_only():
    cell, x, weights, state, d_outputs, _ = random_problem("lstm", 6, 1, 2, 3)
    _, _, trace = reference.forward(cell, x, weights, state)
    d_outputs[:-1] = 0
    found = reference.backward(cell, weights, trace, d_outputs, bptt_length=4)
    assert not found.x[:4].any()
    assert found.x[4:].all()
    assert not found.state[0].any()


def test_output_layer_and_cross_entropy_equal_torch():
    draw = np.random.default_rng(0).standard_normal
    h, V, b2 = draw((4, 3, 5)), draw((6, 5)), draw(6)  # noqa: N806
    targets = np.random.default_rng(0).integers(6, size=(4, 3))
    logits = reference.output_layer(h, V, b2)
    loss, d_logits = reference.cross_entropy(logits, targets)
    ours = reference.output_layer_backward(d_logits, h, V)

    tensors = [torch.from_numpy(array).requires_grad_() for array in (h, V, b2)]
    torch_logits = functional.linear(*tensors)
    expected = functional.cross_entropy(
        torch_logits.flatten(0, 1), torch.from_numpy(targets).flatten(), reduction="sum"
    )
    expected.backward()
    close(logits, torch_logits)
    close(loss, expected)
    for gradient, tensor in zip(ours, tensors, strict=True):
        close(gradient, tensor.grad)
    close(reference.softmax(logits), torch_logits.softmax(-1))


def test_cross_entropy_survives_extreme_logits():
    loss, d_logits = reference.cross_entropy(np.array([[[1e4, -1e4]]]), np.array([[1]]))
    assert loss == 2e4  # nats
    assert d_logits.ravel().tolist() == [1.0, -1.0]


@pytest.mark.parametrize("bptt_length", [None, 3])
@pytest.mark.parametrize("name", CELLS)
def test_language_model_equals_torch(name, bptt_length):
    num_steps, batch_size, vocabulary, hidden_size = 7, 2, 5, 4
    _, _, weights, state, _, _ = random_problem(name, num_steps, batch_size, vocabulary, hidden_size)
    rng = np.random.default_rng(2)
    V, b2 = rng.standard_normal((vocabulary, hidden_size)), rng.standard_normal(vocabulary)  # noqa: N806
    ids = rng.integers(vocabulary, size=(num_steps + 1, batch_size))
    found = reference.language_model(cell_named(name), ids, weights, V, b2, state, bptt_length)

    layer = torch_layer(name, weights)
    head = [torch.from_numpy(array).requires_grad_() for array in (V, b2)]
    first = tuple(torch.from_numpy(part).requires_grad_() for part in state)
    x = functional.one_hot(torch.from_numpy(ids[:-1]), vocabulary).double()
    carry, loss = first, 0.0
    for start in range(0, num_steps, bptt_length or num_steps):
        carry = tuple(part.detach() for part in carry) if start else carry
        chunk = slice(start, start + (bptt_length or num_steps))
        outputs, carry = run_torch(layer, x[chunk], carry)
        logits = functional.linear(outputs, *head).flatten(0, 1)
        targets = torch.from_numpy(ids[1:][chunk]).flatten()
        loss = loss + functional.cross_entropy(logits, targets, reduction="sum")
    loss.backward()
    close(found.loss, loss)
    close(found.d_V, head[0].grad)
    close(found.d_b2, head[1].grad)
    for ours, theirs in zip(found.d_weights, layer.parameters(), strict=True):
        close(ours, theirs.grad)
    for ours, theirs in zip((*found.d_state, *found.state), (*(p.grad for p in first), *carry), strict=True):
        close(ours, theirs)


def test_the_initial_state_is_zero_by_default():
    cell, x, weights, state, _, _ = random_problem("lstm", 3, 2, 2, 3)
    zeros = tuple(np.zeros_like(part) for part in state)
    np.testing.assert_array_equal(reference.forward(cell, x, weights)[0], reference.forward(cell, x, weights, zeros)[0])


def test_errors_name_the_value_and_the_limit():
    cell, x, weights, _, d_outputs, _ = random_problem("gru", 3, 2, 2, 3)
    with pytest.raises(UsageError, match='did you mean "lstm"'):
        cell_named("lstn")
    with pytest.raises(UsageError, match=r"expected \(T, B, 2\)"):
        reference.forward(cell, x[:, :, :1], weights)
    _, _, trace = reference.forward(cell, x, weights)
    with pytest.raises(UsageError, match="bptt_length=0"):
        reference.backward(cell, weights, trace, d_outputs, bptt_length=0)
    with pytest.raises(UsageError, match="2 time steps, expected the trace's 3"):
        reference.backward(cell, weights, trace, d_outputs[:2])
