r"""Line after line of a file, a text or a stream that may never end, and what was wrong with some of them.

Path | str | stream ──text_blocks──▶ lines, numbered ──a reader of some format──▶ records
                                                            └──▶ Problems: told, counted, gone on from
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
        self._places = 0
        self._shown = shown

    def add(self, name: str, line: int, what: str, count: int = 1) -> None:
        """Note what is wrong in a line of a file, or with so many things, and what becomes of it."""
        self.count += count
        self._places += 1
        message = f"{name}:{line}: {what}"
        self.first = self.first or message
        if self._places <= self._shown:
            logger.warning("%s", message)

    def add_error(self, name: str, error: DataError, fate: str = "it is left out") -> None:
        """Note why a file, or what begins in some line of it, cannot be used, and what becomes of it.

        Args:
            name: how the error's message begins: the file's name, or that with the line.
            error: the error.
            fate: what becomes of it.

        Example:
            >>> problems = Problems(shown=0)
            >>> problems.add_error("a.mid", DataError("a.mid: has no notes"))
            >>> problems.first
            'a.mid:1: has no notes; it is left out'
        """
        said = str(error)
        begins = re.match(rf"{re.escape(name)}(?::([0-9]+))?: ", said)
        what = said[begins.end() :] if begins else said
        file, line = re.fullmatch(r"(.*?)(?::([0-9]+))?", name, re.DOTALL).groups()  # type: ignore[union-attr]
        pause = "" if what.endswith("?") else ";"
        self.add(file, int((begins and begins[1]) or line or 1), f"{what}{pause} {fate}")

    def close(self) -> None:
        """Tell how many there were beyond those told in full."""
        if self._places > self._shown:
            logger.warning("and %s more such places", f"{self._places - self._shown:,}")


class Lines:
    r"""The lines of a file, a text or a stream, one by one, without their ends ("\n", "\r\n", "\r"); each is numbered.

    Args:
        source: a ``Path`` names a file, a ``str`` is text, an open binary stream (such as ``sys.stdin.buffer``) is read
            as it comes.
        encoding: how the bytes are encoded.
        problems: who is told of a line that is not in this encoding; it is read with U+FFFD in place of what is wrong.
            Where not given, such a line is an error.
        name: what to call the source in messages; the file's name, "text" or "standard input" where not given.
        block_size: bytes to read at a time, at most.

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
        self._stream: Iterator[str] | None = None  # of a stream whose beginning was looked at: what follows it
        self._begun = ""
        self.number = 0
        """The number of the line handed out last."""
        self.is_waiting = False
        """Whether no further line is at hand: to ask for one may mean to wait for it."""
        if isinstance(source, Path) and not is_folder(source):  # of a folder, who reads lines hears it then
            open_file(source).close()

    def __iter__(self) -> Iterator[str]:
        """Yield the lines."""
        self.number = 0
        rest: list[str] = []  # what there is of a line that has not ended yet
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
        r"""Return all of it as one text, its lines ended by "\n"."""
        return "".join(self._blocks())

    def peek(self) -> str:
        """Return what it begins with, so that its format can be found out: a block or, of a stream, its first lines.

        A stream is waited for until its first line that is not blank has ended, and then read from its beginning all
        the same.
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
            self.problems.add(self.name, self.number, f"not all of it is {self.encoding}; U+FFFD stands for the rest")
        return line

    def _check_length(self, length: int) -> None:
        if length > LONGEST_LINE:
            raise DataError(
                f"{self.name}:{self.number + 1}: the line is longer than {LONGEST_LINE:,} characters, the most that a "
                "line may have; is it text? If so, break the line"
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
    r"""Group what is read from ``lines``: up to ``most`` records, and no more than are there without waiting.

    So a long file is worked off in large pieces, and what comes through a pipe is answered at once.

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
