"""What computes a recurrent layer: Elman's kernels, torch's, or the float64 loops of nn/reference.py.

Time first; a state is a tuple, ``(hidden,)`` or ``(hidden, cell)``; lengths lie on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import _VF, Tensor, nn
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman.errors import UsageError
from elman.nn import reference

State = tuple[Tensor, ...]

KERNELS: dict[str, Callable[..., Any]] = {
    "RNN_TANH": _VF.rnn_tanh,
    "RNN_RELU": _VF.rnn_relu,
    "GRU": _VF.gru,
    "LSTM": _VF.lstm,
}


def is_tracing() -> bool:
    """Whether torch.jit.trace is recording: sizes are tensors then, and a comparison would make a constant of one."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def choose(
    backend: str, mode: str, inputs: Tensor, size: int, lengths: Tensor | None, needs_gradient: bool, obstacle: str = ""
) -> tuple[str, str]:
    """Choose what computes a layer.

    Args:
        backend: ``auto``, ``fused``, ``torch`` or ``reference``.
        mode: ``RNN_TANH``, ``RNN_RELU``, ``GRU`` or ``LSTM``.
        inputs: (T, B, I).
        size: H.
        lengths: (B,), or None when every row has T steps.
        needs_gradient: whether there will be a backward pass.
        obstacle: what else keeps Elman's kernels from this layer; empty if nothing does.

    Returns:
        ``fused``, ``torch`` or ``reference``, and the reason.

    Raises:
        UsageError: ``fused`` was asked for and cannot be had.
    """
    if is_tracing() or torch.compiler.is_exporting():
        return "torch", "what is traced or exported must run without Elman"
    if backend in ("torch", "reference"):
        return backend, "as asked for"
    if inputs.device.type != "cpu":
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
        return backend, "as asked for"
    if obstacle:
        return "torch", obstacle
    rows = inputs.shape[1]
    if lengths is None and _is_torch_faster(mode, rows, size, needs_gradient):
        passes = "with" if needs_gradient else "without"
        return "torch", f"it is as fast or faster for {rows} rows of {size} units, {passes} a backward pass"
    return "fused", "float32 on the CPU"


def _is_torch_faster(mode: str, rows: int, size: int, needs_gradient: bool) -> bool:
    """Whether torch was measured to be as fast or faster; benchmarks/RESULTS.md says where the borders lie.

    With few rows, time goes into reading U: here each thread reads all of it, in torch its share.
    """
    if mode == "LSTM":
        return rows < 16 and size >= 320 if needs_gradient else size >= 192
    weights = (3 if mode == "GRU" else 1) * size * size
    return not needs_gradient and rows < 4 and weights >= 1 << 18


def run_fused(
    mode: str, inputs: Tensor, state: State, weights: list[list[nn.Parameter]], lengths: Tensor | None
) -> tuple[Tensor, State]:
    """One layer in all its directions through kernels/: outputs (T, B, D·H) and state, each part (D, B, H)."""
    from elman.kernels import ops  # noqa: F401 (it registers the operators; numba takes its time to import)

    tensors: list[Any] = [None] * 8  # the second direction, or biases, may be absent
    for direction, own in enumerate(weights):
        tensors[4 * direction : 4 * direction + len(own)] = own
    is_learning = any(tensor is not None and tensor.requires_grad for tensor in (inputs, *state, *tensors))
    needs_gates = torch.is_grad_enabled() and is_learning
    cell = state[1] if mode == "LSTM" else None
    outputs, *final, _, _ = torch.ops.elman.recurrent(
        inputs, state[0], cell, *tensors, lengths, mode, torch.get_num_threads(), needs_gates
    )
    return outputs, tuple(final[: len(state)])


def run_torch(
    mode: str, inputs: Tensor, state: State, weights: list[Any], lengths: Tensor | None, settings: tuple[Any, ...]
) -> tuple[Tensor, State]:
    """Call torch's fused kernel; rows of different lengths are packed, so that padding is not even copied.

    ``settings`` are bias, number of layers, dropout, training, bidirectional. Empty rows, which torch cannot pack, stay
    out.
    """
    kernel = KERNELS[mode]
    hx = state if mode == "LSTM" else state[0]
    if lengths is None:
        is_batch_first = False
        outputs, *final = kernel(inputs, hx, weights, *settings, is_batch_first)
        return outputs, tuple(final)

    num_steps, batch_size, _ = inputs.shape
    size = state[0].shape[-1] * (2 if settings[-1] else 1)
    order = lengths.argsort(descending=True)  # longest first
    if not is_tracing():  # in a trace, the number of empty rows would be a constant: there must be none
        order = order[: int((lengths > 0).sum())]
        if len(order) == 0:
            return inputs.new_zeros(num_steps, batch_size, size), state
    rows = order.to(inputs.device)
    packed = pack_padded_sequence(inputs[:, rows], lengths[order])
    start = tuple(part[:, rows] for part in state)
    data, *final = kernel(packed.data, packed.batch_sizes, start if mode == "LSTM" else start[0], weights, *settings)
    padded, _ = pad_packed_sequence(PackedSequence(data, packed.batch_sizes), total_length=num_steps)
    outputs = padded.new_zeros(num_steps, batch_size, size).index_copy(1, rows, padded)  # (T, B, H·D)
    ends = zip(state, final, strict=True)
    return outputs, tuple(part.to(end.dtype).index_copy(1, rows, end) for part, end in ends)


def run_reference(
    mode: str, inputs: Tensor, state: State, weights: list[nn.Parameter], lengths: Tensor | None
) -> tuple[Tensor, State]:
    """One layer in one direction through nn/reference.py."""
    row_lengths = np.full(inputs.shape[1], len(inputs)) if lengths is None else lengths.numpy()
    outputs, *final = _Reference.apply(mode.lower(), row_lengths, inputs, *state, *weights)  # type: ignore[no-untyped-call]
    return outputs, tuple(final)


class _Reference(torch.autograd.Function):
    """nn/reference.py as a torch function: float64 inside, results cast back; rows of equal length run together."""

    @staticmethod
    def forward(ctx: Any, cell_name: str, lengths: Any, inputs: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        cell = reference.cell_named(cell_name)
        x, *arrays = (_to_numpy(tensor) for tensor in (inputs, *tensors))
        state, parameters = arrays[: cell.num_states], arrays[cell.num_states :]
        no_bias = np.zeros(len(parameters[0]))
        weights = reference.Weights(*parameters, *[no_bias] * (4 - len(parameters)))
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
            for total, part_found in zip(d_weights, found.weights, strict=False):  # without biases, only W and U
                total += part_found
        casts = (torch.as_tensor(d, dtype=t.dtype, device=t.device) for d, t in zip(totals, ctx.like, strict=True))
        return None, None, *casts


def _to_numpy(tensor: Tensor) -> reference.Array:
    return tensor.detach().to("cpu", torch.float64).numpy()
