"""Tunes, from a folder, a MIDI or an ABC file; in answer their events, each with its surprisal, tab-separated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from elman.data.formats.passages import write_surprisals
from elman.data.lines import Lines, Problems
from elman.data.music.tunes import Tune, read_tunes
from elman.data.records import Problem, Surprisals
from elman.errors import UsageError


class Tunes:
    """Music in files."""

    def read(self, lines: Lines, problems: Problems) -> Iterator[Tune]:
        """Yield the tunes; a file without any is told and left out.

        Raises:
            UsageError: the music comes through a pipe.
            DataError: there is no tune.
        """
        if not isinstance(lines.source, Path | str):
            raise UsageError("music comes as a file; name it in place of -")
        yield from read_tunes(lines.source, problems, lines.encoding)

    def write(self, records: Iterable[Surprisals | Problem]) -> Iterator[str]:
        """Write a line for each event under a line of titles; nothing for what is no music."""
        return write_surprisals(records, ("event", "surprisal"))
