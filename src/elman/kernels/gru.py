"""The gated recurrent unit through time: its forward pass and, beside it, its backward pass.

    r = sigmoid(W_r x_t + b_r + U_r h_{t-1})
    z = sigmoid(W_z x_t + b_z + U_z h_{t-1})
    m = U_n h_{t-1} + b_m
    n = tanh(W_n x_t + b_n + r * m)
    h_t = (1 - z) * n + z * h_{t-1}

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
def gru(r: Any, z: Any, n: Any, m: Any, h_before: Any) -> Any:
    """Compute r, z, n and h_t from the pre-activations of r, z and n (n without r * m), m and h_{t-1}."""
    r = sigmoid(r)
    z = sigmoid(z)
    n = tanh(n + r * m)
    return r, z, n, (ONE - z) * n + z * h_before


@kernel
def gru_forward(
    ticket: int, tickets: int, first: int, count: int, by: int, firsts: int, batch_sizes: int,
    offsets: int, places: int, size: int, stride: int,
    u_rz: int, u_n: int, b_m: int, hidden: int, gates: int, outputs: int, y_stride: int,
) -> None:  # fmt: skip
    """Run ``count`` steps: ``first``, ``first + by`` and so on.

    Args:
        u_rz, u_n: the transposed rows of U for r and z, and for n, in panels.
        b_m: (H,).
        hidden: (B, stride), h_0 on entry, each row's last state on return.
        gates: (N, 4H), W x_t + b for r, z and n on entry; r, z, n and m on return.
        outputs: (T · B, H), h_t on return.
        y_stride: the row stride of ``outputs``.
    """
    h_row, gate_stride = hidden + 4 * get_integer(firsts, ticket) * stride, 4 * size
    for step in range(count):
        t = first + by * step
        rows = get_integer(batch_sizes, t * tickets + ticket)
        token = get_integer(offsets, t * tickets + ticket)
        gate = gates + 16 * token * size
        multiply(rows, 2 * size, size, gate, gate_stride, h_row, stride, 1, u_rz, gate, gate_stride)
        multiply(rows, size, size, b_m, 0, h_row, stride, 1, u_n, gate + 12 * size, gate_stride)
        for row in range(rows):
            a, h = gate + 4 * row * gate_stride, h_row + 4 * row * stride
            y = outputs + 4 * place_of(places, token + row) * y_stride
            for j in range(0, size, LANES):
                left = size - j
                from_x = load(a, j, left), load(a, size + j, left), load(a, 2 * size + j, left)
                r, z, n, h_t = gru(*from_x, load(a, 3 * size + j, left), load(h, j, left))
                store(a, j, left, r)
                store(a, size + j, left, z)
                store(a, 2 * size + j, left, n)
                store(h, j, left, h_t)
                store(y, j, left, h_t)


@kernel
def gru_backward(
    ticket: int, tickets: int, first: int, count: int, by: int, firsts: int, batch_sizes: int,
    offsets: int, places: int, size: int, stride: int,
    u_rz: int, u_n: int, d_hidden: int, gates: int, h_0: int, before: int, d_bias: int,
    outputs: int, d_outputs: int, y_stride: int, d_gates: int,
) -> None:  # fmt: skip
    """Run the steps in reverse, with the arguments of ``gru_forward`` and these.

    Args:
        u_rz, u_n: the rows of U for r and z, and for n, in panels.
        d_hidden: (B, stride), the gradient of each row's last state on entry, of h_0 on return.
        gates: the results of the forward pass.
        h_0: (B, H).
        before: (N,) int64, where each token's h_{t-1} is: n ≥ 0 for token n, n < 0 for row -1 - n of h_0.
        d_bias: (tickets, 4H), to which each ticket adds its part of the gradients of the biases of r, z, n and m.
        outputs, d_outputs: (T · B, H), the results of the forward pass, and their gradient.
        y_stride: the row stride of both.
        d_gates: (N, 4H), on return the gradients of the pre-activations of r, z and n, and of m.
    """
    dh_row, db = d_hidden + 4 * get_integer(firsts, ticket) * stride, d_bias + 16 * ticket * size
    gate_stride = 4 * size
    for step in range(count):
        t = first + by * step
        rows = get_integer(batch_sizes, t * tickets + ticket)
        start = get_integer(offsets, t * tickets + ticket)
        d_gate = d_gates + 16 * start * size
        for row in range(rows):
            token = start + row
            a, da, dh = gates + 16 * token * size, d_gates + 16 * token * size, dh_row + 4 * row * stride
            dy = d_outputs + 4 * place_of(places, token) * y_stride
            number = get_integer(before, token)
            h = outputs + 4 * place_of(places, number) * y_stride if number >= 0 else h_0 + 4 * (-1 - number) * size
            for j in range(0, size, LANES):
                left = size - j
                r, z = load(a, j, left), load(a, size + j, left)
                n, m = load(a, 2 * size + j, left), load(a, 3 * size + j, left)
                dh_t = load(dh, j, left) + load(dy, j, left)
                dz = dh_t * (load(h, j, left) - n)
                dn = dh_t * (ONE - z) * (ONE - n * n)
                store_and_add(da, db, j, left, dn * m * r * (ONE - r))
                store_and_add(da, db, size + j, left, dz * z * (ONE - z))
                store_and_add(da, db, 2 * size + j, left, dn)
                store_and_add(da, db, 3 * size + j, left, dn * r)
                store(dh, j, left, dh_t * z)
        multiply(rows, size, 2 * size, dh_row, stride, d_gate, gate_stride, 1, u_rz, dh_row, stride)
        multiply(rows, size, size, dh_row, stride, d_gate + 12 * size, gate_stride, 1, u_n, dh_row, stride)
