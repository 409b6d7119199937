"""ABC notation: splitting a file into tunes, and the errors that the library reports while it reads them.

lines ──split_tunes──▶ each tune with the fields of the file's header ──convert_to_midi──▶ MIDI
                                                                       └──parse_errors──▶ errors, with their lines
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import chain, takewhile
from pathlib import Path

from elman.data.lines import Lines

FIELDS = ("L:", "M:", "Q:")  # the fields of a file's header that affect how its tunes sound
_ERROR = re.compile(r"Error in line-char ([0-9]+)-[0-9]+ : (.*)")


def split_tunes(lines: Lines) -> Iterator[tuple[int, list[str], int]]:
    r"""Yield each tune of a text; a tune begins with a line X:, its number, and ends before the next one.

    The fields L:, M: and Q: before the first tune apply to every tune that lacks them; they are added to it.

    Returns:
        The number of its first line, its lines, and the number of lines added after the first one.

    Example:
        >>> list(split_tunes(Lines("L:1/8\nX:1\nK:C\nCDEF\n")))
        [(2, ['X:1', 'L:1/8', 'K:C', 'CDEF'], 1)]
    """
    head: dict[str, str] = {}
    tune: list[str] = []
    first = 0
    for line in chain(lines, ["X:"]):
        if line.startswith("X:"):
            if tune:
                own = {one[:2] for one in takewhile(lambda one: not one.startswith("K:"), tune)}
                added = [field for name, field in head.items() if name not in own]
                yield first, [tune[0], *added, *tune[1:]], len(added)
            tune, first = [line], lines.number
        elif tune:
            tune.append(line)
        elif line.startswith(FIELDS):
            head[line[:2]] = line


def convert_to_midi(text: str) -> tuple[bytes, list[str]]:
    """Convert a tune to the content of a MIDI file, with the program ``abc2midi`` that comes with symusic.

    symusic must be imported already. Its own ``Score.from_abc`` starts the same program, but lets it print its errors
    to the standard output of this process.

    Returns:
        The content of the MIDI file, and the lines that the program prints.

    Raises:
        ValueError: the program writes no file.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "input.abc"), Path(folder, "output.mid")
        source.write_bytes(text.encode())
        command = [os.environ["SYMUSIC_ABC2MIDI"], str(source), "-o", str(target), "-silent"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if not target.exists():
            raise ValueError("abc2midi wrote no file")
        return target.read_bytes(), done.stdout.decode("utf-8", "replace").splitlines()


def parse_errors(printed: list[str], first: int, num_added: int) -> Iterator[tuple[int, str]]:
    """Yield the errors of a tune: the line in its file, and the message.

    Args:
        printed: the output of the library.
        first: the number of the tune's first line.
        num_added: the number of lines that were added after the first one.

    Example:
        >>> list(parse_errors(["Error in line-char 5-1 : Nested grace notes not allowed"], 10, 2))
        [(12, 'Nested grace notes not allowed')]
    """
    for found in filter(None, map(_ERROR.match, printed)):
        line = int(found[1])
        yield first + max(line - 1 - (num_added if line > 1 else 0), 0), found[2].strip()
