"""The fused layers against nn/reference.py in float64 and torch.nn in float32: results and every gradient."""

import copy
import itertools
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from elman.errors import UsageError
from elman.kernels import ops
from elman.kernels.compiler import IS_JIT_OFF
from elman.nn.recurrent import GRU, LSTM, RNN

CELLS = {
    "rnn_tanh": (RNN, nn.RNN, {}),
    "rnn_relu": (RNN, nn.RNN, {"nonlinearity": "relu"}),
    "gru": (GRU, nn.GRU, {}),
    "lstm": (LSTM, nn.LSTM, {}),
}
MODES = list(ops.GATES)
every_cell = pytest.mark.parametrize("name", CELLS)
every_mode = pytest.mark.parametrize("mode", MODES)
DIRECTIONS = {
    "ahead": {},
    "concat": {"bidirectional": True},
    "sum": {"bidirectional": True, "merge": "sum"},
    "product": {"bidirectional": True, "merge": "product"},
}
every_direction = pytest.mark.parametrize("direction", DIRECTIONS)
SIZES = (1, 3, 17) if IS_JIT_OFF else (1, 3, 17, 100, 257)
LENGTHS = torch.tensor([3, 5, 0, 1, 5])


def build(name, *sizes, backend="fused", seed=0, **options):
    torch.manual_seed(seed)
    make, _, own = CELLS[name]
    return make(*sizes, backend=backend, **own, **options)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def whole(tensors):
    return tensors if len(tensors) == 2 else tensors[0]


def random_state(layer, batch_size):
    size = (layer.num_layers * layer.num_directions, batch_size, layer.hidden_size)
    return whole(tuple(torch.randn(size) for _ in range(2 if layer.mode == "LSTM" else 1)))


def twin(layer, backend, dtype=torch.float32):
    """The same layer, computed in another way."""
    other = copy.deepcopy(layer).to(dtype)
    other.backend = backend
    return other


def weigh(result):
    """A loss in which every number has another weight; without torch's generator, which threads share."""
    return (result * torch.arange(1.0, result.numel() + 1).cos().view(result.shape).to(result.dtype)).sum()


def results_and_gradients(layer, inputs, state, lengths=None, wanted=None):
    """Return outputs, final states, and the gradients of everything, under a loss that weighs every entry differently.

    ``wanted`` are the numbers of the results that the loss depends on; all when None.
    """
    dtype = layer.weight_hh_l0.dtype
    inputs = inputs.detach().to(dtype).requires_grad_()
    first = tuple(part.detach().to(dtype).requires_grad_() for part in parts(state))
    layer.zero_grad()
    outputs, final = layer(inputs, whole(first), lengths=lengths)
    results = (outputs, *parts(final))
    sum(weigh(result) for number, result in enumerate(results) if wanted is None or number in wanted).backward()
    return [*results, inputs.grad, *(part.grad for part in first), *(weight.grad for weight in layer.parameters())]


def assert_near(ours, theirs):
    """Hold every tensor to a relative error of 1e-5 in norm: the kernels' own errors are a few 1e-7.

    A tensor of few numbers can be what is left of terms near 1 that cancel, hence 2e-6, a few roundings of those.
    """
    assert len(ours) == len(theirs)
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert one.shape == other.shape
        one, other = one.detach().double(), other.detach().double()
        assert (one - other).norm() <= 1e-5 * other.norm() + 2e-6, f"tensor {number} of {len(ours)}"


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


# ---------------------------------------------------------------- everything against both


@every_direction
@pytest.mark.parametrize("size", SIZES)
@every_cell
def test_everything_equals_the_reference_and_torch(name, size, direction):
    stacks = list(itertools.product((1, 2), (True, False)))  # layers, bias
    for num_layers, bias in stacks[:2] if IS_JIT_OFF else stacks if size < 100 else stacks[1:3]:
        layer = build(name, 3, size, num_layers, bias=bias, **DIRECTIONS[direction])
        exact, by_torch = twin(layer, "reference", torch.float64), twin(layer, "torch")
        state = random_state(layer, len(LENGTHS))
        inputs = torch.randn(5, len(LENGTHS), 3)
        for x, lengths in ((inputs, None), (inputs, LENGTHS), (inputs[:1], None)):
            ours = results_and_gradients(layer, x, state, lengths)
            assert_near(ours, results_and_gradients(exact, x, state, lengths))
            assert_near(ours, results_and_gradients(by_torch, x, state, lengths))


@pytest.mark.parametrize("lengths", [None, [4, 1, 6, 2]])
@pytest.mark.parametrize("direction", ["ahead", "concat"])
@every_cell
def test_everything_equals_torch_nn_itself(name, direction, lengths):
    layer = build(name, 3, 17, 2, **DIRECTIONS[direction])
    theirs = CELLS[name][1](3, 17, 2, **CELLS[name][2], **DIRECTIONS[direction])
    theirs.load_state_dict(layer.state_dict())
    inputs, state = torch.randn(6, 4, 3), random_state(layer, 4)

    class Packed(nn.Module):
        weight_hh_l0 = theirs.weight_hh_l0
        zero_grad, parameters = theirs.zero_grad, theirs.parameters

        def forward(self, inputs, state, lengths):
            if lengths is None:
                return theirs(inputs, state)
            packed, final = theirs(pack_padded_sequence(inputs, lengths, enforce_sorted=False), state)
            return pad_packed_sequence(packed)[0], final

    lengths = None if lengths is None else torch.tensor(lengths)
    ours = results_and_gradients(layer, inputs, state, lengths)
    assert_near(ours, results_and_gradients(Packed(), inputs, state, lengths))


BATCHES = [(1, 1), (1, 2), (2, 9)] if IS_JIT_OFF else [(1, 1), (1, 40), (70, 1), (2, 9), (5, 67)]


@pytest.mark.parametrize(("steps", "batch_size"), BATCHES)
@every_cell
def test_batches_of_other_shapes(name, steps, batch_size):
    """More rows than one tile has, more tokens than one block of rows or one part of a sum."""
    layer = build(name, 20, 19, **DIRECTIONS["sum"])
    inputs, state = torch.randn(steps, batch_size, 20), random_state(layer, batch_size)
    for lengths in (None, torch.arange(batch_size) % (steps + 1)):
        ours = results_and_gradients(layer, inputs, state, lengths)
        assert_near(ours, results_and_gradients(twin(layer, "reference", torch.float64), inputs, state, lengths))


@settings(max_examples=15 if IS_JIT_OFF else 80, derandomize=True)
@given(
    name=some.sampled_from(sorted(CELLS)),
    direction=some.sampled_from(sorted(DIRECTIONS)),
    sizes=some.tuples(*[some.integers(1, 10 if IS_JIT_OFF else 40)] * 2),
    lengths=some.lists(some.integers(0, 6), max_size=9),
    has_lengths=some.booleans(),
    bias=some.booleans(),
    seed=some.integers(0, 1000),
)
def test_any_shape_equals_the_reference(name, direction, sizes, lengths, has_lengths, bias, seed):
    layer = build(name, *sizes, seed=seed, bias=bias, **DIRECTIONS[direction])
    inputs, state = torch.randn(6, len(lengths), sizes[0]), random_state(layer, len(lengths))
    lengths = torch.tensor(lengths, dtype=torch.int64) if has_lengths else None
    ours = results_and_gradients(layer, inputs, state, lengths)
    assert_near(ours, results_and_gradients(twin(layer, "reference", torch.float64), inputs, state, lengths))


@every_cell
def test_saturated_gates(name):
    """Inputs a hundred times as large: every gate saturates, and slopes are small differences."""
    layer = build(name, 3, 17, **DIRECTIONS["concat"])
    inputs, state = 100 * torch.randn(5, 4, 3), random_state(layer, 4)
    exact = results_and_gradients(twin(layer, "reference", torch.float64), inputs, state)
    for one, other in zip(results_and_gradients(layer, inputs, state), exact, strict=True):
        # A gate near 1 is off by up to 3e-7, and so is its slope, however small: an absolute error, times what flows.
        scale = max(1.0, float(inputs.abs().max()))
        assert (one - other).norm() <= 1e-5 * other.norm() + 1e-6 * scale * other.numel() ** 0.5


# ---------------------------------------------------------------- lengths and empty batches


@every_direction
@every_cell
def test_padding_changes_neither_results_nor_gradients(name, direction):
    layer = build(name, 3, 17, 2, **DIRECTIONS[direction])
    clean, state = torch.randn(5, 5, 3), random_state(layer, 5)
    dirty = clean.clone()
    dirty[torch.arange(5)[:, None] >= LENGTHS] = float("nan")
    with_clean, with_dirty = (results_and_gradients(layer, x, state, LENGTHS) for x in (clean, dirty))
    assert all(torch.isfinite(tensor).all() for tensor in with_dirty)
    assert_equal(with_clean, with_dirty)


@every_cell
def test_gradients_of_padded_outputs_are_ignored(name):
    layer = build(name, 3, 17, **DIRECTIONS["concat"])
    inputs, state = torch.randn(5, 5, 3), random_state(layer, 5)
    outputs, _ = layer(inputs, state, LENGTHS)
    weights = list(layer.parameters())
    clean = torch.randn(outputs.shape)
    dirty = clean.clone()
    dirty[torch.arange(5)[:, None] >= LENGTHS] = float("nan")
    expected = torch.autograd.grad(outputs, weights, clean, retain_graph=True)
    assert_equal(torch.autograd.grad(outputs, weights, dirty), expected)


@every_direction
@every_cell
def test_lengths_equal_each_row_alone(name, direction):
    layer = build(name, 3, 17, 2, **DIRECTIONS[direction])
    inputs, state = torch.randn(5, 5, 3), random_state(layer, 5)
    outputs, final = layer(inputs, state, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        first, end = (whole(tuple(part[:, row : row + 1] for part in parts(s))) for s in (state, final))
        assert not outputs[length:, row].any()
        if length == 0:
            assert_equal(parts(end), parts(first))
        else:
            alone, alone_end = layer(inputs[:length, row : row + 1], first)
            assert_near([outputs[:length, row : row + 1], *parts(end)], [alone, *parts(alone_end)])


@every_cell
def test_only_empty_rows(name):
    layer = build(name, 3, 5, 2, **DIRECTIONS["sum"])
    inputs, state = torch.full((2, 3, 3), float("nan")), random_state(layer, 3)
    lengths = torch.zeros(3, dtype=torch.int64)
    outputs, *rest = results_and_gradients(layer, inputs, state, lengths)
    num_parts = len(parts(state))
    assert not outputs.any()
    assert_equal(rest[:num_parts], parts(state))
    of_inputs, *of_weights = rest[num_parts], *rest[2 * num_parts + 1 :]
    assert not of_inputs.any()
    assert not any(gradient.any() for gradient in of_weights)
    for gradient, part in zip(rest[num_parts + 1 : 2 * num_parts + 1], parts(state), strict=True):
        weights = part.clone().requires_grad_()
        assert torch.equal(gradient, torch.autograd.grad(weigh(weights), weights)[0])  # what went in comes out


@pytest.mark.parametrize("has_lengths", [False, True])
@every_direction
@every_cell
def test_no_rows_at_all(name, direction, has_lengths):
    layer = build(name, 3, 5, 2, **DIRECTIONS[direction])
    lengths = torch.zeros(0, dtype=torch.int64) if has_lengths else None
    results = results_and_gradients(layer, torch.zeros(4, 0, 3), random_state(layer, 0), lengths)
    assert results[0].shape == (4, 0, layer.output_size)
    assert results[1 + len(parts(random_state(layer, 0)))].shape == (4, 0, 3)
    for weight, gradient in zip(layer.parameters(), results[-len(list(layer.parameters())) :], strict=True):
        assert gradient.shape == weight.shape
        assert not gradient.any()


@every_cell
def test_chunks_with_carried_state_equal_the_whole(name):
    layer = build(name, 3, 17, 2)
    inputs, state = torch.randn(7, 2, 3), random_state(layer, 2)
    pieces, carry = [], state
    for piece in inputs.split([3, 1, 3]):
        outputs, carry = layer(piece, carry)
        pieces.append(outputs)
    outputs, final = layer(inputs, state)
    assert_near([torch.cat(pieces), *parts(carry)], [outputs, *parts(final)])


# ---------------------------------------------------------------- not a number


NOT_NUMBERS = pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])


def assert_same_kinds(ours, theirs):
    """Check for the same infinities and NaN in the same places, and close values elsewhere."""
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.isnan(), other.isnan())
        assert torch.equal(one.isposinf(), other.isposinf())
        assert torch.equal(one.isneginf(), other.isneginf())
    clean = [[tensor.nan_to_num(0, 0, 0) for tensor in tensors] for tensors in (ours, theirs)]
    assert_near(*clean)


@NOT_NUMBERS
@every_direction
@every_cell
def test_nan_and_infinity_in_an_input_propagate_as_in_torch(name, direction, number):
    layer = build(name, 3, 17, **DIRECTIONS[direction])
    inputs, state = torch.randn(5, 4, 3), random_state(layer, 4)
    inputs[2, 1, 0] = number
    ours, theirs = (results_and_gradients(each, inputs, state) for each in (layer, twin(layer, "torch")))
    assert_same_kinds(ours, theirs)
    if number != number:
        assert ours[0].isnan().any()
        assert not ours[0][:, [0, 2, 3]].isnan().any()  # the other rows


@NOT_NUMBERS
@every_cell
def test_nan_and_infinity_in_a_state_propagate_as_in_torch(name, number):
    layer = build(name, 3, 17)
    for place in range(len(parts(random_state(layer, 4)))):
        inputs, state = torch.randn(5, 4, 3), random_state(layer, 4)
        parts(state)[place][0, 1, 16] = number
        ours, theirs = (results_and_gradients(each, inputs, state) for each in (layer, twin(layer, "torch")))
        assert_same_kinds(ours, theirs)


@every_cell
def test_nan_in_a_weight_propagates_as_in_torch(name):
    layer = build(name, 3, 17)
    with torch.no_grad():
        layer.weight_hh_l0[16, 2] = float("nan")
    inputs, state = torch.randn(5, 4, 3), random_state(layer, 4)
    ours, theirs = (results_and_gradients(each, inputs, state) for each in (layer, twin(layer, "torch")))
    assert_same_kinds(ours, theirs)
    assert ours[0].isnan().any()


# ---------------------------------------------------------------- the operator by itself


TENSORS = 11  # of the arguments of ``elman::recurrent``, the first; some may be None
every_number_of_directions = pytest.mark.parametrize("directions", [1, 2])


def operands(
    mode, size, lengths=None, directions=1, needs_gates=True, requires_grad=True, steps=5, batch_size=4, parts=2
):
    """All arguments of ``elman::recurrent``; of its tensors those are None that the cell or the direction has not."""
    torch.manual_seed(1)
    rows = ops.GATES[mode] * size
    states = [(directions, batch_size, size)] * 2
    shapes = [(steps, batch_size, 3), *states, *[(rows, 3), (rows, size), (rows,), (rows,)] * directions]
    tensors = [torch.randn(shape).div_(3).requires_grad_(requires_grad) for shape in shapes]
    if mode != "LSTM":
        tensors[2] = None
    return [*tensors, *[None] * (TENSORS - len(tensors)), lengths, mode, parts, needs_gates]


def random_gradients(directions=1, steps=5, batch_size=4, size=17):
    """Gradients for outputs, hidden state and cell."""
    state = (directions, batch_size, size)
    return [torch.randn(shape) for shape in ((steps, batch_size, directions * size), state, state)]


def differentiate(arguments, d_results):
    """The results of ``elman::recurrent``, then the gradients for its tensors, given those of its three results."""
    tensors = [None if tensor is None else tensor.detach().requires_grad_() for tensor in arguments[:TENSORS]]
    results = [result for result in torch.ops.elman.recurrent(*tensors, *arguments[TENSORS:])[:3] if result.numel()]
    used = [tensor for tensor in tensors if tensor is not None]
    return [*results, *torch.autograd.grad(results, used, d_results[: len(results)])]


def spaced(tensor):
    """The same numbers with NaN between them."""
    memory = torch.full((*tensor.shape[:-1], 2 * tensor.shape[-1] + 1), float("nan"))
    memory[..., 1::2] = tensor
    return memory[..., 1::2]


def transposed(tensor):
    """The same numbers with the first axis innermost."""
    return tensor.movedim(0, -1).contiguous().movedim(-1, 0)


def shifted(tensor):
    """The same numbers, not at the start of an allocation."""
    memory = torch.full((tensor.numel() + 1,), float("nan"))
    memory[1:] = tensor.flatten()
    return memory[1:].view(tensor.shape)


@pytest.mark.parametrize("lay_out", [spaced, transposed, shifted])
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 5, 0, 3])], ids=["whole", "lengths"])
@every_number_of_directions
@every_mode
def test_arguments_and_gradients_may_have_any_memory_layout(mode, directions, lengths, lay_out):
    arguments = operands(mode, 17, lengths, directions)
    d_results = random_gradients(directions)
    strange = [None if tensor is None else lay_out(tensor.detach()) for tensor in arguments[:TENSORS]]
    assert_equal(
        differentiate([*strange, *arguments[TENSORS:]], [lay_out(d) for d in d_results]),
        differentiate(arguments, d_results),
    )


@every_mode
def test_arguments_and_gradients_may_be_expanded(mode):
    arguments = operands(mode, 17)
    expanded = [None if tensor is None else tensor[:1].detach().expand(tensor.shape) for tensor in arguments[:TENSORS]]
    copies = [None if tensor is None else tensor.contiguous() for tensor in expanded]
    d_results = [torch.randn(1).expand(d.shape) for d in random_gradients()]
    assert_equal(
        differentiate([*expanded, *arguments[TENSORS:]], d_results),
        differentiate([*copies, *arguments[TENSORS:]], [d.contiguous() for d in d_results]),
    )


@every_number_of_directions
@pytest.mark.parametrize("has_lengths", [False, True])
@every_mode
def test_chunks_equal_the_whole_and_without_gates_all_is_the_same(monkeypatch, mode, has_lengths, directions):
    steps, batch_size = 12, 25
    lengths = torch.arange(batch_size) % (steps + 1) if has_lengths else None
    arguments = operands(mode, 5, lengths, directions, steps=steps, batch_size=batch_size)
    d_results = random_gradients(directions, steps, batch_size, 5)
    whole_batch = differentiate(arguments, d_results)
    monkeypatch.setattr(ops, "CHUNK", 1)  # the smallest chunk has DEPTH tokens
    for is_reverse in (False, True):
        num_chunks = len(ops._tokens_of(arguments[0], lengths, is_reverse, 2, ops.GATES[mode] * 5).chunks)
        assert num_chunks == (2 if has_lengths else 3)
    assert_near(differentiate(arguments, d_results), whole_batch)
    with torch.no_grad():
        with_gates, without = (torch.ops.elman.recurrent(*arguments[:-1], needs_gates) for needs_gates in (True, False))
    assert_equal(with_gates[:3], without[:3])
    assert not without[3].numel() + without[4].numel()


@pytest.mark.parametrize("has_lengths", [False, True])
@every_mode
def test_the_second_direction_is_the_first_over_reversed_rows(mode, has_lengths):
    """Outputs, states and gradients of each direction are those of a separate layer; gradients of the inputs add up."""
    lengths = LENGTHS if has_lengths else torch.full((5,), 5)
    both = operands(mode, 17, LENGTHS if has_lengths else None, 2, batch_size=5)
    d_results = random_gradients(2, batch_size=5)
    time = torch.arange(5)[:, None]
    mirror = torch.where(time < lengths, lengths - 1 - time, time)[:, :, None]  # (T, B, 1)
    turned = lambda values: values.gather(0, mirror.expand_as(values))  # noqa: E731
    alone = []
    for direction in range(2):
        turn = turned if direction else (lambda values: values)
        states = [None if state is None else state[direction][None] for state in both[1:3]]
        weights = both[3 + 4 * direction :][:4]
        arguments = [turn(both[0].detach()), *states, *weights, *[None] * 4, *both[TENSORS:]]
        own = slice(17 * direction, 17 * (direction + 1))
        given = [turn(d_results[0][..., own]), *(d[direction][None] for d in d_results[1:])]
        y, *rest = differentiate(arguments, given)
        count = 2 if mode == "LSTM" else 1
        final, d_inputs, d_first, d_weights = rest[:count], rest[count], rest[count + 1 : -4], rest[-4:]
        alone.append((turn(y), final, turn(d_inputs), d_first, d_weights))
    ahead, back = alone
    pairs = lambda part: [torch.cat(two) for two in zip(ahead[part], back[part], strict=True)]  # noqa: E731
    expected = [torch.cat((ahead[0], back[0]), -1), *pairs(1), ahead[2] + back[2], *pairs(3), *ahead[4], *back[4]]
    assert_near(differentiate(both, d_results), expected)


@pytest.mark.parametrize("has_lengths", [False, True])
@every_number_of_directions
@every_mode
def test_rows_may_be_split_among_any_number_of_threads(mode, directions, has_lengths):
    lengths = LENGTHS if has_lengths else None
    d_results = random_gradients(directions, batch_size=5)
    alone, *shared = (
        differentiate(operands(mode, 17, lengths, directions, batch_size=5, parts=parts), d_results)
        for parts in (1, 2, 3, 8)
    )
    for found in shared:
        assert_near(found, alone)


@every_cell
def test_the_number_of_threads_may_change_before_the_backward_pass(name):
    layer = build(name, 3, 17)
    threads = torch.get_num_threads()
    gradients = []
    try:
        for back in (2, 1):
            torch.set_num_threads(2)
            outputs, _ = layer(torch.ones(5, 5, 3), lengths=LENGTHS)
            torch.set_num_threads(back)
            gradients.append(torch.autograd.grad(weigh(outputs), list(layer.parameters())))
    finally:
        torch.set_num_threads(threads)
    assert_near(*gradients)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [*itertools.product(CELLS, [{0}, {1}]), ("lstm", {2}), ("lstm", {1, 2})],
    ids=str,
)
def test_the_loss_may_ignore_some_results(name, wanted):
    layer = build(name, 3, 17, 2, **DIRECTIONS["concat"])
    inputs, state = torch.randn(5, 5, 3), random_state(layer, 5)
    for lengths in (None, LENGTHS):
        ours = results_and_gradients(layer, inputs, state, lengths, wanted)
        exact = twin(layer, "reference", torch.float64)
        assert_near(ours, results_and_gradients(exact, inputs, state, lengths, wanted))


@every_cell
def test_some_gradients_may_not_be_needed(name):
    layer = build(name, 3, 17, 2)
    inputs, state = torch.randn(5, 4, 3), random_state(layer, 4)
    of_inputs, *of_state_and_weights = results_and_gradients(layer, inputs, state)[1 + len(parts(state)) :]
    of_state, of_weights = of_state_and_weights[: len(parts(state))], of_state_and_weights[len(parts(state)) :]

    def gradients(inputs, state, wanted):
        outputs, final = layer(inputs, state)
        return torch.autograd.grad(sum(map(weigh, (outputs, *parts(final)))), wanted)

    assert_equal(gradients(inputs, state, list(layer.parameters())), of_weights)
    for weight in layer.parameters():
        weight.requires_grad_(False)
    inputs.requires_grad_()
    assert_equal(gradients(inputs, state, [inputs]), [of_inputs])
    first = tuple(part.clone().requires_grad_() for part in parts(state))
    assert_equal(gradients(inputs.detach(), whole(first), first), of_state)


# ---------------------------------------------------------------- what torch makes of it


SOME_LENGTHS = torch.tensor([5, 2, 0, 3])
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")


@every_number_of_directions
@every_mode
def test_opcheck(mode, directions):
    """Schema, autograd, shapes of the fake implementation; tracing with symbolic shapes where there are gradients."""
    for lengths in (None, SOME_LENGTHS):
        torch.library.opcheck(torch.ops.elman.recurrent.default, tuple(operands(mode, 3, lengths, directions)))
        without = operands(mode, 3, lengths, directions, needs_gates=False, requires_grad=False)
        torch.library.opcheck(torch.ops.elman.recurrent.default, tuple(without), test_utils=CHECKS)


@pytest.mark.parametrize("lengths", [None, SOME_LENGTHS], ids=["whole", "lengths"])
@every_number_of_directions
@every_mode
def test_opcheck_of_the_backward_pass(mode, directions, lengths):
    arguments = backward_arguments(mode, lengths, directions)
    torch.library.opcheck(torch.ops.elman.recurrent_backward.default, arguments, test_utils=CHECKS)


def backward_arguments(mode, lengths, directions, needs_inputs=True):
    with torch.no_grad():
        arguments = operands(mode, 3, lengths, directions, requires_grad=False)
        x, h, c, w, u, _, _, w_reverse, u_reverse, *_ = arguments
        y, h_n, c_n, gates, cells = torch.ops.elman.recurrent(*arguments)
    d_cell = None if c is None else torch.randn(c_n.shape)
    given = (torch.randn(y.shape), torch.randn(h_n.shape), d_cell)
    return (*given, x, h, w, u, w_reverse, u_reverse, lengths, y, gates, cells, mode, 2, needs_inputs)


@pytest.mark.parametrize("needs_gates", [False, True])
@every_number_of_directions
@every_mode
def test_fake_tensors_have_the_shapes_of_real_ones(mode, directions, needs_gates):
    arguments = operands(mode, 7, None, directions, needs_gates=needs_gates, requires_grad=False)
    back = backward_arguments(mode, None, directions, needs_gates)
    for operator, tensors in ((torch.ops.elman.recurrent, arguments), (torch.ops.elman.recurrent_backward, back)):
        real = operator(*tensors)
        with FakeTensorMode() as mode_of_fakes:
            fakes = [mode_of_fakes.from_tensor(each) if isinstance(each, torch.Tensor) else each for each in tensors]
            fake = operator(*fakes)
        assert [(each.shape, each.dtype, each.stride()) for each in fake] == [
            (each.shape, each.dtype, each.stride()) for each in real
        ]


@every_cell
def test_training_follows_torch(name):
    ours = build(name, 3, 17, **DIRECTIONS["concat"])
    theirs = twin(ours, "torch")
    inputs, targets = torch.randn(6, 4, 3), torch.randn(6, 4, 34)
    losses = []
    for layer in (ours, theirs):
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
        for _ in range(5):
            optimizer.zero_grad()
            loss = (layer(inputs)[0] - targets).square().mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert_near([weight.detach() for weight in ours.parameters()], [weight.detach() for weight in theirs.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)  # a mean of 800 numbers, each off by a few 1e-7


@every_cell
def test_no_grad_and_inference_mode(name):
    layer = build(name, 3, 17, 2, **DIRECTIONS["sum"])
    inputs = torch.randn(11, 4, 3)  # a shape of this test's own: inference mode is the first to see it
    with torch.inference_mode():
        by_inference = layer(inputs)
    expected = layer(inputs)
    expected[0].sum().backward()
    with torch.no_grad():
        outputs, final = layer(inputs)
    for got in ((outputs, final), by_inference):
        assert not got[0].requires_grad
        assert_equal([got[0], *parts(got[1])], [expected[0], *parts(expected[1])])


@every_cell
def test_checkpointing(name):
    layer = build(name, 3, 17)
    inputs = torch.randn(5, 4, 3, requires_grad=True)
    (expected,) = torch.autograd.grad(layer(inputs)[0].square().sum(), inputs)
    for use_reentrant in (False, True):
        inputs.grad = None
        checkpoint(lambda x: layer(x)[0], inputs, use_reentrant=use_reentrant).square().sum().backward()
        assert torch.equal(inputs.grad, expected)


@every_cell
def test_backward_may_run_twice_but_not_after_weights_changed(name):
    layer = build(name, 3, 17)
    outputs, _ = layer(torch.randn(5, 4, 3))
    once, twice = (torch.autograd.grad(outputs.sum(), layer.weight_hh_l0, retain_graph=True) for _ in range(2))
    assert_equal(once, twice)
    with torch.no_grad():
        layer.weight_hh_l0.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()


@every_cell
def test_gradients_of_gradients_are_refused(name):
    layer = build(name, 3, 17)
    inputs = torch.randn(5, 4, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(inputs)[0].square().sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        gradient.square().sum().backward()


# ---------------------------------------------------------------- which backend


@pytest.mark.parametrize("name", ["rnn_tanh", "rnn_relu", "gru"])
def test_auto_takes_the_fused_kernels_for_float32_on_the_cpu(name, caplog):
    layer = build(name, 3, 17, backend="auto")
    inputs = torch.randn(5, 4, 3)
    with caplog.at_level(logging.INFO, "elman"):
        outputs, final = layer(inputs)
    assert "run on Elman's fused kernels" in caplog.text
    by_name, final_by_name = twin(layer, "fused")(inputs)
    assert_equal([outputs, *parts(final)], [by_name, *parts(final_by_name)])


@every_cell
def test_float64_goes_through_torch_and_never_through_the_kernels(name, caplog):
    layer = build(name, 3, 17, backend="auto", dtype=torch.float64)
    inputs, state = torch.randn(5, 4, 3), random_state(layer, 4)
    with caplog.at_level(logging.INFO, "elman"):
        ours = results_and_gradients(layer, inputs, state)
    assert "run on torch.nn" in caplog.text
    assert "float64" in caplog.text
    assert_equal(ours, results_and_gradients(twin(layer, "torch", torch.float64), inputs, state))
    with pytest.raises(UsageError, match=r'backend="fused" computes float32 on the CPU, but .* torch.float64'):
        twin(layer, "fused", torch.float64)(inputs.double())
    with pytest.raises(UsageError, match=r"torch\.float64"):
        twin(layer, "fused")(inputs.double())


def test_autocast_and_other_devices_are_refused():
    layer = build("gru", 3, 17)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(UsageError, match="but autocast is on"):
        layer(torch.randn(5, 4, 3))
    with pytest.raises(UsageError, match="but the input is on meta"):
        layer.to("meta")(torch.randn(5, 4, 3, device="meta"))


# ---------------------------------------------------------------- threads


@every_direction
@every_cell
def test_two_threads_equal_one_and_each_gives_the_same_bits_again(name, direction, num_threads):
    layer = build(name, 3, 33, 2, **DIRECTIONS[direction])
    inputs, state = torch.randn(5, 7, 3), random_state(layer, 7)
    lengths = torch.tensor([5, 1, 0, 5, 3, 2, 4])
    found = []
    for count in (1, 2):
        num_threads(count)
        once, again = (results_and_gradients(layer, inputs, state, lengths) for _ in range(2))
        assert_equal(once, again)
        found.append(once)
    # Not to the bit: a thread with fewer rows computes some of them in smaller tiles, which add in a different order.
    assert_near(*found)


@pytest.mark.parametrize("count", [1, 2])
@every_cell
def test_eight_python_threads_give_what_one_gives(name, count, num_threads):
    num_threads(count)
    layers = [build(name, 3, size, seed=size, **DIRECTIONS["concat"]) for size in range(16, 24)]
    tasks = [(torch.randn(6, size, 3), random_state(layer, size)) for size, layer in enumerate(layers, start=2)]

    def work(number):
        return results_and_gradients(layers[number], *tasks[number])

    expected = [work(number) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(1 if IS_JIT_OFF else 5):
            for ours, alone in zip(pool.map(work, range(8)), expected, strict=True):
                assert_equal(ours, alone)


@every_cell
def test_eight_python_threads_share_one_layer(name):
    layer = build(name, 3, 17, 2)
    inputs = [torch.randn(5, 4, 3) for _ in range(8)]
    with torch.no_grad(), ThreadPoolExecutor(8) as pool:
        expected = [layer(x)[0] for x in inputs]
        for _ in range(1 if IS_JIT_OFF else 10):
            assert_equal(pool.map(lambda x: layer(x)[0].detach(), inputs), expected)


# ---------------------------------------------------------------- the other ways to run


AS_PYTHON = """
import torch
from elman.kernels.compiler import IS_JIT_OFF
from elman.nn.recurrent import GRU, LSTM, RNN
assert IS_JIT_OFF
torch.set_num_threads(1)
for make, own in ((RNN, {}), (RNN, {"nonlinearity": "relu"}), (GRU, {}), (LSTM, {})):
    found = []
    for backend in ("fused", "torch"):
        torch.manual_seed(0)
        layer = make(3, 5, bidirectional=True, backend=backend, **own)
        outputs, _ = layer(torch.randn(4, 3, 3), lengths=torch.tensor([2, 0, 4]))
        outputs.square().sum().backward()
        found.append([outputs, *(weight.grad for weight in layer.parameters())])
    for ours, theirs in zip(*found):
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm(), make  # as in assert_near
print("equal")
"""


def test_the_kernels_run_as_python(python):
    assert python(AS_PYTHON, NUMBA_DISABLE_JIT=1, ELMAN_CACHE_DIR="/dev/null/nowhere") == "equal\n"
