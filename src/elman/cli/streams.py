"""The standard streams while a command runs: standard output holds the answer alone, and no message stops the work.

print(answer)               ──▶ Answers  ──▶ standard output, in UTF-8; what cannot be written is an error
print(..., file=sys.stderr) ──▶ Messages ──▶ standard error; what cannot be written is lost
printf, in a C library      ──▶ descriptor 1, which leads to standard error for the time being
"""

from __future__ import annotations

import ctypes
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, NoReturn, TextIO, cast

from elman.errors import DataError, StorageError
from elman.training.progress import Messages


class ReaderGone(Exception):  # noqa: N818 (not an error: it has read enough)
    """The reader of a pipe has closed it. It is not a BrokenPipeError, because rich ends the process on one."""


class Answers(Messages):
    """Standard output, where an answer that cannot be written is an error."""

    errors = "replace"

    def fail(self, error: OSError | ValueError) -> NoReturn:  # noqa: D102 (the base says it)
        if isinstance(error, BrokenPipeError):
            raise ReaderGone from None
        is_closed = isinstance(error, ValueError) or error.errno == errno.EBADF
        reason = "it is closed" if is_closed else getattr(error, "strerror", None) or error
        raise StorageError(f"standard output: cannot be written ({reason}); make room or write somewhere else")


def standard_input() -> IO[bytes]:
    """Return standard input.

    Raises:
        DataError: it is closed; reading raises it, too, where that fails.
    """
    if sys.stdin is None:
        raise DataError("standard input: is closed; name a file in place of -")
    return io.BufferedReader(_Input(0, closefd=False)) if _descriptor(sys.stdin) == 0 else sys.stdin.buffer


class _Input(io.FileIO):
    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise DataError(f"standard input: cannot be read ({error.strerror}); name a file in place of -") from error


@contextmanager
def standard_streams() -> Iterator[None]:
    """Replace the standard streams, and restore them afterwards."""
    _fill_in_closed_descriptors()
    were_blocking = _set_blocking([True] * 3)
    before = sys.stdout, sys.stderr
    answers = Answers(_own_stream(sys.stdout, 1, None if os.isatty(1) else "utf-8"))
    messages = Messages(_own_stream(sys.stderr, 2))
    _flush_c_streams()
    standard_output = os.dup(1)
    if not os.isatty(1):  # on a terminal both are seen, and tables take their width from it
        os.dup2(2, 1)
    sys.stdout, sys.stderr = cast(TextIO, answers), cast(TextIO, messages)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for guard, stream in ((answers, before[0]), (messages, before[1])):
            with suppress(OSError, ValueError):
                if guard.stream is not None:
                    guard.stream.flush() if guard.stream is stream else guard.stream.close()
            guard.stream = stream  # something may have kept the guard, such as a logging handler
        _flush_c_streams()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # what could not be flushed must not end up in standard output
        os.close(nowhere)
        _flush_c_streams()
        os.dup2(standard_output, 1)
        os.close(standard_output)
        _set_blocking(were_blocking)


def _own_stream(stream: TextIO | None, number: int, encoding: str | None = None) -> TextIO:
    """Return a new stream to the same place if this one has the descriptor ``number``, and the stream itself otherwise.

    Python flushes its own streams at exit, and complains about what it cannot write; this way nothing is left in them.
    """
    if stream is None:  # it was closed when Python started: return one that cannot be written
        return os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if _descriptor(stream) != number:
        return stream
    with suppress(OSError):
        stream.flush()
    buffering = 1 if stream.line_buffering or getattr(stream, "write_through", False) else -1
    return os.fdopen(os.dup(number), "w", buffering, encoding or stream.encoding)


def _descriptor(stream: TextIO) -> int:
    """Return the descriptor of a stream, or -1 where it has none."""
    try:
        return stream.fileno()
    except (AttributeError, OSError, ValueError):
        return -1


def _fill_in_closed_descriptors() -> None:
    """Keep files that are opened later from taking the descriptor of a closed standard stream.

    The null device takes it, opened in the wrong direction, so that using the stream is still an error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(
                os.devnull, os.O_RDONLY if number else os.O_WRONLY
            )  # takes the lowest free descriptor, which is this one


def _set_blocking(blocking: list[bool]) -> list[bool]:
    """Set whether each standard stream blocks, and return whether it did.

    A stream that does not block looks full, or at its end. Programs of Node.js leave their pipes and terminals so.
    """
    if sys.platform == "win32":
        return blocking
    before = [os.get_blocking(number) for number in range(3)]
    for number, wanted in enumerate(blocking):
        os.set_blocking(number, wanted)
    return before


def _flush_c_streams() -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None).fflush(None)
