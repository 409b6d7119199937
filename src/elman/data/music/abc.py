"""ABC notation: splitting a file into tunes, and the errors that the library reports while it reads them.

lines ──split_tunes──▶ each tune with the fields of the file's header ──symusic──▶ score
                                                            └──capture_output──▶ errors, with their lines
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, takewhile

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


@contextmanager
def capture_output() -> Iterator[list[str]]:
    """Take what a library written in C prints; the list holds its lines when the block has ended.

    The library writes to the process's own streams, for a moment in place of which a file stands.
    """
    printed: list[str] = []
    with tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        sys.stderr.flush()
        kept: dict[int, int] = {}
        with suppress(OSError):  # a stream that is closed
            for stream in (1, 2):
                kept[stream] = os.dup(stream)
                os.dup2(file.fileno(), stream)
        try:
            yield printed
        finally:
            with suppress(OSError, TypeError, AttributeError):  # where the C library cannot be had, it flushes itself
                ctypes.CDLL(None).fflush(None)
            for stream, copy in kept.items():
                os.dup2(copy, stream)
                os.close(copy)
            file.seek(0)
            printed += file.read().decode("utf-8", "replace").splitlines()


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
