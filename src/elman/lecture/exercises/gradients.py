"""Exercises on backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from elman.lecture.exercises.exercise import Exercise

Array = NDArray[np.float64]


def backward(dh_out: Array, h: Array, U: Array) -> Array:  # noqa: N803
    """Return the gradient of each pre-activation, (T, H)."""
    return _backward(dh_out, h[1:], U.T)


def _backward(dh_out: Array, h: Array, back: Array) -> Array:
    da = np.zeros_like(dh_out)
    from_next = np.zeros(dh_out.shape[1])
    for t in reversed(range(len(dh_out))):
        da[t] = (1 - h[t] ** 2) * (dh_out[t] + from_next)
        from_next = back @ da[t]
    return da


def sequence_loss(y: Array, targets: NDArray[np.int64]) -> float:
    """Return the sum of the losses of all steps, in nats."""
    return float(-np.log(y[np.arange(len(targets)), targets]).sum())


def _distributions() -> Iterator[tuple[Array, NDArray[np.int64]]]:
    generator = np.random.default_rng(1)
    for steps, words in ((4, 3), (1, 2), (7, 5)):
        shares = generator.random((steps, words)) + 0.1
        yield shares / shares.sum(axis=1, keepdims=True), generator.integers(words, size=steps)


def _cases() -> Iterator[tuple[Array, Array, Array]]:
    generator = np.random.default_rng(1)
    for steps, size in ((5, 4), (1, 3), (8, 2)):
        states = np.tanh(generator.normal(size=(steps + 1, size)))
        yield generator.normal(size=(steps, size)), states, generator.normal(size=(size, size)) / 2


EXERCISES = (
    Exercise(
        page="training",
        answer=sequence_loss,
        cases=_distributions,
        mistakes={
            "returns the mean over the steps; the loss of a sequence is the sum": (
                lambda y, targets: sequence_loss(y, targets) / len(targets)
            ),
            "uses the logarithm to base 2, which gives bits; use the natural one": (
                lambda y, targets: sequence_loss(y, targets) / np.log(2)
            ),
            "returns a loss for each step; add them up": lambda y, targets: -np.log(y[range(len(targets)), targets]),
            "has the wrong sign: a probability below 1 has a negative logarithm, and a loss is positive": (
                lambda y, targets: -sequence_loss(y, targets)
            ),
        },
    ),
    Exercise(
        page="training",
        answer=backward,
        cases=_cases,
        mistakes={
            "still has both bugs: which state goes with step t, and how does U lead backwards?": (
                lambda dh_out, h, U: _backward(dh_out, h[:-1], U)  # noqa: N803
            ),
            "takes the slope of tanh at the state before the step; it is 1 - h_t ** 2, and h_t is h[t + 1]": (
                lambda dh_out, h, U: _backward(dh_out, h[:-1], U.T)  # noqa: N803
            ),
            "goes forwards through U; back through U a gradient is multiplied by its transpose": (
                lambda dh_out, h, U: _backward(dh_out, h[1:], U)  # noqa: N803
            ),
            "leaves out what flows back from the next step": (
                lambda dh_out, h, U: _backward(dh_out, h[1:], 0 * U)  # noqa: N803
            ),
        },
    ),
)
