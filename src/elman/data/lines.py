r"""Line after line of a file, a text or a stream that may never end, and what was wrong with some of them.

Path | str | stream ──blocks, decoded──▶ lines, numbered ──a reader of some format──▶ records
                                                                └──▶ Problems: told, counted, gone on from
"""

from __future__ import annotations

import codecs
import io
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TypeVar

from elman.data.text import open_file, other_encoding
from elman.errors import DataError

Record = TypeVar("Record")

logger = logging.getLogger(__name__)


class Problems:
    """Places in the user's data that had to be left out: the first few are told in full, all are counted.

    Args:
        shown: how many to tell in full.

    Example:
        >>> problems = Problems(shown=0)
        >>> problems.add("train.conllu", 17, "9 columns where CoNLL-U has 10; the sentence is left out")
        >>> problems.count, problems.first
        (1, 'train.conllu:17: 9 columns where CoNLL-U has 10; the sentence is left out')
    """

    def __init__(self, shown: int = 5) -> None:
        self.count = 0
        self.first = ""
        self._shown = shown

    def add(self, name: str, line: int, what: str) -> None:
        """Note what is wrong in a line of a file, and what becomes of it."""
        self.count += 1
        message = f"{name}:{line}: {what}"
        self.first = self.first or message
        if self.count <= self._shown:
            logger.warning("%s", message)

    def close(self) -> None:
        """Tell how many there were beyond those told in full."""
        if self.count > self._shown:
            logger.warning("and %s more such places", f"{self.count - self._shown:,}")


class Lines:
    r"""The lines of a file, a text or a stream, one by one, without their ends ("\n", "\r\n"); each can be numbered.

    Args:
        source: a ``Path`` names a file, a ``str`` is text, an open binary stream (such as ``sys.stdin.buffer``) is read
            as it comes.
        encoding: how the bytes are encoded.
        problems: who is told of a line that is not in this encoding; it is read with U+FFFD in place of what is wrong.
            Where not given, such a line is an error.
        name: what to call the source in messages; the file's name, "text" or "standard input" where not given.
        block_size: bytes to read at a time, at most.

    Raises:
        DataError: there is no such file, or (while reading) a line is not in this encoding.

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
        self.number = 0
        """The number of the line handed out last."""
        self.is_waiting = False
        """Whether no further line is at hand: to ask for one may mean to wait for it."""
        if isinstance(source, Path) and not source.is_dir():  # of a folder, who reads lines hears it then
            open_file(source).close()

    def __iter__(self) -> Iterator[str]:
        """Yield the lines."""
        self.number = 0
        rest = ""
        for block in self._blocks():
            *lines, rest = (rest + block).split("\n")
            for index, line in enumerate(lines, start=1):
                self.is_waiting = index == len(lines)
                yield self._counted(line)
        if rest:
            self.is_waiting = True
            yield self._counted(rest)

    def _counted(self, line: str) -> str:
        self.number += 1
        if self.problems is not None and "\ufffd" in line:
            self.problems.add(self.name, self.number, f"not all of it is {self.encoding}; U+FFFD stands for the rest")
        return line.removesuffix("\r")

    def _blocks(self) -> Iterator[str]:
        """Yield the source decoded, in pieces of any length, as soon as they are there."""
        if isinstance(self.source, str):
            yield self.source.removeprefix("\ufeff")
            return
        is_path = isinstance(self.source, Path)
        stream = open_file(self.source) if isinstance(self.source, Path) else self.source
        decoder = codecs.getincrementaldecoder(self.encoding)("strict" if self.problems is None else "replace")
        read = stream.read1 if isinstance(stream, io.BufferedReader) else stream.read
        number, is_first = 1, True
        try:
            while True:
                raw = read(self.block_size)
                try:
                    block = decoder.decode(raw, final=not raw)
                except UnicodeDecodeError as error:
                    line = number + error.object[: error.start].count(b"\n")
                    other = other_encoding(self.source, self.encoding) if isinstance(self.source, Path) else "latin-1"
                    raise DataError(
                        f"{self.name}:{line}: not valid {self.encoding}; it may be {other}: try --encoding {other}"
                    ) from None
                number += block.count("\n")
                if block and is_first:
                    block, is_first = block.removeprefix("\ufeff"), False
                yield block
                if not raw:
                    return
        finally:
            if is_path:
                stream.close()


def arrived(records: Iterable[Record], lines: Lines, most: int) -> Iterator[list[Record]]:
    r"""Group what is read from ``lines``: up to ``most`` records, and no more than are there without waiting.

    So a long file is worked off in large pieces, and what comes through a pipe is answered at once.

    Example:
        >>> lines = Lines("a\nb\nc\n")
        >>> list(arrived(lines, lines, most=2))
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
