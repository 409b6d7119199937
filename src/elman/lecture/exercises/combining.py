"""Exercises on stacked networks and on two directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from elman.lecture.exercises.exercise import Exercise

Floats: TypeAlias = npt.NDArray[np.float64]
Layer: TypeAlias = tuple[Floats, Floats, Floats]  # W, U, b


def run_stack(inputs: Floats, layers: Sequence[Layer]) -> Floats:
    """Return the states of the top layer of a stack of simple RNNs, (T, H)."""
    for layer in layers:
        inputs = _run_layer(inputs, layer)
    return inputs


def _run_layer(inputs: Floats, layer: Layer, h: Floats | None = None) -> Floats:
    W, U, b = layer  # noqa: N806
    h = np.zeros(len(b)) if h is None else h
    states = []
    for x in inputs:
        h = np.tanh(W @ x + U @ h + b)
        states.append(h)
    return np.array(states)


def _run_first(inputs: Floats, layers: Sequence[Layer]) -> Floats:
    return run_stack(inputs, layers[:1])


def _run_from_below(inputs: Floats, layers: Sequence[Layer]) -> Floats:
    """Begin each layer with the last state of the layer below."""
    h = None
    for layer in layers:
        inputs = _run_layer(inputs, layer, h)
        h = inputs[-1]
    return inputs


def _run_upside_down(inputs: Floats, layers: Sequence[Layer]) -> Floats:
    return run_stack(inputs, layers[::-1])


def _run_without_memory(inputs: Floats, layers: Sequence[Layer]) -> Floats:
    return run_stack(inputs, [(W, np.zeros_like(U), b) for W, U, b in layers])


def _make_stacks() -> list[tuple[Floats, list[Layer]]]:
    draw = np.random.default_rng(7).standard_normal
    layers = [(draw((3, 3)) / 2, draw((3, 3)) / 2, draw(3) / 2) for _ in range(3)]
    return [(draw((4, 3)), layers[:number]) for number in (1, 2, 3)]


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
        page="stacked-networks",
        answer=run_stack,
        cases=_make_stacks,
        mistakes={
            "returns the states of the lowest layer; they are the inputs of the next one": _run_first,
            "begins a layer with the last state of the layer below; each begins with zeros": _run_from_below,
            "runs the layers in the wrong order; the first one in the list reads the inputs": _run_upside_down,
            "never uses U, so no layer remembers anything": _run_without_memory,
        },
    ),
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
