"""RNN, GRU and LSTM: drop-in for torch.nn's, that also merge directions, honour lengths and learn a state.

    input (T, B, I) ─┬─ direction 0, ahead ─┐
                     └─ direction 1, back  ─┴─ merge ─▶ dropout ─▶ the next layer … ─▶ output (T, B, H·D), state

A stack runs in one of two ways. Where torch's own kernel is chosen and can do all of it, one call does
(``_run_stack``). Otherwise (``_run_layers``) the layers run one by one, each through one door: ``_run_layer``.
Everything runs time first; ``forward`` holds the one transposition from and to batch first.

Inside this file a state is always a tuple, ``(hidden,)`` or ``(hidden, cell)``, and lengths lie on the CPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman.errors import UsageError, nearest
from elman.kernels.checks import check, check_lengths, dtype_beside
from elman.nn.backends import State, choose, is_tracing, run_fused, run_reference, run_torch

MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda ahead, back: torch.cat((ahead, back), dim=-1),
    "sum": torch.add,
    "product": torch.mul,
}
INITIAL_STATES = ("zeros", "random", "learned")
BACKENDS = ("auto", "fused", "torch", "reference")

logger = logging.getLogger(__name__)


class Options(TypedDict, total=False):
    """The keywords that every layer here takes; ``RNN`` tells what they do."""

    device: torch.device | str | None
    dtype: torch.dtype | None
    merge: str
    initial_state: str
    backend: str


class Recurrent(nn.RNNBase):
    """What RNN, GRU and LSTM share; use one of those."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        merge: str = "concat",
        initial_state: str = "zeros",
        backend: str = "auto",
        **own: Any,
    ) -> None:
        for name, size in {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}.items():
            if size < 1:
                raise UsageError(f"{name}={size}, expected at least 1")
        if not 0 <= dropout <= 1:
            raise UsageError(f"dropout={dropout}, expected a probability in 0 … 1")
        _check_choice("merge", merge, MERGES)
        _check_choice("initial_state", initial_state, INITIAL_STATES)
        _check_choice("backend", backend, BACKENDS)
        if backend in ("fused", "reference") and own.get("proj_size"):
            raise UsageError(f'proj_size={own["proj_size"]}, expected 0: backend="{backend}" has no projection')
        self.merge = merge
        self.initial_state = initial_state
        self.backend = backend
        self._told: set[str] = set()
        own.update(bias=bias, batch_first=batch_first, dropout=dropout, bidirectional=bidirectional)
        own.update(device=device, dtype=dtype)
        super().__init__(input_size, hidden_size, num_layers, **own)  # type: ignore[arg-type]  # nn.RNN, not RNNBase

        if self.num_directions == 2 and merge != "concat" and num_layers > 1:
            for name in self._flat_weights_names:  # above the first layer the input is merged: H columns, not 2H
                if name.startswith("weight_ih") and not name.startswith("weight_ih_l0"):
                    weight = getattr(self, name)
                    setattr(self, name, nn.Parameter(weight.new_empty(len(weight), self.output_size)))
            self.reset_parameters()
        if initial_state == "learned":
            for name, size in self._state_sizes.items():
                zeros = torch.zeros(num_layers * self.num_directions, size, device=device, dtype=dtype)
                self.register_parameter(f"initial_{name}", nn.Parameter(zeros))

    @property
    def num_directions(self) -> int:
        """2 when bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """The size of one output: H (or the projection's), twice that where two directions are concatenated."""
        size = self.proj_size or self.hidden_size
        return size * self.num_directions if self.merge == "concat" else size

    @property
    def _state_sizes(self) -> dict[str, int]:
        """The parts of a state and the size of each: a hidden state and, for the LSTM, a cell."""
        sizes = {"hidden": self.proj_size or self.hidden_size}
        return {**sizes, "cell": self.hidden_size} if self.mode == "LSTM" else sizes

    @property
    def _is_one_call(self) -> bool:
        """Whether one call of torch's kernel could compute the whole stack."""
        return self.backend != "reference" and (self.merge == "concat" or not self.bidirectional)

    def reset_parameters(self) -> None:
        """Draw all weights as torch.nn does, and set a learned first state to zero."""
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("initial_"):
                nn.init.zeros_(parameter)

    def flatten_parameters(self) -> None:
        """Lay the weights out for cuDNN, where it runs the stack in one call."""
        if self._is_one_call:
            super().flatten_parameters()

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | tuple[Tensor, Tensor] | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor | tuple[Tensor, Tensor]]:
        """Run the stack over a batch of sequences.

        Args:
            input: (T, B, I) float; (B, T, I) if batch first; (T, I) for one sequence; or packed.
            hx: the state before the first step, of the weights' dtype (autocast casts it): (L·D, B, H), for the LSTM a
                pair; (L·D, H) for one sequence; ``initial_state`` when None.
            lengths: (B,) integers in 0 … T, each row's true length, in any order; all T when None. What lies beyond
                a row's length is never looked at.

        Returns:
            The outputs (T, B, output_size), laid out as the input is, zero beyond a row's length; and the state at each
            row's true end, with the layout of ``hx``. A row of length 0 returns its initial state.

        Raises:
            UsageError: a shape, a dtype, a device or a length does not fit.
        """
        if torch.compiler.is_exporting() and (lengths is not None or isinstance(input, PackedSequence)):
            raise UsageError(
                "torch.export cannot follow lengths or packed inputs; leave them out, or use torch.jit.trace or "
                "torch.onnx.export(…, dynamo=False)"
            )
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise UsageError("lengths= came with a packed input, which has its own; leave lengths= out")
            if is_tracing() and self._is_one_call and (self.initial_state == "zeros" or hx is not None):
                traced: tuple[PackedSequence, Any] = super().forward(input, hx)
                return traced  # ONNX knows a packed sequence only where it stays one
            padded, lengths = pad_packed_sequence(input)  # (T, B, I), (B,), rows in the caller's order
            outputs, final = self._run(padded, hx, lengths)
            return _pack_like(input, outputs, lengths), self._public(final)
        layout = "(B, T, I)" if self.batch_first else "(T, B, I)"
        if not isinstance(input, Tensor):
            raise UsageError(f"the input is of type {type(input).__name__}, expected a tensor {layout}")
        if input.dim() not in (2, 3):
            raise UsageError(f"the input has shape {tuple(input.shape)}, expected {layout}, or (T, I) for one sequence")

        if input.dim() == 2:
            outputs, final = self._run(input[:, None], hx, lengths, is_one_sequence=True)
            return outputs[:, 0], self._public(tuple(part[:, 0] for part in final))
        if self.batch_first:
            outputs, final = self._run(input.transpose(0, 1), hx, lengths)
            return outputs.transpose(0, 1), self._public(final)
        outputs, final = self._run(input, hx, lengths)
        return outputs, self._public(final)

    def check_state(self, hx: Any, batch_size: int | None = None, *, is_one_sequence: bool = False) -> State:
        """Refuse a state that is not this layer's.

        Args:
            hx: see :meth:`forward`.
            batch_size: B; any where not given.
            is_one_sequence: whether it is (L·D, H).

        Returns:
            Its parts (L·D, B, H): the hidden state and, for the LSTM, the cell; under autocast in the weights' dtype.

        Raises:
            UsageError: it has other parts, or one of another shape, dtype or device.

        Example:
            >>> GRU(3, 5).check_state(torch.zeros(1, 2, 6))
            Traceback (most recent call last):
            elman.errors.UsageError: the hidden state has shape (1, 2, 6), expected (L·D, B, H) = (1, B, 5)
        """
        if self.mode == "LSTM" and not (isinstance(hx, tuple | list) and len(hx) == 2):
            raise UsageError(f"the state is a {type(hx).__name__}, expected the LSTM's pair (hidden, cell)")
        if self.mode != "LSTM" and not isinstance(hx, Tensor):
            raise UsageError(f"the state is a {type(hx).__name__}, expected one tensor (only the LSTM has a pair)")
        parts: State = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        weight: Any = self._flat_weights[0]
        dtype, device = dtype_beside(weight), weight.device
        layout = "(L·D, H)" if is_one_sequence else "(L·D, B, H)"
        rows: tuple[int | str, ...] = () if is_one_sequence else ("B" if batch_size is None else batch_size,)
        for part, (name, size) in zip(parts, self._state_sizes.items(), strict=True):
            sizes = (self.num_layers * self.num_directions, *rows, size)
            if is_tracing():
                sizes = ("L·D", *"B"[: len(rows)], "H")
            check(f"the {name} state", part, sizes, dtype, device, layout)
            rows = () if is_one_sequence else (part.shape[1],)  # the next part has as many
        if dtype is None:
            parts = tuple(part.to(weight.dtype) for part in parts)
        return tuple(part[:, None] for part in parts) if is_one_sequence else parts

    def _check_input(self, inputs: Tensor) -> None:
        weights: list[Any] = self._flat_weights
        dtype = dtype_beside(weights[0])
        if dtype is None and (inputs.dtype == torch.float64 or not inputs.is_floating_point()):
            dtype = weights[0].dtype  # those autocast does not cast
        check("the input", inputs, ("T", "B", "I"), dtype, weights[0].device)
        for name, weight in zip(self._flat_weights_names, weights, strict=True):
            if dtype is not None and weight.dtype is not dtype:
                raise UsageError(f"{name} is {weight.dtype}, other weights are {dtype}; use layer.to({dtype})")
        if is_tracing():
            return
        if inputs.shape[2] != self.input_size:
            raise UsageError(f"each input has size {inputs.shape[2]}, expected input_size={self.input_size}")
        if len(inputs) == 0:
            raise UsageError("the input has 0 time steps, expected at least 1; give empty rows lengths=0 instead")

    def _run(
        self, inputs: Tensor, hx: Any, lengths: Tensor | None, *, is_one_sequence: bool = False
    ) -> tuple[Tensor, State]:
        """Check everything, find the first state, and choose between the two ways to run the stack."""
        self._update_flat_weights()
        self._check_input(inputs)
        if hx is None:
            state = self._first_state(inputs)
        else:
            state = self.check_state(hx, inputs.shape[1], is_one_sequence=is_one_sequence)
        if lengths is not None and is_tracing():
            check("lengths", lengths, ("B",), torch.int64)
            lengths = lengths.cpu()
        elif lengths is not None:
            lengths = check_lengths(lengths, inputs.shape[1], len(inputs))
            if bool((lengths == len(inputs)).all()):
                lengths = None
        backend = self._choose(inputs, lengths)
        if backend == "torch" and self._is_one_call:
            return self._run_stack(inputs, state, lengths)
        return self._run_layers(inputs, state, lengths, backend)

    def _choose(self, inputs: Tensor, lengths: Tensor | None) -> str:
        """Choose what computes this batch, and tell the log the first time."""
        obstacle, weight = "it has a projection" if self.proj_size else "", self.weight_hh_l0
        if weight.dtype != torch.float32:
            obstacle = f"the weights are {weight.dtype}"
        needs_gradient = torch.is_grad_enabled() and (inputs.requires_grad or bool(weight.requires_grad))
        about = (self.mode, inputs, self.hidden_size, lengths, needs_gradient, obstacle)
        backend, reason = choose(self.backend, *about)
        if backend not in self._told:
            self._told.add(backend)
            name = {"fused": "Elman's fused kernels", "torch": "torch.nn", "reference": "the float64 reference"}[
                backend
            ]
            logger.info("%s layers of %d units run on %s: %s", self.mode, self.hidden_size, name, reason)
        return backend

    def _run_stack(self, inputs: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """All layers and directions in one call of torch's kernel."""
        settings = (self.bias, self.num_layers, self.dropout, self.training, self.bidirectional)
        return run_torch(self.mode, inputs, state, self._flat_weights, lengths, settings)

    def _run_layers(self, inputs: Tensor, state: State, lengths: Tensor | None, backend: str) -> tuple[Tensor, State]:
        """Layer by layer, merging directions in between."""
        finals: list[State] = []  # one per layer, each part (D, B, H)
        flat: list[Any] = self._flat_weights
        each = len(flat) // (self.num_layers * self.num_directions)  # weights of one direction
        weights = [flat[start : start + each] for start in range(0, len(flat), each)]
        for layer in range(self.num_layers):
            if layer > 0:
                inputs = functional.dropout(inputs, self.dropout, self.training)
            own = slice(layer * self.num_directions, (layer + 1) * self.num_directions)
            start = tuple(part[own] for part in state)  # (D, B, H) each
            outputs, final = self._run_layer(inputs, start, weights[own], lengths, backend)
            finals.append(final)
            inputs = self._merge(outputs)  # (T, B, output_size)
        final = finals[0] if len(finals) == 1 else tuple(torch.cat(parts) for parts in zip(*finals, strict=True))
        return inputs, final

    def _merge(self, outputs: Tensor) -> Tensor:
        """Make one output of the directions that lie side by side, (T, B, D·H)."""
        if not self.bidirectional or self.merge == "concat":
            return outputs
        directions = outputs.view(*outputs.shape[:2], 2, self.output_size)  # (T, B, 2, H)
        return MERGES[self.merge](*directions.unbind(2))

    def _run_layer(
        self,
        inputs: Tensor,
        state: State,
        weights: list[list[nn.Parameter]],
        lengths: Tensor | None,
        backend: str,
    ) -> tuple[Tensor, State]:
        """One layer in all its directions: the door through which every backend comes.

        Args:
            inputs: (T, B, I), time first; anything may lie beyond a row's length.
            state: its initial state, each part (D, B, H).
            weights: for each direction weight_ih (G·H, I), weight_hh (G·H, H), then bias_ih, bias_hh (G·H,) if there
                are biases, then weight_hr if there is a projection.
            lengths: (B,) int64 on the CPU, or None when every row has T steps.
            backend: ``fused``, ``torch`` or ``reference``.

        Returns:
            Outputs (T, B, D·H), zero beyond a row's length, and the state at each row's true end, each part (D, B, H).
        """
        if backend == "fused":
            return run_fused(self.mode, inputs, state, weights, lengths)
        outputs, finals = [], []
        for direction, own in enumerate(weights):
            x = _flip(inputs, lengths) if direction == 1 else inputs
            start = tuple(part[direction] for part in state)  # (B, H) each
            if backend == "reference":
                y, final = run_reference(self.mode, x, start, own, lengths)
            else:
                settings = (self.bias, 1, 0.0, self.training, False)
                y, final = run_torch(self.mode, x, tuple(part[None] for part in start), own, lengths, settings)
                final = tuple(part[0] for part in final)
            outputs.append(_flip(y, lengths) if direction == 1 else y)
            finals.append(final)
        return torch.cat(outputs, dim=-1), tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _first_state(self, inputs: Tensor) -> State:
        """The state for a caller who gave none, each part (L·D, B, H)."""
        if self.initial_state == "learned":
            learned = (getattr(self, f"initial_{name}") for name in self._state_sizes)  # (L·D, H) each
            return tuple(part[:, None].expand(-1, inputs.shape[1], -1).contiguous() for part in learned)
        make = torch.zeros if self.initial_state == "zeros" else torch.randn
        first = (self.num_layers * self.num_directions, inputs.shape[1])
        sizes = self._state_sizes.values()
        return tuple(make(*first, size, dtype=inputs.dtype, device=inputs.device) for size in sizes)

    def _public(self, state: State) -> Tensor | tuple[Tensor, Tensor]:
        """The state as callers know it: a pair for the LSTM, else a tensor."""
        return (state[0], state[1]) if self.mode == "LSTM" else state[0]

    def extra_repr(self) -> str:
        """Show in ``repr`` what torch.nn shows, and what differs from Elman's defaults."""
        shown = super().extra_repr()
        usual = {"merge": "concat", "initial_state": "zeros", "backend": "auto", "nonlinearity": "tanh"}
        for name, default in usual.items():
            if (value := getattr(self, name, default)) != default:
                shown += f", {name}={value!r}"
        return shown


class RNN(Recurrent, nn.RNN):  # type: ignore[misc]  # forward knows lengths
    """The simple (Elman) recurrent network: each state is made of the input and the state before it.

        h_t = g(W x_t + b_ih + U h_{t-1} + b_hh),   W = weight_ih_l0, U = weight_hh_l0, g = tanh or relu

    Source: Elman (1990), "Finding structure in time", Cognitive Science 14.

    Args:
        input_size: I, the size of one input.
        hidden_size: H, the size of the state.
        num_layers: L, how many are stacked.
        nonlinearity: g, ``"tanh"`` or ``"relu"``.
        bias: whether there are b_ih and b_hh.
        batch_first: whether batches come as (B, T, I), not (T, B, I); the state's layout stays the same.
        dropout: probability of zeroing an entry between layers while training.
        bidirectional: whether a second direction reads each sequence from its end.
        **options: ``device`` and ``dtype`` as in torch.nn; ``merge``, how two directions become one output:
            ``"concat"`` (2H), ``"sum"`` or ``"product"`` (H); ``initial_state``, the state when none is handed in:
            ``"zeros"``, ``"random"`` (standard normal, from torch's generator) or ``"learned"`` (a parameter, zero at
            first); and ``backend``: ``"fused"`` for Elman's kernels (float32 on the CPU), ``"torch"`` for torch.nn's,
            ``"reference"`` for the slow float64 loops of ``nn/reference.py``, ``"auto"`` for the fastest. Gradients of
            gradients need ``"torch"``; so do outputs that are changed in place before the backward pass, which the
            kernels still need.

    Raises:
        UsageError: a setting is out of range or unknown.

    Example:
        >>> layer = RNN(3, 5, batch_first=True)
        >>> outputs, state = layer(torch.zeros(2, 4, 3), lengths=torch.tensor([4, 1]))
        >>> outputs.shape, state.shape
        (torch.Size([2, 4, 5]), torch.Size([1, 2, 5]))
    """

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
        _check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        sizes = (input_size, hidden_size, num_layers)
        super().__init__(*sizes, bias, batch_first, dropout, bidirectional, nonlinearity=nonlinearity, **options)


class GRU(Recurrent, nn.GRU):  # type: ignore[misc]  # forward knows lengths
    """The gated recurrent unit, in PyTorch's form: gates decide how much of the state is kept. Gate order r, z, n.

        r = sigmoid(W_r x_t + b_ih_r + U_r h_{t-1} + b_hh_r)
        z = sigmoid(W_z x_t + b_ih_z + U_z h_{t-1} + b_hh_z)
        n = tanh(W_n x_t + b_ih_n + r * (U_n h_{t-1} + b_hh_n))
        h_t = (1 - z) * n + z * h_{t-1}

    Source: Cho et al. (2014), arXiv:1406.1078, equations 5 to 8; with r after the product with U, as cuDNN has it.

    Args and Raises: those of ``RNN``, less ``nonlinearity``.

    Example:
        >>> layer = GRU(3, 5, num_layers=2, bidirectional=True, merge="sum")
        >>> outputs, state = layer(torch.zeros(4, 2, 3))
        >>> outputs.shape, state.shape
        (torch.Size([4, 2, 5]), torch.Size([4, 2, 5]))
    """

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


class LSTM(Recurrent, nn.LSTM):  # type: ignore[misc]  # forward knows lengths
    """The long short-term memory: a cell that gates write, keep and read. Gate order i, f, g, o.

        i, f, o = sigmoid(W x_t + b_ih + U h_{t-1} + b_hh), each with its own rows of W and U;   g = tanh(the same)
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)                                              (times weight_hr_l0 if proj_size > 0)

    Source: Hochreiter and Schmidhuber (1997), Neural Computation 9(8); the forget gate: Gers, Schmidhuber, Cummins
    (2000), Neural Computation 12(10); the projection: Sak, Senior, Beaufays (2014), arXiv:1402.1128.

    Args and Raises: those of ``RNN``, less ``nonlinearity``; and ``proj_size``: the size of h when it is projected, 0
    for no projection. The state is a pair (hidden, cell).

    Example:
        >>> layer = LSTM(3, 5, initial_state="learned")
        >>> outputs, (hidden, cell) = layer(torch.zeros(4, 2, 3))
        >>> outputs.shape, hidden.shape, cell.shape
        (torch.Size([4, 2, 5]), torch.Size([1, 2, 5]), torch.Size([1, 2, 5]))
    """

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


# ---------------------------------------------------------------- lengths


def _flip(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverse each row of (T, B, N) in time within its true length; padding stays where it is."""
    if lengths is None:
        return values.flip(0)
    time = torch.arange(values.shape[0])[:, None]  # (T, 1)
    source = torch.where(time < lengths, lengths - 1 - time, time).to(values.device)  # (T, B)
    return values.gather(0, source[:, :, None].expand_as(values))


def _pack_like(packed: PackedSequence, outputs: Tensor, lengths: Tensor) -> PackedSequence:
    """Pack outputs (T, B, N), whose rows are in the caller's order, as the input was packed."""
    if packed.sorted_indices is not None:
        outputs = outputs.index_select(1, packed.sorted_indices)
    sorted_lengths = lengths.sort(descending=True).values
    data = pack_padded_sequence(outputs, sorted_lengths).data
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


def _check_choice(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        choices = ", ".join(f'"{choice}"' for choice in known)
        raise UsageError(f'{name}="{value}", expected one of {choices}{nearest(value, known)}')
