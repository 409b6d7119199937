"""Exercises on the shapes of the matrices and the forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.lecture.exercises.exercise import Exercise

Array = NDArray[np.float64]
SIZES = [(300, 100, 60), (20, 10, 5), (7, 7, 3)]


def matrix_shapes(d_in: int, d_h: int, d_out: int) -> list[tuple[int, int]]:
    """Return the shapes of W, U and V."""
    return [(d_h, d_in), (d_h, d_h), (d_out, d_h)]


def count_parameters(d_in: int, d_h: int, d_out: int) -> int:
    """Return the number of entries of W, U, V, b1 and b2."""
    return d_h * d_in + d_h * d_h + d_out * d_h + d_h + d_out


def forward(x: Array, h0: Array, W: Array, U: Array, b1: Array) -> Array:  # noqa: N803
    """Return the states h_1 … h_T, (T, d_h), for inputs x, (T, d_in)."""
    states, h = [], h0
    for x_t in x:
        h = np.tanh(U @ h + W @ x_t + b1)
        states.append(h)
    return np.array(states)


def _forget(x: Array, h0: Array, W: Array, U: Array, b1: Array) -> Array:  # noqa: N803
    return np.array([np.tanh(U @ h0 + W @ x_t + b1) for x_t in x])


def _linear(x: Array, h0: Array, W: Array, U: Array, b1: Array) -> Array:  # noqa: N803
    states, h = [], h0
    for x_t in x:
        h = U @ h + W @ x_t + b1
        states.append(h)
    return np.array(states)


def softmax(logits: Array, temperature: float) -> Array:
    """Return the softmax of the logits divided by the temperature."""
    scaled = np.asarray(logits) / temperature
    shares = np.exp(scaled - scaled.max())
    return np.asarray(shares / shares.sum())


def draw(shares: Array, u: float) -> int:
    """Return the index that a uniform random number u in [0, 1) picks."""
    return int(np.searchsorted(np.cumsum(shares), u, side="right"))


def _inputs() -> Iterator[tuple[Any, ...]]:
    generator = np.random.default_rng(1)
    for steps, d_in, d_h in ((5, 20, 10), (1, 3, 4), (7, 2, 2)):
        yield (
            generator.normal(size=(steps, d_in)),
            generator.normal(size=d_h),
            generator.normal(size=(d_h, d_in)) / 4,
            generator.normal(size=(d_h, d_h)) / 3,
            generator.normal(size=d_h),
        )


def _naive_softmax(logits: Array, temperature: float) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        shares = np.exp(np.asarray(logits) / temperature)
        return np.asarray(shares / shares.sum())


EXERCISES = (
    Exercise(
        page="the-network",
        answer=matrix_shapes,
        cases=lambda: SIZES,
        mistakes={
            "returns the transposes; here a matrix has a row for each number that it computes": (
                lambda d_in, d_h, d_out: [(d_in, d_h), (d_h, d_h), (d_h, d_out)]
            ),
            "orders them W, V, U; the order is W, U, V": lambda d_in, d_h, d_out: [
                (d_h, d_in),
                (d_out, d_h),
                (d_h, d_h),
            ],
        },
    ),
    Exercise(
        page="the-network",
        answer=count_parameters,
        cases=lambda: SIZES,
        mistakes={
            "leaves out the biases b1 and b2": lambda d_in, d_h, d_out: d_h * d_in + d_h * d_h + d_out * d_h,
            "leaves out U, the matrix that makes the network recurrent": (
                lambda d_in, d_h, d_out: d_h * d_in + d_out * d_h + d_h + d_out
            ),
        },
    ),
    Exercise(
        page="the-forward-pass",
        answer=forward,
        cases=_inputs,
        mistakes={
            "computes each state from h0; it should start from the state before": _forget,
            "leaves out the activation tanh": _linear,
            "returns only the last state; return all of them, (T, d_h)": lambda *given: forward(*given)[-1],
        },
    ),
    Exercise(
        page="softmax",
        answer=softmax,
        cases=lambda: [
            (np.array([1.0, 2.0, 3.0]), 1.0),
            (np.array([1.0, 2.0, 3.0]), 0.5),
            (np.array([1000.0, 1001.0, 999.0]), 1.0),
        ],
        mistakes={
            "overflows for large logits; subtract the largest first, which changes no probability": _naive_softmax,
            "multiplies by the temperature; divide by it": lambda logits, temperature: softmax(logits, 1 / temperature),
            "does not use the temperature": lambda logits, temperature: softmax(logits, 1.0),
        },
    ),
    Exercise(
        page="softmax",
        answer=draw,
        cases=lambda: [(np.array([0.5, 0.25, 0.25]), u) for u in (0.0, 0.3, 0.49, 0.6, 0.74, 0.75, 0.99)],
        mistakes={
            "always takes the most likely index; that is greedy, and u should decide": lambda shares, u: (
                shares.argmax()
            ),
            "gives every index the same chance": lambda shares, u: int(u * len(shares)),
            "stops one index too early": lambda shares, u: max(draw(shares, u) - 1, 0),
        },
    ),
)
