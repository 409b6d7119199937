"""What is recorded against the equations in float64, restarted from the recorded state at every step."""

import copy
import itertools

import numpy as np
import pytest
import torch

from elman.nn import reference
from elman.nn.cells import CELLS
from elman.nn.decoder import Decoder
from elman.nn.recording import Intervention, is_recording, recording
from elman.nn.recurrent import MERGES
from elman.nn.stack import Recurrent
from elman.nn.state import State

from .by_hand import BACKENDS, build, every_cell, step_by_hand, weights_by_hand

CLOSE = 1e-5  # float32 has 24 bits: 6e-8 a rounding; sums of a dozen products, and tanh within 2 units of the last bit


def draw(layer, steps=7, rows=2, input_size=3):
    torch.manual_seed(1)
    dtype = layer.weight_ih_l0.dtype
    first = layer.num_layers * layer.num_directions
    sizes = layer.state_sizes.items()
    state = State((part, torch.randn(first, rows, size).to(dtype)) for part, size in sizes)
    return torch.randn(steps, rows, input_size).to(dtype), state


def weights_of(run):
    """The weights of a run as nn/reference.py has them."""
    found = {name: weight.detach().double().numpy() for name, weight in run.weights.items()}
    w = found["weight_ih"]
    u = found.get("weight_hh", np.zeros((0, run.states["hidden"].shape[-1])))
    return reference.Weights(w, u, found.get("bias_ih", np.zeros(len(w))), found.get("bias_hh", np.zeros(len(u))))


def assert_close(found, expected):
    expected = np.asarray(expected)
    assert tuple(found.shape) == expected.shape
    assert np.abs(found.detach().double().numpy() - expected).max() <= CLOSE * max(1, np.abs(expected).max())


def assert_equations(run, cell):
    """Each step alone: the equations from the recorded state before it and the recorded input."""
    array = lambda tensor: tensor.detach().double().numpy()  # noqa: E731
    steps = len(run.inputs)
    for step in range(steps):
        before = step + 1 if run.is_reverse else step - 1
        is_first = before in (-1, steps)
        past = tuple(array(run.start[name] if is_first else part[before]) for name, part in run.states.items())
        state, done = reference.step(cell, array(run.inputs[step]), past, weights_of(run))
        for part, expected in zip(run.states.values(), state, strict=True):
            assert_close(part[step], expected)
        for gate, expected in zip(run.gates.values(), done.saved, strict=False):
            assert_close(gate[step], expected)


def assert_recorded(layer, cell, inputs, state, lengths=None):
    plain, plain_final = layer.run(inputs, state, lengths)
    with recording() as record:
        outputs, final = layer.run(inputs, state, lengths)
    runs = record.of(layer)
    assert [(run.number, run.is_reverse) for run in runs] == list(
        itertools.product(range(layer.num_layers), [False, True][: layer.num_directions])
    )
    read = inputs
    for number in range(layer.num_layers):
        own = runs[number * layer.num_directions :][: layer.num_directions]
        for direction, run in enumerate(own):
            assert torch.equal(run.inputs, read)
            assert list(run.gates) == list(layer.cell.gates)
            assert list(run.states) == list(layer.cell.state)
            for name, part in run.start.items():
                assert torch.equal(part, state[name][number * layer.num_directions + direction])
            assert_equations(run, cell)
        hidden = [run.states["hidden"] for run in own]
        read = hidden[0] if len(hidden) == 1 else MERGES[layer.merge](*hidden)
    assert torch.equal(outputs, read)
    assert_close(outputs, plain.detach().double())
    for name, part in final.items():
        assert_close(part, plain_final[name].detach().double())
        ends = torch.stack([run.states[name][0 if run.is_reverse else -1] for run in runs])
        assert torch.equal(part, ends)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("num_layers", "merge"), [(1, None), (2, None), (1, "concat"), (2, "concat"), (2, "sum"), (2, "product")], ids=str
)
@every_cell
def test_states_and_gates_are_those_of_the_equations(name, num_layers, merge, backend):
    if (name, backend) == ("mingru", "fused"):
        pytest.skip("there are no kernels for it")
    options = {"bidirectional": True, "merge": merge} if merge else {}
    layer = build(name, 3, 5, num_layers, **options, **BACKENDS[backend])
    assert_recorded(layer, reference.CELLS[name], *draw(layer))


@pytest.mark.parametrize("size", [17, 200])  # above 192 units auto is torch's LSTM, but for a recording
@every_cell
def test_larger_layers_without_bias_or_with_dropout(name, size):
    layer = build(name, 3, size, 2, bias=False, dropout=0.5).eval()
    inputs, state = draw(layer, steps=3)
    with torch.inference_mode():
        assert_recorded(layer, reference.CELLS[name], inputs, state)


def test_a_projected_state_has_gates_too():
    """The equations with the projection, step by step by hand."""
    layer = build("lstm", 3, 5, proj_size=2, dtype=torch.float64)
    inputs, state = draw(layer)
    with recording() as record:
        layer.run(inputs, state)
    (run,) = record.of(layer)
    h, c = state["hidden"][0], state["cell"][0]
    for step, x in enumerate(inputs):
        gates = x @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ layer.weight_hh_l0.T + layer.bias_hh_l0
        i, f, g, o = gates.chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = (o.sigmoid() * c.tanh()) @ layer.weight_hr_l0.T
        torch.testing.assert_close(run.states["hidden"][step], h)
        torch.testing.assert_close(run.states["cell"][step], c)
        torch.testing.assert_close(run.gates["forget"][step], f.sigmoid())


@every_cell
def test_rows_of_other_lengths_are_the_rows_alone(name):
    layer = build(name, 3, 5, 2, bidirectional=True, dtype=torch.float64)
    inputs, state = draw(layer, rows=3)
    lengths = torch.tensor([4, 7, 1])
    with recording() as record:
        layer.run(inputs, state, lengths)
    for row, length in enumerate(lengths.tolist()):
        with recording() as alone:
            layer.run(inputs[:length, [row]], state.select_rows(torch.tensor([row])))
        for together, single in zip(record.of(layer), alone.of(layer), strict=True):
            for name, part in single.states.items():
                torch.testing.assert_close(together.states[name][:length, [row]], part)
            for name, gate in single.gates.items():
                torch.testing.assert_close(together.gates[name][:length, [row]], gate)


def test_a_cell_without_equations_has_states_and_no_gates(monkeypatch):
    class Plain(Recurrent):
        cell_name = "plain"

        def weight_shapes(self, input_size):
            return {"weight_ih": (2 * self.hidden_size, input_size)}

        def unroll(self, inputs, state, weights):
            states = [state]
            for x in inputs:
                a, b = (x @ weights["weight_ih"].T).chunk(2, dim=-1)
                h, c = states[-1].values()
                states.append(State(hidden=(a + c).tanh(), cell=(b + h).tanh()))
            return State.join(states[1:], torch.stack)

    entry = copy.copy(CELLS["lstm"])
    entry.__dict__.update(home=Plain, gates=("a", "b"), equations=None, kernels=None, torch_name=None)
    monkeypatch.setitem(CELLS, "plain", entry)
    for cached in ("layer", "reference", "torch"):
        entry.__dict__.pop(cached, None)
    torch.manual_seed(0)
    layer = Plain(3, 5, dtype=torch.float64)
    inputs, state = draw(layer)
    with recording() as record:
        layer.run(inputs, state)
    (run,) = record.of(layer)
    expected = layer.unroll(inputs, state.map(lambda part: part[0]), {"weight_ih": layer.weight_ih_l0})
    for part, found in zip(expected.values(), run.states.values(), strict=True):
        torch.testing.assert_close(found, part)
    assert run.gates == {}


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("kind", ["none", "luong", "bahdanau"])
def test_a_decoder_that_goes_step_by_step_is_one_run(kind, feeding):
    if feeding and kind != "luong":
        pytest.skip("only luong feeds its outputs")
    torch.manual_seed(0)
    decoder = Decoder("lstm", 4, 8, 2, memory_size=6, attention=kind, input_feeding=feeding)
    start = decoder.start((torch.randn(2, 1, 8), torch.randn(2, 1, 8)), torch.randn(1, 3, 6))
    with recording() as record, torch.no_grad():
        _, state, _ = decoder(torch.randn(1, 5, 4), start)
    runs = record.of(decoder.rnn)
    assert [run.number for run in runs] == [0, 1]
    for run in runs:
        assert run.states["cell"].shape == (5, 1, 8)
        assert torch.equal(run.states["cell"][-1], state.hidden["cell"][run.number])
        assert torch.equal(run.start["hidden"], start.hidden["hidden"][run.number])
        assert_equations(run, reference.CELLS["lstm"])


def test_nothing_is_recorded_outside_and_nothing_changes():
    layer = build("lstm", 3, 5, 2, bidirectional=True)
    inputs, state = draw(layer)
    before, _ = layer.run(inputs, state)
    with recording() as record:
        assert is_recording()
    assert not is_recording()
    assert record.of(layer) == []
    after, _ = layer.run(inputs, state)
    assert torch.equal(before, after)


# ---------------------------------------------------------------- units that are set


def set_by_hand(layer, inputs, state, changes):
    """Run in float64, step by step, setting units after each: ``changes`` are (layer, direction, part, unit, value)."""
    inputs = inputs.double()
    for number in range(layer.num_layers):
        found = []
        for direction in range(layer.num_directions):
            weights = weights_by_hand(layer, number, direction)
            index = number * layer.num_directions + direction
            current = {name: part[index].double() for name, part in state.items()}
            outputs = [None] * len(inputs)
            for step in reversed(range(len(inputs))) if direction else range(len(inputs)):
                current = step_by_hand(layer, inputs[step], current, *weights)
                for where, part, unit, value in changes:
                    if where == (number, direction):
                        current[part][:, unit] = value if isinstance(value, float) else value[step]
                outputs[step] = current["hidden"]
            found.append(torch.stack(outputs))
        inputs = torch.cat(found, dim=-1)
    return inputs


@pytest.mark.parametrize("backend", BACKENDS)
@every_cell
def test_units_that_are_set_run_as_the_loop_by_hand(name, backend):
    if (name, backend) == ("mingru", "fused"):
        pytest.skip("there are no kernels for it")
    layer = build(name, 3, 5, 2, bidirectional=True, **BACKENDS[backend])
    inputs, state = draw(layer)
    part = layer.cell.state[-1]
    per_step = torch.linspace(-1, 1, 7)
    layer.interventions = (
        Intervention(0, False, "hidden", torch.tensor([1, 3]), torch.tensor([[0.5, 0.0]])),
        Intervention(0, True, part, torch.tensor([2]), per_step[:, None], by_step=True),
        Intervention(1, True, part, torch.tensor([4]), torch.tensor([[-1.0]])),
    )
    changes = [((0, 0), "hidden", 1, 0.5), ((0, 0), "hidden", 3, 0.0)]
    changes += [((0, 1), part, 2, per_step.tolist()), ((1, 1), part, 4, -1.0)]
    state = state.map(torch.zeros_like)
    with torch.no_grad():
        outputs, _ = layer.run(inputs)
        expected = set_by_hand(layer, inputs, state, changes)
        going_on, _ = layer.run(inputs, state)  # what is set step by step is set from a sequence's beginning only
    del changes[2]
    assert_close(going_on, set_by_hand(layer, inputs, state, changes))
    assert_close(outputs, expected)
    layer.interventions = ()
    with torch.no_grad():
        assert (layer.run(inputs, state)[0].double() - expected).abs().max() > 0.01


@every_cell
def test_units_that_are_set_in_rows_of_other_lengths(name):
    layer = build(name, 3, 5, 2, bidirectional=True, dtype=torch.float64)
    inputs, state = draw(layer, rows=3)
    values = torch.linspace(-1, 1, 6)[:, None]  # the seventh step is left alone
    layer.interventions = (
        Intervention(0, True, "hidden", torch.tensor([0]), values, by_step=True),
        Intervention(1, False, "hidden", torch.tensor([2]), torch.tensor([[0.25]])),
    )
    lengths = torch.tensor([4, 7, 0])
    outputs, final = layer.run(inputs, lengths=lengths)
    state = state.map(torch.zeros_like)
    for row, length in enumerate(lengths.tolist()):
        assert not outputs[length:, row].any()
        if length == 0:
            assert all(torch.equal(part[:, row], state[name][:, row]) for name, part in final.items())
            continue
        alone, end = layer.run(inputs[:length, [row]])
        torch.testing.assert_close(outputs[:length, [row]], alone)
        for name, part in end.items():
            torch.testing.assert_close(final[name][:, [row]], part)


def test_each_row_has_units_and_values_of_its_own():
    layer = build("lstm", 3, 5, dtype=torch.float64)
    inputs, state = draw(layer, rows=3)
    units, values = torch.tensor([[0, 1], [2, 3], [4, 0]]), torch.rand(1, 3, 2)
    layer.interventions = (Intervention(0, False, "cell", units, values),)
    together, _ = layer.run(inputs, state)
    for row in range(3):
        layer.interventions = (Intervention(0, False, "cell", units[row], values[:, row]),)
        alone, _ = layer.run(inputs[:, [row]], state.select_rows(torch.tensor([row])))
        torch.testing.assert_close(together[:, [row]], alone)
