"""The long short-term memory through time: its forward pass and, beside it, its backward pass.

    i, f, o = sigmoid(W x_t + b + U h_{t-1}), each with its own rows of W, b and U;   g = tanh(likewise)
    c_t = f * c_{t-1} + i * g
    h_t = o * tanh(c_t)

See rnn.py for the layout of tokens, rows and tickets, and for the arguments that all cells share.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elman.kernels.activations import sigmoid, tanh
from elman.kernels.compiler import inline, kernel
from elman.kernels.rnn import place_of, store_and_add
from elman.kernels.tile import multiply
from elman.kernels.vector import LANES, get_integer, load, store

ONE = np.float32(1)


@inline
def lstm(i: Any, f: Any, g: Any, o: Any, c_before: Any) -> Any:
    """Compute i, f, g, o, c_t and h_t from the pre-activations of the gates and c_{t-1}."""
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c_t = f * c_before + i * g
    return i, f, g, o, c_t, o * tanh(c_t)


@kernel
def lstm_forward(
    ticket: int, tickets: int, first: int, count: int, by: int, firsts: int, batch_sizes: int,
    offsets: int, places: int, size: int, stride: int,
    u: int, hidden: int, cell: int, gates: int, cells: int, outputs: int, y_stride: int,
) -> None:  # fmt: skip
    """Run ``count`` steps: ``first``, ``first + by`` and so on.

    Args:
        u: Uᵀ in panels.
        hidden, cell: (B, stride), h_0 and c_0 on entry, each row's last state on return.
        gates: (N, 4H), W x_t + b on entry; i, f, g and o on return.
        cells: (N, H), c_{t-1} on return.
        outputs: (T · B, H), h_t on return.
        y_stride: the row stride of ``outputs``.
    """
    first_row, gate_stride = 4 * get_integer(firsts, ticket) * stride, 4 * size
    h_row, c_row = hidden + first_row, cell + first_row
    for step in range(count):
        t = first + by * step
        rows = get_integer(batch_sizes, t * tickets + ticket)
        token = get_integer(offsets, t * tickets + ticket)
        gate = gates + 16 * token * size
        multiply(rows, 4 * size, size, gate, gate_stride, h_row, stride, 1, u, gate, gate_stride)
        for row in range(rows):
            a, at = gate + 4 * row * gate_stride, 4 * (token + row) * size
            y = outputs + 4 * place_of(places, token + row) * y_stride
            h, c = h_row + 4 * row * stride, c_row + 4 * row * stride
            for j in range(0, size, LANES):
                left = size - j
                c_before = load(c, j, left)
                from_x = load(a, j, left), load(a, size + j, left), load(a, 2 * size + j, left)
                i, f, g, o, c_t, h_t = lstm(*from_x, load(a, 3 * size + j, left), c_before)
                store(a, j, left, i)
                store(a, size + j, left, f)
                store(a, 2 * size + j, left, g)
                store(a, 3 * size + j, left, o)
                store(cells + at, j, left, c_before)
                store(c, j, left, c_t)
                store(h, j, left, h_t)
                store(y, j, left, h_t)


@kernel
def lstm_backward(
    ticket: int, tickets: int, first: int, count: int, by: int, firsts: int, batch_sizes: int,
    offsets: int, places: int, size: int, stride: int,
    u: int, zeros: int, d_hidden: int, d_cell: int, gates: int, cells: int, d_bias: int,
    d_outputs: int, y_stride: int, d_gates: int,
) -> None:  # fmt: skip
    """Run the steps in reverse, with the arguments of ``lstm_forward`` and these.

    Args:
        u: U in panels.
        zeros: H zeros.
        d_hidden, d_cell: (B, stride), the gradients of each row's last state on entry, of the initial one on return.
        gates, cells: the results of the forward pass.
        d_bias: (tickets, 4H), to which each ticket adds its part of the gradient of b.
        d_outputs: (T · B, H), the gradient of the outputs, with row stride ``y_stride``.
        d_gates: (N, 4H), on return the gradient of W x_t + b + U h_{t-1}.
    """
    first_row, gate_stride = 4 * get_integer(firsts, ticket) * stride, 4 * size
    dh_row, dc_row, db = d_hidden + first_row, d_cell + first_row, d_bias + 16 * ticket * size
    for step in range(count):
        t = first + by * step
        rows = get_integer(batch_sizes, t * tickets + ticket)
        start = get_integer(offsets, t * tickets + ticket)
        d_gate = d_gates + 16 * start * size
        for row in range(rows):
            token = start + row
            a, da, at = gates + 16 * token * size, d_gates + 16 * token * size, 4 * token * size
            dy = d_outputs + 4 * place_of(places, token) * y_stride
            dh, dc = dh_row + 4 * row * stride, dc_row + 4 * row * stride
            for j in range(0, size, LANES):
                left = size - j
                i, f = load(a, j, left), load(a, size + j, left)
                g, o = load(a, 2 * size + j, left), load(a, 3 * size + j, left)
                c_before = load(cells + at, j, left)
                tanh_c = tanh(f * c_before + i * g)
                dh_t = load(dh, j, left) + load(dy, j, left)
                dc_t = load(dc, j, left) + dh_t * o * (ONE - tanh_c * tanh_c)
                store_and_add(da, db, j, left, dc_t * g * i * (ONE - i))
                store_and_add(da, db, size + j, left, dc_t * c_before * f * (ONE - f))
                store_and_add(da, db, 2 * size + j, left, dc_t * i * (ONE - g * g))
                store_and_add(da, db, 3 * size + j, left, dh_t * tanh_c * o * (ONE - o))
                store(dc, j, left, dc_t * f)
        multiply(rows, size, 4 * size, zeros, 0, d_gate, gate_stride, 1, u, dh_row, stride)
