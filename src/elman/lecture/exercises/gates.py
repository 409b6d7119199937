"""An exercise on the step of a GRU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.lecture.exercises.exercise import Exercise

Array = NDArray[np.float64]


def gru_step(x: Array, h: Array, W: Array, U: Array, b_ih: Array, b_hh: Array) -> Array:  # noqa: N803
    """Return the next state of a GRU."""
    _, z, n = _gates(x, h, W, U, b_ih, b_hh)
    return np.asarray((1 - z) * n + z * h)


def _gates(x: Array, h: Array, W: Array, U: Array, b_ih: Array, b_hh: Array) -> tuple[Array, Array, Array]:  # noqa: N803
    from_input, from_state = np.split(W @ x + b_ih, 3), np.split(U @ h + b_hh, 3)
    r, z = (1 / (1 + np.exp(-(a + b))) for a, b in zip(from_input[:2], from_state[:2], strict=True))
    return r, z, np.tanh(from_input[2] + r * from_state[2])


def _swapped(*given: Array) -> Array:
    _, z, n = _gates(*given)
    return np.asarray(z * n + (1 - z) * given[1])


def _reset_before(x: Array, h: Array, W: Array, U: Array, b_ih: Array, b_hh: Array) -> Array:  # noqa: N803
    r, z, _ = _gates(x, h, W, U, b_ih, b_hh)
    size = len(h)
    n = np.tanh(W[2 * size :] @ x + b_ih[2 * size :] + U[2 * size :] @ (r * h) + b_hh[2 * size :])
    return np.asarray((1 - z) * n + z * h)


def _cases() -> Iterator[tuple[Any, ...]]:
    generator = np.random.default_rng(1)
    for inputs, size in ((3, 4), (1, 1), (6, 2)):
        shapes = ((inputs,), (size,), (3 * size, inputs), (3 * size, size), (3 * size,), (3 * size,))
        yield tuple(generator.normal(size=shape) for shape in shapes)


EXERCISES = (
    Exercise(
        page="vanishing-gradients",
        answer=gru_step,
        cases=_cases,
        mistakes={
            "has z the wrong way round: where z is 1, the old state stays": _swapped,
            "resets the state before U; here r multiplies U_n h + b_hn, as in PyTorch": _reset_before,
        },
    ),
)
