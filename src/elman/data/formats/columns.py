"""Columns, as in CoNLL-2002, CoNLL-2003 and similar: one line for each word, with its tag in one column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import count, dropwhile
from pathlib import Path

from elman.data.formats.sentences import SHOWN, Block, check_sentence, count_columns, format_block, read_blocks
from elman.data.lines import Lines, Problems
from elman.data.records import Problem, Sentence, TaggedSentence
from elman.errors import DataError, UsageError


class Columns:
    r"""CoNLL-2002, CoNLL-2003 and similar: one line for each word, columns separated by tabs or spaces.

    A blank line ends a sentence. A line that begins with ``-DOCSTART-`` is skipped. ``#`` and ``#topic`` are ordinary
    words; but before the first word of a sentence, a line that begins with ``#`` is a comment if its number of columns
    differs from that of the words, or if no word has its tag (a line that begins with ``#topic`` only if the words are
    not in the first column).

    Args:
        words: the column of the words, from 0.
        tags: the column of the tags, from 0, or from the end with -1; "_" is not a tag.

    Raises:
        UsageError: the column of the words is negative, or the same as that of the tags.

    Example:
        >>> sentence = next(Columns().read(Lines("EU\tB-ORG\nrejects\tO\n"), Problems(), tagged=True))
        >>> sentence.words, sentence.tags, Columns().format_tagged(sentence, ["O", "O"])
        (['EU', 'rejects'], ['B-ORG', 'O'], 'EU\tO\nrejects\tO\n\n')
    """

    name = "columns"
    copies = True  # it writes what it reads unchanged, except for the tags

    def __init__(self, words: int = 0, tags: int = -1) -> None:
        if words < 0:
            raise UsageError(f"`word_column` {words}: count the column of the words from the first one, which is 0")
        if tags == words:
            raise UsageError(
                f"column {tags} holds the words; name the tags' column with `column`, or the words' with `word_column`"
            )
        self.words = words
        self._tags = tags

    def read(self, lines: Lines, problems: Problems, *, tagged: bool = False) -> Iterator[Sentence | Problem]:
        """Yield the sentences; see :class:`SentenceFormat`.

        Raises:
            DataError: the column of the words holds their numbers instead, as in GermEval.
        """
        known = _CommentDetector(self, lines)
        longest, counted = 0, True  # whether each word is its number in the sentence
        for block in read_blocks(lines):
            words: list[str] = []
            tags: list[str] = []
            rows: list[int] = []
            problem, place, width = "", 0, 0
            for place, line in enumerate(block.lines):
                cells = self.cells(line)
                if line.startswith("-DOCSTART-") or (line[0] == "#" and not words and known.is_comment(cells, block)):
                    continue
                width = width or len(cells)
                tag = self.place(len(cells)) if tagged else 0
                if len(cells) <= self.words or tag < 0:
                    tags_too = f" and the tags in {self._tags}" if tagged else ""
                    problem = (
                        f"{count_columns(cells)} where the words are in column {self.words}{tags_too}, counted from 0"
                    )
                elif tagged and len(cells) != width:
                    problem = f"{count_columns(cells)} where the sentence's first line has {width}"
                elif not cells[self.words]:
                    problem = "the word is empty"
                elif tagged and cells[tag].strip() in ("", "_"):
                    problem = f"the word {cells[self.words][:SHOWN]!r} has no tag"
                if problem:
                    break
                words.append(cells[self.words])
                tags.append(cells[tag].strip())
                rows.append(place)
            sentence = Sentence(
                words, tags if tagged else None, block.first, block.lines, rows, self.name, block.closing
            )
            longest = max(longest, len(words))
            counted = counted and words == [str(number) for number in range(1, len(words) + 1)]
            yield from check_sentence(block, sentence, place, problem, lines.name, problems)
        if tagged and counted and longest > 1:
            raise DataError(
                f"{lines.name}: column {self.words} holds the numbers of the words, not the words; give the column of "
                f"the words, such as `word_column` {self.words + 1}"
            )

    def write(self, records: Iterable[TaggedSentence | Problem]) -> Iterator[str]:
        """Write sentences with their tags; see :class:`SentenceFormat`."""
        for record in records:
            yield record.text if isinstance(record, Problem) else self.format_tagged(record.sentence, record.tags)

    def format_tagged(self, sentence: Sentence, tags: list[str]) -> str:
        """Write a sentence with these tags; a line without a column for the tag gets one."""
        if sentence.format != self.name:
            written = list(map(self.row, sentence.words, tags))
            return format_block(written) if written else ""
        written = list(sentence.lines)
        for row, tag in zip(sentence.rows, tags, strict=True):
            written[row] = self._replace_tag(written[row], tag)
        return format_block(written, sentence.closing)

    def row(self, word: str, tag: str) -> str:
        """Return the line of a word from another format, with as few columns as the word and the tag need."""
        width = next(width for width in count(self.words + 1) if self.place(width) >= 0)
        cells = ["_"] * width
        cells[self.words], cells[self.place(width)] = word, tag
        return "\t".join(cells)

    def _replace_tag(self, line: str, tag: str) -> str:
        has_tabs = "\t" in line
        parts = re.split("(\t)" if has_tabs else "( +)", line)  # cells at 0, 2, 4, ..., with their separators between
        cells = [part for part in range(0, len(parts), 2) if parts[part] or has_tabs]
        place = self.place(len(cells))
        if place >= 0:
            parts[cells[place]] = tag
            return "".join(parts)
        separator = " " if " " in line and not has_tabs else "\t"
        added = ["_"] * (self._tags - len(cells)) + [tag] + ["_"] * (-self._tags - 1)
        return separator.join([line.rstrip(" "), *added])

    @staticmethod
    def cells(line: str) -> list[str]:
        """Split a line at its tabs or, if it has none, at its spaces."""
        return line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]

    def place(self, width: int) -> int:
        """Return the index of the tag among ``width`` columns; -1 if there is no column for it."""
        place = self._tags if self._tags >= 0 else width + self._tags
        return place if place < width and place != self.words else -1


class _CommentDetector:
    """Decides which lines are comments, by the numbers of columns and the tags of the words in a file.

    Only lines that cannot be comments count as words. A file or a string is read a second time for this, but only if it
    has lines that may be comments; of a stream only the current sentence is known.
    """

    def __init__(self, columns: Columns, lines: Lines) -> None:
        self._columns = columns
        self._lines = lines

    @cached_property
    def _widths_and_tags(self) -> tuple[Counter[int], set[str]]:
        widths: Counter[int] = Counter()
        tags: set[str] = set()
        if isinstance(self._lines.source, Path | str):
            for block in read_blocks(Lines(self._lines.source, self._lines.encoding, Problems(shown=0))):
                for cells in self._split_words(block):
                    place = self._columns.place(len(cells))
                    widths[len(cells)] += 1
                    tags.update([cells[place].strip()] if place >= 0 else [])
        return widths, tags

    def is_comment(self, cells: Sequence[str], block: Block) -> bool:
        """Tell whether a line that begins with # is a comment; it comes before the words of its sentence."""
        widths, tags = self._widths_and_tags
        allowed = {width for width, _ in widths.most_common(1)} | {len(some) for some in self._split_words(block)}
        place = self._columns.place(len(cells))
        if not allowed or len(cells) not in allowed:
            return bool(allowed)
        may_be_word = not tags or place < 0 or cells[place].strip() in tags
        return not may_be_word and (cells[0] == "#" or self._columns.words > 0)  # a tweet may begin with a rare #topic

    def _split_words(self, block: Block) -> Iterator[list[str]]:
        """Yield the cells of each line of a sentence, from the first line that cannot be a comment."""
        lines = dropwhile(lambda line: line.startswith(("#", "-DOCSTART-")), block.lines)
        return map(self._columns.cells, lines)
