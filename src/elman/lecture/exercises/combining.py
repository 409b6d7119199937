"""Exercises on stacked networks and on two directions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from elman.lecture.exercises.exercise import Exercise

Floats = npt.NDArray[np.float64]


def combine_directions(ahead: Floats, back: Floats, merge: str) -> Floats:
    """Return the states of two directions, combined: (T, 2H) concatenated, (T, H) as a sum or a product."""
    turned = back[::-1]  # first word first
    if merge == "concat":
        return np.concatenate((ahead, turned), axis=1)
    return ahead + turned if merge == "sum" else ahead * turned


def _combine_unturned(ahead: Floats, back: Floats, merge: str) -> Floats:
    return combine_directions(ahead, back[::-1], merge)


def _combine_back_first(ahead: Floats, back: Floats, merge: str) -> Floats:
    return combine_directions(back[::-1], ahead[::-1], merge)



def _join_in_time(ahead: Floats, back: Floats, merge: str) -> Floats:
    if merge == "concat":
        return np.concatenate((ahead, back[::-1]))
    return combine_directions(ahead, back, merge)


def _make_directions() -> list[tuple[Floats, Floats, str]]:
    draw = np.random.default_rng(6).standard_normal
    return [(draw((4, 3)), draw((4, 3)), merge) for merge in ("concat", "sum", "product")]


EXERCISES = (
    Exercise(
        page="two-directions",
        answer=combine_directions,
        cases=_make_directions,
        mistakes={
            "adds to each word the backward state of another one: turn back around first": _combine_unturned,
            "concatenates in time, (2T, H); each word should get both of its states side by side": _join_in_time,
            "puts the backward state before the forward one": _combine_back_first,
        },
    ),
)
