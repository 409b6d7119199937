r"""Numbered lines of a file, a string or an endless stream, and the problems found in them.

Path | str | stream ──text_blocks──▶ numbered lines ──the reader of a format──▶ records
                                                            └──▶ Problems: logged and counted; reading continues
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TypeVar

from elman.data.files import LONGEST_LINE, is_folder, open_file, text_blocks
from elman.errors import DataError

Record = TypeVar("Record")

logger = logging.getLogger(__name__)


class Problems:
    """Problems in the user's data: the first few are logged, all are counted.

    Args:
        shown: how many problems to log.

    Example:
        >>> problems = Problems(shown=0)
        >>> problems.add("train.conllu", 17, "9 columns where CoNLL-U has 10; the sentence is skipped")
        >>> problems.count, problems.first
        (1, 'train.conllu:17: 9 columns where CoNLL-U has 10; the sentence is skipped')
    """

    def __init__(self, shown: int = 5) -> None:
        self.count = 0
        self.first = ""
        self._places = 0
        self._shown = shown

    def add(self, name: str, line: int, what: str, count: int = 1) -> None:
        """Add a problem in a line of a file that affects ``count`` records, and say how it is handled."""
        self.count += count
        self._places += 1
        message = f"{name}:{line}: {what}"
        self.first = self.first or message
        if self._places <= self._shown:
            logger.warning("%s", message)

    def add_error(self, name: str, error: DataError, fate: str = "it is skipped") -> None:
        """Add an error about a file, or about a record that starts at a line of it.

        Args:
            name: the start of the error's message: the file's name, with or without the line.
            error: the error.
            fate: how the problem is handled.

        Example:
            >>> problems = Problems(shown=0)
            >>> problems.add_error("a.mid", DataError("a.mid: has no notes"))
            >>> problems.first
            'a.mid:1: has no notes; it is skipped'
        """
        said = str(error)
        begins = re.match(rf"{re.escape(name)}(?::([0-9]+))?: ", said)
        what = said[begins.end() :] if begins else said
        file, line = re.fullmatch(r"(.*?)(?::([0-9]+))?", name, re.DOTALL).groups()  # type: ignore[union-attr]
        pause = "" if what.endswith("?") else ";"
        self.add(file, int((begins and begins[1]) or line or 1), f"{what}{pause} {fate}")

    def close(self) -> None:
        """Log how many problems were not shown."""
        if self._places > self._shown:
            logger.warning("and %s more problems of this kind", f"{self._places - self._shown:,}")


class Lines:
    r"""The numbered lines of a file, a string or a stream, without their ends ("\n", "\r\n", "\r").

    Args:
        source: a ``Path`` names a file, a ``str`` is text, an open binary stream (such as ``sys.stdin.buffer``) is read
            as its data arrives.
        encoding: the encoding of the bytes.
        problems: collects the lines with invalid bytes, which are replaced with U+FFFD. If None, such a line is an
            error.
        name: the name of the source in messages; by default the file's name, "text" or "standard input".
        block_size: the maximum number of bytes to read at a time.

    Raises:
        DataError: there is no such file, or (while reading) a line is not in this encoding or has more than
            `LONGEST_LINE` characters.

    Example:
        >>> lines = Lines("one\r\ntwo\n\nfour")
        >>> [(lines.number, line) for line in lines]
        [(1, 'one'), (2, 'two'), (3, ''), (4, 'four')]
    """

    def __init__(
        self,
        source: Path | str | IO[bytes],
        encoding: str = "utf-8",
        problems: Problems | None = None,
        name: str | None = None,
        block_size: int = 1 << 20,
    ) -> None:
        self.source = source
        self.encoding = encoding
        self.problems = problems
        known = str(source) if isinstance(source, Path) else "text" if isinstance(source, str) else "standard input"
        self.name = name or known
        self.block_size = block_size
        self._stream: Iterator[str] | None = None  # of a stream that was peeked at: the blocks that follow
        self._begun = ""
        self.number = 0
        """The number of the last line yielded."""
        self.is_waiting = False
        """Whether no further line is available yet, so that reading the next one may block."""
        if isinstance(source, Path) and not is_folder(source):  # a folder is an error when its lines are read
            open_file(source).close()

    def __iter__(self) -> Iterator[str]:
        """Yield the lines."""
        self.number = 0
        rest: list[str] = []  # the parts of a line that has not ended yet
        length = 0
        for block in self._blocks():
            *lines, last = block.split("\n")
            for index, line in enumerate(lines, start=1):
                self.is_waiting = index == len(lines)
                yield self._count("".join([*rest, line]) if rest else line)
                rest, length = [], 0
            if last:
                rest.append(last)
                length += len(last)
                self._check_length(length)
        if rest:
            self.is_waiting = True
            yield self._count("".join(rest))

    def read_all(self) -> str:
        r"""Return everything as one string, with "\n" at the end of each line."""
        return "".join(self._blocks())

    def peek(self) -> str:
        """Return the beginning, for detecting the format: a block or, of a stream, its first lines.

        Of a stream, this waits for the end of the first line that is not blank; iteration still starts at the first
        line.
        """
        if isinstance(self.source, Path | str):
            return next((block for block in self._blocks() if block.strip()), "")
        while self._stream is None or "\n" not in self._begun.lstrip("\n"):
            self._stream = self._stream or self._decode()
            block = next(self._stream, None)
            if block is None:
                break
            self._begun += block
            self._check_length(len(self._begun.lstrip("\n").partition("\n")[0]))
        return self._begun

    def _count(self, line: str) -> str:
        self._check_length(len(line))
        self.number += 1
        if self.problems is not None and "\ufffd" in line:
            self.problems.add(self.name, self.number, f"not valid {self.encoding}; bad bytes are replaced with U+FFFD")
        return line

    def _check_length(self, length: int) -> None:
        if length > LONGEST_LINE:
            raise DataError(
                f"{self.name}:{self.number + 1}: the line is longer than the limit of {LONGEST_LINE:,} characters; "
                "is it text? If so, break the line"
            )

    def _blocks(self) -> Iterator[str]:
        if self._stream is None:
            yield from self._decode()
        else:
            yield self._begun
            yield from self._stream

    def _decode(self) -> Iterator[str]:
        errors = "strict" if self.problems is None else "replace"
        return text_blocks(self.source, self.encoding, self.name, self.block_size, errors=errors, by_line=True)


def group_available(records: Iterable[Record], lines: Lines, most: int) -> Iterator[list[Record]]:
    r"""Group records that are read from ``lines``: up to ``most``, but only as many as are available without waiting.

    So a long file is processed in large groups, and input from a pipe is answered at once.

    Example:
        >>> lines = Lines("a\nb\nc\n")
        >>> list(group_available(lines, lines, most=2))
        [['a', 'b'], ['c']]
    """
    group: list[Record] = []
    for record in records:
        group.append(record)
        if len(group) >= most or lines.is_waiting:
            yield group
            group = []
    if group:
        yield group
