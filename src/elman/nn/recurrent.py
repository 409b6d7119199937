"""RNN, GRU and LSTM: drop-in replacements for torch.nn's that also merge directions, take lengths and learn a state.

They are the stacks of nn/stack.py with two faster paths: torch's own kernel runs the whole stack in one call where it
can, and Elman's kernels run a layer in all its directions in one call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.draws import is_drawing
from elman.errors import UsageError
from elman.kernels.checks import check_choice
from elman.nn.backends import LayerWeights, is_tracing, run_fused, run_torch
from elman.nn.stack import Recurrent
from elman.nn.state import MERGES as MERGES
from elman.nn.state import State

if TYPE_CHECKING:
    from elman.nn.cells import Cell


class Options(TypedDict, total=False):
    """The keywords that every layer here takes; see ``RNN``."""

    device: torch.device | str | None
    dtype: torch.dtype | None
    merge: str
    initial_state: str
    backend: str


class DropIn(Recurrent, nn.RNNBase):
    """The base of RNN, GRU and LSTM, for which torch has kernels; use one of those."""

    def _make(self, **settings: Any) -> None:
        """Let torch.nn store the settings and create the weights."""
        if self.backend in ("fused", "reference") and settings.get("proj_size"):
            backend = f'backend="{self.backend}"'
            raise UsageError(f"proj_size={settings['proj_size']}, expected 0: {backend} has no projection")
        super(Recurrent, self).__init__(**settings)  # nn.RNN, nn.GRU or nn.LSTM
        if self.num_directions == 2 and self.merge != "concat" and self.num_layers > 1:
            for name in self._flat_weights_names:  # above the first layer the input is merged: H columns instead of 2H
                if name.startswith("weight_ih") and not name.startswith("weight_ih_l0"):
                    weight = getattr(self, name)
                    setattr(self, name, nn.Parameter(weight.new_empty(len(weight), self.output_size)))
            self.reset_parameters()

    @property
    def state_sizes(self) -> dict[str, int]:
        """The parts of a state and the size of each."""
        sizes = super().state_sizes
        return {**sizes, "hidden": self.proj_size} if self.proj_size else sizes

    @property
    def _obstacle(self) -> str:
        return super()._obstacle or ("it has a projection" if self.proj_size else "")

    @property
    def _kernel(self) -> Callable[..., Any]:
        kernel = self.cell.torch
        assert kernel is not None
        return kernel

    @property
    def _is_one_call(self) -> bool:
        """Whether one call of torch's kernel can compute the whole stack."""
        return self.backend != "reference" and (self.merge == "concat" or not self.bidirectional)

    def flatten_parameters(self) -> None:
        """Lay out the weights for cuDNN if one call runs the whole stack."""
        if self._is_one_call:
            super().flatten_parameters()

    def forward(self, input: Any, hx: Any = None, lengths: Tensor | None = None) -> Any:
        """Run the stack over a batch of sequences; see :meth:`elman.nn.stack.Recurrent.forward`."""
        is_packed = isinstance(input, PackedSequence) and lengths is None
        is_given = self.initial_state == "zeros" or hx is not None
        if is_packed and is_given and self._is_one_call and is_tracing():
            return super(Recurrent, self).forward(input, hx)  # ONNX export needs the sequence to stay packed
        return super().forward(input, hx, lengths)

    def _run_stack(
        self, inputs: Tensor, state: State, lengths: Tensor | None, backend: str, *, is_start: bool
    ) -> tuple[Tensor, State]:
        drops = self.training and self.dropout > 0 and self.num_layers > 1
        needs_own_masks = drops and is_drawing()  # torch's call draws its dropout masks itself
        if backend != "torch" or not self._is_one_call or needs_own_masks or self.is_instrumented:
            return super()._run_stack(inputs, state, lengths, backend, is_start=is_start)
        self._update_flat_weights()
        settings = (self.bias, self.num_layers, self.dropout, self.training, self.bidirectional)
        return run_torch(self._kernel, inputs, state, self._flat_weights, lengths, settings)

    def _run_layer(
        self, inputs: Tensor, state: State, weights: list[LayerWeights], lengths: Tensor | None, backend: str
    ) -> tuple[Tensor, State]:
        if backend == "fused":
            outputs, final, _, _ = run_fused(self.cell, inputs, state, weights, lengths)
            return outputs, final
        return super()._run_layer(inputs, state, weights, lengths, backend)

    def _run_direction(
        self, inputs: Tensor, state: State, weights: LayerWeights, lengths: Tensor | None
    ) -> tuple[Tensor, State]:
        settings = (self.bias, 1, 0.0, self.training, False)
        start, own = state.map(lambda part: part[None]), list(weights.values())
        outputs, final = run_torch(self._kernel, inputs, start, own, lengths, settings)
        return outputs, final.map(lambda part: part[0])


class RNN(DropIn, nn.RNN):
    """The simple (Elman) recurrent network: each state is computed from the input and the previous state.

        h_t = g(W x_t + b_ih + U h_{t-1} + b_hh),   W = weight_ih_l0, U = weight_hh_l0, g = tanh or relu

    Source: Elman (1990), "Finding structure in time", Cognitive Science 14.

    Args:
        input_size: I, the size of one input.
        hidden_size: H, the size of the state.
        num_layers: L, the number of stacked layers.
        nonlinearity: g, ``"tanh"`` or ``"relu"``.
        bias: whether to use b_ih and b_hh.
        batch_first: whether batches are (B, T, I) instead of (T, B, I); the layout of the state stays the same.
        dropout: probability of zeroing an entry between layers while training.
        bidirectional: whether a second direction reads each sequence from its end.
        **options: ``device`` and ``dtype`` as in torch.nn; ``merge``, how to merge the outputs of two directions:
            ``"concat"`` (2H), ``"sum"`` or ``"product"`` (H); ``initial_state``, the state when none is passed:
            ``"zeros"``, ``"random"`` (standard normal) or ``"learned"`` (a parameter that starts at zero); and
            ``backend``: ``"fused"`` for Elman's kernels (float32 on the CPU), ``"torch"`` for torch.nn's,
            ``"reference"`` for the slow float64 loops of ``nn/reference.py``, ``"auto"`` for the fastest. Use
            ``"torch"`` for gradients of gradients, and if you modify outputs in place before the backward pass.

    Raises:
        UsageError: a setting is out of range or unknown.

    Example:
        >>> layer = RNN(3, 5, batch_first=True)
        >>> outputs, state = layer(torch.zeros(2, 4, 3), lengths=torch.tensor([4, 1]))
        >>> outputs.shape, state.shape
        (torch.Size([2, 4, 5]), torch.Size([1, 2, 5]))
    """

    cell_name: ClassVar[str] = "rnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Unpack[Options],
    ) -> None:
        check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        sizes = (input_size, hidden_size, num_layers)
        super().__init__(*sizes, bias, batch_first, dropout, bidirectional, nonlinearity=nonlinearity, **options)

    @property
    def cell(self) -> Cell:
        """The layer's entry in the table of cells; ``RNN_RELU`` for relu."""
        from elman.nn.cells import CELLS, RNN_RELU

        return RNN_RELU if self.nonlinearity == "relu" else CELLS[self.cell_name]


class GRU(DropIn, nn.GRU):
    """The gated recurrent unit, in PyTorch's form: gates decide how much of the state is kept. Gate order r, z, n.

        r = sigmoid(W_r x_t + b_ih_r + U_r h_{t-1} + b_hh_r)
        z = sigmoid(W_z x_t + b_ih_z + U_z h_{t-1} + b_hh_z)
        n = tanh(W_n x_t + b_ih_n + r * (U_n h_{t-1} + b_hh_n))
        h_t = (1 - z) * n + z * h_{t-1}

    Source: Cho et al. (2014), arXiv:1406.1078, equations 5 to 8; with r after the product with U, as in cuDNN.

    Args and Raises: as for ``RNN``, without ``nonlinearity``.

    Example:
        >>> layer = GRU(3, 5, num_layers=2, bidirectional=True, merge="sum")
        >>> outputs, state = layer(torch.zeros(4, 2, 3))
        >>> outputs.shape, state.shape
        (torch.Size([4, 2, 5]), torch.Size([4, 2, 5]))
    """

    cell_name: ClassVar[str] = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Unpack[Options],
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        super().__init__(*sizes, bias, batch_first, dropout, bidirectional, **options)


class LSTM(DropIn, nn.LSTM):
    """The long short-term memory: gates write to, keep and read a cell. Gate order i, f, g, o.

        i, f, o = sigmoid(W x_t + b_ih + U h_{t-1} + b_hh), each with its own rows of W and U;   g = tanh(likewise)
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)                                              (times weight_hr_l0 if proj_size > 0)

    Source: Hochreiter and Schmidhuber (1997), Neural Computation 9(8); the forget gate: Gers, Schmidhuber, Cummins
    (2000), Neural Computation 12(10); the projection: Sak, Senior, Beaufays (2014), arXiv:1402.1128.

    Args and Raises: as for ``RNN``, without ``nonlinearity``; and ``proj_size``, the size of the projected h, 0 for no
    projection. The state is a pair (hidden, cell).

    Example:
        >>> layer = LSTM(3, 5, initial_state="learned")
        >>> outputs, (hidden, cell) = layer(torch.zeros(4, 2, 3))
        >>> outputs.shape, hidden.shape, cell.shape
        (torch.Size([4, 2, 5]), torch.Size([1, 2, 5]), torch.Size([1, 2, 5]))
    """

    cell_name: ClassVar[str] = "lstm"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        **options: Unpack[Options],
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        super().__init__(*sizes, bias, batch_first, dropout, bidirectional, proj_size=proj_size, **options)
