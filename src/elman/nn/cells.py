"""The table of cells: everything that layers, models, the shell and the benchmarks know about a cell, in one place.

To add a cell, write its layer in a new file (``nn/mingru.py`` is an example; tests/nn/test_cells.py has an LSTM with
peepholes) and add an entry here. The choices of ``--cell``, the networks of ``compare`` and the rows of ``bench``
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
    """An entry of the table."""

    home: str | type[Any]
    """The layer class, or ``module:class``, which is imported on first use: settings and help read this table without
    importing torch."""
    gates: tuple[str, ...]
    """The names of the blocks of H rows in weight_ih and bias_ih, in order."""
    symbols: str = ""
    """Their letters in the equations, one for each; none for the simple network, whose candidate is its state."""
    state: tuple[str, ...] = ("hidden",)
    """The parts of its state, in the order of torch.nn; ``hidden`` is also the output."""
    reads_hidden: bool = True
    """Whether the gates read h_{t-1}, through U = weight_hh."""
    equations: str | None = None
    """Its name in nn/reference.py; None if it is not there."""
    kernels: str | None = None
    """Its mode in kernels/; None if there are no kernels for it."""
    torch_name: str | None = None
    """The name of torch's own kernel for a whole stack; None if torch has none."""
    is_torch_faster: Callable[[int, int, bool], bool] = lambda rows, size, needs_gradient: False
    """Whether torch was measured to be at least as fast as the kernels, for rows of equal length (see below)."""

    @cached_property
    def layer(self) -> Any:
        """The layer class, a subclass of :class:`elman.nn.stack.Recurrent`."""
        if not isinstance(self.home, str):
            return self.home
        module, _, name = self.home.partition(":")
        return getattr(import_module(module), name)

    @cached_property
    def reference(self) -> Any:
        """The cell of :mod:`elman.nn.reference`."""
        return None if self.equations is None else import_module("elman.nn.reference").CELLS[self.equations]

    @cached_property
    def torch(self) -> Callable[..., Any] | None:
        """Torch's own kernel for a whole stack."""
        return None if self.torch_name is None else getattr(import_module("torch._VF"), self.torch_name)


def _is_torch_faster_for(gates: int) -> Callable[[int, int, bool], bool]:
    """Compare for few rows, where reading U dominates: each of our threads reads all of it, each of torch's a share."""
    return lambda rows, size, needs_gradient: not needs_gradient and rows < 4 and gates * size * size >= 1 << 18


def _is_torch_faster_for_lstm(rows: int, size: int, needs_gradient: bool) -> bool:
    """Compare with oneDNN's LSTM, which torch uses on a CPU; the thresholds come from benchmarks/RESULTS.md."""
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
"""The simple RNN with g = relu: an option of its layer, ``nonlinearity="relu"``, and so not in the table."""

if TYPE_CHECKING:
    CellName = str
else:
    CellName = Literal[tuple(CELLS)]
    """The type of a setting that names a cell of the table."""
