"""Reading running text in pieces, and writing its tokens with their surprisals, separated by tabs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from elman.data.lines import Lines, Problems
from elman.data.records import Passage, Problem, Surprisals
from elman.data.text import Text
from elman.errors import DataError

_TOGETHER = 1 << 16  # characters of a stream that make a piece, if so many are available
_MOST_HELD = 16 << 20  # characters without a place to cut; after that, the text is cut anywhere
_LAST_BORDER = re.compile(r".*\S(?=[ \t\n])", re.DOTALL)  # the match ends at the last place to cut


class Passages:
    r"""Running text, in pieces that give the same tokens as the whole text.

    Args:
        by_line: whether lines are independent sequences.
        level: the level of the tokens, "char", "word", "space" or "bpe". A stream is yielded line by line as it
            arrives; with byte pairs, the whitespace at the end of a line is held back, because its run may continue.

    Example:
        >>> [passage.text for passage in Passages().read(Lines("one two\n"), Problems())]
        ['one two\n']
    """

    titles = ("token", "surprisal")

    def __init__(self, by_line: bool = False, level: str = "char") -> None:
        self._by_line = by_line
        self._holds_blanks = level == "bpe" and not by_line

    def read(self, lines: Lines, problems: Problems) -> Iterator[Passage]:
        """Yield the pieces.

        Raises:
            DataError: the text is empty or cannot be read.
        """
        if isinstance(lines.source, Path | str):
            for chunk in Text(lines.source, lines.encoding).chunks(keep_lines=self._by_line):
                yield Passage(chunk, more=True)
            return
        pending: list[str] = []
        length, is_empty = 0, True
        for line in lines:
            is_empty = False
            pending.append(f"{line}\n")
            length += len(line) + 1
            if length < _TOGETHER and not lines.is_waiting:
                continue
            text = "".join(pending)
            cut = length
            if self._holds_blanks and length < _MOST_HELD:
                border = _LAST_BORDER.match(text)
                cut = border.end() if border else 0
            if cut:
                yield Passage(text[:cut], more=not lines.is_waiting)
            pending, length = [text[cut:]], length - cut
        if length:
            yield Passage("".join(pending), more=False)
        if is_empty:
            raise DataError(f"{lines.name}: is empty; give a text")

    def write(self, records: Iterable[Surprisals | Problem]) -> Iterator[str]:
        """Write a header and one line for each token; NA for a first token, which has no surprisal."""
        return write_surprisals(records, self.titles)


def write_surprisals(records: Iterable[Surprisals | Problem], titles: tuple[str, str]) -> Iterator[str]:
    """Write a header and one line for each token; nothing for an unreadable input."""
    head = "\t".join(titles) + "\n"
    for record in records:
        if isinstance(record, Problem) or not record.tokens:
            continue
        yield head + "".join(
            f"{_escape(token)}\t{'NA' if nats is None else f'{nats:.6f}'}\n"
            for token, nats in zip(record.tokens, record.nats, strict=True)
        )
        head = ""


def _escape(token: str) -> str:
    return token.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
