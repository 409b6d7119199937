r"""Plain text from files or strings, in chunks, so that a large file is never in memory as a whole.

    sources ──text_blocks──▶ decoded text, with "\n" at each line's end ──chunks──▶ about four million characters each

A chunk ends where no tokenizer is affected: before whitespace that follows something else, so that no word, no
``<unk>`` and no run of whitespace is split; or after a "\n" if whole lines are wanted.
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
"""A ``Path`` names a file, a ``str`` is text; the items of a sequence are joined into one text."""

_LAST_BORDER = re.compile(r".*\S(?=[ \t\n])", re.DOTALL)  # the match ends at the last place to cut
_NEXT_BORDER = re.compile(r"(?<=\S)(?=[ \t\n])")


class TextScan(NamedTuple):
    """The results of one pass over a text."""

    num_characters: int
    num_lines: int
    sha256: str


class Text:
    r"""A text from files, strings or both, which can be read several times.

    Newlines are universal ("\r\n" and "\r" are read as "\n"), and a byte order mark at the start of a file is dropped.

    Args:
        sources: the files and strings; see `Source`.
        encoding: the encoding of the files, by any name that Python knows.
        block_size: the number of bytes to read at a time, and the minimum number of characters in a chunk (except the
            last). A chunk without a place to cut grows to four times this size and is then cut anywhere.

    Raises:
        UsageError: the encoding is unknown, or a source is neither a path nor a string.
        DataError: a file is missing or cannot be read or, which shows later, is empty or not in this encoding.

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
        """The name of each file, as given; ``"text"`` for a string."""
        return [str(source) if isinstance(source, Path) else "text" for source in self.sources]

    @property
    def hint(self) -> str:
        """The end of an error message about too little text if the text is the name of a file; otherwise empty."""
        name = self.sources[0]
        if len(self.sources) > 1 or isinstance(name, Path) or not name.isprintable() or len(name.encode()) > 255:
            return ""
        if not Path(name).is_file():
            return ""
        return f'; "{name}" is text here; to read the file of that name pass pathlib.Path("{name}")'

    @property
    def num_characters(self) -> int:
        """The number of characters in the text; each newline is one character."""
        return self._scan.num_characters

    @property
    def num_lines(self) -> int:
        """The number of lines in the text, with or without a newline at its end."""
        return self._scan.num_lines

    @property
    def sha256(self) -> str:
        """The SHA-256 of the raw bytes (for strings: their UTF-8), in hexadecimal."""
        return self._scan.sha256

    def chunks(self, start: int = 0, stop: int | None = None, keep_lines: bool = False) -> Iterator[str]:
        r"""Yield the characters from ``start`` to ``stop`` in chunks of about ``block_size`` characters.

        Args:
            start: the index of the first character.
            stop: the index after the last character; None for the end of the text.
            keep_lines: cut after a "\n" rather than before whitespace.

        Returns:
            Non-empty strings that together are exactly ``text[start:stop]``.
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
        r"""Return the index at which the last ``fraction`` of the text begins, such as its validation part.

        Args:
            fraction: the fraction to split off, from 0 to less than 1.
            by_line: move the split to the next start of a line (or the end of the text).

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
        position -= 1  # the newline is here if a line starts at the split already
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
        """Yield all sources as non-empty strings, and update ``digest`` with their raw bytes."""
        for name, source in zip(self.names, self.sources, strict=True):
            is_empty = True
            for block in text_blocks(source, self.encoding, name, self.block_size, digest=digest):
                if block:
                    is_empty = False
                    yield block
            if is_empty:
                raise DataError(f"{name}: is empty; give a file with text")


def read_text(text: str | Path, encoding: str = "utf-8") -> str:
    """Return a string, or the content of a file, with newlines as in training.

    Raises:
        UsageError: it is neither a string nor a path.
    """
    if not isinstance(text, str | Path):
        raise UsageError(f"the text is of type {type(text).__name__}; give a str, or the Path of a file")
    return "".join(Text(text, encoding).chunks()) if text != "" else ""


def split_text(text: str, size: int) -> Iterator[str]:
    """Split a string into pieces of at least ``size`` characters, each ending before whitespace that follows a word.

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
