"""Figures of tunes that compare composed music with real music: how many notes sound at once, and how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Texture(NamedTuple):
    """How dense and how long the notes of some tunes are."""

    polyphony: int
    """The most notes that sound at once."""
    median_note: float
    """The median length of a note, in seconds."""
    longest_note: float
    """The longest note, in seconds."""


def texture(tunes: Sequence[NDArray[np.float64]]) -> Texture:
    """Measure the notes of tunes.

    Args:
        tunes: the notes (N, 4) of each: start and duration in seconds, pitch, velocity. A note that begins when another
            one ends does not sound together with it.

    Returns:
        The figures over all tunes; 0 if there are no notes.

    Example:
        >>> texture([np.array([[0.0, 1.0, 60, 80], [0.5, 2.0, 64, 80], [1.0, 0.5, 60, 80]])])
        Texture(polyphony=2, median_note=1.0, longest_note=2.0)
    """
    lengths = np.concatenate([np.zeros(0), *(notes[:, 1] for notes in tunes)])
    return Texture(
        max(map(count_sounding, tunes), default=0),
        float(np.median(lengths)) if len(lengths) else 0.0,
        float(lengths.max(initial=0.0)),
    )


def count_sounding(notes: NDArray[np.float64]) -> int:
    """Return the most notes (N, 4) that sound at once."""
    starts, ends = notes[:, 0], notes[:, 0] + notes[:, 1]
    times = np.concatenate([ends, starts]).round(4)  # in tenths of a millisecond, so that rounding makes no overlap
    changes = np.repeat([-1, 1], len(notes))
    order = np.argsort(times, kind="stable")  # what ends comes before what begins
    return int(np.cumsum(changes[order]).max(initial=0))
