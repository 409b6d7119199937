r"""Music: MIDI and ABC files to tunes, tunes to events, and back.

folder | file | ABC text ──read_tunes──▶ Tune ──EventTokenizer.encode──▶ ids ──decode──▶ Tune ──▶ MIDI, notes

symusic reads and writes the files, miditok makes the events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from elman.data.files import files_in, is_folder, open_file, reading
from elman.data.lines import Lines, Problems
from elman.data.synthesis import synthesised
from elman.documents import read_json, write_json
from elman.errors import DataError, ModelError, UsageError

ENDINGS = (".mid", ".midi", ".abc")
LONGEST_SECONDS = 2 * 3600.0  # a tune that lasts longer is taken for a mistake
LARGEST_BYTES = 32 << 20
MOST_NOTES = 500_000
MOST_QUARTERS = 100_000  # two hours at 833 quarter notes a minute
_STEP = 100  # ticks a second of performance events


class Tune:
    """A piece of music: notes in time.

    Args:
        score: symusic's, in ticks; it is not changed afterwards.
        name: what to call it in messages.
    """

    def __init__(self, score: Any, name: str = "tune") -> None:
        self.score = score
        self.name = name

    @classmethod
    def read(cls, content: bytes, name: str, *, abc: bool = False) -> Tune:
        """Read a MIDI file's content, or one tune in ABC.

        Raises:
            DataError: it is no music, has no notes or too many, or lasts too long.
        """
        symusic = _library("symusic")
        kind = "ABC" if abc else "MIDI"
        if len(content) > LARGEST_BYTES:
            raise DataError(f"{name}: {len(content):,} bytes, where a tune has at most {LARGEST_BYTES:,}; cut it up")
        with reading(name, f"not {kind}"):
            score = symusic.Score.from_abc(content.decode()) if abc else symusic.Score.from_midi(content)
            if score.ticks_per_quarter < 1:
                raise ValueError(f"its header tells of {score.ticks_per_quarter} ticks a quarter note")
            for figure, most, what in (
                (score.note_num(), MOST_NOTES, "notes"),
                (score.end() // score.ticks_per_quarter, MOST_QUARTERS, "quarter notes of time"),
            ):
                if figure > most:
                    raise DataError(f"{name}: has {figure:,} {what}, where a tune has at most {most:,}; cut it up")
            tune = cls(score, name)
            if not np.isfinite(tune.notes).all():
                raise ValueError("the times of its notes are no numbers")
        if not len(tune.notes):
            raise DataError(f"{name}: has no notes (drums do not count)")
        if tune.seconds > LONGEST_SECONDS:
            raise DataError(
                f"{name}: lasts {tune.seconds / 3600:,.1f} hours, where a tune has at most "
                f"{LONGEST_SECONDS / 3600:g}; cut it up"
            )
        return tune

    @cached_property
    def notes(self) -> NDArray[np.float64]:
        """The notes (N, 4) but drums: start and duration in seconds, pitch (60 is middle C), velocity 1 to 127."""
        seconds = self.score.to("second")
        rows = [
            (note.start, note.duration, note.pitch, note.velocity)
            for track in seconds.tracks
            if not track.is_drum
            for note in track.notes
        ]
        notes = np.array(sorted(rows), np.float64).reshape(-1, 4)
        notes.flags.writeable = False  # it is kept
        return notes

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        notes = self.notes
        return float((notes[:, 0] + notes[:, 1]).max(initial=0.0))

    def midi(self) -> bytes:
        """Return the tune as the content of a MIDI file."""
        return bytes(self.score.dumps_midi())

    def wav(self) -> bytes:
        """Return the tune, played on a simple synthesiser, as the content of a WAV file."""
        return synthesised(self.notes)


def read_tunes(source: Path | str, problems: Problems, encoding: str = "utf-8") -> list[Tune]:
    """Read all tunes of a folder (and the folders in it), of one file, or of a text in ABC notation.

    Args:
        source: a ``Path`` names a folder or a file, a ``str`` is ABC.
        problems: who is told of files that hold no music; they are left out.
        encoding: of ABC.

    Returns:
        The tunes, in the order of their names.

    Raises:
        DataError: there is no such file, or not one tune.
    """
    tunes: list[Tune] = []
    paths = [source] if isinstance(source, Path) else []
    if isinstance(source, Path) and is_folder(source):
        paths = files_in(source, ENDINGS)
        if not paths:
            raise DataError(f"{source}: holds no music; there must be files that end in {', '.join(ENDINGS)}")
    if isinstance(source, str):
        tunes += _abc_tunes(Lines(source), problems)
    for path in paths:
        try:
            if path.suffix.lower() == ".abc":
                tunes += list(_abc_tunes(Lines(path, encoding), problems))
            else:
                with open_file(path) as stream, reading(str(path)):
                    content = stream.read(LARGEST_BYTES + 1)
                tunes.append(Tune.read(content, str(path)))
        except DataError as error:
            problems.add_error(str(path), error)
    if not tunes:
        raise DataError(problems.first or f"{source if isinstance(source, Path) else 'text'}: holds no tune")
    return tunes


def _abc_tunes(lines: Lines, problems: Problems) -> Iterator[Tune]:
    """Read the tunes of a text in ABC: each begins with a line X:, its number."""
    tune: list[str] = []
    first = 1
    for line in chain(lines, ["X:"]):
        if line.startswith("X:"):
            if tune and tune[0].startswith("X:"):
                name = f"{lines.name}:{first}"
                try:
                    with reading(name, "not ABC"):
                        content = "\n".join([*tune, ""]).encode()
                    yield Tune.read(content, name, abc=True)
                except DataError as error:
                    problems.add_error(name, error, "the tune is left out")
            tune, first = [], lines.number
        tune.append(line)


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
        miditok = _library("miditok")
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
        symusic = _library("symusic")
        with reading(tune.name, f"cannot be told in {self.kind} events"):
            if self.kind == "midilike":
                score = performed(tune.notes)
            else:
                score = tune.score.copy()
                notes = (note for track in score.tracks if not track.is_drum for note in track.notes)
                score.tracks = [symusic.Track("", 0, False, sorted(notes, key=_in_time))]
            sequences = self._machine.encode(score)
            ids = sequences[0].ids if isinstance(sequences, list) else sequences.ids
            return np.array(ids, np.int64)

    def decode(self, ids: Sequence[int]) -> Tune:
        """Turn ids back into a tune; notes that are never ended are left out."""
        kept = [int(number) for number in ids if number > self.end_id]
        return Tune(self._machine.decode([kept]))

    def transposed(self, semitones: int) -> NDArray[np.int64]:
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


def performed(notes: NDArray[np.float64]) -> Any:
    """Write notes (N, 4), see :attr:`Tune.notes`, as a score of 100 ticks a second, whatever the tempo was."""
    symusic = _library("symusic")
    score = symusic.Score(_STEP // 2)
    score.tempos.append(symusic.Tempo(0, 120))
    starts = np.round(notes[:, 0] * _STEP).astype(int)
    durations = np.maximum(np.round(notes[:, 1] * _STEP).astype(int), 1)
    rows = zip(starts.tolist(), durations.tolist(), notes[:, 2:].astype(int).tolist(), strict=True)
    made = [symusic.Note(start, duration, pitch, velocity) for start, duration, (pitch, velocity) in rows]
    score.tracks.append(symusic.Track("", 0, False, made))
    return score


def cut(tune: Tune, seconds: float) -> Tune:
    """Let a tune end after so many seconds: what sounds then is cut short."""
    score = tune.score.copy()
    longest = tune.seconds
    if longest <= seconds:
        return tune
    end = _tick_at(score, seconds)
    for track in score.tracks:
        kept = [note for note in track.notes if note.start < end]
        for note in kept:
            note.duration = min(note.duration, end - note.start)
        track.notes = kept
    return Tune(score, tune.name)


def _tick_at(score: Any, seconds: float) -> int:
    """Return the tick at a time, by the score's tempos."""
    tick, time, quarter = 0, 0.0, 0.5  # seconds of a quarter note: 120 a minute until it is said otherwise
    for tempo in sorted(score.tempos, key=_in_time):
        reached = time + (tempo.time - tick) * quarter / score.ticks_per_quarter
        if reached >= seconds:
            break
        tick, time, quarter = tempo.time, reached, 60.0 / tempo.qpm
    return int(tick + round((seconds - time) / quarter * score.ticks_per_quarter))


def _in_time(item: Any) -> int:
    return int(item.time)


def _library(name: str) -> Any:
    """Import a library of the extra ``music`` when it is first needed.

    Raises:
        UsageError: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise UsageError(f"music needs {name}, which is not installed: pip install 'elman[music]'") from None
