"""The table of cells: all that the layers, the models, the shell and the benchmarks know of a cell, in one place.

To add a cell, write its layer in a file of its own (``nn/mingru.py`` is an example; tests/nn/test_cells.py has an LSTM
with peepholes) and enter it here. The choices of ``--cell``, the networks of ``compare`` and the rows of ``bench``
follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal


@dataclass(frozen=True)
class Cell:
    """What there is to know of a cell."""

    home: str | type[Any]
    """Its layer, stacked, in one direction or both: the class, or ``module:class``, which is imported when it is first
    used: settings and help read this table and do not wait for torch."""
    gates: tuple[str, ...]
    """The names of the blocks of H rows that weight_ih and bias_ih consist of, in order."""
    symbols: str = ""
    """Their letters in the equations, one for each; none for the simple network, whose candidate is its state."""
    state: tuple[str, ...] = ("hidden",)
    """The parts of its state, in the order in which torch.nn hands them out; ``hidden`` is the output, too."""
    reads_hidden: bool = True
    """Whether the gates read h_{t-1}, through U = weight_hh."""
    equations: str | None = None
    """Its step in nn/reference.py, which knows cells whose weights are W, U and biases; None for another."""
    kernels: str | None = None
    """What kernels/ call it: its mode; None where they do not have it."""
    torch_name: str | None = None
    """What torch calls its own kernel for a whole stack; None where it has none."""
    is_torch_faster: Callable[[int, int, bool], bool] = lambda rows, size, needs_gradient: False
    """Whether torch was measured to be as fast as the kernels or faster, for rows of one length (see below)."""

    @cached_property
    def layer(self) -> Any:
        """Its layer, a subclass of :class:`elman.nn.stack.Recurrent`."""
        if not isinstance(self.home, str):
            return self.home
        module, _, name = self.home.partition(":")
        return getattr(import_module(module), name)

    @cached_property
    def reference(self) -> Any:
        """Its step, a cell of :mod:`elman.nn.reference`."""
        return None if self.equations is None else import_module("elman.nn.reference").CELLS[self.equations]

    @cached_property
    def torch(self) -> Callable[..., Any] | None:
        """Torch's own kernel for a whole stack."""
        return None if self.torch_name is None else getattr(import_module("torch._VF"), self.torch_name)


def _is_torch_faster_for(gates: int) -> Callable[[int, int, bool], bool]:
    """With few rows, time goes into reading U: in the kernels each thread reads all of it, in torch its share."""
    return lambda rows, size, needs_gradient: not needs_gradient and rows < 4 and gates * size * size >= 1 << 18


def _is_torch_faster_for_lstm(rows: int, size: int, needs_gradient: bool) -> bool:
    """benchmarks/RESULTS.md says where the borders lie; torch's LSTM on a CPU is oneDNN's."""
    return rows < 16 and size >= 320 if needs_gradient else size >= 192


CELLS: dict[str, Cell] = {
    "rnn": Cell(
        home="elman.nn.recurrent:RNN",
        gates=("candidate",),
        equations="rnn_tanh",
        kernels="RNN_TANH",
        torch_name="rnn_tanh",
        is_torch_faster=_is_torch_faster_for(1),
    ),
    "gru": Cell(
        home="elman.nn.recurrent:GRU",
        gates=("reset", "update", "candidate"),
        symbols="rzn",
        equations="gru",
        kernels="GRU",
        torch_name="gru",
        is_torch_faster=_is_torch_faster_for(3),
    ),
    "lstm": Cell(
        home="elman.nn.recurrent:LSTM",
        gates=("input", "forget", "candidate", "output"),
        symbols="ifgo",
        state=("hidden", "cell"),
        equations="lstm",
        kernels="LSTM",
        torch_name="lstm",
        is_torch_faster=_is_torch_faster_for_lstm,
    ),
    "mingru": Cell(
        home="elman.nn.mingru:MinGRU",
        gates=("update", "candidate"),
        symbols="zn",
        reads_hidden=False,
        equations="mingru",
    ),
}

RNN_RELU = replace(CELLS["rnn"], equations="rnn_relu", kernels="RNN_RELU", torch_name="rnn_relu")
"""The simple network with g = relu: an option of its layer, ``nonlinearity="relu"``, not a cell of its own."""

if TYPE_CHECKING:
    CellName = str
else:
    CellName = Literal[tuple(CELLS)]
    """The type of a setting that names a cell: its choices are those of the table."""
