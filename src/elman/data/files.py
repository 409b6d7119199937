r"""The user's files: opened, listed, decoded and unpacked; what goes wrong on the way is an error that names the file.

    Path | str | stream ──text_blocks──▶ text, its lines ended by "\n", in blocks as they come

A line ends with "\n", "\r\n" or "\r", whichever the file has, and with nothing else: U+2028, U+0085, a form feed and a
vertical tab are characters like any other.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import logging
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from encodings.aliases import aliases
from itertools import islice
from pathlib import Path
from typing import IO

from elman.data.signatures import detect_kind
from elman.errors import DataError, ElmanError, UsageError, suggest

LONGEST_LINE = 16 << 20  # characters; a file with a longer line is taken for something else than text
LARGEST_UNPACKED = 256 << 20  # bytes that any compressed file may hold
LARGEST_RATIO = 100  # a file that holds more than that many times its own size is taken for a bomb
DAMAGED = "is not a whole file, or none of its kind; download it again?"
SHOWN = 300  # characters of the user's data in a message

logger = logging.getLogger(__name__)


def open_file(path: Path) -> io.BufferedReader:
    """Open a file of the user's for reading, or say plainly why that cannot be done.

    Args:
        path: the file.

    Returns:
        The open file, in binary mode.

    Raises:
        DataError: there is no such file, it is a directory or a pipe, or it may not be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path}: is a directory; name the files in it, such as {path}/*.txt")
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: is not a regular file; a text is read several times, so save it first")
        return path.open("rb")
    except DataError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise DataError(f"{path}: is a link to a file that is not there") from None
        folder, siblings = path.parent, list[str]()
        with suppress(OSError):  # a folder that may be entered need not be one that may be listed
            siblings += [child.name for child in folder.iterdir()]
        where = "" if is_folder(folder) else f" (nor a folder {folder})"
        raise DataError(f"{path}: there is no such file{where}{suggest(path.name, siblings)}") from None
    except (OSError, ValueError) as error:  # ValueError: it holds a NUL
        raise DataError(f"{str(path)[:SHOWN]}: cannot be read: {getattr(error, 'strerror', error)}") from None


def is_folder(path: Path) -> bool:
    """Tell whether a path names a folder; where it names nothing, whoever opens it says why."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def list_files(
    folder: Path, endings: Collection[str], note: Callable[[str, DataError], None] | None = None
) -> list[Path]:
    """List the files of a folder, and of the folders in it, by name; whether they can be read shows when they are.

    Args:
        folder: the folder.
        endings: what their names may end in, in lower case.
        note: who is told of a folder in it that may not be listed: its name, and why. A warning where not given.

    Raises:
        DataError: the folder itself may not be listed.
    """

    def skip(error: OSError) -> None:
        name = str(error.filename)
        problem = DataError(f"{name}: the folder cannot be listed ({error.strerror})")
        if Path(name) == folder:
            raise problem
        (note or _warn)(name, problem)

    with as_data_error(str(folder)):
        found = [Path(parent, name) for parent, _, names in os.walk(folder, onerror=skip) for name in names]
    return sorted(path for path in found if path.suffix.lower() in endings)


def _warn(name: str, problem: DataError) -> None:
    logger.warning("%s; what is in it is left out", problem)


@contextmanager
def as_data_error(name: str, what: str = "cannot be read") -> Iterator[None]:
    """Turn whatever a library raises while it reads one file into an error that names the file.

    Files come from anywhere, and the libraries that read them raise anything for one that is damaged, a lack of memory
    and too deep a recursion included. Each is that file's problem, so that a folder is read on without it.

    Args:
        name: what to call the file.
        what: what is wrong with it, before the reason.

    Raises:
        DataError: in place of an exception that is none of Elman's own.

    Example:
        >>> with as_data_error("a.mid", "not MIDI"):
        ...     1 / 0
        Traceback (most recent call last):
        elman.errors.DataError: a.mid: not MIDI (division by zero)
    """
    try:
        yield
    except ElmanError:
        raise
    except Exception as error:
        raise DataError(f"{name}: {what} ({describe_error(error)})") from None


def describe_error(error: Exception) -> str:
    """Return the first line of what an exception says, cut where it is long; its type where it says nothing."""
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = str(getattr(error, "strerror", None) or error).strip()
    return said.splitlines()[0].removesuffix(": iostream error")[:SHOWN] if said else type(error).__name__  # C++'s tail


def join_names(names: Iterable[str]) -> str:
    r"""Return names with commas between them, for a message: on one line and, of very many, the first.

    Example:
        >>> join_names(["text", "two\nlines"])
        'text, two\\nlines'
    """
    whole = ", ".join(names)
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in whole[:SHOWN])
    return shown if len(whole) <= SHOWN else f"{shown} ..."


def suggest_among(names: Collection[str], wanted: str) -> str:
    """Return the tail of a message about a name that is not there: the nearest one, and what there is.

    Example:
        >>> suggest_among(["text", "lable"], "label")
        '; did you mean "lable"? it has text, lable'
    """
    meant = suggest(wanted, [join_names([name]) for name in islice(names, 1000)])
    return f"{meant or ';'} it has {join_names(names) or 'nothing'}"


def text_problem(text: str) -> str:
    r"""Say why a text that is written in escapes or by its numbers cannot be used: nothing, where it can.

    Example:
        >>> text_problem("a\0"), text_problem("so, so")
        ('holds NUL characters; is the encoding another one, such as utf-16?', '')
    """
    if "\0" in text:
        return "holds NUL characters; is the encoding another one, such as utf-16?"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character (a surrogate without its other half)"
    return ""


def check_encoding(encoding: str) -> None:
    """Raise UsageError unless text can be read in an encoding of this name.

    Example:
        >>> check_encoding("utf8")
        >>> check_encoding("utf9")
        Traceback (most recent call last):
        elman.errors.UsageError: `encoding` utf9: no such text encoding; did you mean "utf-8"?
    """
    try:
        b"a\n".decode(encoding, "replace")  # idna, for one, cannot go on after what it does not know
        codecs.getincrementaldecoder(encoding)("replace")
    except (LookupError, ValueError):
        known = {name.replace("_", "-") for name in aliases.values() if not name.endswith("_codec")}
        raise UsageError(f"`encoding` {encoding[:SHOWN]}: no such text encoding{suggest(encoding, known)}") from None


def text_blocks(
    source: Path | str | IO[bytes],
    encoding: str,
    name: str,
    size: int,
    *,
    errors: str = "strict",
    by_line: bool = False,
    digest: hashlib._Hash | None = None,
) -> Iterator[str]:
    r"""Yield a text in blocks, as soon as they are there, without its byte order mark; lines end with "\n".

    Args:
        source: a ``Path`` names a file, a ``str`` is text, an open binary stream is read as it comes.
        encoding: how the bytes are encoded.
        name: what to call the source in messages.
        size: bytes (of a string: characters) to read at a time, at most.
        errors: ``replace`` puts U+FFFD in place of what is not in this encoding.
        by_line: let the error begin with the file and the line.
        digest: what is fed the raw bytes (of a string: its UTF-8).

    Raises:
        UsageError: there is no such encoding.
        DataError: the source cannot be read, or is not in this encoding.

    Example:
        >>> list(text_blocks("one\r\ntwo\rthree", "utf-8", "text", 4))
        ['one\n', 'two', '\nthr', 'ee']
    """
    check_encoding(encoding)
    newlines = _Newlines()
    is_first = True
    for block in _decode(source, encoding, name, size, errors, by_line, newlines, digest):
        if block and is_first:
            block, is_first = block.removeprefix("\ufeff"), False
        yield newlines(block)


def join_lines(text: str) -> str:
    r"""Return a text with a space in place of each end of a line, but for the last; lines end as those of files do.

    Example:
        >>> join_lines("one\r\ntwo\rthree\n"), join_lines("no\u2028end\x85of\x0ca line")
        ('one two three', 'no\u2028end\x85of\x0ca line')
    """
    return _Newlines()(text).removesuffix("\n").replace("\n", " ")


class _Newlines:
    r"""Makes every end of a line "\n", block by block; a line that ends with "\r" need not wait for the next block."""

    def __init__(self) -> None:
        self.count = 0
        self._after_return = False

    def __call__(self, block: str) -> str:
        if self._after_return and block:
            block = block.removeprefix("\n")  # the second half of "\r\n"
            self._after_return = False
        if "\r" in block:
            self._after_return = block[-1] == "\r"
            block = block.replace("\r\n", "\n").replace("\r", "\n")
        self.count += block.count("\n")
        return block


def _decode(
    source: Path | str | IO[bytes],
    encoding: str,
    name: str,
    size: int,
    errors: str,
    by_line: bool,
    newlines: _Newlines,
    digest: hashlib._Hash | None,
) -> Iterator[str]:
    if isinstance(source, str):
        for start in range(0, len(source), size):
            block = source[start : start + size]
            if digest:
                digest.update(block.encode("utf-8", "surrogatepass"))
            yield block
        return

    def where(byte: int, line: int) -> str:
        return f"{name}:{line}: byte {byte}" if by_line else f"{name}: byte {byte} (line {line})"

    stream = open_file(source) if isinstance(source, Path) else source
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    read = stream.read1 if isinstance(stream, io.BufferedReader) else stream.read
    num_bytes = 0
    try:
        while True:
            with as_data_error(name):
                raw = read(size)
            if not num_bytes and (kind := detect_kind(raw, encoding)):
                raise DataError(f"{name}: is {kind}")
            if not num_bytes and (other := _detect_mark(raw, encoding)):
                raise DataError(f"{where(0, 1)} is the byte order mark of {other.upper()}: try `encoding` {other}")
            num_bytes += len(raw)
            if digest:
                digest.update(raw)
            try:
                block = decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:
                newlines(error.object[: error.start].decode(encoding, "replace"))
                byte = num_bytes - len(error.object) + error.start
                other = guess_encoding(source, encoding) if isinstance(source, Path) else "latin-1"
                raise DataError(
                    f"{where(byte, newlines.count + 1)} is not valid {encoding}; "
                    f"it may be {other}: try `encoding` {other}"
                ) from None
            except UnicodeError as error:  # UTF-16 without its mark
                raise DataError(f"{name}: is not valid {encoding} ({describe_error(error)})") from None
            yield block
            if not raw:
                return
    finally:
        if isinstance(source, Path):
            stream.close()


def _detect_mark(raw: bytes, encoding: str) -> str:
    """Return which encoding a text's first bytes mark it as, where that is another one than the given."""
    marks = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
    marks |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    found = next((other for mark, other in marks.items() if raw.startswith(mark)), "")
    return "" if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")) else found


def guess_encoding(path: Path, failed: str) -> str:
    """Find an encoding that reads the whole file; Latin-1 reads anything."""
    with open_file(path) as file:
        for encoding in filter(None, (_detect_mark(file.read(4), failed), "utf-8", "cp1252")):
            if codecs.lookup(encoding) == codecs.lookup(failed):
                continue
            decoder = codecs.getincrementaldecoder(encoding)()
            file.seek(0)
            try:
                while block := file.read(1 << 20):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeError:
                continue
            return encoding
    return "latin-1"


class Unpacked(io.RawIOBase):
    """The content of a compressed file, as far as a file of its size may be expected to hold.

    Args:
        read: reads so many bytes of what is unpacked.
        name: what to call the file in messages.
        packed: the size of the compressed file in bytes.
    """

    def __init__(self, read: Callable[[int], bytes], name: str, packed: int) -> None:
        self._unpack = read
        self._name = name
        self._packed = packed
        self._read = 0

    def readable(self) -> bool:
        """Say that it is for reading."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read what comes next; see :class:`io.RawIOBase`.

        Raises:
            DataError: it is damaged, or more than may be expected.
        """
        with as_data_error(self._name, DAMAGED):
            piece = self._unpack(len(buffer))
        self._read += len(piece)
        check_unpacked(self._name, self._read, self._packed)
        buffer[: len(piece)] = piece
        return len(piece)


def check_unpacked(name: str, unpacked: int, packed: int) -> None:
    """Refuse a compressed file that holds so much more than its size that it can only be meant to fill the memory.

    Raises:
        DataError: it holds more than `LARGEST_UNPACKED` bytes and more than `LARGEST_RATIO` times its size.
    """
    most = max(LARGEST_UNPACKED, LARGEST_RATIO * packed)
    if unpacked > most:
        raise DataError(
            f"{name}: holds more than {most:,} bytes in a file of {packed:,}, where a compressed file may hold "
            f"{LARGEST_UNPACKED:,} or {LARGEST_RATIO} times its size; save it uncompressed"
        )
