"""The simple RNN through time: its forward pass and, beside it, its backward pass.

    h_t = g(W x_t + b + U h_{t-1}),   g = tanh or relu

Tokens lie one after the other, step by step (``batch_sizes[t]`` of them in step t, from ``offsets[t]`` on; rows that
last longest come first). A ticket takes every ``tickets``-th row through all steps by itself; ``hidden`` holds each
row's state, ``stride`` numbers apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elman.kernels.activations import tanh
from elman.kernels.compiler import inline, kernel
from elman.kernels.tile import multiply
from elman.kernels.vector import LANES, at_least, get_integer, load, store, where_positive

ZERO, ONE = np.float32(0), np.float32(1)


@inline
def place_of(places: int, token: int) -> int:
    """Say in which row of the batch (T · B, ·) a token is."""
    return get_integer(places, token) if places != 0 else token


@inline
def rnn(a: Any, is_relu: int) -> Any:
    """Compute one step from a = W x_t + b + U h_{t-1}: h_t."""
    return at_least(a, ZERO) if is_relu else tanh(a)


@kernel
def rnn_forward(
    ticket: int, tickets: int, first: int, count: int, by: int, batch_sizes: int, offsets: int, places: int,
    size: int, stride: int,
    u: int, hidden: int, a: int, outputs: int, is_relu: int,
) -> None:  # fmt: skip
    """Run ``count`` steps: ``first``, ``first + by`` and on.

    Args:
        ticket, tickets: which rows to take.
        first, count, by: the steps, ahead (by 1) or back (by -1).
        batch_sizes, offsets: (T,) int64, where the tokens of each step lie.
        places: (N,) int64, each token's row in what lies as the batch does, (T · B, ·); 0 where that is the token.
        size: H.
        stride: how far the rows of ``hidden`` lie apart.
        u: Uᵀ in panels.
        hidden: (B, stride), h_0 on entry, each row's last state on return.
        a: (N, H), W x_t + b on entry, overwritten.
        outputs: (T · B, H), h_t on return; may be ``a`` where ``places`` is 0.
        is_relu: whether g is relu.
    """
    h_row = hidden + 4 * ticket * stride
    for step in range(count):
        t = first + by * step
        rows = (get_integer(batch_sizes, t) - ticket + tickets - 1) // tickets
        token = get_integer(offsets, t) + ticket
        a_row = a + 4 * token * size
        multiply(rows, size, size, a_row, tickets * size, h_row, tickets * stride, 1, u, a_row, tickets * size)
        for r in range(rows):
            at, h = a_row + 4 * r * tickets * size, h_row + 4 * r * tickets * stride
            y = outputs + 4 * place_of(places, token + r * tickets) * size
            for j in range(0, size, LANES):
                left = size - j
                h_t = rnn(load(at, j, left), is_relu)
                store(y, j, left, h_t)
                store(h, j, left, h_t)


@kernel
def rnn_backward(
    ticket: int, tickets: int, first: int, count: int, by: int, batch_sizes: int, offsets: int, places: int,
    size: int, stride: int,
    u: int, zeros: int, d_hidden: int, outputs: int, d_outputs: int, d_a: int, is_relu: int,
) -> None:  # fmt: skip
    """Run back through the steps, the last one first, with the arguments of ``rnn_forward`` and these.

    Args:
        u: U in panels.
        zeros: H zeros.
        d_hidden: (B, stride), the gradient for each row's last state on entry, for h_0 on return.
        outputs, d_outputs: (T · B, H), what the forward pass gave, and the gradient for it.
        d_a: (N, H), on return the gradient for W x_t + b + U h_{t-1}.
    """
    dh_row = d_hidden + 4 * ticket * stride
    for step in range(count):
        t = first + by * step
        rows = (get_integer(batch_sizes, t) - ticket + tickets - 1) // tickets
        token = get_integer(offsets, t) + ticket
        for r in range(rows):
            da, dh = d_a + 4 * (token + r * tickets) * size, dh_row + 4 * r * tickets * stride
            at = 4 * place_of(places, token + r * tickets) * size
            for j in range(0, size, LANES):
                left = size - j
                h_t = load(outputs + at, j, left)
                dh_t = load(dh, j, left) + load(d_outputs + at, j, left)
                da_t = where_positive(h_t, dh_t) if is_relu else dh_t * (ONE - h_t * h_t)
                store(da, j, left, da_t)
        multiply(rows, size, size, zeros, 0, d_a + 4 * token * size, tickets * size, 1, u, dh_row, tickets * stride)
