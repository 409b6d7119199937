"""The simple RNN through time: its forward pass and, beside it, its backward pass.

    h_t = g(W x_t + b + U h_{t-1}),   g = tanh or relu

Tokens are stored step by step. Each ticket runs its own rows through all steps: they start at row ``firsts[ticket]``,
longest rows first. In step t the first ``batch_sizes[t, ticket]`` of them are still running, with the tokens from
``offsets[t, ticket]`` on. ``hidden`` holds each row's state with row stride ``stride``. Each ticket writes to its own
region of memory: with alternating rows, each core would prefetch the cache lines that another one is writing.
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
    """Return the row of the batch (T · B, ·) that holds a token."""
    return get_integer(places, token) if places != 0 else token


@inline
def store_and_add(address: int, total: int, index: int, count: int, values: Any) -> None:
    """Store the gradient of a unit's pre-activation, and add it to the gradient of the bias."""
    store(address, index, count, values)
    store(total, index, count, load(total, index, count) + values)


@inline
def rnn(a: Any, is_relu: int) -> Any:
    """Compute h_t from a = W x_t + b + U h_{t-1}."""
    return at_least(a, ZERO) if is_relu else tanh(a)


@kernel
def rnn_forward(
    ticket: int, tickets: int, first: int, count: int, by: int, firsts: int, batch_sizes: int,
    offsets: int, places: int, size: int, stride: int,
    u: int, hidden: int, a: int, outputs: int, y_stride: int, is_relu: int,
) -> None:  # fmt: skip
    """Run ``count`` steps: ``first``, ``first + by`` and so on.

    Args:
        ticket, tickets: which rows to process.
        first, count, by: the steps, forward (by 1) or backward in time (by -1).
        firsts: (tickets,) int64, the first row of each ticket.
        batch_sizes, offsets: (T, tickets) int64, how many tokens each step has and where they start.
        places: (N,) int64, each token's row in tensors with the layout of the batch (T · B, ·); 0 if it is the token.
        size: H.
        stride: the row stride of ``hidden``.
        u: Uᵀ in panels.
        hidden: (B, stride), h_0 on entry, each row's last state on return.
        a: (N, H), W x_t + b on entry, overwritten.
        outputs: (T · B, H), h_t on return; may be ``a`` if ``places`` is 0 and ``y_stride`` is H.
        y_stride: the row stride of ``outputs``.
        is_relu: whether g is relu.
    """
    h_row = hidden + 4 * get_integer(firsts, ticket) * stride
    for step in range(count):
        t = first + by * step
        rows = get_integer(batch_sizes, t * tickets + ticket)
        token = get_integer(offsets, t * tickets + ticket)
        a_row = a + 4 * token * size
        multiply(rows, size, size, a_row, size, h_row, stride, 1, u, a_row, size)
        for r in range(rows):
            at, h = a_row + 4 * r * size, h_row + 4 * r * stride
            y = outputs + 4 * place_of(places, token + r) * y_stride
            for j in range(0, size, LANES):
                left = size - j
                h_t = rnn(load(at, j, left), is_relu)
                store(y, j, left, h_t)
                store(h, j, left, h_t)


@kernel
def rnn_backward(
    ticket: int, tickets: int, first: int, count: int, by: int, firsts: int, batch_sizes: int,
    offsets: int, places: int, size: int, stride: int,
    u: int, zeros: int, d_hidden: int, d_bias: int, outputs: int, d_outputs: int, y_stride: int, d_a: int,
    is_relu: int,
) -> None:  # fmt: skip
    """Run the steps in reverse, with the arguments of ``rnn_forward`` and these.

    Args:
        u: U in panels.
        zeros: H zeros.
        d_hidden: (B, stride), the gradient of each row's last state on entry, of h_0 on return.
        d_bias: (tickets, H), to which each ticket adds its part of the gradient of b.
        outputs, d_outputs: (T · B, H), the results of the forward pass, and their gradient.
        y_stride: the row stride of both.
        d_a: (N, H), on return the gradient of W x_t + b + U h_{t-1}.
    """
    dh_row, db = d_hidden + 4 * get_integer(firsts, ticket) * stride, d_bias + 4 * ticket * size
    for step in range(count):
        t = first + by * step
        rows = get_integer(batch_sizes, t * tickets + ticket)
        token = get_integer(offsets, t * tickets + ticket)
        for r in range(rows):
            da, dh = d_a + 4 * (token + r) * size, dh_row + 4 * r * stride
            at = 4 * place_of(places, token + r) * y_stride
            for j in range(0, size, LANES):
                left = size - j
                h_t = load(outputs + at, j, left)
                dh_t = load(dh, j, left) + load(d_outputs + at, j, left)
                da_t = where_positive(h_t, dh_t) if is_relu else dh_t * (ONE - h_t * h_t)
                store_and_add(da, db, j, left, da_t)
        multiply(rows, size, size, zeros, 0, d_a + 4 * token * size, size, 1, u, dh_row, stride)
