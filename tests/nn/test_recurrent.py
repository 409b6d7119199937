"""RNN, GRU, LSTM against torch.nn, against each row alone, against flips by hand, and against the reference."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from elman.errors import UsageError
from elman.nn.backends import choose_backend
from elman.nn.cells import CELLS as TABLE
from elman.nn.cells import RNN_RELU
from elman.nn.recurrent import GRU, LSTM, MERGES, RNN

DOUBLE = torch.float64
CELLS = {
    "rnn_tanh": (RNN, nn.RNN, {}),
    "rnn_relu": (RNN, nn.RNN, {"nonlinearity": "relu"}),
    "gru": (GRU, nn.GRU, {}),
    "lstm": (LSTM, nn.LSTM, {}),
}
# The same float64 sums in another order: a few hundred roundings of 1e-16.
SAME = {"rtol": 1e-10, "atol": 1e-12}
every_cell = pytest.mark.parametrize("name", CELLS)
every_merge = pytest.mark.parametrize("merge", MERGES)
every_stack = pytest.mark.parametrize(
    ("num_layers", "bidirectional"), list(itertools.product([1, 2, 3], [False, True])), ids=str
)
LENGTHS = torch.tensor([3, 6, 0, 1, 6, 4])


def build(name, *sizes, seed=0, **options):
    torch.manual_seed(seed)
    make, _, own = CELLS[name]
    return make(*sizes, **own, **{"dtype": DOUBLE, **options})


def build_torch(name, *sizes, seed=0, **options):
    torch.manual_seed(seed)
    _, make, own = CELLS[name]
    return make(*sizes, **own, **{"dtype": DOUBLE, **options})


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def whole(tensors):
    return tensors if len(tensors) == 2 else tensors[0]


def random_state(layer, batch_size):
    size = (layer.num_layers * layer.num_directions, batch_size)
    widths = [layer.proj_size or layer.hidden_size, *([layer.hidden_size] if layer.mode == "LSTM" else [])]
    return whole(tuple(torch.randn(*size, width, dtype=DOUBLE) for width in widths))


def close(ours, theirs, **tolerance):
    torch.testing.assert_close(ours, theirs, **(tolerance or SAME))


def assert_same(ours, theirs, **tolerance):
    close(ours[0], theirs[0], **tolerance)
    for our_part, their_part in zip(parts(ours[1]), parts(theirs[1]), strict=True):
        close(our_part, their_part, **tolerance)


def gradients(layer, inputs, state, lengths=None):
    """Return outputs, final states and all gradients, under a loss that weighs every entry differently."""
    inputs = inputs.clone().requires_grad_()
    first = tuple(part.clone().requires_grad_() for part in parts(state))
    layer.zero_grad()
    outputs, final = layer(inputs, whole(first), lengths=lengths)
    results = (outputs, *parts(final))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        loss = sum((result * torch.randn(result.shape, dtype=result.dtype)).sum() for result in results)
    loss.backward()
    return [*results, inputs.grad, *(part.grad for part in first), *(weight.grad for weight in layer.parameters())]


# ---------------------------------------------------------------- drop-in for torch.nn


@every_stack
@every_cell
def test_state_dict_goes_both_ways_and_outputs_are_equal(name, num_layers, bidirectional):
    ours = build(name, 3, 5, num_layers, bidirectional=bidirectional)
    theirs = build_torch(name, 3, 5, num_layers, bidirectional=bidirectional, seed=1)
    inputs, state = torch.randn(4, 2, 3, dtype=DOUBLE), random_state(ours, 2)
    theirs.load_state_dict(ours.state_dict())
    assert_same(ours(inputs, state), theirs(inputs, state))
    fresh = build(name, 3, 5, num_layers, bidirectional=bidirectional, seed=2)
    fresh.load_state_dict(theirs.state_dict())
    assert_same(fresh(inputs), theirs(inputs))
    assert isinstance(ours, type(theirs))


@every_stack
@every_cell
def test_the_same_seed_gives_the_same_weights(name, num_layers, bidirectional):
    ours = build(name, 3, 5, num_layers, bidirectional=bidirectional).state_dict()
    theirs = build_torch(name, 3, 5, num_layers, bidirectional=bidirectional).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    "options", [{"bias": False}, {"proj_size": 2}, {"proj_size": 2, "bidirectional": True}], ids=str
)
def test_other_settings_of_torch(options):
    ours, theirs = build("lstm", 3, 5, 2, **options), build_torch("lstm", 3, 5, 2, **options)
    inputs, state = torch.randn(4, 2, 3, dtype=DOUBLE), random_state(ours, 2)
    assert_same(ours(inputs, state), theirs(inputs, state))
    lengths = torch.tensor([2, 4])
    alone, _ = theirs(inputs[:2, :1], tuple(part[:, :1] for part in state))
    close(ours(inputs, state, lengths)[0][:2, :1], alone)


def test_positional_arguments_have_the_order_of_torch():
    assert repr(RNN(3, 5, 2, "relu", False, True, 0.5, True)).startswith(
        "RNN(3, 5, num_layers=2, bias=False, batch_fir"
    )
    for ours, theirs in ((GRU, nn.GRU), (LSTM, nn.LSTM)):
        assert repr(ours(3, 5, 2, False, True, 0.5, True)) == repr(theirs(3, 5, 2, False, True, 0.5, True))
    assert LSTM(3, 5, 1, True, False, 0.0, False, 2).proj_size == 2


@every_cell
def test_batch_first_unbatched_and_packed(name):
    for options in ({}, {"bidirectional": True}):
        ours, theirs = (make(name, 3, 5, 2, batch_first=True, **options) for make in (build, build_torch))
        inputs, state = torch.randn(4, 6, 3, dtype=DOUBLE), random_state(ours, 4)
        assert_same(ours(inputs, state), theirs(inputs, state))
        one = whole(tuple(part[:, 0] for part in parts(state)))
        assert_same(ours(inputs[0], one), theirs(inputs[0], one))
        assert_same(ours(inputs[0]), theirs(inputs[0]))
        for lengths, is_sorted in (([2, 6, 1, 5], False), ([6, 5, 5, 1], True)):
            packed = pack_padded_sequence(inputs, torch.tensor(lengths), batch_first=True, enforce_sorted=is_sorted)
            our_packed, our_state = ours(packed, state)
            their_packed, their_state = theirs(packed, state)
            close(our_packed.data, their_packed.data)
            assert torch.equal(our_packed.batch_sizes, their_packed.batch_sizes)
            assert_same(
                (pad_packed_sequence(our_packed)[0], our_state), (pad_packed_sequence(their_packed)[0], their_state)
            )


def test_packed_input_with_merges():
    layer = build("gru", 3, 5, 2, bidirectional=True, merge="sum")
    inputs, lengths = torch.randn(6, 4, 3, dtype=DOUBLE), torch.tensor([2, 6, 1, 5])
    packed, state = layer(pack_padded_sequence(inputs, lengths, enforce_sorted=False))
    assert_same((pad_packed_sequence(packed)[0], state), layer(inputs, lengths=lengths))


@every_cell
def test_copies_conversions_and_inference(name):
    layer = build(name, 3, 5, 2, merge="sum", bidirectional=True, initial_state="learned", dtype=torch.float32)
    inputs = torch.randn(4, 2, 3)
    expected = layer(inputs)
    assert_same(copy.deepcopy(layer)(inputs), expected)
    # float32 has 24 bits: 1e-7 per rounding, a few dozen of them; torch picks another LSTM kernel for inference.
    single = {"rtol": 1e-5, "atol": 1e-6}
    with torch.inference_mode():
        assert_same(layer(inputs), expected, **single)
    with torch.no_grad():
        assert not layer(inputs)[0].requires_grad
    assert_same(layer.to(DOUBLE)(inputs.double()), (expected[0].double(), whole_double(expected[1])), **single)


def whole_double(state):
    return whole(tuple(part.double() for part in parts(state)))


@every_cell
def test_autocast_gives_the_dtypes_that_torch_gives(name):
    ours, theirs = (make(name, 3, 5, dtype=torch.float32) for make in (build, build_torch))
    inputs, lengths = torch.randn(4, 2, 3), torch.tensor([4, 2])
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        (packed, packed_state) = theirs(pack_padded_sequence(inputs, lengths))
        pairs = [(ours(inputs), theirs(inputs)), (ours(inputs, lengths=lengths), (packed.data, packed_state))]
    for got, expected in pairs:
        assert [t.dtype for t in (got[0], *parts(got[1]))] == [t.dtype for t in (expected[0], *parts(expected[1]))]


def test_new_weights_are_used():
    layer = build("gru", 3, 5)
    other = {key: 2 * weight for key, weight in layer.state_dict().items()}
    inputs = torch.randn(4, 2, 3, dtype=DOUBLE)
    swapped = torch.func.functional_call(layer, other, inputs)
    layer.load_state_dict(other)
    assert_same(swapped, layer(inputs))


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(GRU(3, 5)) == "GRU(3, 5)"
    shown = repr(RNN(3, 5, nonlinearity="relu", bidirectional=True, merge="sum", initial_state="learned"))
    assert shown == "RNN(3, 5, bidirectional=True, merge='sum', initial_state='learned', nonlinearity='relu')"


# ---------------------------------------------------------------- lengths


@pytest.mark.parametrize("backend", ["torch", "reference"])
@every_merge
@every_cell
def test_lengths_equal_each_row_alone(name, merge, backend):
    layer = build(name, 3, 5, 2, bidirectional=True, merge=merge, backend=backend)
    inputs, state = torch.randn(6, 6, 3, dtype=DOUBLE), random_state(layer, 6)
    outputs, final = layer(inputs, state, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        first = whole(tuple(part[:, row : row + 1] for part in parts(state)))
        mine = whole(tuple(part[:, row : row + 1] for part in parts(final)))
        assert not outputs[length:, row].any()
        if length == 0:
            assert all(torch.equal(*pair) for pair in zip(parts(mine), parts(first), strict=True))
        else:
            assert_same((outputs[:length, row : row + 1], mine), layer(inputs[:length, row : row + 1], first))


@pytest.mark.parametrize("backend", ["torch", "reference"])
@pytest.mark.parametrize("bidirectional", [False, True])
@every_merge
@every_cell
def test_padding_changes_neither_results_nor_gradients(name, merge, bidirectional, backend):
    layer = build(name, 3, 4, 2, bidirectional=bidirectional, merge=merge, backend=backend)
    clean, state = torch.randn(6, 6, 3, dtype=DOUBLE), random_state(layer, 6)
    dirty = clean.clone()
    dirty[torch.arange(6)[:, None] >= LENGTHS] = float("nan")
    for with_clean, with_dirty in zip(
        gradients(layer, clean, state, LENGTHS), gradients(layer, dirty, state, LENGTHS), strict=True
    ):
        assert torch.isfinite(with_dirty).all()
        assert torch.equal(with_clean, with_dirty)


@every_cell
def test_only_empty_rows(name):
    layer = build(name, 3, 5, 2, bidirectional=True)
    inputs, state = torch.full((2, 3, 3), float("nan"), dtype=DOUBLE), random_state(layer, 3)
    outputs, final = layer(inputs, state, lengths=torch.zeros(3, dtype=torch.int32))
    assert_same((outputs, final), (torch.zeros(2, 3, 10, dtype=DOUBLE), state))


def test_lengths_that_fill_the_batch_change_nothing():
    layer = build("lstm", 3, 5, batch_first=True)
    inputs = torch.randn(2, 4, 3, dtype=DOUBLE)
    assert_same(layer(inputs, lengths=torch.tensor([4, 4])), layer(inputs), rtol=0, atol=0)


@every_cell
def test_chunks_with_carried_state_equal_the_whole(name):
    layer = build(name, 3, 5, 2)
    inputs, state = torch.randn(7, 2, 3, dtype=DOUBLE), random_state(layer, 2)
    pieces, carry = [], state
    for piece in inputs.split([3, 1, 3]):
        outputs, carry = layer(piece, carry)
        pieces.append(outputs)
    assert_same((torch.cat(pieces), carry), layer(inputs, state))


# ---------------------------------------------------------------- two directions, by hand


def by_hand(name, layer, inputs, state, lengths):
    """Stack and merge by hand: every direction a unidirectional torch layer, every row flipped on its own."""
    finals = []
    for level in range(layer.num_layers):
        directions = []
        for direction, suffix in enumerate(["", "_reverse"]):
            single = build_torch(name, inputs.shape[2], layer.hidden_size)
            names = ["weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"]
            single.load_state_dict({f"{key}0": getattr(layer, f"{key}{level}{suffix}") for key in names})
            index = 2 * level + direction
            start = [part[index : index + 1] for part in parts(state)]
            outputs = torch.zeros(*inputs.shape[:2], layer.hidden_size, dtype=DOUBLE)
            final = [part.clone() for part in start]
            for row, length in enumerate(lengths.tolist()):
                if length == 0:
                    continue
                sequence = inputs[:length, row]
                first = whole(tuple(part[:, row] for part in start))
                own, end = single(sequence.flip(0) if direction else sequence, first)
                outputs[:length, row] = own.flip(0) if direction else own
                for part, part_end in zip(final, parts(end), strict=True):
                    part[:, row] = part_end
            directions.append(outputs)
            finals.append(final)
        ahead, back = directions
        merge = layer.merge
        inputs = torch.cat(directions, -1) if merge == "concat" else ahead + back if merge == "sum" else ahead * back
    return inputs, whole(tuple(torch.cat(ends) for ends in zip(*finals, strict=True)))


@pytest.mark.parametrize("num_layers", [1, 3])
@every_merge
@every_cell
def test_two_directions_equal_flipping_each_true_length_by_hand(name, merge, num_layers):
    layer = build(name, 3, 5, num_layers, bidirectional=True, merge=merge)
    inputs, state = torch.randn(6, 6, 3, dtype=DOUBLE), random_state(layer, 6)
    assert layer(inputs)[0].shape[2] == layer.output_size == (10 if merge == "concat" else 5)
    for lengths in (None, LENGTHS):
        hand_lengths = torch.full((6,), 6) if lengths is None else lengths
        with torch.no_grad():
            assert_same(layer(inputs, state, lengths), by_hand(name, layer, inputs, state, hand_lengths))


# ---------------------------------------------------------------- backends, first states, dropout


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize(("bidirectional", "merge"), [(False, "concat"), *((True, merge) for merge in MERGES)])
@every_cell
def test_the_reference_equals_torch_in_results_and_every_gradient(name, bidirectional, merge, lengths):
    options = {"bidirectional": bidirectional, "merge": merge}
    fast, slow = (build(name, 3, 5, 2, backend=backend, **options) for backend in ("torch", "reference"))
    inputs, state = torch.randn(6, 6, 3, dtype=DOUBLE), random_state(fast, 6)
    for ours, theirs in zip(
        gradients(slow, inputs, state, lengths), gradients(fast, inputs, state, lengths), strict=True
    ):
        close(ours, theirs)


@every_cell
def test_the_reference_equals_torch_in_float32_and_without_biases(name):
    fast, slow = (build(name, 3, 5, backend=b, bias=False, dtype=torch.float32) for b in ("torch", "reference"))
    inputs, state = torch.randn(6, 2, 3), whole(tuple(part.float() for part in parts(random_state(fast, 2))))
    for ours, theirs in zip(gradients(slow, inputs, state), gradients(fast, inputs, state), strict=True):
        close(ours, theirs, rtol=1e-4, atol=1e-5)  # torch adds in float32: 6 steps of 1e-7, where terms cancel


@every_cell
def test_learned_initial_state(name):
    layer = build(name, 3, 5, 2, bidirectional=True, initial_state="learned")
    learned = [weight for key, weight in layer.named_parameters() if key.startswith("initial_")]
    assert [tuple(weight.shape) for weight in learned] == [(4, 5)] * (2 if name == "lstm" else 1)
    inputs = torch.randn(4, 2, 3, dtype=DOUBLE)
    assert_same(layer(inputs), build(name, 3, 5, 2, bidirectional=True)(inputs))  # zero at first, the same weights
    for weight in learned:
        nn.init.normal_(weight)
    first = whole(tuple(weight[:, None].repeat(1, 2, 1) for weight in learned))
    outputs, final = layer(inputs)
    assert_same((outputs, final), layer(inputs, first))
    outputs.sum().backward()
    assert all(weight.grad.any() for weight in learned)
    layer.reset_parameters()
    assert not any(weight.any() for weight in learned)


@every_cell
def test_random_initial_state(name):
    layer = build(name, 3, 5, initial_state="random")
    inputs = torch.randn(4, 2, 3, dtype=DOUBLE)
    torch.manual_seed(3)
    got = layer(inputs)
    torch.manual_seed(3)
    drawn = tuple(torch.randn(1, 2, 5, dtype=DOUBLE) for _ in parts(got[1]))
    assert_same(got, layer(inputs, whole(drawn)))
    assert not torch.equal(got[0], layer(inputs)[0])


@every_merge
def test_dropout_between_layers_in_training_only(merge):
    options = {"bidirectional": True, "merge": merge}
    layer, plain = build("gru", 3, 5, 2, dropout=0.5, **options), build("gru", 3, 5, 2, **options)
    inputs = torch.randn(4, 2, 3, dtype=DOUBLE)
    assert not torch.equal(layer(inputs)[0], plain(inputs)[0])
    assert_same(layer.eval()(inputs), plain(inputs))
    assert layer.train()(inputs)[1][:2].equal(plain(inputs)[1][:2])  # below the dropout, nothing differs


@settings(max_examples=15, derandomize=True)
@given(
    name=some.sampled_from(sorted(CELLS)),
    merge=some.sampled_from(sorted(MERGES)),
    sizes=some.tuples(some.integers(1, 4), some.sampled_from([1, 2, 7]), some.integers(1, 3)),
    lengths=some.lists(some.integers(0, 5), min_size=1, max_size=4),
    bidirectional=some.booleans(),
)
def test_any_shape_the_reference_equals_torch(name, merge, sizes, lengths, bidirectional):
    options = {"bidirectional": bidirectional, "merge": merge, "batch_first": True}
    fast, slow = (build(name, *sizes, backend=backend, **options) for backend in ("auto", "reference"))
    inputs, state = torch.randn(len(lengths), 5, sizes[0], dtype=DOUBLE), random_state(fast, len(lengths))
    lengths = torch.tensor(lengths)
    assert_same(fast(inputs, state, lengths), slow(inputs, state, lengths))


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GRU(3, 0), "hidden_size=0, expected at least 1"),
        (lambda: GRU(3, 5, dropout=2.0), "dropout=2.0, expected a probability"),
        (lambda: GRU(3, 5, merge="concatt"), 'merge="concatt".*did you mean "concat"'),
        (lambda: GRU(3, 5, initial_state="zero"), 'did you mean "zeros"'),
        (lambda: GRU(3, 5, backend="troch"), 'did you mean "torch"'),
        (lambda: RNN(3, 5, nonlinearity="relo"), 'did you mean "relu"'),
        (lambda: LSTM(3, 5, proj_size=2, backend="reference"), "proj_size=2"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(UsageError, match=message):
        make()


X = torch.zeros(4, 2, 3)


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (GRU(3, 5), (X[0, 0],), r"shape \(3,\), expected \(T, B, I\)"),
        (GRU(3, 5), (X[:, :, :2],), "size 2, expected input_size=3"),
        (GRU(3, 5), (X[:0],), "0 time steps"),
        (GRU(3, 5), (X.double(),), r"input.to\(torch.float32\)"),
        (GRU(3, 5), (X, torch.zeros(1, 3, 5)), r"\(1, 3, 5\), expected \(L·D, B, H\) = \(1, 2, 5\)"),
        (GRU(3, 5), (X, (torch.zeros(1, 2, 5),) * 2), "expected one tensor"),
        (LSTM(3, 5), (X, torch.zeros(1, 2, 5)), r"pair \(hidden, cell\)"),
        (LSTM(3, 5), (X, (torch.zeros(1, 2, 5), torch.zeros(1, 2, 4))), "cell state has shape"),
        (GRU(3, 5), (X, None, torch.tensor([4])), r"expected integers of shape \(2,\)"),
        (GRU(3, 5), (X, None, torch.tensor([4.0, 2.0])), "torch.float32"),
        (GRU(3, 5), (X, None, torch.tensor([4, 5])), r"\[4, 5\], expected 0 … 4"),
        (GRU(3, 5), (X, None, torch.tensor([-1, 2])), "expected 0 … 4"),
        (GRU(3, 5), (pack_padded_sequence(X, [4, 2]), None, torch.tensor([4, 2])), "leave lengths= out"),
    ],
)
def test_wrong_arguments(layer, arguments, message):
    with pytest.raises(UsageError, match=message):
        layer(*arguments)


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="merg"):
        GRU(3, 5, merg="sum")


# ---------------------------------------------------------------- what is held for the backward pass


def bytes_held(layer, inputs):
    """Count the bytes that autograd keeps between the passes, without the weights."""
    held = {}

    def keep(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs, _ = layer(inputs)
    for parameter in layer.parameters():
        held.pop(parameter.untyped_storage().data_ptr(), None)
    assert outputs.requires_grad
    return sum(held.values())


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_the_kernels_keep_no_more_for_the_backward_pass_than_torch(name):
    inputs = torch.randn(32, 8, 64, requires_grad=True)
    fused = bytes_held({"RNN": RNN, "GRU": GRU, "LSTM": LSTM}[name](64, 64, backend="fused"), inputs)
    theirs = bytes_held(getattr(nn, name)(64, 64), inputs)
    small = 4 * 8 * 64  # one state more or less is not what grows with the batch
    assert 4 * 32 * 8 * 64 < fused <= theirs + small


@pytest.mark.parametrize(
    ("mode", "size", "batch_size", "has_lengths", "is_training", "expected"),
    [
        ("LSTM", 192, 8, False, False, "torch"),
        ("LSTM", 191, 8, False, False, "fused"),
        ("LSTM", 192, 8, True, False, "fused"),
        ("LSTM", 320, 15, False, True, "torch"),
        ("LSTM", 319, 15, False, True, "fused"),
        ("LSTM", 320, 16, False, True, "fused"),
        ("LSTM", 320, 15, True, True, "fused"),
        ("GRU", 296, 3, False, False, "torch"),
        ("GRU", 295, 3, False, False, "fused"),
        ("GRU", 296, 4, False, False, "fused"),
        ("GRU", 296, 3, True, False, "fused"),
        ("GRU", 296, 3, False, True, "fused"),
        ("RNN_TANH", 512, 3, False, False, "torch"),
        ("RNN_RELU", 511, 3, False, False, "fused"),
        ("RNN_RELU", 512, 3, False, True, "fused"),
    ],
)
def test_auto_takes_torch_where_it_is_faster(mode, size, batch_size, has_lengths, is_training, expected):
    inputs = torch.zeros(3, batch_size, 2)
    lengths = torch.full((batch_size,), 2) if has_lengths else None
    (cell,) = (cell for cell in (*TABLE.values(), RNN_RELU) if cell.kernels == mode)
    assert choose_backend("auto", cell, inputs, size, lengths, is_training)[0] == expected


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, where it loads its formulas
@pytest.mark.parametrize("name", ["RNN", "GRU"])  # torch has no forward mode for its LSTM on a CPU
def test_forward_mode_and_functional_differentiation_go_through_torch(name):
    layer = {"RNN": RNN, "GRU": GRU}[name](3, 5)
    theirs = getattr(nn, name)(3, 5)
    theirs.load_state_dict(layer.state_dict())
    inputs = torch.randn(4, 2, 3)
    ones = (torch.ones_like(inputs),)
    ours, expected = (torch.func.jvp(lambda x, each=each: each(x)[0], (inputs,), ones)[1] for each in (layer, theirs))
    assert expected.abs().sum() > 0
    torch.testing.assert_close(ours, expected)
    by_grad = torch.func.grad(lambda x: layer(x)[0].sum())(inputs)
    torch.testing.assert_close(by_grad, torch.func.grad(lambda x: theirs(x)[0].sum())(inputs))
    layer.backend = "fused"
    with pytest.raises(UsageError, match="differentiation is on"):
        torch.func.jvp(lambda x: layer(x)[0], (inputs,), ones)
