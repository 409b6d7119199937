"""The base of every recurrent layer: stacked cells in one or two directions, over padded batches.

    input (T, B, I) ─┬─ direction 0, ahead ─┐
                     └─ direction 1, back  ─┴─ merge ─▶ dropout ─▶ the next layer … ─▶ output (T, B, H·D), state

The layers run one by one, each through ``_run_layer``. Everything is time first inside; ``run`` holds the only
transposition from and to batch first. Lengths are on the CPU.

The contract of a layer: it names its entry in the table of cells (``cell_name``) and its weights (``weight_shapes``),
and computes all states of one direction from the inputs (``unroll``). A layer that torch also has needs only the
first: see nn/recurrent.py.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from elman.draws import dropout, normal
from elman.errors import UsageError
from elman.kernels.checks import check, check_choice, check_lengths, dtype_beside
from elman.nn.backends import LayerWeights, choose_backend, is_tracing, run_reference, run_unrolled
from elman.nn.lengths import flip, pack_like
from elman.nn.recording import Intervention, instrument, is_recording
from elman.nn.state import MERGES, PublicState, State

if TYPE_CHECKING:
    from elman.nn.cells import Cell

INITIAL_STATES = ("zeros", "random", "learned")
BACKENDS = {"auto": "", "fused": "Elman's fused kernels", "torch": "torch.nn", "reference": "the float64 reference"}
REPR_DEFAULTS = {  # settings that ``repr`` shows only if they differ from these
    **{"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False},
    **{"merge": "concat", "initial_state": "zeros", "backend": "auto", "nonlinearity": "tanh"},
}

logger = logging.getLogger(__name__)


class Recurrent(nn.Module):
    """The base of all recurrent layers, with the arguments of :class:`~elman.nn.recurrent.RNN`."""

    cell_name: ClassVar[str]
    """The layer's entry in ``CELLS``."""
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    interventions: tuple[Intervention, ...] = ()
    """Units that are set after every step; such a layer runs step by step."""
    _all_weights: list[list[str]]  # the weight names of each layer and direction, as in torch.nn

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
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
        check_choice("merge", merge, MERGES)
        check_choice("initial_state", initial_state, INITIAL_STATES)
        check_choice("backend", backend, BACKENDS)
        self.merge = merge
        self.initial_state = initial_state
        self.backend = backend
        self._logged: set[str] = set()
        self._make(
            input_size=input_size, hidden_size=hidden_size, num_layers=num_layers, bias=bias, batch_first=batch_first,
            dropout=dropout, bidirectional=bidirectional, device=device, dtype=dtype, **own,
        )  # fmt: skip
        if initial_state == "learned":
            for name, size in self.state_sizes.items():
                zeros = torch.zeros(num_layers * self.num_directions, size, device=device, dtype=dtype)
                self.register_parameter(f"initial_{name}", nn.Parameter(zeros))

    def _make(self, *, device: Any, dtype: Any, **settings: Any) -> None:
        """Store the settings and create the weights, named as in torch.nn."""
        super().__init__()
        vars(self).update(settings)
        self._all_weights = []
        for layer in range(self.num_layers):
            shapes = self.weight_shapes(self.input_size if layer == 0 else self.output_size)
            for suffix in ("", "_reverse")[: self.num_directions]:
                self._all_weights.append([f"{name}_l{layer}{suffix}" for name in shapes])
                for name, shape in shapes.items():
                    weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                    self.register_parameter(f"{name}_l{layer}{suffix}", weight)
        self.reset_parameters()

    def weight_shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        """Return the weight shapes of one layer and direction by name; ``weight_ih`` comes first."""
        raise NotImplementedError

    def unroll(self, inputs: Tensor, state: State, weights: LayerWeights) -> State:
        """Run one direction of one layer.

        Args:
            inputs: (T, B, I); zero beyond a row's length.
            state: the state before the first step, each part (B, H).
            weights: the weights by the names of ``weight_shapes``.

        Returns:
            The states after every step, each part (T, B, H); ``hidden`` holds the outputs.
        """
        raise NotImplementedError

    @property
    def cell(self) -> Cell:
        """The layer's entry in the table of cells."""
        from elman.nn.cells import CELLS  # the table names this layer

        return CELLS[self.cell_name]

    @property
    def num_directions(self) -> int:
        """2 when bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """The size of one output: that of the hidden state, doubled if two directions are concatenated."""
        size = self.state_sizes["hidden"]
        return size * self.num_directions if self.merge == "concat" else size

    @property
    def state_sizes(self) -> dict[str, int]:
        """The size of each part of the state."""
        return dict.fromkeys(self.cell.state, self.hidden_size)

    @property
    def is_instrumented(self) -> bool:
        """Whether its layers run one by one, since they are recorded or some of their units are set."""
        return is_recording() or bool(self.interventions)

    @property
    def _obstacle(self) -> str:
        """Why Elman's kernels cannot run this layer; empty if they can."""
        dtype = getattr(self, self._all_weights[0][0]).dtype
        return "" if dtype == torch.float32 else f"the weights are {dtype}"

    def reset_parameters(self) -> None:
        """Draw all weights as torch.nn does, and set a learned initial state to zero."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            if name.startswith("initial_"):
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -bound, bound)

    @torch.no_grad()
    def shift_gate(self, name: str, amount: float) -> None:
        """Add to the bias of a gate, such as ``forget``, in all layers and directions."""
        start = self.cell.gates.index(name) * self.hidden_size
        for parameter_name, bias in self.named_parameters():
            if parameter_name.startswith("bias_ih"):
                bias[start : start + self.hidden_size] += amount

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | tuple[Tensor, Tensor] | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, PublicState]:
        """Run the stack over a batch of sequences, as in torch.nn; :meth:`run` does the same with named states.

        Args:
            input: (T, B, I) float; (B, T, I) if batch first; (T, I) for one sequence; or packed.
            hx: the state before the first step, in the weights' dtype (autocast casts it): (L·D, B, H), a tuple if
                there are several parts, as for the LSTM; (L·D, H) for one sequence; ``initial_state`` when None.
            lengths: (B,) integers in 0 … T, each row's true length, in any order; all T when None. Padding has no
                effect on any result.

        Returns:
            The outputs (T, B, output_size) in the layout of the input, zero beyond a row's length; and the state at
            each row's true end, in the layout of ``hx``. A row of length 0 returns its initial state.

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
                raise UsageError("lengths= was given with a packed input, which has its own; leave lengths= out")
            padded, lengths = pad_packed_sequence(input)  # (T, B, I), (B,), rows in the caller's order
            outputs, final = self._run(padded, hx, lengths)
            return pack_like(input, outputs, lengths), final.public()
        if isinstance(input, Tensor) and input.dim() == 2:
            outputs, final = self._run(input[:, None], hx, lengths, is_one_sequence=True)
            return outputs[:, 0], final.map(lambda part: part[:, 0]).public()
        outputs, final = self.run(input, hx, lengths)
        return outputs, final.public()

    def run(self, inputs: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Run the stack over a batch of sequences and return outputs and final state; see :meth:`forward`.

        Args:
            inputs: (T, B, I) float; (B, T, I) if batch first.
            state: a state that :meth:`check_state` accepts; ``initial_state`` when None.
            lengths: (B,).
        """
        layout = "(B, T, I)" if self.batch_first else "(T, B, I)"
        if not isinstance(inputs, Tensor):
            raise UsageError(f"the input is of type {type(inputs).__name__}, expected a tensor {layout}")
        if inputs.dim() != 3:
            raise UsageError(
                f"the input has shape {tuple(inputs.shape)}, expected {layout}, or (T, I) for one sequence"
            )
        if not self.batch_first:
            return self._run(inputs, state, lengths)
        outputs, final = self._run(inputs.transpose(0, 1), state, lengths)
        return outputs.transpose(0, 1), final

    def check_state(self, hx: Any, batch_size: int | None = None, *, is_one_sequence: bool = False) -> State:
        """Check that a state fits this layer.

        Args:
            hx: a :class:`~elman.nn.state.State`, or a state in the form that :meth:`forward` takes.
            batch_size: B; None accepts any.
            is_one_sequence: whether its parts are (L·D, H).

        Returns:
            Its parts (L·D, B, H) by name, under autocast in the weights' dtype.

        Raises:
            UsageError: a part is missing, or its shape, dtype or device does not fit.

        Example:
            >>> from elman.nn import GRU
            >>> GRU(3, 5).check_state(torch.zeros(1, 2, 6))
            Traceback (most recent call last):
            elman.errors.UsageError: the hidden state has shape (1, 2, 6), expected (L·D, B, H) = (1, B, 5)
        """
        state_sizes = self.state_sizes
        state = State.of(tuple(state_sizes), hx)
        weight: Any = getattr(self, self._all_weights[0][0])
        dtype, device = dtype_beside(weight), weight.device
        layout = "(L·D, H)" if is_one_sequence else "(L·D, B, H)"
        rows: tuple[int | str, ...] = () if is_one_sequence else ("B" if batch_size is None else batch_size,)
        for name, size in state_sizes.items():
            sizes = (self.num_layers * self.num_directions, *rows, size)
            if is_tracing():
                sizes = ("L·D", *"B"[: len(rows)], "H")
            check(f"the {name} state", state[name], sizes, dtype, device, layout)
            rows = () if is_one_sequence else (state[name].shape[1],)  # the next part has as many
        if dtype is None:
            state = state.map(lambda part: part.to(weight.dtype))
        return state.map(lambda part: part[:, None]) if is_one_sequence else state

    def newest(self, state: State) -> Tensor:
        """Return the top layer's newest output (B, output_size) from a state, with directions merged."""
        return self.merge_directions(state)["hidden"][-1]

    def merge_directions(self, state: State) -> State:
        """Merge the two directions of each layer: each part (L, B, output_size)."""
        return state.merge_directions(self.merge) if self.bidirectional else state

    def _check_input(self, inputs: Tensor, weights: list[tuple[str, Any]]) -> None:
        first = weights[0][1]
        dtype = dtype_beside(first)
        if dtype is None and (inputs.dtype == torch.float64 or not inputs.is_floating_point()):
            dtype = first.dtype  # autocast does not cast these
        check("the input", inputs, ("T", "B", "I"), dtype, first.device)
        for name, weight in weights:
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
        """Check all arguments, choose the initial state and the backend, and run the stack."""
        weights = [(name, getattr(self, name)) for names in self._all_weights for name in names]
        self._check_input(inputs, weights)
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
        is_learning = inputs.requires_grad or any(weight.requires_grad for _, weight in weights)
        backend = self._choose(inputs, lengths, torch.is_grad_enabled() and is_learning)
        return self._run_stack(inputs, state, lengths, backend, is_start=hx is None)

    def _choose(self, inputs: Tensor, lengths: Tensor | None, is_learning: bool) -> str:
        """Choose the backend for this batch; log the first choice, and later ones at debug level."""
        about = (inputs, self.hidden_size, lengths, is_learning, self._obstacle)
        backend, reason = choose_backend(self.backend, self.cell, *about, needs_gates=is_recording())
        if backend not in self._logged:
            level = logging.DEBUG if self._logged else logging.INFO
            self._logged.add(backend)
            name = type(self).__name__
            logger.log(level, "%s layers of %d units run on %s: %s", name, self.hidden_size, BACKENDS[backend], reason)
        return backend

    def _run_stack(
        self, inputs: Tensor, state: State, lengths: Tensor | None, backend: str, *, is_start: bool
    ) -> tuple[Tensor, State]:
        """Run layer by layer, merging directions in between."""
        finals: list[State] = []  # one per layer, each part (D, B, H)
        for layer in range(self.num_layers):
            if layer > 0:
                inputs = dropout(inputs, self.dropout, self.training, row_dim=1)
            own = slice(layer * self.num_directions, (layer + 1) * self.num_directions)
            weights = [
                {name.rpartition("_l")[0]: getattr(self, name) for name in names} for names in self._all_weights[own]
            ]
            start = state.map(lambda part, own=own: part[own])  # type: ignore[misc]  # each (D, B, H)
            run_layer = instrument(self._run_layer, self, layer, is_start)
            outputs, final = run_layer(inputs, start, weights, lengths, backend)
            finals.append(final)
            inputs = self._merge(outputs)  # (T, B, output_size)
        return inputs, finals[0] if len(finals) == 1 else State.join(finals, torch.cat)

    def _merge(self, outputs: Tensor) -> Tensor:
        """Merge the outputs of the directions, which are concatenated in (T, B, D·H)."""
        if not self.bidirectional or self.merge == "concat":
            return outputs
        return MERGES[self.merge](*outputs.chunk(2, dim=-1))  # of (T, B, H) each

    def _run_layer(
        self, inputs: Tensor, state: State, weights: list[LayerWeights], lengths: Tensor | None, backend: str
    ) -> tuple[Tensor, State]:
        """Run one layer in all its directions; every backend goes through here.

        Args:
            inputs: (T, B, I), time first, with arbitrary values beyond a row's length.
            state: the layer's initial state, each part (D, B, H).
            weights: the weights of each direction by name.
            lengths: (B,) int64 on the CPU, or None when every row has T steps.
            backend: ``fused``, ``torch`` or ``reference``.

        Returns:
            Outputs (T, B, D·H), zero beyond a row's length, and the state at each row's true end, each part (D, B, H).
        """
        outputs, finals = [], []
        for direction, own in enumerate(weights):
            x = flip(inputs, lengths) if direction == 1 else inputs
            start = state.map(lambda part, direction=direction: part[direction])  # type: ignore[misc]  # each (B, H)
            if backend == "reference":
                y, final = run_reference(self.cell, x, start, own, lengths)
            else:
                y, final = self._run_direction(x, start, own, lengths)
            outputs.append(flip(y, lengths) if direction == 1 else y)
            finals.append(final)
        return torch.cat(outputs, dim=-1), State.join(finals, torch.stack)

    def _run_direction(
        self, inputs: Tensor, state: State, weights: LayerWeights, lengths: Tensor | None
    ) -> tuple[Tensor, State]:
        """Run one layer in one direction with torch: outputs (T, B, H) and the final state, each part (B, H)."""
        return run_unrolled(self.unroll, inputs, state, weights, lengths)

    def _first_state(self, inputs: Tensor) -> State:
        """Return the initial state when the caller passes none, each part (L·D, B, H)."""
        sizes = self.state_sizes
        if self.initial_state == "learned":
            learned = State((name, getattr(self, f"initial_{name}")) for name in sizes)  # (L·D, H) each
            return learned.map(lambda part: part[:, None].expand(-1, inputs.shape[1], -1).contiguous())
        layers, rows = self.num_layers * self.num_directions, inputs.shape[1]
        if self.initial_state == "random":
            drawn = ((name, normal((rows, layers, size), inputs)) for name, size in sizes.items())  # (B, L·D, H) each
            return State((name, part.transpose(0, 1).contiguous()) for name, part in drawn)
        return State((name, inputs.new_zeros(layers, rows, size)) for name, size in sizes.items())

    def extra_repr(self) -> str:
        """Show the sizes in ``repr``, and whatever differs from the defaults."""
        shown = f"{self.input_size}, {self.hidden_size}"
        for name, default in REPR_DEFAULTS.items():
            if (value := getattr(self, name, default)) != default:
                shown += f", {name}={value!r}"
        return shown
