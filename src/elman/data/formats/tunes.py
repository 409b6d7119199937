"""Reading tunes from a folder, a MIDI or an ABC file, and writing their events with surprisals, separated by tabs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from elman.data.formats.passages import write_surprisals
from elman.data.lines import Lines, Problems
from elman.data.music.tunes import Tune, read_tunes
from elman.data.records import Problem, Surprisals
from elman.errors import UsageError


class Tunes:
    """Music files."""

    def read(self, lines: Lines, problems: Problems) -> Iterator[Tune]:
        """Yield the tunes; a file without any is reported and skipped.

        Raises:
            UsageError: the input is a pipe.
            DataError: there is no tune.
        """
        if not isinstance(lines.source, Path | str):
            raise UsageError("music cannot be read from a pipe; name the file instead of -")
        yield from read_tunes(lines.source, problems, lines.encoding)

    def write(self, records: Iterable[Surprisals | Problem]) -> Iterator[str]:
        """Write a header and one line for each event; nothing for an unreadable file."""
        return write_surprisals(records, ("event", "surprisal"))
