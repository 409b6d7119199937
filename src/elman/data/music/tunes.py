r"""Tunes, from MIDI and ABC files, and as MIDI and sound.

folder | file | ABC text ──read_tunes──▶ Tune ──▶ MIDI, notes, WAV

symusic reads and writes the files.
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
from elman.data.music.abc import capture_output, parse_errors, split_tunes
from elman.data.music.synthesis import synthesise
from elman.errors import DataError, UsageError, how_to_install

ENDINGS = (".mid", ".midi", ".abc")
LONGEST_SECONDS = 2 * 3600.0  # a tune that lasts longer is taken for a mistake
LARGEST_BYTES = 32 << 20
MOST_NOTES = 500_000
MOST_QUARTERS = 100_000  # two hours at 833 quarter notes a minute

logger = logging.getLogger(__name__)


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
        symusic = import_library("symusic")
        kind = "ABC" if abc else "MIDI"
        if len(content) > LARGEST_BYTES:
            raise DataError(f"{name}: {len(content):,} bytes, where a tune has at most {LARGEST_BYTES:,}; cut it up")
        with as_data_error(name, f"not {kind}"):
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
        return synthesise(self.notes)


def read_tunes(source: Path | str, problems: Problems, encoding: str = "utf-8") -> list[Tune]:
    """Read all tunes of a folder (and the folders in it), of one file, or of a text in ABC notation.

    Args:
        source: a ``Path`` names a folder or a file, a ``str`` is ABC.
        problems: who is told of files that hold no music; they are skipped.
        encoding: of ABC.

    Returns:
        The tunes, in the order of their names.

    Raises:
        DataError: there is no such file, or not one tune.
    """
    tunes: list[Tune] = []
    paths = [source] if isinstance(source, Path) else []
    if isinstance(source, Path) and is_folder(source):
        paths = list_files(source, ENDINGS, problems.add_error)
        if not paths:
            raise DataError(
                problems.first or f"{source}: holds no music; there must be files that end in {', '.join(ENDINGS)}"
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
        raise DataError(problems.first or f"{source if isinstance(source, Path) else 'text'}: holds no tune")
    return tunes


def _read_abc(lines: Lines, problems: Problems) -> Iterator[Tune]:
    """Read the tunes of a text in ABC; what is wrong in one that can be read is told once."""
    for first, text, num_added in split_tunes(lines):
        name = f"{lines.name}:{first}"
        try:
            with as_data_error(name, "not ABC"):
                content = "\n".join([*text, ""]).encode()
            with capture_output() as printed:
                tune = Tune.read(content, name, abc=True)
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
    """Return what a tune of so many seconds begins with: the primer or, of one as long as that, its beginning."""
    if seconds is None or primer.seconds < seconds:
        return primer
    logger.warning(
        "the primer lasts %.1f seconds, and the whole tune is to last %g: it begins with the first %g of them",
        *(primer.seconds, seconds, seconds / 2),
    )
    return shorten(primer, seconds / 2)


def shorten(tune: Tune, seconds: float) -> Tune:
    """Let a tune end after so many seconds: what sounds then is cut short."""
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
    """Return the tick at a time, by the score's tempos."""
    tick, time, quarter = 0, 0.0, 0.5  # seconds of a quarter note: 120 a minute until it is said otherwise
    for tempo in sorted(score.tempos, key=attrgetter("time")):
        reached = time + (tempo.time - tick) * quarter / score.ticks_per_quarter
        if reached >= seconds:
            break
        tick, time, quarter = tempo.time, reached, 60.0 / tempo.qpm
    return int(tick + round((seconds - time) / quarter * score.ticks_per_quarter))


def import_library(name: str) -> Any:
    """Import a library of the extra ``music`` when it is first needed.

    Raises:
        UsageError: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise UsageError(f"music needs {name}, which is not installed: {how_to_install('music')}") from None
