"""Exercises on backpropagation through time, whole and in chunks."""

# The capitals U and V of the lecture are intentional.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.lecture.exercises.exercise import Exercise

Array = NDArray[np.float64]


def shortest_chunk(norms: Sequence[float], share: float) -> int:
    """Return the shortest chunk with which truncated backpropagation keeps a share of the gradient."""
    length = 1
    while _kept_share(norms, length) < share:
        length += 1
    return length


def _kept_share(norms: Sequence[float], length: int) -> float:
    """Return what a chunk keeps: lag k remains for the length - k losses that have k steps before them."""
    kept = sum(norm * max(length - lag, 0) / length for lag, norm in enumerate(norms))
    return kept / sum(norms)


def _reach_of_last_loss(norms: Sequence[float], share: float) -> int:
    """Return what would do if every loss of a chunk reached as far back as the last one."""
    return int(np.argmax(np.cumsum(norms) >= share * sum(norms))) + 1


def find_state_gradients(U: Array, V: Array, states: Array, d_logits: Array) -> Array:
    """Return the gradient of what each tanh takes, (T, H)."""
    return _backpropagate(U.T, V, states[1:], d_logits)


def _backpropagate(back: Array, V: Array, slopes_of: Array, d_logits: Array) -> Array:
    """Walk through a sequence from its end; back takes the gradient of a step to the step before."""
    d_h = d_logits @ V  # (T, H)
    d_a, later = np.zeros_like(d_h), np.zeros(len(back))
    for t in reversed(range(len(d_h))):
        d_a[t] = (d_h[t] + later) * (1 - slopes_of[t] ** 2)
        later = back @ d_a[t]
    return d_a


def _draw_sequences() -> Iterator[tuple[Any, ...]]:
    draw = np.random.default_rng(3).standard_normal
    for steps in (1, 2, 6):
        yield draw((3, 3)), draw((4, 3)), np.tanh(draw((steps + 1, 3))), draw((steps, 4))


EXERCISES = (
    Exercise(
        page="truncated-backpropagation",
        answer=shortest_chunk,
        cases=lambda: [([1.0, 0.5, 0.25], 0.5), ([1.0, 0.8, 0.6, 0.4, 0.2], 0.9), ([1.0, 0.0, 0.0, 1.0], 0.75)],
        mistakes={
            "lets every loss reach back through a whole chunk; only the last loss of a chunk does, the first reaches "
            "back to its own step only": _reach_of_last_loss,
            "is one step too short: a loss k steps after the beginning of a chunk is its loss number k + 1": (
                lambda norms, share: shortest_chunk(norms, share) - 1
            ),
        },
    ),
    Exercise(
        page="a-network-in-a-hundred-lines",
        answer=find_state_gradients,
        cases=_draw_sequences,
        mistakes={
            "still multiplies by U on the way back; forward, h_{t-1} is multiplied by U, so its gradient is U.T times "
            "that of the step": lambda U, V, states, d_logits: _backpropagate(U, V, states[1:], d_logits),
            "takes the slope of the tanh at the state before the step; the slope at step t is 1 - h_t ** 2, and h_t is "
            "states[t + 1] here": (lambda U, V, states, d_logits: _backpropagate(U.T, V, states[:-1], d_logits)),
            "leaves out what comes back from later steps": (
                lambda U, V, states, d_logits: _backpropagate(0 * U, V, states[1:], d_logits)
            ),
        },
    ),
)
