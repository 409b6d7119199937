r"""Opening, listing, decoding and unpacking the user's files; every error names the file.

    Path | str | stream ──text_blocks──▶ blocks of text, as they arrive, with "\n" at the end of each line

A line ends with "\n", "\r\n" or "\r" and with nothing else: U+2028, U+0085, a form feed and a vertical tab are ordinary
characters.
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

LONGEST_LINE = 16 << 20  # characters; a file with a longer line is probably not text
LARGEST_UNPACKED = 256 << 20  # bytes that any compressed file may unpack to
LARGEST_RATIO = 100  # a larger file that unpacks to more than this many times its size is refused as a bomb
DAMAGED = "is damaged, or not a file of this kind; download it again?"
SHOWN = 300  # characters of the user's data that a message quotes

logger = logging.getLogger(__name__)


def open_file(path: Path) -> io.BufferedReader:
    """Open a file for reading.

    Args:
        path: the file.

    Returns:
        The open file, in binary mode.

    Raises:
        DataError: there is no such file, it is a folder or a pipe, or the permission is missing.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path}: is a folder; name the files in it, such as {path}/*.txt")
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: is not a regular file; a text is read several times, so save it first")
        return path.open("rb")
    except DataError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise DataError(f"{path}: is a link to a file that does not exist") from None
        folder, siblings = path.parent, list[str]()
        with suppress(OSError):  # the folder may lack the permission to list it
            children = list(folder.iterdir())
            siblings += [child.name for child in children if suggest(path.stem, [child.stem])]  # not ".txt" alone alike
        where = "" if is_folder(folder) else f" (nor a folder {folder})"
        raise DataError(f"{path}: there is no such file{where}{suggest(path.name, siblings)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"{str(path)[:SHOWN]}: cannot be read: {getattr(error, 'strerror', error)}") from None


def is_folder(path: Path) -> bool:
    """Tell whether a path names a folder; False for a path that cannot be looked up, which opening it reports."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def list_files(
    folder: Path, endings: Collection[str], note: Callable[[str, DataError], None] | None = None
) -> list[Path]:
    """List the files of a folder and its subfolders, sorted by name.

    Args:
        folder: the folder.
        endings: the endings to look for, in lower case.
        note: is called with the name of a subfolder that cannot be listed and the error. By default, a warning.

    Raises:
        DataError: the folder itself cannot be listed.
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
    logger.warning("%s; it is skipped", problem)


@contextmanager
def as_data_error(name: str, what: str = "cannot be read") -> Iterator[None]:
    """Convert any exception that a library raises while it reads a file into a DataError that names the file.

    Libraries raise all kinds of exceptions for a damaged file, including MemoryError and RecursionError. Each is the
    problem of one file, so that the other files of a folder can still be read.

    Args:
        name: the name of the file.
        what: what is wrong with it; the reason follows in brackets.

    Raises:
        DataError: in place of an exception that is not one of Elman's.

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
    """Return the first line of an exception's message, shortened if it is long; its type if it has no message."""
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = str(getattr(error, "strerror", None) or error).strip()
    return said.splitlines()[0].removesuffix(": iostream error")[:SHOWN] if said else type(error).__name__  # C++'s tail


def join_names(names: Iterable[str]) -> str:
    r"""Join names with commas for a message, on one line; a long list is cut off.

    Example:
        >>> join_names(["text", "two\nlines"])
        'text, two\\nlines'
    """
    whole = ", ".join(names)
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in whole[:SHOWN])
    return shown if len(whole) <= SHOWN else f"{shown} ..."


def suggest_among(names: Collection[str], wanted: str) -> str:
    """Return the end of a message about an unknown name: the closest known name, and a list of all of them.

    Example:
        >>> suggest_among(["text", "lable"], "label")
        '; did you mean "lable"? it has text, lable'
    """
    meant = suggest(wanted, [join_names([name]) for name in islice(names, 1000)])
    return f"{meant or ';'} it has {join_names(names) or 'nothing'}"


def text_problem(text: str) -> str:
    r"""Return what is wrong with a decoded text: NUL characters or surrogates; an empty string if nothing is.

    Example:
        >>> text_problem("a\0"), text_problem("so, so")
        ('contains NUL characters; is it in another encoding, such as utf-16?', '')
    """
    if "\0" in text:
        return "contains NUL characters; is it in another encoding, such as utf-16?"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains half a character (a lone surrogate)"
    return ""


def check_encoding(encoding: str) -> None:
    """Raise UsageError unless Python has a text encoding of this name.

    Example:
        >>> check_encoding("utf8")
        >>> check_encoding("utf9")
        Traceback (most recent call last):
        elman.errors.UsageError: `encoding` utf9: no such text encoding; did you mean "utf-8"?
    """
    try:
        b"a\n".decode(encoding, "replace")  # some codecs, such as idna, cannot replace errors
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
    r"""Yield a text in blocks, as soon as they arrive, without its byte order mark and with "\n" at each line's end.

    Args:
        source: a ``Path`` names a file, a ``str`` is text, an open binary stream is read as its data arrives.
        encoding: the encoding of the bytes.
        name: the name of the source in messages.
        size: the maximum number of bytes (for a string: characters) to read at a time.
        errors: ``replace`` replaces invalid bytes with U+FFFD, ``strict`` raises.
        by_line: begin an error message with the file and the line.
        digest: a hash to update with the raw bytes (for a string: its UTF-8).

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
    r"""Join the lines of a text with spaces; lines end as in a file.

    Example:
        >>> join_lines("one\r\ntwo\rthree\n"), join_lines("no\u2028end\x85of\x0ca line")
        ('one two three', 'no\u2028end\x85of\x0ca line')
    """
    return _Newlines()(text).removesuffix("\n").replace("\n", " ")


class _Newlines:
    r"""Converts line ends to "\n", block by block; a line that ends with "\r" does not wait for the next block."""

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
            except UnicodeError as error:  # UTF-16 without a byte order mark
                raise DataError(f"{name}: is not valid {encoding} ({describe_error(error)})") from None
            yield block
            if not raw:
                return
    finally:
        if isinstance(source, Path):
            stream.close()


def _detect_mark(raw: bytes, encoding: str) -> str:
    """Return the encoding that a byte order mark stands for, if it is not the one given; else an empty string."""
    marks = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
    marks |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    found = next((other for mark, other in marks.items() if raw.startswith(mark)), "")
    return "" if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")) else found


def guess_encoding(path: Path, failed: str) -> str:
    """Find an encoding that can decode the whole file; Latin-1 can decode anything."""
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
    """The content of a compressed file, up to the limit of `check_unpacked`.

    Args:
        read: reads a number of unpacked bytes.
        name: the name of the file in messages.
        packed: the size of the compressed file in bytes.
    """

    def __init__(self, read: Callable[[int], bytes], name: str, packed: int) -> None:
        self._unpack = read
        self._name = name
        self._packed = packed
        self._read = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read the next bytes; see :class:`io.RawIOBase`.

        Raises:
            DataError: the file is damaged, or unpacks to more than the limit.
        """
        with as_data_error(self._name, DAMAGED):
            piece = self._unpack(len(buffer))
        self._read += len(piece)
        check_unpacked(self._name, self._read, self._packed)
        buffer[: len(piece)] = piece
        return len(piece)


def check_unpacked(name: str, unpacked: int, packed: int) -> None:
    """Refuse a decompression bomb: a file that unpacks to far more than its size.

    Raises:
        DataError: it unpacks to more than `LARGEST_UNPACKED` bytes and more than `LARGEST_RATIO` times its size.
    """
    most = max(LARGEST_UNPACKED, LARGEST_RATIO * packed)
    if unpacked > most:
        raise DataError(
            f"{name}: unpacks from {packed:,} bytes to more than {most:,}, but the limit is {LARGEST_UNPACKED:,} bytes "
            f"or {LARGEST_RATIO} times its size; save it uncompressed"
        )
