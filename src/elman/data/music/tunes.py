r"""Reading tunes from MIDI and ABC files, and writing them as MIDI and sound, with symusic.

folder | file | ABC text ──read_tunes──▶ Tune ──▶ MIDI, notes, WAV
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.files import as_data_error, is_folder, list_files, open_file
from elman.data.lines import Lines, Problems
from elman.data.music.abc import convert_to_midi, parse_errors, split_tunes
from elman.data.music.synthesis import synthesise
from elman.errors import DataError, UsageError, how_to_install

ENDINGS = (".mid", ".midi", ".abc")
LONGEST_SECONDS = 2 * 3600.0  # a longer tune is probably a mistake
LARGEST_BYTES = 32 << 20
MOST_NOTES = 500_000
MOST_QUARTERS = 100_000  # two hours at 833 quarter notes a minute

logger = logging.getLogger(__name__)


class Tune:
    """A piece of music: notes in time.

    Args:
        score: a score of symusic, in ticks; it must not change afterwards.
        name: the name of the tune in messages.
    """

    def __init__(self, score: Any, name: str = "tune") -> None:
        self.score = score
        self.name = name

    @classmethod
    def read(cls, content: bytes, name: str, *, abc: bool = False) -> Tune:
        """Read the content of a MIDI file, or one tune in ABC.

        Raises:
            DataError: it is not music, has no notes or too many, or lasts too long.
        """
        return cls._read(content, name, abc)[0]

    @classmethod
    def _read(cls, content: bytes, name: str, abc: bool) -> tuple[Tune, list[str]]:
        """Read a tune; also return the lines that the converter of ABC prints."""
        symusic = import_library("symusic")
        printed: list[str] = []
        if len(content) > LARGEST_BYTES:
            raise DataError(f"{name}: has {len(content):,} bytes, but the limit is {LARGEST_BYTES:,}; split the tune")
        with as_data_error(name, "not ABC" if abc else "not MIDI"):
            if abc:
                content, printed = convert_to_midi(content.decode())
            score = symusic.Score.from_midi(content)
            if score.ticks_per_quarter < 1:
                raise ValueError(f"its header has {score.ticks_per_quarter} ticks per quarter note")
            for figure, most, what in (
                (score.note_num(), MOST_NOTES, "notes"),
                (score.end() // score.ticks_per_quarter, MOST_QUARTERS, "quarter notes of time"),
            ):
                if figure > most:
                    raise DataError(f"{name}: has {figure:,} {what}, but the limit is {most:,}; split the tune")
            tune = cls(score, name)
            if not np.isfinite(tune.notes).all():
                raise ValueError("the times of its notes are not finite")
        if not len(tune.notes):
            raise DataError(f"{name}: has no notes (drums do not count)")
        if tune.seconds > LONGEST_SECONDS:
            raise DataError(
                f"{name}: lasts {tune.seconds / 3600:,.1f} hours, but the limit is {LONGEST_SECONDS / 3600:g}; "
                "split the tune"
            )
        return tune, printed

    @cached_property
    def notes(self) -> NDArray[np.float64]:
        """The notes (N, 4) without drums: start and duration in seconds, pitch (60 is middle C), velocity 1 to 127."""
        seconds = self.score.to("second")
        rows = [
            (note.start, note.duration, note.pitch, note.velocity)
            for track in seconds.tracks
            if not track.is_drum
            for note in track.notes
        ]
        notes = np.array(sorted(rows), np.float64).reshape(-1, 4)
        notes.flags.writeable = False  # the array is cached
        return notes

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        notes = self.notes
        return float((notes[:, 0] + notes[:, 1]).max(initial=0.0))

    def midi(self) -> bytes:
        """Return the tune as the content of a MIDI file."""
        return bytes(self.score.dumps_midi())

    def wav(self) -> bytes:
        """Synthesise the tune as the content of a WAV file."""
        return synthesise(self.notes)


def read_tunes(source: Path | str, problems: Problems, encoding: str = "utf-8") -> list[Tune]:
    """Read all tunes of a folder and its subfolders, of a file, or of a text in ABC notation.

    Args:
        source: a ``Path`` names a folder or a file, a ``str`` is ABC.
        problems: collects the files without music, which are skipped.
        encoding: the encoding of ABC files.

    Returns:
        The tunes, in the order of their names.

    Raises:
        DataError: there is no such file, or it contains no tune.
    """
    tunes: list[Tune] = []
    paths = [source] if isinstance(source, Path) else []
    if isinstance(source, Path) and is_folder(source):
        paths = list_files(source, ENDINGS, problems.add_error)
        if not paths:
            raise DataError(
                problems.first or f"{source}: contains no music; it needs files that end in {', '.join(ENDINGS)}"
            )
    if isinstance(source, str):
        tunes += _read_abc(Lines(source), problems)
    for path in paths:
        try:
            if path.suffix.lower() == ".abc":
                tunes += list(_read_abc(Lines(path, encoding), problems))
            else:
                with open_file(path) as stream, as_data_error(str(path)):
                    content = stream.read(LARGEST_BYTES + 1)
                tunes.append(Tune.read(content, str(path)))
        except DataError as error:
            problems.add_error(str(path), error)
    if not tunes:
        raise DataError(problems.first or f"{source if isinstance(source, Path) else 'text'}: contains no tune")
    return tunes


def _read_abc(lines: Lines, problems: Problems) -> Iterator[Tune]:
    """Read the tunes of a text in ABC; the errors in a readable tune are reported as one problem."""
    for first, text, num_added in split_tunes(lines):
        name = f"{lines.name}:{first}"
        try:
            with as_data_error(name, "not ABC"):
                content = "\n".join([*text, ""]).encode()
            tune, printed = Tune._read(content, name, abc=True)
        except DataError as error:
            problems.add_error(name, error, "the tune is skipped")
            continue
        errors = list(parse_errors(printed, first, num_added))
        if errors:
            line, what = errors[0]
            more = f" (and {len(errors) - 1:,} more errors in this tune)" if len(errors) > 1 else ""
            problems.add(lines.name, line, f"{what}{more}; the rest of the tune is read", count=0)
        yield tune


def shorten_primer(primer: Tune, seconds: float | None) -> Tune:
    """Shorten a primer that lasts as long as the whole tune, or longer, to half of the tune."""
    if seconds is None or primer.seconds < seconds:
        return primer
    logger.warning(
        "the primer lasts %.1f seconds, but the whole tune should last %g: only its first %g seconds are used",
        *(primer.seconds, seconds, seconds / 2),
    )
    return shorten(primer, seconds / 2)


def shorten(tune: Tune, seconds: float) -> Tune:
    """Cut off a tune after some seconds; notes that still sound are shortened."""
    score = tune.score.copy()
    longest = tune.seconds
    if longest <= seconds:
        return tune
    end = _find_tick(score, seconds)
    for track in score.tracks:
        kept = [note for note in track.notes if note.start < end]
        for note in kept:
            note.duration = min(note.duration, end - note.start)
        track.notes = kept
    return Tune(score, tune.name)


def _find_tick(score: Any, seconds: float) -> int:
    """Return the tick at a time in seconds, by the tempos of the score."""
    tick, time, quarter = 0, 0.0, 0.5  # the default tempo: a quarter note of 0.5 seconds
    for tempo in sorted(score.tempos, key=attrgetter("time")):
        reached = time + (tempo.time - tick) * quarter / score.ticks_per_quarter
        if reached >= seconds:
            break
        tick, time, quarter = tempo.time, reached, 60.0 / tempo.qpm
    return int(tick + round((seconds - time) / quarter * score.ticks_per_quarter))


def import_library(name: str) -> Any:
    """Import a library of the extra ``music`` on first use.

    Raises:
        UsageError: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise UsageError(f"music needs {name}, which is not installed: {how_to_install('music')}") from None
