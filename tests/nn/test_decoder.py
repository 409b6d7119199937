"""The decoder against its equations in float64 loops, and step by step against all at once."""

import numpy as np
import pytest
import torch

from elman.nn import reference
from elman.nn.cells import CELLS as TABLE
from elman.nn.decoder import Decoder

KINDS = [("none", False), ("luong", False), ("luong", True), ("bahdanau", False)]
CELLS = [name for name, cell in TABLE.items() if cell.reference is not None]


def made(cell, attention, feeding, num_layers=1):
    torch.manual_seed(3)
    decoder = Decoder(cell, 3, 4, num_layers, 5, attention, feeding, backend="torch").double()
    hidden = {name: torch.randn(num_layers, 2, 4).double() for name in TABLE[cell].state}
    outputs, lengths = torch.randn(2, 6, 5).double(), torch.tensor([6, 3])
    return decoder, decoder.start(hidden, outputs, lengths), outputs, lengths


def by_hand(decoder, inputs, start, outputs, length, row):
    """Decode one row of a one-layer decoder with NumPy, step by step."""
    weights = {name: tensor.detach().numpy() for name, tensor in decoder.state_dict().items()}
    cell = reference.cell_named({"rnn": "rnn_tanh"}.get(decoder.rnn.cell_name, decoder.rnn.cell_name))
    absent = {"rnn.weight_hh_l0": np.zeros((0, 4)), "rnn.bias_hh_l0": np.zeros(0)} | weights  # where there is no U
    own = reference.Weights(*(absent[f"rnn.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
    state = tuple(part[0, row : row + 1].numpy() for part in start.hidden.values())
    memory = outputs[row, :length].numpy()
    fed = np.zeros(decoder.fed_size)

    def look_up(query):
        keys = memory @ weights["attention.keys.weight"].T
        if decoder.attention.kind == "luong":
            scores = keys @ query
        else:
            scores = np.tanh(keys + weights["attention.queries.weight"] @ query) @ weights["attention.score.weight"][0]
        shares = np.exp(scores - scores.max())
        return (shares / shares.sum()) @ memory

    found = []
    for step in inputs:
        if decoder.attention is not None and decoder.attention.kind == "bahdanau":
            context = fed = look_up(state[0][0])
        x = np.concatenate((step, fed))[None, None]
        hidden, state, _ = reference.forward(cell, x, own, state)
        if decoder.attention is None:
            found.append(hidden[0, 0])
            continue
        if decoder.attention.kind == "luong":
            context = look_up(hidden[0, 0])
        output = np.tanh(weights["combine.weight"] @ np.concatenate((context, hidden[0, 0])))
        if decoder.fed_size and decoder.attention.kind == "luong":
            fed = output
        found.append(output)
    return np.stack(found)


@pytest.mark.parametrize(("attention", "feeding"), KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_it_computes_its_equations(cell, attention, feeding):
    decoder, start, outputs, lengths = made(cell, attention, feeding)
    inputs = torch.randn(2, 5, 3).double()
    with torch.no_grad():
        found, _, _ = decoder(inputs, start)
    for row, length in enumerate(lengths.tolist()):
        wanted = by_hand(decoder, inputs[row].numpy(), start, outputs, length, row)
        np.testing.assert_allclose(found[row].numpy(), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("attention", "feeding"), KINDS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_step_by_step_equals_all_at_once(attention, feeding, num_layers):
    decoder, start, _, _ = made("lstm", attention, feeding, num_layers)
    inputs = torch.randn(2, 4, 3).double()
    whole, last, weights = decoder(inputs, start)
    state, steps, looked = start, [], []
    for step in range(4):
        output, state, shares = decoder(inputs[:, step : step + 1], state)
        steps.append(output)
        looked.append(shares)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)
    for one, other in zip(state.hidden.values(), last.hidden.values(), strict=True):
        torch.testing.assert_close(one, other)
    if attention != "none":
        torch.testing.assert_close(torch.cat(looked, dim=1), weights)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4).double())


@pytest.mark.parametrize(("attention", "feeding"), KINDS)
def test_rows_that_share_a_memory_equal_rows_alone(attention, feeding):
    decoder, start, _, _ = made("gru", attention, feeding)
    rows = torch.tensor([1, 1, 1, 0, 0, 0])
    both = start.select(torch.tensor([1, 0]), rows)
    inputs = torch.randn(6, 3, 3).double()
    together, _, _ = decoder(inputs, both)
    for row, sentence in enumerate(rows.tolist()):
        alone, _, _ = decoder(inputs[row : row + 1], start.select(torch.tensor([sentence]), torch.tensor([sentence])))
        torch.testing.assert_close(together[row : row + 1], alone)
