"""Exercises on the shapes of architectures, and on the state that a classifier reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elman.lecture.exercises.exercise import Exercise

Array = NDArray[np.float64]
Shapes: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]

ARCHITECTURES = ("many to one", "many to many")


def predict_shapes(architecture: str, batch: int, steps: int, units: int, classes: int, both: bool) -> Shapes:
    """Return the shapes of the states and of the logits, batch first."""
    states = (batch, steps, 2 * units if both else units)
    return states, ((batch, classes) if architecture == "many to one" else (batch, steps, classes))


def _time_first(architecture: str, batch: int, steps: int, units: int, classes: int, both: bool) -> Shapes:
    states, logits = predict_shapes(architecture, batch, steps, units, classes, both)
    return (steps, batch, states[2]), (logits if architecture == "many to one" else (steps, batch, classes))


def last_states(outputs: Array, lengths: Sequence[int]) -> Array:
    """Return the last state of each direction, for padded sequences (B, T, 2H)."""
    return _join(outputs, np.array(lengths) - 1, 0)


def _join(outputs: Array, forward: Any, reverse: Any) -> Array:
    """Join the state of the first direction at one step and that of the second at another."""
    rows, units = np.arange(len(outputs)), outputs.shape[2] // 2
    return np.concatenate((outputs[rows, forward, :units], outputs[rows, reverse, units:]), axis=1)


def _draw_outputs() -> Iterator[tuple[Array, list[int]]]:
    draw = np.random.default_rng(5).standard_normal
    for lengths in ([4], [2, 5, 1], [3, 3]):
        yield draw((len(lengths), 6, 4)), lengths  # padding may hold anything


EXERCISES = (
    Exercise(
        page="architectures",
        answer=predict_shapes,
        cases=lambda: [(one, 2, 7, 5, 3, both) for one in ARCHITECTURES for both in (False, True)],
        mistakes={
            "gives many to one an output at each step; only the last state goes to the classifier": (
                lambda architecture, *sizes: predict_shapes("many to many", *sizes)
            ),
            "forgets that two directions make a state of 2 * units": (
                lambda architecture, batch, steps, units, classes, both: predict_shapes(
                    architecture, batch, steps, units, classes, False
                )
            ),
            "puts time first; the batch comes first here": _time_first,
        },
    ),
    Exercise(
        page="classification",
        answer=last_states,
        cases=_draw_outputs,
        mistakes={
            "takes the last column, which is padding in the shorter sequences; the last state is at length - 1": (
                lambda outputs, lengths: _join(outputs, -1, 0)
            ),
            "takes both directions at the last column; that is padding in the shorter sequences, and the second "
            "direction ends at step 0": lambda outputs, lengths: _join(outputs, -1, -1),
            "is one step too late: steps are counted from 0, so the last one is length - 1": (
                lambda outputs, lengths: _join(outputs, lengths, 0)
            ),
            "takes both directions at the last word; the second direction reads from the end, so its last state is at "
            "step 0": lambda outputs, lengths: _join(outputs, np.array(lengths) - 1, np.array(lengths) - 1),
        },
    ),
)
