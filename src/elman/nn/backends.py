"""The backends of a recurrent layer: Elman's kernels, torch's kernels or operations, and the loops of nn/reference.py.

Tensors are time first, lengths are on the CPU, and the weights of a direction go by name, such as ``weight_ih``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman.errors import UsageError
from elman.nn import reference
from elman.nn.state import State

if TYPE_CHECKING:
    from elman.nn.cells import Cell

LayerWeights = dict[str, Any]
"""The weights of one layer and direction by name: ``weight_ih`` (G·H, I), ``weight_hh`` (G·H, H) and so on."""

Unroll = Callable[[Tensor, State, LayerWeights], State]
"""Maps inputs (T, B, I) and a state, each part (B, H), to the states after every step, each part (T, B, H)."""


def is_tracing() -> bool:
    """Return whether torch.jit.trace is recording: sizes are tensors then, and comparing one makes it a constant."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def choose_backend(
    backend: str,
    cell: Cell,
    inputs: Tensor,
    size: int,
    lengths: Tensor | None,
    needs_gradient: bool,
    obstacle: str = "",
    needs_gates: bool = False,
) -> tuple[str, str]:
    """Choose the backend that computes a layer.

    Args:
        backend: ``auto``, ``fused``, ``torch`` or ``reference``.
        cell: the layer's entry in the table of cells.
        inputs: (T, B, I).
        size: H.
        lengths: (B,), or None when every row has T steps.
        needs_gradient: whether there will be a backward pass.
        obstacle: another reason why Elman's kernels cannot run this layer; empty if there is none.
        needs_gates: whether the gates of every step are needed, which torch's kernels do not return.

    Returns:
        ``fused``, ``torch`` or ``reference``, and the reason for the choice.

    Raises:
        UsageError: ``fused`` was requested and cannot run here.
    """
    if is_tracing() or torch.compiler.is_exporting():
        return "torch", "a traced or exported model must run without Elman"
    if backend in ("torch", "reference"):
        return backend, "as requested"
    if cell.kernels is None:
        obstacle = f"there are no kernels for a {cell.layer.__name__}"
    elif inputs.device.type != "cpu":
        obstacle = f"the input is on {inputs.device}"
    elif inputs.dtype != torch.float32:
        obstacle = f"the input is {inputs.dtype}"
    elif torch.is_autocast_enabled("cpu"):
        obstacle = "autocast is on"
    elif forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active():
        obstacle = "forward-mode or functional differentiation is on"
    if backend == "fused":
        if obstacle:
            raise UsageError(f'backend="fused" computes float32 on the CPU, but {obstacle}; use backend="auto"')
        return backend, "as requested"
    if obstacle:
        return "torch", obstacle
    rows = inputs.shape[1]
    if lengths is None and not needs_gates and cell.is_torch_faster(rows, size, needs_gradient):
        passes = "with" if needs_gradient else "without"
        return "torch", f"it is as fast or faster for {size} units, {rows} at a time, {passes} a backward pass"
    return "fused", "float32 on the CPU"


def run_fused(
    cell: Cell,
    inputs: Tensor,
    state: State,
    weights: Sequence[LayerWeights],
    lengths: Tensor | None,
    *,
    needs_gates: bool = False,
) -> tuple[Tensor, State, Tensor, Tensor]:
    """Run one layer in all its directions with Elman's kernels.

    Returns:
        Outputs (T, B, D·H), the final state, each part (D, B, H), and the gates and the cells before each step in the
        layout of :mod:`elman.kernels.ops`: those are empty unless there will be a backward pass or ``needs_gates``.
    """
    from elman.kernels import ops  # noqa: F401 (it registers the operators; numba takes its time to import)

    tensors: list[Any] = [None] * 8  # the second direction, or biases, may be absent
    for direction, own in enumerate(weights):
        tensors[4 * direction : 4 * direction + len(own)] = own.values()
    is_learning = any(tensor is not None and tensor.requires_grad for tensor in (inputs, *state.values(), *tensors))
    needs_gates = needs_gates or (torch.is_grad_enabled() and is_learning)
    outputs, hidden, cells, gates, past_cells = torch.ops.elman.recurrent(
        inputs,
        state["hidden"],
        state.get("cell"),
        *tensors,
        lengths,
        cell.kernels,
        torch.get_num_threads(),
        needs_gates,
    )
    final = State(zip(state, (hidden, cells), strict=False))  # the operator returns an empty cell where there is none
    return outputs, final, gates, past_cells


def run_torch(
    kernel: Callable[..., Any],
    inputs: Tensor,
    state: State,
    weights: Sequence[Any],
    lengths: Tensor | None,
    settings: tuple[Any, ...],
) -> tuple[Tensor, State]:
    """Call torch's fused kernel; rows of different lengths are packed.

    ``settings`` are bias, number of layers, dropout, training, bidirectional. Empty rows, which torch cannot pack, are
    left out.
    """
    if lengths is None:
        is_batch_first = False
        outputs, *final = kernel(inputs, state.public(), weights, *settings, is_batch_first)
        return outputs, State(zip(state, final, strict=True))

    num_steps, batch_size, _ = inputs.shape
    size = state["hidden"].shape[-1] * (2 if settings[-1] else 1)
    order = lengths.argsort(descending=True)  # longest first
    if not is_tracing():  # a trace must have no empty rows: their number would become a constant
        order = order[: int((lengths > 0).sum())]
        if len(order) == 0:
            return inputs.new_zeros(num_steps, batch_size, size), state
    rows = order.to(inputs.device)
    packed = pack_padded_sequence(inputs[:, rows], lengths[order])
    data, *final = kernel(packed.data, packed.batch_sizes, state.select_rows(rows).public(), weights, *settings)
    padded, _ = pad_packed_sequence(PackedSequence(data, packed.batch_sizes), total_length=num_steps)
    outputs = padded.new_zeros(num_steps, batch_size, size).index_copy(1, rows, padded)  # (T, B, H·D)
    ends = zip(state.items(), final, strict=True)
    return outputs, State((name, part.to(end.dtype).index_copy(1, rows, end)) for (name, part), end in ends)


def run_unrolled(
    unroll: Unroll, inputs: Tensor, state: State, weights: LayerWeights, lengths: Tensor | None
) -> tuple[Tensor, State]:
    """Run one layer in one direction with torch's operations: outputs (T, B, H) and state, each part (B, H)."""
    if lengths is None:
        states = unroll(inputs, state, weights)
        return states["hidden"], states.map(lambda part: part[-1])
    lengths = lengths.to(inputs.device)
    is_padding = (torch.arange(len(inputs), device=inputs.device)[:, None] >= lengths)[:, :, None]  # (T, B, 1)
    states = unroll(inputs.masked_fill(is_padding, 0.0), state, weights)
    last, rows = (lengths - 1).clamp(min=0), torch.arange(len(lengths), device=inputs.device)
    is_empty = (lengths == 0)[:, None]
    final = State((name, torch.where(is_empty, start, states[name][last, rows])) for name, start in state.items())
    return states["hidden"].masked_fill(is_padding, 0.0), final


def run_reference(
    cell: Cell, inputs: Tensor, state: State, weights: LayerWeights, lengths: Tensor | None
) -> tuple[Tensor, State]:
    """Run one layer in one direction with nn/reference.py; a missing bias is zero, a missing U has no rows."""
    if cell.reference is None:
        raise UsageError(f'backend="reference": a {cell.layer.__name__} has no reference; use backend="auto"')
    row_lengths = np.full(inputs.shape[1], len(inputs)) if lengths is None else lengths.numpy()
    w = weights["weight_ih"]
    u = weights["weight_hh"] if "weight_hh" in weights else w.new_zeros(0, state["hidden"].shape[-1])
    biases = (weights.get("bias_ih", w.new_zeros(len(w))), weights.get("bias_hh", w.new_zeros(len(u))))
    tensors = (inputs, *state.values(), w, u, *biases)
    outputs, *final = _Reference.apply(cell.reference, row_lengths, *tensors)  # type: ignore[no-untyped-call]
    return outputs, State(zip(state, final, strict=True))


class _Reference(torch.autograd.Function):
    """Wrap nn/reference.py as a torch function: float64 inside, results cast back; equally long rows run together."""

    @staticmethod
    def forward(ctx: Any, cell: reference.Cell, lengths: Any, inputs: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        x, *arrays = (_to_numpy(tensor) for tensor in (inputs, *tensors))
        state, weights = arrays[: cell.num_states], reference.Weights(*arrays[cell.num_states :])
        outputs = np.zeros((*x.shape[:2], state[0].shape[1]))  # (T, B, H)
        final = [part.copy() for part in state]
        ctx.runs = []
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            start = tuple(part[rows] for part in state)
            outputs[:length, rows], end, trace = reference.forward(cell, x[:length, rows], weights, start)
            for part, part_end in zip(final, end, strict=True):
                part[rows] = part_end
            ctx.runs.append((length, rows, trace))
        ctx.cell, ctx.weights, ctx.like = cell, weights, (inputs, *tensors)
        return tuple(torch.as_tensor(array, dtype=inputs.dtype, device=inputs.device) for array in (outputs, *final))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, *d_final: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs_all, *d_final_all = (_to_numpy(tensor) for tensor in (d_outputs, *d_final))
        totals = [np.zeros(tuple(tensor.shape)) for tensor in ctx.like]  # of inputs, state and weights, in this order
        d_x, d_state, d_weights = totals[0], totals[1 : 1 + len(d_final)], totals[1 + len(d_final) :]
        for length, rows, trace in ctx.runs:
            d_end = tuple(part[rows] for part in d_final_all)
            found = reference.backward(ctx.cell, ctx.weights, trace, d_outputs_all[:length, rows], d_end)
            d_x[:length, rows] = found.x
            for part, part_found in zip(d_state, found.state, strict=True):
                part[rows] = part_found
            for total, part_found in zip(d_weights, found.weights, strict=True):
                total += part_found
        casts = (torch.as_tensor(d, dtype=t.dtype, device=t.device) for d, t in zip(totals, ctx.like, strict=True))
        return None, None, *casts


def _to_numpy(tensor: Tensor) -> reference.Array:
    return tensor.detach().to("cpu", torch.float64).numpy()
