"""Converting tunes to events, which a network learns, and back, with miditok.

Tune ──EventTokenizer.encode──▶ ids ──decode──▶ Tune
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from elman.data.files import as_data_error
from elman.data.music.tunes import Tune, import_library
from elman.documents import read_json, write_json
from elman.errors import ModelError

_STEP = 100  # ticks per second of performance events
TICKS_PER_BEAT = _STEP // 2  # at 120 beats a minute


class EventTokenizer:
    """A tokenizer of tunes, whose tokens are events.

        midilike   as performed: note on, velocity, note off, and time shifts in hundredths of a second
        remi       as written: bars, positions in a bar, tempos, and notes with durations in fractions of a beat

    All tracks except drums are merged into one.

    Source: Oore et al. (2018), "This time with feeling: learning expressive musical performance", section 3.2; Huang
    and Yang (2020), "Pop Music Transformer", section 3.

    Args:
        kind: ``midilike`` or ``remi``.
    """

    unknown_id, begin_id, end_id = range(3)  # unknown_id is miditok's padding, which never occurs
    kinds: ClassVar[tuple[str, ...]] = ("midilike", "remi")

    def __init__(self, kind: str) -> None:
        miditok = import_library("miditok")
        self.kind = kind
        options: dict[str, Any] = {
            "pitch_range": (0, 127),
            "num_velocities": 32,
            "special_tokens": ["PAD", "BOS", "EOS"],
            "use_pitchdrum_tokens": False,
        }
        if kind == "midilike":
            options |= {"beat_res": {(0, 2): TICKS_PER_BEAT}, "use_time_signatures": False}
            self._machine = miditok.MIDILike(miditok.TokenizerConfig(**options))
        else:
            options |= {"use_tempos": True, "use_time_signatures": True}
            self._machine = miditok.REMI(miditok.TokenizerConfig(**options))
        self.names: list[str] = sorted(self._machine.vocab, key=self._machine.vocab.__getitem__)

    @property
    def begins_note(self) -> NDArray[np.bool_]:
        """Whether each event begins a note (V,)."""
        return np.array([name.startswith(("NoteOn_", "Pitch_")) for name in self.names])

    @property
    def vocab_size(self) -> int:
        """The number of different events."""
        return len(self.names)

    def encode(self, tune: Tune) -> NDArray[np.int64]:
        """Convert a tune to ids (N,).

        Raises:
            DataError: the tune cannot be represented by these events.
        """
        symusic = import_library("symusic")
        with as_data_error(tune.name, f"cannot be represented in {self.kind} events"):
            if self.kind == "midilike":
                score = convert_to_performance(tune.notes)
            else:
                score = tune.score.copy()
                notes = (note for track in score.tracks if not track.is_drum for note in track.notes)
                score.tracks = [symusic.Track("", 0, False, sorted(notes, key=attrgetter("time")))]
            sequences = self._machine.encode(score)
            ids = sequences[0].ids if isinstance(sequences, list) else sequences.ids
            return np.array(ids, np.int64)

    def decode(self, ids: Sequence[int]) -> Tune:
        """Convert ids back to a tune; notes without an end are skipped."""
        kept = [int(number) for number in ids if number > self.end_id]
        return Tune(self._machine.decode([kept]))

    def transposed_ids(self, semitones: int) -> NDArray[np.int64]:
        """Return the id of each event when transposed by some semitones (V,); -1 if the pitch does not exist."""
        number = {name: index for index, name in enumerate(self.names)}
        moved = []
        for name in self.names:
            pitch = re.fullmatch(r"(NoteOn|NoteOff|Pitch)_(\d+)", name)
            moved.append(number.get(f"{pitch[1]}_{int(pitch[2]) + semitones}", -1) if pitch else number[name])
        return np.array(moved, np.int64)

    def bars(self, ids: Sequence[int]) -> list[int]:
        """Return the positions where bars begin (only with remi; midilike has no bars)."""
        bar = self.names.index("Bar_None")
        return [place for place, number in enumerate(ids) if number == bar]

    def to_json(self) -> str:
        """Return the names of the events as the content of an ``events.json``."""
        return write_json({"events": self.kind, "names": self.names})

    @classmethod
    def from_json(cls, text: str) -> EventTokenizer:
        """Make a tokenizer from the output of :meth:`to_json`.

        Raises:
            ModelError: the content is damaged, or the installed miditok has other events.
        """
        try:
            document = read_json(text, {"events": str, "names": [str]})
            kind, names = document["events"], document["names"]
            if kind not in cls.kinds:
                raise ValueError(f"there is no kind of events {kind!r}")
        except ValueError as error:
            raise ModelError(f"events.json: not the events of a model ({error}); copy the folder again") from None
        tokenizer = cls(kind)
        if tokenizer.names != names:
            raise ModelError(
                "events.json: the installed miditok has other events than the version that the model was trained with; "
                "install that version (see metrics.json in the folder)"
            )
        return tokenizer


def convert_to_performance(notes: NDArray[np.float64]) -> Any:
    """Convert notes (N, 4), see :attr:`Tune.notes`, to a score with 100 ticks per second, whatever its tempo."""
    symusic = import_library("symusic")
    score = symusic.Score(TICKS_PER_BEAT)
    score.tempos.append(symusic.Tempo(0, 120))
    starts = np.round(notes[:, 0] * _STEP).astype(int)
    durations = np.maximum(np.round(notes[:, 1] * _STEP).astype(int), 1)
    rows = zip(starts.tolist(), durations.tolist(), notes[:, 2:].astype(int).tolist(), strict=True)
    made = [symusic.Note(start, duration, pitch, velocity) for start, duration, (pitch, velocity) in rows]
    score.tracks.append(symusic.Track("", 0, False, made))
    return score
