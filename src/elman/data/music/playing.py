"""A tune in progress: how long it is, and what can be played next.

new events ──TuneInProgress.take──▶ does the tune end here?
           ──Performance.take──▶ sounding notes ──Performance.forbidden──▶ events that cannot come next
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.data.music.events import TICKS_PER_BEAT, EventTokenizer

CHECK_EVERY = 256  # events between checks of whether a tune is long enough


COMMON = 0.999  # the share of real notes that are not longer than the limit: data may hold a few that never ended


class Limits(NamedTuple):
    """What the performances of the training data do not exceed."""

    polyphony: int
    """The most notes that sound at once."""
    unison: int
    """The most notes of one pitch that sound at once: 1, or more where tracks are merged."""
    longest: int
    """The longest note, in hundredths of a second, without the longest one in a thousand."""


def find_limits(names: Sequence[str], ids: NDArray[np.integer[Any]]) -> Limits:
    """Find the limits of real performances.

    Of several notes of one pitch, the first that begins is the first that ends.

    Args:
        names: the names of all events of ``midilike``.
        ids: the events (N,) of one or more tunes, one after the other; every note ends.

    Returns:
        The limits, each at least 1.
    """
    on, off, ticks = (table[ids] for table in _read_names(names))  # (N,)
    is_note = (on >= 0) | (off >= 0)
    pitch, change, time = np.maximum(on, off)[is_note], np.where(on >= 0, 1, -1)[is_note], ticks.cumsum()[is_note]
    order = np.argsort(pitch, kind="stable")
    begun, ended = (time[order][change[order] == sign] for sign in (1, -1))
    return Limits(
        int(change.cumsum().max(initial=1)),
        int(change[order].cumsum().max(initial=1)),  # the notes of each pitch add up to 0
        max(int(np.quantile(ended - begun, COMMON, method="higher")), 1) if len(begun) else 1,
    )


class Performance:
    """A performance in progress, as events of ``midilike``; it tells which events cannot come next.

    A note begins with its velocity, and ends only if it has begun. The number of notes that sound at once and their
    lengths stay within the limits. The tune ends in silence.

    Args:
        names: the names of all events.
        limits: what is not exceeded.
    """

    def __init__(self, names: Sequence[str], limits: Limits) -> None:
        self._limits = limits
        self._on, self._off, self._ticks = _read_names(names)  # (V,) each
        self._is_velocity = np.array([name.startswith("Velocity_") for name in names])  # (V,)
        self._end = names.index("EOS_None")
        self._began: dict[int, list[int]] = {}  # when the notes of each sounding pitch began
        self._time = 0
        self._awaits_velocity = False

    def take(self, events: Sequence[int]) -> None:
        """Continue with some events."""
        for number in events:
            on, off = int(self._on[number]), int(self._off[number])
            self._time += int(self._ticks[number])
            self._awaits_velocity = on >= 0
            if on >= 0:
                self._began.setdefault(on, []).append(self._time)
            elif off in self._began:
                self._began[off].pop(0)
                if not self._began[off]:
                    del self._began[off]

    def forbidden(self) -> NDArray[np.bool_]:
        """Return which events cannot come next (V,)."""
        if self._awaits_velocity:
            return ~self._is_velocity
        can_begin, can_end = np.ones(128, bool), np.zeros(128, bool)
        can_begin[[pitch for pitch, began in self._began.items() if len(began) >= self._limits.unison]] = False
        can_begin &= sum(map(len, self._began.values())) < self._limits.polyphony
        can_end[[pitch for pitch, began in self._began.items() if began[0] < self._time]] = True
        forbidden = (
            self._is_velocity | ((self._on >= 0) & ~can_begin[self._on]) | ((self._off >= 0) & ~can_end[self._off])
        )
        if self._began:
            age = self._time - min(began[0] for began in self._began.values())
            forbidden |= (self._ticks > 0) & (self._ticks + age > self._limits.longest)
            forbidden[self._end] = True
        return forbidden

    def release(self) -> list[int]:
        """Return the events that end the notes that still sound, except those that have just begun."""
        return [
            int(np.flatnonzero(self._off == pitch)[0])
            for pitch, began in self._began.items()
            for start in began
            if start < self._time
        ]


class TuneInProgress:
    """The events of a tune so far, and whether it has reached its length.

    Args:
        tokenizer: the tokenizer of the events.
        given: the events that the tune begins with.
        seconds: the length of the tune in seconds, or None.
        bars: the length of the tune in bars, or None.
        performance: receives all events, if any.
    """

    def __init__(
        self,
        tokenizer: EventTokenizer,
        given: list[int],
        seconds: float | None,
        bars: int | None,
        performance: Performance | None,
    ) -> None:
        self._tokenizer, self._seconds, self._bars, self._performance = tokenizer, seconds, bars, performance
        self._num_given = len(given)
        self.ids = list(given)
        if performance is not None:
            performance.take(given)

    def take(self, new: Sequence[int]) -> int | None:
        """Append new events; return how many of them belong to the tune if it ends here, or None if it continues."""
        for count, number in enumerate(new, start=1):
            self.ids.append(number)
            if self._performance is not None:
                self._performance.take([number])
            if number == self._tokenizer.end_id:
                return count
            if self._bars is not None and len(places := self._tokenizer.bars(self.ids)) > self._bars:
                del self.ids[places[self._bars] :]
                return count
            is_checked = (len(self.ids) - self._num_given) % CHECK_EVERY == 0
            if self._seconds is not None and is_checked and self.is_long_enough:
                return count
        return None

    @property
    def is_long_enough(self) -> bool:
        """Whether the tune has reached the requested length, if there is one."""
        if self._seconds is not None:
            return self._tokenizer.decode(self.ids).seconds >= self._seconds
        return self._bars is None or len(self._tokenizer.bars(self.ids)) >= self._bars


def _read_names(names: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for each event the pitch that it begins, the pitch that it ends, and how many ticks pass (V,).

    There is no pitch at -1; a tick is a hundredth of a second.
    """
    on, off, ticks = np.full(len(names), -1), np.full(len(names), -1), np.zeros(len(names), np.int64)
    for number, name in enumerate(names):
        kind, _, value = name.partition("_")
        if kind == "NoteOn":
            on[number] = int(value)
        elif kind == "NoteOff":
            off[number] = int(value)
        elif kind == "TimeShift":
            beats, position, resolution = map(int, value.split("."))
            ticks[number] = TICKS_PER_BEAT * beats + TICKS_PER_BEAT * position // resolution
    return on, off, ticks
