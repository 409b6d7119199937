"""Layers of every cell and backend, and one step of each cell in torch's plain operations, from its equations."""

import pytest
import torch

from elman.nn.mingru import MinGRU
from elman.nn.recurrent import GRU, LSTM, RNN

CELLS = {
    "rnn_tanh": (RNN, {}),
    "rnn_relu": (RNN, {"nonlinearity": "relu"}),
    "gru": (GRU, {}),
    "lstm": (LSTM, {}),
    "mingru": (MinGRU, {}),
}
BACKENDS = {
    "auto": {"backend": "auto"},
    "fused": {"backend": "fused"},
    "torch": {"backend": "torch"},
    "reference": {"backend": "reference"},
    "float64": {"dtype": torch.float64},
}
every_cell = pytest.mark.parametrize("name", CELLS)


def build(name, *sizes, **options):
    torch.manual_seed(0)
    make, own = CELLS[name]
    return make(*sizes, **own, **options)


def weights_by_hand(layer, number, direction):
    """The four weights of a layer and direction in float64; zero where there is none."""
    suffix = f"_l{number}{'_reverse' * direction}"
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [getattr(layer, name + suffix, torch.zeros(())).detach().double() for name in names]


def step_by_hand(layer, x, state, w, u, b, d):
    h = state["hidden"]
    if layer.cell_name == "mingru":
        z, n = (x @ w.T + b).chunk(2, dim=-1)
        return {"hidden": (1 - z.sigmoid()) * h + z.sigmoid() * n}
    from_x, from_h = x @ w.T + b, h @ u.T + d
    if layer.cell_name == "rnn":
        return {"hidden": getattr(torch, layer.nonlinearity)(from_x + from_h)}
    if layer.cell_name == "gru":
        (x_r, x_z, x_n), (h_r, h_z, h_n) = from_x.chunk(3, dim=-1), from_h.chunk(3, dim=-1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        return {"hidden": (1 - z) * (x_n + r * h_n).tanh() + z * h}
    i, f, g, o = (from_x + from_h).chunk(4, dim=-1)
    c = f.sigmoid() * state["cell"] + i.sigmoid() * g.tanh()
    return {"hidden": o.sigmoid() * c.tanh(), "cell": c}
