r"""Readers of plain text: files or strings in, pieces of characters out, never a whole large file in memory.

    sources ──text_blocks──▶ decoded, "\r\n" and "\r" made "\n" ──chunks──▶ strings of about four million characters

A chunk ends where no tokenizer can mind: before a space or newline that follows something else, so that no word,
no ``<unk>`` and no run of blanks is split; or after a "\n", where lines are wanted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

from elman.data.files import check_encoding, open_file, text_blocks
from elman.errors import DataError, UsageError

Source: TypeAlias = Path | str | Sequence[Path | str]
"""A ``Path`` names a file, a ``str`` is text; a sequence of these is read one after the other, as one text."""

_LAST_BORDER = re.compile(r".*\S(?=[ \t\n])", re.DOTALL)  # its end is the last place to cut
_NEXT_BORDER = re.compile(r"(?<=\S)(?=[ \t\n])")


class TextScan(NamedTuple):
    """What one pass over a text tells."""

    num_characters: int
    num_lines: int
    sha256: str


class Text:
    r"""A text to be read as often as needed, from files, strings or both.

    Newlines are universal ("\r\n" and "\r" read as "\n") and a byte order mark at the start of a file is dropped.

    Args:
        sources: where the text comes from; see `Source`.
        encoding: how the files are encoded, by any name that Python knows.
        block_size: bytes read at a time, and the characters that a chunk has at least (but for the last). A chunk
            without a place to cut grows to four times this size, and is then cut anywhere.

    Raises:
        UsageError: the encoding is unknown, or a source is neither a path nor a string.
        DataError: a file is missing, cannot be read or, found when it is read, is empty or not in this encoding.

    Example:
        >>> text = Text(["To be, or not to be,\r\n", "that is the question"])
        >>> text.num_characters, text.num_lines
        (41, 2)
        >>> "".join(text.chunks(start=21, stop=28))
        'that is'
    """

    def __init__(self, sources: Source, encoding: str = "utf-8", block_size: int = 4 << 20) -> None:
        self.sources = [sources] if isinstance(sources, str | Path) else list(sources)
        self.encoding = encoding
        self.block_size = block_size
        check_encoding(encoding)
        if not self.sources:
            raise UsageError("there is no text: the list of sources is empty")
        for source in self.sources:
            if isinstance(source, Path):
                open_file(source).close()
            elif not isinstance(source, str):
                raise UsageError(f"a text is a pathlib.Path or a str, not {type(source).__name__}")

    @property
    def names(self) -> list[str]:
        """The files' names as they were given; ``"text"`` for a string."""
        return [str(source) if isinstance(source, Path) else "text" for source in self.sources]

    @property
    def hint(self) -> str:
        """The tail of an error message about too little text, where a file's name was passed as text; else empty."""
        name = self.sources[0]
        if len(self.sources) > 1 or isinstance(name, Path) or not name.isprintable() or len(name.encode()) > 255:
            return ""
        if not Path(name).is_file():
            return ""
        return f'; "{name}" is text here; to read the file of that name pass pathlib.Path("{name}")'

    @property
    def num_characters(self) -> int:
        """Characters in the text, after newlines have been made one character each."""
        return self._scan.num_characters

    @property
    def num_lines(self) -> int:
        """Lines in the text, with or without a newline at the end of the last."""
        return self._scan.num_lines

    @property
    def sha256(self) -> str:
        """SHA-256 of the raw bytes (of strings: their UTF-8), in hexadecimal."""
        return self._scan.sha256

    def chunks(self, start: int = 0, stop: int | None = None, keep_lines: bool = False) -> Iterator[str]:
        r"""Yield the characters from ``start`` to ``stop`` in pieces of about ``block_size`` characters.

        Args:
            start: first character wanted.
            stop: the character after the last one wanted; None for all.
            keep_lines: cut after a "\n" rather than before a blank.

        Returns:
            Strings, none of them empty, which together are exactly ``text[start:stop]``.
        """
        pending = ""
        for block in self._slice(start, stop):
            pending += block
            if len(pending) < self.block_size:
                continue
            if keep_lines:
                cut = pending.rfind("\n") + 1
            else:
                border = _LAST_BORDER.match(pending)
                cut = border.end() if border else 0
            if cut == 0 and len(pending) >= 4 * self.block_size:
                cut = len(pending)
            if cut:
                yield pending[:cut]
                pending = pending[cut:]
        if pending:
            yield pending

    def split(self, fraction: float, by_line: bool = False) -> int:
        r"""Find the character at which the last ``fraction`` of the text begins, such as its validation part.

        Args:
            fraction: the part to split off, from 0 to less than 1.
            by_line: move on to the next start of a line (or the end of the text).

        Returns:
            ``int(num_characters * (1 - fraction))``, which is nanoGPT's split at 0.1.

        Raises:
            UsageError: the fraction is out of range.

        Example:
            >>> Text("one\ntwo\nthree\n").split(0.5), Text("one\ntwo\nthree\n").split(0.5, by_line=True)
            (7, 8)
        """
        if not 0 <= fraction < 1:
            raise UsageError(f"a fraction of {fraction} cannot be split off: it must be at least 0 and less than 1")
        position = int(self.num_characters * (1 - fraction))
        if not by_line or position == 0:
            return position
        position -= 1  # where the newline stands if a line starts here already
        for block in self._slice(position, None):
            newline = block.find("\n")
            if newline >= 0:
                return position + newline + 1
            position += len(block)
        return position

    @cached_property
    def _scan(self) -> TextScan:
        digest = hashlib.sha256()
        num_characters = num_newlines = 0
        block = ""
        for block in self._blocks(digest):
            num_characters += len(block)
            num_newlines += block.count("\n")
        return TextScan(num_characters, num_newlines + (not block.endswith("\n")), digest.hexdigest())

    def _slice(self, start: int, stop: int | None) -> Iterator[str]:
        """Yield the blocks of the text from character ``start`` to ``stop``."""
        position = 0
        for block in self._blocks():
            piece = block[max(start - position, 0) : None if stop is None else max(stop - position, 0)]
            if piece:
                yield piece
            position += len(block)
            if stop is not None and position >= stop:
                return

    def _blocks(self, digest: hashlib._Hash | None = None) -> Iterator[str]:
        """Yield all sources as strings, none of them empty, feeding the raw bytes to ``digest`` on the way."""
        for name, source in zip(self.names, self.sources, strict=True):
            is_empty = True
            for block in text_blocks(source, self.encoding, name, self.block_size, digest=digest):
                if block:
                    is_empty = False
                    yield block
            if is_empty:
                raise DataError(f"{name}: is empty; Elman learns from characters, and here are none")


def read_text(text: str | Path, encoding: str = "utf-8") -> str:
    """Return a text, or a file's content, whole, with newlines as training reads them.

    Raises:
        UsageError: it is neither.
    """
    if not isinstance(text, str | Path):
        raise UsageError(f"the text is of type {type(text).__name__}; give one text, or the Path of a file")
    return "".join(Text(text, encoding).chunks()) if text != "" else ""


def split_text(text: str, size: int) -> Iterator[str]:
    """Cut a string into pieces of at least ``size`` characters, each ending before a blank that follows a non-blank.

    Example:
        >>> list(split_text("the cat  sat on", 2))
        ['the', ' cat', '  sat', ' on']
    """
    start = 0
    while start < len(text):
        border = _NEXT_BORDER.search(text, start + size)
        stop = border.start() if border else len(text)
        yield text[start:stop]
        start = stop
