"""The table of cells describes each layer; a new cell without kernels needs only an entry and a layer."""

from typing import get_args

import pytest
import torch
from torch import nn

from elman.errors import UsageError
from elman.nn.cells import CELLS, Cell, CellName
from elman.nn.stack import Recurrent
from elman.nn.state import State

DOUBLE = torch.float64
# The same float64 sums in another order: a few hundred roundings of 1e-16.
SAME = {"rtol": 1e-10, "atol": 1e-12}
LENGTHS = torch.tensor([3, 7, 0, 4])


@pytest.mark.parametrize("name", CELLS)
def test_an_entry_describes_its_layer(name):
    cell = CELLS[name]
    layer = cell.layer(3, 5)
    assert layer.cell is cell
    assert layer.weight_ih_l0.shape == (len(cell.gates) * 5, 3)
    assert hasattr(layer, "weight_hh_l0") == cell.reads_hidden
    _, state = layer.run(torch.zeros(2, 1, 3))
    assert tuple(state) == cell.state
    if cell.reference is not None:
        assert (cell.reference.gates, cell.reference.num_states) == (len(cell.gates), len(cell.state))
    assert (cell.torch is not None) == isinstance(layer, nn.RNNBase)


def test_settings_accept_the_names_of_the_table():
    assert get_args(CellName) == tuple(CELLS)


@pytest.mark.parametrize(("name", "gate", "rows"), [("lstm", "forget", slice(5, 10)), ("gru", "reset", slice(0, 5))])
def test_a_gates_bias_is_shifted_in_all_layers_and_directions(name, gate, rows):
    layer = CELLS[name].layer(3, 5, 2, bidirectional=True)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    layer.shift_gate(gate, 2.0)
    for key, value in layer.state_dict().items():
        expected = before[key].clone()
        if key.startswith("bias_ih"):
            expected[rows] += 2.0
        assert torch.equal(value, expected)


# ---------------------------------------------------------------- a new cell


class Peephole(Recurrent):
    """An LSTM whose gates see the cell, written as a user would write it."""

    cell_name = "peephole"

    def weight_shapes(self, input_size):
        rows, size = 4 * self.hidden_size, self.hidden_size
        biases = {"bias_ih": (rows,)} if self.bias else {}
        return {"weight_ih": (rows, input_size), "weight_hh": (rows, size), "weight_ch": (3, size), **biases}

    def unroll(self, inputs, state, weights):
        from_inputs = nn.functional.linear(inputs, weights["weight_ih"], weights.get("bias_ih"))
        (h, c), states = state.values(), []
        p_i, p_f, p_o = weights["weight_ch"]
        for from_input in from_inputs:
            i, f, g, o = (from_input + h @ weights["weight_hh"].T).chunk(4, dim=-1)
            c = (f + p_f * c).sigmoid() * c + (i + p_i * c).sigmoid() * g.tanh()
            h = (o + p_o * c).sigmoid() * c.tanh()
            states.append(State(hidden=h, cell=c))
        return State.join(states, torch.stack)


@pytest.fixture
def peephole(monkeypatch):
    entry = Cell(home=Peephole, gates=("input", "forget", "candidate", "output"), state=("hidden", "cell"))
    monkeypatch.setitem(CELLS, "peephole", entry)

    def build(*sizes, **options):
        torch.manual_seed(0)
        return Peephole(*sizes, **{"dtype": DOUBLE, **options})

    return build


def test_a_new_cell_without_peepholes_equals_the_lstm(peephole):
    layer = peephole(3, 5, 2, bidirectional=True)
    known = CELLS["lstm"].layer(3, 5, 2, bidirectional=True, dtype=DOUBLE)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if name.startswith("weight_ch"):
                weight.zero_()
            else:
                getattr(known, name).copy_(weight)
        for name, bias in known.named_parameters():
            if name.startswith("bias_hh"):
                bias.zero_()
    inputs, start = torch.randn(7, 4, 3, dtype=DOUBLE), tuple(torch.randn(4, 4, 5, dtype=DOUBLE) for _ in range(2))
    for ours, theirs in zip(layer(inputs, start, LENGTHS), known(inputs, start, LENGTHS), strict=True):
        torch.testing.assert_close(ours, theirs, **SAME)


def test_a_new_cell_run_in_chunks_equals_the_whole_and_learns_its_state(peephole):
    layer = peephole(3, 5, initial_state="learned", merge="sum", bidirectional=False)
    with torch.no_grad():
        layer.initial_cell.fill_(0.5)
    inputs = torch.randn(7, 2, 3, dtype=DOUBLE)
    whole, end = layer.run(inputs)
    first, state = layer.run(inputs[:3])
    rest, state = layer.run(inputs[3:], state)
    torch.testing.assert_close(torch.cat((first, rest)), whole, **SAME)
    torch.testing.assert_close(dict(state), dict(end), **SAME)
    start = torch.zeros(1, 2, 5, dtype=DOUBLE), torch.full((1, 2, 5), 0.5, dtype=DOUBLE)
    torch.testing.assert_close(layer(inputs, start)[0], whole, **SAME)


def test_backends_that_a_new_cell_lacks_are_refused(peephole):
    for backend, message in {"reference": "a Peephole has no reference", "fused": "no kernels for a Peephole"}.items():
        with pytest.raises(UsageError, match=message):
            peephole(3, 5, backend=backend)(torch.zeros(2, 1, 3, dtype=DOUBLE))
