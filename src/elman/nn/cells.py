"""The table of cells: all that the layers, the models, the shell and the benchmarks know of a cell, in one place.

To add a cell, write its layer in a file of its own (``nn/mingru.py`` is an example; tests/nn/test_cells.py has an LSTM
with peepholes), enter it here and add its name to nn/cell_names.py. The choices of ``--cell``, the networks of
``compare`` and the rows of ``bench`` follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import _VF

from elman.nn import reference
from elman.nn.mingru import MinGRU
from elman.nn.recurrent import GRU, LSTM, RNN
from elman.nn.stack import Recurrent


@dataclass(frozen=True)
class Cell:
    """What there is to know of a cell."""

    layer: type[Recurrent]
    """Its layer: stacked, in one direction or both."""
    gates: tuple[str, ...]
    """The names of the blocks of H rows that weight_ih and bias_ih consist of, in order."""
    state: tuple[str, ...] = ("hidden",)
    """The parts of its state, in the order in which torch.nn hands them out; ``hidden`` is the output, too."""
    reads_hidden: bool = True
    """Whether the gates read h_{t-1}, through U = weight_hh."""
    reference: reference.Cell | None = None
    """Its step in nn/reference.py, which knows cells whose weights are W, U and biases; None for another."""
    kernels: str | None = None
    """What kernels/ call it: its mode; None where they do not have it."""
    torch: Callable[..., Any] | None = None
    """torch's own kernel for a whole stack; None where torch has none."""
    is_torch_faster: Callable[[int, int, bool], bool] = lambda rows, size, needs_gradient: False
    """Whether torch was measured to be as fast as the kernels or faster, for rows of one length (see below)."""


def _is_torch_faster_for(gates: int) -> Callable[[int, int, bool], bool]:
    """With few rows, time goes into reading U: in the kernels each thread reads all of it, in torch its share."""
    return lambda rows, size, needs_gradient: not needs_gradient and rows < 4 and gates * size * size >= 1 << 18


def _is_torch_faster_for_lstm(rows: int, size: int, needs_gradient: bool) -> bool:
    """benchmarks/RESULTS.md says where the borders lie; torch's LSTM on a CPU is oneDNN's."""
    return rows < 16 and size >= 320 if needs_gradient else size >= 192


CELLS: dict[str, Cell] = {
    "rnn": Cell(
        layer=RNN,
        gates=("candidate",),
        reference=reference.CELLS["rnn_tanh"],
        kernels="RNN_TANH",
        torch=_VF.rnn_tanh,
        is_torch_faster=_is_torch_faster_for(1),
    ),
    "gru": Cell(
        layer=GRU,
        gates=("reset", "update", "candidate"),
        reference=reference.CELLS["gru"],
        kernels="GRU",
        torch=_VF.gru,
        is_torch_faster=_is_torch_faster_for(3),
    ),
    "lstm": Cell(
        layer=LSTM,
        gates=("input", "forget", "candidate", "output"),
        state=("hidden", "cell"),
        reference=reference.CELLS["lstm"],
        kernels="LSTM",
        torch=_VF.lstm,
        is_torch_faster=_is_torch_faster_for_lstm,
    ),
    "mingru": Cell(
        layer=MinGRU,
        gates=("update", "candidate"),
        reads_hidden=False,
        reference=reference.CELLS["mingru"],
    ),
}

RNN_RELU = replace(CELLS["rnn"], reference=reference.CELLS["rnn_relu"], kernels="RNN_RELU", torch=_VF.rnn_relu)
"""The simple network with g = relu: an option of its layer, ``nonlinearity="relu"``, not a cell of its own."""
