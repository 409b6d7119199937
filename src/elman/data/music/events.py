"""Tunes to events, which a network learns, and back.

Tune ──EventTokenizer.encode──▶ ids ──decode──▶ Tune

miditok makes the events.
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

_STEP = 100  # ticks a second of performance events


class EventTokenizer:
    """Tunes as sequences of events, each with a number.

        midilike   as performed: note on, velocity, note off, and time shifts of hundredths of a second
        remi       as written: bars, positions in them, tempos, and notes with their durations in parts of a beat

    All tracks but drums are one. Source: Oore et al. (2018), "This time with feeling: learning expressive musical
    performance", section 3.2; Huang and Yang (2020), "Pop Music Transformer", section 3.

    Args:
        kind: ``midilike`` or ``remi``.
    """

    unknown_id, begin_id, end_id = range(3)  # unknown: miditok's padding, which stands nowhere
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
            options |= {"beat_res": {(0, 2): _STEP // 2}, "use_time_signatures": False}  # 120 beats a minute: 1 s
            self._machine = miditok.MIDILike(miditok.TokenizerConfig(**options))
        else:
            options |= {"use_tempos": True, "use_time_signatures": True}
            self._machine = miditok.REMI(miditok.TokenizerConfig(**options))
        self.names: list[str] = sorted(self._machine.vocab, key=self._machine.vocab.__getitem__)

    @property
    def vocab_size(self) -> int:
        """How many different events there are."""
        return len(self.names)

    def encode(self, tune: Tune) -> NDArray[np.int64]:
        """Turn a tune into ids (N,).

        Raises:
            DataError: the tune is one that these events cannot tell.
        """
        symusic = import_library("symusic")
        with as_data_error(tune.name, f"cannot be told in {self.kind} events"):
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
        """Turn ids back into a tune; notes that are never ended are skipped."""
        kept = [int(number) for number in ids if number > self.end_id]
        return Tune(self._machine.decode([kept]))

    def transposed_ids(self, semitones: int) -> NDArray[np.int64]:
        """Return, for each event, its number when all notes are so much higher (V,); -1 where that is no pitch."""
        number = {name: index for index, name in enumerate(self.names)}
        moved = []
        for name in self.names:
            pitch = re.fullmatch(r"(NoteOn|NoteOff|Pitch)_(\d+)", name)
            moved.append(number.get(f"{pitch[1]}_{int(pitch[2]) + semitones}", -1) if pitch else number[name])
        return np.array(moved, np.int64)

    def bars(self, ids: Sequence[int]) -> list[int]:
        """Return where bars begin (of remi; midilike events know none)."""
        bar = self.names.index("Bar_None")
        return [place for place, number in enumerate(ids) if number == bar]

    def to_json(self) -> str:
        """Write which events these are as the text of an ``events.json``."""
        return write_json({"events": self.kind, "names": self.names})

    @classmethod
    def from_json(cls, text: str) -> EventTokenizer:
        """Read back what :meth:`to_json` wrote.

        Raises:
            ModelError: it is something else, or this miditok numbers its events otherwise.
        """
        try:
            document = read_json(text, {"events": str, "names": [str]})
            kind, names = document["events"], document["names"]
            if kind not in cls.kinds:
                raise ValueError(f"no events are called {kind!r}")
        except ValueError as error:
            raise ModelError(f"events.json: not the events of a model ({error}); copy the folder anew") from None
        tokenizer = cls(kind)
        if tokenizer.names != names:
            raise ModelError(
                "events.json: the miditok that is installed names other events than the one that the model learned "
                "with; install that version (metrics.json of the folder tells it)"
            )
        return tokenizer


def convert_to_performance(notes: NDArray[np.float64]) -> Any:
    """Write notes (N, 4), see :attr:`Tune.notes`, as a score of 100 ticks a second, whatever the tempo was."""
    symusic = import_library("symusic")
    score = symusic.Score(_STEP // 2)
    score.tempos.append(symusic.Tempo(0, 120))
    starts = np.round(notes[:, 0] * _STEP).astype(int)
    durations = np.maximum(np.round(notes[:, 1] * _STEP).astype(int), 1)
    rows = zip(starts.tolist(), durations.tolist(), notes[:, 2:].astype(int).tolist(), strict=True)
    made = [symusic.Note(start, duration, pitch, velocity) for start, duration, (pitch, velocity) in rows]
    score.tracks.append(symusic.Track("", 0, False, made))
    return score
