"""The kernels as torch operators, with shape functions for tracing and with gradients.

    elman::recurrent            one layer in one or both directions, over a padded batch with or without lengths
    elman::recurrent_backward   its gradients

Internally, sequences of different lengths become one list of N tokens, step by step, longest rows first, so padding
costs nothing. If all rows are as long as the batch, that list is the batch itself, without a copy.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman.errors import UsageError, suggest
from elman.kernels.checks import CPU, check
from elman.kernels.gru import gru_backward, gru_forward
from elman.kernels.lstm import lstm_backward, lstm_forward
from elman.kernels.rnn import rnn_backward, rnn_forward
from elman.kernels.threads import run
from elman.kernels.tile import DEPTH, ROWS, STRIP, TERMS, WIDTH, multiply_rows, multiply_transposed, pack_panels

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}
CHUNK = 1 << 19  # numbers in the gates that are computed and used together, while they are in the cache
BLOCK = 64  # rows of a large product that one ticket computes


class Tokens(NamedTuple):
    """The layout of a batch's tokens in the list of N, and their places in the batch."""

    firsts: Tensor  # (parts,) the first row of each part
    batch_sizes: Tensor  # (T, parts) how many rows of each part are still running in each step
    offsets: Tensor  # (T, parts) the first token of each step in each part
    chunks: list[tuple[slice, slice]]  # steps and their tokens, such that a chunk's gates fit into the cache
    before: Tensor  # (N,) the previous token, in the direction's order; -1 - r for the first token of row r
    order: Tensor | None  # (B,) which row of the batch is row r here; None for the batch's own order
    places: Tensor | None  # (N,) each token's place among the batch's T · B; None if they are the same
    found: Tensor | None  # (T · B,) the token at each place, N for padding; None if they are the same

    @property
    def parts(self) -> int:
        """The number of parts."""
        return len(self.firsts)

    @property
    def addresses(self) -> tuple[int, int, int, int]:
        """The arguments that tell a kernel the layout."""
        return self.firsts.data_ptr(), self.batch_sizes.data_ptr(), self.offsets.data_ptr(), _address(self.places)

    @property
    def longest(self) -> int:
        """The number of tokens in the longest chunk."""
        return max((part.stop - part.start for _, part in self.chunks), default=0)

    def take(self, rows: Tensor) -> Tensor:
        """Gather the tokens (N, ·) from a batch's rows (T · B, ·)."""
        return rows if self.places is None else rows.index_select(0, self.places)

    def places_of(self, part: slice) -> Tensor | None:
        """Return the places of a chunk's tokens among the batch's rows, or None if they are the same."""
        return None if self.places is None else self.places[part]

    def put(self, tokens: Tensor, like: Tensor) -> Tensor:
        """Scatter the tokens (N, ·), followed by a row of zeros, into a batch (T, B, ·) with zeros as padding."""
        padded = tokens[:-1] if self.found is None else tokens.index_select(0, self.found)
        return padded.view(*like.shape[:2], tokens.shape[1])

    def take_rows(self, state: Tensor, stride: int = 0) -> Tensor:
        """Copy a state (B, H) in the order of the rows here, with row stride ``stride``."""
        rows = state if self.order is None else state.index_select(0, self.order)
        copy = rows.new_empty(rows.shape[0], stride or rows.shape[1])
        copy[:, : rows.shape[1]] = rows
        return copy

    def put_rows(self, state: Tensor, into: Tensor) -> None:
        """Copy a state back into (B, H), in the batch's order."""
        rows = state[:, : into.shape[1]]
        if self.order is None:
            into.copy_(rows)
        else:
            into.index_copy_(0, self.order, rows)


def _tokens_of(inputs: Tensor, lengths: Tensor | None, is_reverse: bool, parts: int, num_gates: int) -> Tokens:
    """Lay out a batch (T, B, I) with ``num_gates`` gates per token; ``lengths`` are (B,) int64 in 0 … T."""
    steps, rows, _ = inputs.shape
    parts, chunk = max(1, min(parts, rows)), max(CHUNK // num_gates, DEPTH)
    if lengths is None:
        return _same_lengths(steps, rows, is_reverse, parts, chunk)
    return _own_lengths(steps, lengths.numpy().tobytes(), is_reverse, parts, chunk)


@lru_cache(maxsize=16)
def _same_lengths(steps: int, rows: int, is_reverse: bool, parts: int, chunk: int) -> Tokens:
    return _tokens(np.ones((steps, rows), bool), is_reverse, parts, chunk, None, None)


@lru_cache(maxsize=8)  # one batch passes through several layers and directions, forward and backward
def _own_lengths(steps: int, packed_lengths: bytes, is_reverse: bool, parts: int, chunk: int) -> Tokens:
    lengths = np.frombuffer(packed_lengths, np.int64)
    if lengths.min(initial=0) < 0 or lengths.max(initial=0) > steps:
        raise UsageError(f"lengths are {lengths.tolist()}, expected 0 … {steps}, the input's time steps")
    order = np.argsort(-lengths, kind="stable")
    order = np.concatenate([order[part::parts] for part in range(parts)])  # round robin: equal work for each part
    is_running = np.arange(steps)[:, None] < lengths[order]  # (T, B)
    places = (np.arange(steps)[:, None] * len(lengths) + order)[is_running]  # (N,)
    return _tokens(is_running, is_reverse, parts, chunk, torch.from_numpy(order), torch.from_numpy(places))


def _tokens(
    is_running: Any, is_reverse: bool, parts: int, chunk: int, order: Tensor | None, places: Tensor | None
) -> Tokens:
    steps, rows = is_running.shape
    shares = np.array_split(is_running, parts, axis=1)
    batch_sizes = np.stack([share.sum(1) for share in shares], axis=1)  # (T, parts)
    firsts = np.cumsum([0] + [share.shape[1] for share in shares[:-1]])
    ends = batch_sizes.cumsum().reshape(steps, parts)
    tokens = is_running.cumsum().reshape(steps, rows) - 1  # (T, B)
    first_states = np.broadcast_to(-1 - np.arange(rows), (1, rows))
    tokens = np.where(is_running, tokens, first_states)
    earlier = (tokens[1:], first_states) if is_reverse else (first_states, tokens[:-1])
    found = None
    if places is not None:
        found = torch.full((steps * rows,), len(places), device=CPU)
        found.index_copy_(0, places, torch.arange(len(places), device=CPU))
    step_ends = ends[:, -1]
    cuts = np.searchsorted(step_ends, np.arange(0, is_running.sum(), chunk), side="right")
    cuts = np.unique(np.concatenate((cuts, [steps])))
    starts = np.concatenate(([0], step_ends))  # (T + 1,)
    chunks = [(slice(int(i), int(j)), slice(int(starts[i]), int(starts[j]))) for i, j in itertools.pairwise(cuts)]
    return Tokens(
        firsts=torch.from_numpy(firsts.astype(np.int64)),
        batch_sizes=torch.from_numpy(batch_sizes.astype(np.int64)),
        offsets=torch.from_numpy((ends - batch_sizes).astype(np.int64)),
        chunks=chunks[::-1] if is_reverse else chunks,
        before=torch.from_numpy(np.concatenate(earlier)[is_running].astype(np.int64)),
        order=order,
        places=places,
        found=found,
    )


# ---------------------------------------------------------------- products


def _multiply(a: Tensor, panels: Tensor, start: Tensor, out: Tensor) -> None:
    """Compute out = start + a · panels, with ``start`` one row for all, or ``out`` itself."""
    (rows, depth), columns = a.shape, out.shape[1]
    start_stride = start.stride(0) if start.dim() == 2 else 0
    blocks = -(-rows // BLOCK)
    run(
        multiply_rows, BLOCK, rows, columns, depth, start.data_ptr(), start_stride, a.data_ptr(), a.stride(0),
        panels.data_ptr(), out.data_ptr(), out.stride(0), tickets=blocks,
    )  # fmt: skip


def _multiply_transposed(
    a: Tensor,
    b: Tensor,
    out: Tensor,
    places: Tensor | None,
    before: Tensor | None = None,
    first: Tensor | None = None,
    *,
    zeros: Tensor | None,
) -> None:
    """Add aᵀ · b to ``out``, or to ``zeros``.

    The rows of b are at ``places``; with ``before`` and ``first``, they are those of each token's previous token.
    """
    (rows, columns), depth = out.shape, a.shape[0]
    share = -(-rows // torch.get_num_threads())
    block = -(-share // ROWS) * ROWS
    tickets = -(-rows // block)
    room = TERMS * (columns + WIDTH + STRIP)
    scratch = a.new_empty(tickets * room)
    run(
        multiply_transposed, block, rows, columns, depth, a.data_ptr(), a.stride(0), b.data_ptr(), b.stride(0),
        _address(before), _address(first), _address(places), scratch.data_ptr(), room, _address(zeros),
        out.data_ptr(), out.stride(0), tickets=tickets,
    )  # fmt: skip


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _rows(batch: Tensor) -> Tensor:
    """View a batch (T, B, ·) as consecutive rows (T · B, ·)."""
    return batch.reshape(-1, batch.shape[-1]).contiguous()


# ---------------------------------------------------------------- checks of the arguments


WEIGHT_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _check_arguments(
    mode: str,
    parts: int,
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor | None,
    lengths: Tensor | None,
    weights: Sequence[Tensor | None],
) -> None:
    """Check that the arguments of the operators fit together; the values of ``lengths`` are checked when they are read.

    ``weights`` are those of both directions, with or without biases.
    """
    if mode not in GATES:
        raise UsageError(f'mode="{mode}", expected one of {", ".join(GATES)}{suggest(mode, GATES)}')
    if parts < 1:
        raise UsageError(f"parts={parts}, expected at least 1")
    if inputs is None or hidden is None:  # torch's dispatcher lets it through
        raise UsageError("inputs or hidden is None, expected a tensor")
    shape, state = inputs.shape, hidden.shape
    if len(shape) != 3 or shape[2] < 1:
        raise UsageError(f"inputs has shape {tuple(shape)}, expected (T, B, I) with I at least 1")
    if len(state) != 3 or state[0] not in (1, 2) or state[2] < 1:
        raise UsageError(f"hidden has shape {tuple(state)}, expected (D, B, H) with D 1 or 2, H at least 1")
    device, batch_size, (directions, _, size) = inputs.device, shape[1], state
    check("inputs", inputs, shape, device=device)
    check("hidden", hidden, (directions, batch_size, size), device=device)
    if (cell is not None) != (mode == "LSTM"):
        raise UsageError(f"{mode} was given {'no' if cell is None else 'a'} cell; only the LSTM has one")
    if cell is not None:
        check("cell", cell, state, device=device)
    if lengths is not None:
        check("lengths", lengths, (batch_size,), torch.int64, device if lengths.device == device else CPU)
    rows, each = GATES[mode] * size, len(weights) // 2
    biases = ((rows,), (rows,)) if any(weight is not None for weight in weights[2:each]) else (None, None)
    own = ((rows, shape[2]), (rows, size), *biases)[:each]
    expected = own * 2 if directions == 2 else (*own, *[None] * each)
    for number, (weight, sizes) in enumerate(zip(weights, expected, strict=True)):
        if weight is not None or sizes is not None:
            name = WEIGHT_NAMES[number % each] + "_reverse" * (number >= each)
            if sizes is None:
                raise UsageError(f"{name} was given without other biases, or without a second direction in hidden")
            check(name, weight, sizes, device=device)


def _check_results(
    inputs: Tensor, hidden: Tensor, outputs: Tensor, gates: Tensor, cells: Tensor, d_outputs: Tensor, d_hidden: Tensor
) -> None:
    """Check that results, or their gradients, fit the inputs and states.

    The number of tokens in the gates is checked later, when the tokens have been counted.
    """
    steps, batch_size, _ = inputs.shape
    directions, _, size = hidden.shape
    for name, tensor in (("outputs", outputs), ("d_outputs", d_outputs)):
        check(name, tensor, (steps, batch_size, directions * size), device=inputs.device)
    check("d_hidden", d_hidden, hidden.shape, device=inputs.device)
    for name, tensor in (("gates", gates), ("cells", cells)):
        check(name, tensor, ("D", "N", "H")[: 2 if tensor is None else tensor.dim()], device=inputs.device)


# ---------------------------------------------------------------- the forward pass


torch.library.define(
    "elman::recurrent",
    "(Tensor inputs, Tensor hidden, Tensor? cell, "
    "Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh, "  # autograd is slow with Tensor[]
    "Tensor? weight_ih_reverse, Tensor? weight_hh_reverse, Tensor? bias_ih_reverse, Tensor? bias_hh_reverse, "
    "Tensor? lengths, str mode, int parts, bool needs_gates) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)


@torch.library.impl("elman::recurrent", "cpu")
def recurrent(
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor | None,
    *weights_and_settings: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Run one layer in D directions: forward and, if D is 2, backward from each row's true end.

    Args:
        inputs: (T, B, I) float32 on the CPU, like all tensors here.
        hidden, cell: (D, B, H), the initial states; cell for the LSTM only.
        weight_ih, weight_hh, bias_ih, bias_hh: as in torch.nn; both biases or none; and again for the second direction.
        lengths: (B,) int64 in 0 … T, or None when every row has T steps.
        mode: ``RNN_TANH``, ``RNN_RELU``, ``GRU`` or ``LSTM``.
        parts: the number of parts that the rows are split into for threads; the layout of ``gates`` and ``cells``
            depends on it.
        needs_gates: whether there will be a backward pass.

    Returns:
        Outputs (T, B, D·H), directions concatenated, zero beyond a row's length; the hidden states and the cells
        (D, B, H) at each row's end; and the values for the backward pass: gates (D, N, 4H) and cells (D, N, H). Tensors
        that a cell does not have are empty.

    Raises:
        UsageError: the arguments do not fit together.
    """
    weights, (lengths, mode, parts, needs_gates) = weights_and_settings[:8], weights_and_settings[8:]
    _check_arguments(mode, parts, inputs, hidden, cell, lengths, weights)
    num_directions, batch_size, size = hidden.shape
    num_gates = GATES[mode] * size
    stride = _stride(size)
    orders = [_tokens_of(inputs, lengths, direction == 1, parts, num_gates) for direction in range(num_directions)]
    tokens = orders[0]
    x = tokens.take(_rows(inputs))  # (N, I)
    make = x.new_empty if tokens.places is None else x.new_zeros
    outputs = make(len(inputs) * batch_size, num_directions * size)
    has_gates, has_cells = mode in ("GRU", "LSTM"), mode == "LSTM"
    kept = len(x) if needs_gates else tokens.longest
    num_buffers = num_directions if needs_gates else 1  # one for each direction, or one for all
    gates = x.new_empty((num_buffers, kept, 4 * size) if has_gates else (num_buffers, 0))
    cells = x.new_empty((num_buffers, kept, size) if has_cells else (num_buffers, 0))

    hidden_n, cell_n = x.new_empty(hidden.shape), x.new_empty(0 if cell is None else cell.shape)
    for direction, tokens in enumerate(orders):
        is_reverse = direction == 1
        weight_ih, weight_hh, bias_ih, bias_hh = weights[4 * direction :][:4]
        h = tokens.take_rows(hidden[direction], stride)
        c = h.new_empty(0) if cell is None else tokens.take_rows(cell[direction], stride)
        y = outputs[:, direction * size : (direction + 1) * size]
        a, c_before = gates[direction % num_buffers], cells[direction % num_buffers]
        if not has_gates:  # space for a chunk; or the outputs in place, if they have the layout of the tokens
            a = y if tokens.places is None and num_directions == 1 else x.new_empty(tokens.longest, size)

        bias, bias_m = _biases(weight_hh, bias_ih, bias_hh, mode)
        w, u = pack_panels(weight_ih, transposed=True), weight_hh
        if mode == "GRU":
            u_rz, u_n = pack_panels(u[: 2 * size], transposed=True), pack_panels(u[2 * size :], transposed=True)
            kernel, buffers = gru_forward, [u_rz, u_n, bias_m, h]
        elif mode == "LSTM":
            kernel, buffers = lstm_forward, [pack_panels(u, transposed=True), h, c]
        else:
            kernel, buffers = rnn_forward, [pack_panels(u, transposed=True), h]
        addresses = [buffer.data_ptr() for buffer in buffers]
        for steps, part in tokens.chunks:
            forgotten = part.start if len(a) < len(x) else 0  # tokens that the buffer no longer holds
            _multiply(x[part], w, bias, a[part.start - forgotten : part.stop - forgotten, :num_gates])
            into = [_origin(a, forgotten), y.data_ptr(), y.stride(0)]
            if mode == "LSTM":
                into.insert(1, _origin(c_before, forgotten))
            elif mode != "GRU":
                into.append(int(mode == "RNN_RELU"))
            where = (*_walk(steps, is_reverse), *tokens.addresses)
            run(kernel, tokens.parts, *where, size, stride, *addresses, *into, tickets=tokens.parts)
        tokens.put_rows(h, hidden_n[direction])
        if cell is not None:
            tokens.put_rows(c, cell_n[direction])
    if not needs_gates:
        gates, cells = gates.new_empty(num_directions, 0), cells.new_empty(num_directions, 0)
    return outputs.view(*inputs.shape[:2], num_directions * size), hidden_n, cell_n, gates, cells


def _origin(rows: Tensor, first: int) -> int:
    """Return the address that row 0 would have if the first row present were row ``first``."""
    return rows.data_ptr() - 4 * first * rows.stride(0)


def _walk(steps: slice, is_reverse: bool) -> tuple[int, int, int]:
    """Return the first step, the number of steps, and the direction, for a kernel."""
    count = steps.stop - steps.start
    return (steps.stop - 1, count, -1) if is_reverse else (steps.start, count, 1)


def _stride(size: int) -> int:
    """Return the row stride of a state: rows start on cache lines of their own, spread over all cache sets."""
    return -(-size // 16) * 16 + 16


def _biases(weight_hh: Tensor, bias_ih: Tensor | None, bias_hh: Tensor | None, mode: str) -> tuple[Tensor, Tensor]:
    """Return the bias added to W x, and the GRU's bias inside the product with r."""
    size = weight_hh.shape[1]
    if bias_ih is None or bias_hh is None:
        zeros = weight_hh.new_zeros(len(weight_hh))
        return zeros, zeros[:size]
    if mode != "GRU":
        return bias_ih + bias_hh, bias_hh
    bias = bias_ih.clone()
    bias[: 2 * size] += bias_hh[: 2 * size]
    return bias, bias_hh[2 * size :].contiguous()


@torch.library.register_fake("elman::recurrent")
def _(inputs, hidden, cell, *weights_and_settings):  # type: ignore[no-untyped-def]
    weights, (lengths, mode, parts, needs_gates) = weights_and_settings[:8], weights_and_settings[8:]
    _check_arguments(mode, parts, inputs, hidden, cell, lengths, weights)
    steps, batch_size, _ = inputs.shape
    num_directions, _, size = hidden.shape
    count = steps * batch_size
    if lengths is not None and needs_gates and not mode.startswith("RNN"):
        count = torch.library.get_ctx().new_dynamic_size()
    has_gates, has_cells = needs_gates and mode in ("GRU", "LSTM"), needs_gates and mode == "LSTM"
    gates = inputs.new_empty((num_directions, count, 4 * size) if has_gates else (num_directions, 0))
    cells = inputs.new_empty((num_directions, count, size) if has_cells else (num_directions, 0))
    final_cell = inputs.new_empty(0 if cell is None else cell.shape)
    outputs = inputs.new_empty(steps, batch_size, num_directions * size)
    return outputs, hidden.new_empty(hidden.shape), final_cell, gates, cells


# ---------------------------------------------------------------- the backward pass


torch.library.define(
    "elman::recurrent_backward",
    "(Tensor d_outputs, Tensor d_hidden, Tensor? d_cell, Tensor inputs, Tensor hidden, "
    "Tensor weight_ih, Tensor weight_hh, Tensor? weight_ih_reverse, Tensor? weight_hh_reverse, Tensor? lengths, "
    "Tensor outputs, Tensor gates, Tensor cells, str mode, int parts, bool needs_inputs) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)


@torch.library.impl("elman::recurrent_backward", "cpu")
def recurrent_backward(
    d_outputs: Tensor,
    d_hidden: Tensor,
    d_cell: Tensor | None,
    inputs: Tensor,
    hidden: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    weight_ih_reverse: Tensor | None,
    weight_hh_reverse: Tensor | None,
    lengths: Tensor | None,
    outputs: Tensor,
    gates: Tensor,
    cells: Tensor,
    mode: str,
    parts: int,
    needs_inputs: bool,
) -> tuple[Tensor, ...]:
    """Compute the gradients of ``recurrent``.

    Args:
        d_outputs, d_hidden, d_cell: the gradients of its outputs and final states.
        inputs, hidden, the weights, lengths, mode, parts: its arguments.
        outputs, gates, cells: its results.
        needs_inputs: whether to compute the gradient of the inputs.

    Returns:
        The gradients of inputs (empty if not needed), hidden, cell (empty except for the LSTM), and of weight_ih,
        weight_hh, bias_ih and bias_hh of each direction (empty if there is none).

    Raises:
        UsageError: the arguments do not fit together.
    """
    weights: list[Any] = [weight_ih, weight_hh, weight_ih_reverse, weight_hh_reverse]
    _check_arguments(mode, parts, inputs, hidden, d_cell, lengths, weights)
    _check_results(inputs, hidden, outputs, gates, cells, d_outputs, d_hidden)
    num_directions, _, size = hidden.shape
    num_gates = GATES[mode] * size
    x, all_y, all_dy = _rows(inputs), _rows(outputs), _rows(d_outputs)
    stride = _stride(size)
    zeros = x.new_zeros(max(size, inputs.shape[2], WIDTH))
    columns = 4 * size if mode == "GRU" else num_gates
    orders = [_tokens_of(inputs, lengths, direction == 1, parts, num_gates) for direction in range(num_directions)]
    tokens = orders[0]
    count = len(tokens.before)
    check("gates", gates, (num_directions, count, 4 * size) if mode in ("GRU", "LSTM") else (num_directions, 0))
    check("cells", cells, (num_directions, count, size) if mode == "LSTM" else (num_directions, 0))
    gates, cells = gates.contiguous(), cells.contiguous()
    dx = x.new_empty((count + 1, x.shape[1]) if needs_inputs else 0)
    dx[-1:] = 0  # the gradient of padding
    scratch = x.new_empty(tokens.longest, columns)  # the gradients of one chunk's gates

    d_hidden_0, d_cell_0 = x.new_empty(hidden.shape), x.new_empty(0 if d_cell is None else hidden.shape)
    d_weights: list[Tensor] = []
    for direction, tokens in enumerate(orders):
        is_reverse = direction == 1
        w, u = weights[2 * direction :][:2]
        own = slice(direction * size, (direction + 1) * size)
        y, dy = all_y[:, own], all_dy[:, own]
        h_0 = tokens.take_rows(hidden[direction])
        dh = tokens.take_rows(d_hidden[direction], stride)
        dc = dh.new_empty(0) if d_cell is None else tokens.take_rows(d_cell[direction], stride)
        make = x.new_empty if tokens.chunks else x.new_zeros
        d_weight_ih, d_weight_hh = make(w.shape), make(u.shape)
        d_bias = x.new_zeros(tokens.parts, columns)

        kept = [gates[direction], cells[direction]]
        if mode == "GRU":
            u_rz, u_n = pack_panels(u[: 2 * size], transposed=False), pack_panels(u[2 * size :], transposed=False)
            kernel, buffers = gru_backward, [u_rz, u_n, dh, kept[0], h_0, tokens.before, d_bias, y, dy]
        elif mode == "LSTM":
            kernel, buffers = lstm_backward, [pack_panels(u, transposed=False), zeros, dh, dc, *kept, d_bias, dy]
        else:
            kernel, buffers = rnn_backward, [pack_panels(u, transposed=False), zeros, dh, d_bias, y, dy]
        addresses, last = [buffer.data_ptr() for buffer in buffers], [int(mode == "RNN_RELU")] * mode.startswith("RNN")
        w = pack_panels(w, transposed=False) if needs_inputs else x
        for number, (steps, part) in enumerate(reversed(tokens.chunks)):
            d_gates = scratch[: part.stop - part.start]
            where = (*_walk(steps, not is_reverse), *tokens.addresses, size, stride)
            into = (all_dy.stride(0), _origin(d_gates, part.start), *last)
            run(kernel, tokens.parts, *where, *addresses, *into, tickets=tokens.parts)
            from_inputs = d_gates[:, :num_gates]
            if needs_inputs:
                _multiply(from_inputs, w, dx[part] if is_reverse else zeros, dx[part])
            from_x, places = (x[part] if tokens.places is None else x), tokens.places_of(part)
            begin, of_past = zeros if number == 0 else None, (tokens.places, tokens.before[part], h_0)
            _multiply_transposed(from_inputs, from_x, d_weight_ih, places, zeros=begin)
            if mode == "GRU":
                _multiply_transposed(d_gates[:, : 2 * size], y, d_weight_hh[: 2 * size], *of_past, zeros=begin)
                _multiply_transposed(d_gates[:, 3 * size :], y, d_weight_hh[2 * size :], *of_past, zeros=begin)
            else:
                _multiply_transposed(d_gates, y, d_weight_hh, *of_past, zeros=begin)
        d_bias = d_bias.sum(0)
        d_bias_hh = torch.cat((d_bias[: 2 * size], d_bias[3 * size :])) if mode == "GRU" else d_bias
        d_weights += [d_weight_ih, d_weight_hh, d_bias[:num_gates].clone(), d_bias_hh]
        tokens.put_rows(dh, d_hidden_0[direction])
        if d_cell is not None:
            tokens.put_rows(dc, d_cell_0[direction])
    d_inputs = tokens.put(dx, inputs) if needs_inputs else dx
    nothing = (x.new_empty(0) for _ in range(8 - len(d_weights)))
    return d_inputs, d_hidden_0, d_cell_0, *d_weights, *nothing


@torch.library.register_fake("elman::recurrent_backward")
def _(  # type: ignore[no-untyped-def]
    d_outputs, d_hidden, d_cell, inputs, hidden, weight_ih, weight_hh, weight_ih_reverse, weight_hh_reverse, lengths,
    outputs, gates, cells, mode, parts, needs_inputs,
):  # fmt: skip
    weights = (weight_ih, weight_hh, weight_ih_reverse, weight_hh_reverse)
    _check_arguments(mode, parts, inputs, hidden, d_cell, lengths, weights)
    _check_results(inputs, hidden, outputs, gates, cells, d_outputs, d_hidden)
    d_inputs = inputs.new_empty(inputs.shape if needs_inputs else 0)
    d_cell_0 = inputs.new_empty(0 if d_cell is None else d_cell.shape)
    num_directions, rows = hidden.shape[0], weight_ih.shape[0]
    shapes = [weight_ih.shape, weight_hh.shape, rows, rows] * num_directions + [0] * (8 - 4 * num_directions)
    return d_inputs, hidden.new_empty(hidden.shape), d_cell_0, *(inputs.new_empty(shape) for shape in shapes)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, hidden, cell, w, u, bias_ih, _, w_reverse, u_reverse, _, _, lengths, mode, parts, _ = inputs
    outputs, _, _, gates, cells = output
    ctx.save_for_backward(x, hidden, w, u, w_reverse, u_reverse, lengths, outputs, gates, cells)
    ctx.settings = (mode, parts)
    ctx.has_cell, ctx.has_bias = cell is not None, bias_ih is not None
    ctx.set_materialize_grads(False)  # otherwise zeros would be allocated for the gates


def _backward(
    ctx: Any, d_outputs: Tensor | None, d_hidden: Tensor | None, d_cell: Tensor | None, *_: None
) -> tuple[Tensor | None, ...]:
    needs_inputs = ctx.needs_input_grad[0]
    saved = ctx.saved_tensors
    hidden, outputs = saved[1], saved[7]
    d_outputs = torch.zeros_like(outputs) if d_outputs is None else d_outputs
    d_hidden = torch.zeros_like(hidden) if d_hidden is None else d_hidden
    d_cell = (torch.zeros_like(hidden) if d_cell is None else d_cell) if ctx.has_cell else None
    found = torch.ops.elman.recurrent_backward(d_outputs, d_hidden, d_cell, *saved, *ctx.settings, needs_inputs)
    d_inputs, d_hidden_0, d_cell_0, *d_weights = found
    is_there = [True, True, ctx.has_bias, ctx.has_bias]  # of each direction's weights
    is_there += is_there if len(hidden) == 2 else [False] * 4
    gradients = (gradient if there else None for gradient, there in zip(d_weights, is_there, strict=True))
    return d_inputs if needs_inputs else None, d_hidden_0, d_cell_0 if ctx.has_cell else None, *gradients, *[None] * 4


def _refuse(ctx: Any, *_: Tensor | None) -> None:
    raise RuntimeError(
        "elman::recurrent_backward: no autograd formula was registered for gradients of gradients; "
        'use backend="torch" for them'
    )


torch.library.register_autograd("elman::recurrent_backward", _refuse)
torch.library.register_autograd("elman::recurrent", _backward, setup_context=_keep)
