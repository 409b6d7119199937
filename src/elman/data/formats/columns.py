"""Columns, as in CoNLL-2002, CoNLL-2003 and their like: a line a word, one column its tag."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import count, dropwhile
from pathlib import Path

from elman.data.formats.sentences import SHOWN, Block, check_sentence, count_columns, format_block, read_blocks
from elman.data.lines import Lines, Problems
from elman.data.records import Problem, Sentence, TaggedSentence
from elman.errors import UsageError

logger = logging.getLogger(__name__)


class Columns:
    r"""CoNLL-2002, CoNLL-2003 and their like: a line a word, columns parted by tabs or blanks, a blank line after each.

    A line that begins with ``-DOCSTART-`` is no word. A ``#`` is a word like any other, and ``#topic`` too; but before
    the first word of a sentence a line that begins with it is a comment where it has other columns than the words have,
    or a tag that no word has (a line that begins with ``#topic`` only where the words stand further to the right).

    Args:
        words: the column of the words, from 0.
        tags: the column of the tags, from 0, or from the end with -1; "_" is no tag.

    Raises:
        UsageError: the words' column is counted from the end, or is also the tags'.

    Example:
        >>> sentence = next(Columns().read(Lines("EU\tB-ORG\nrejects\tO\n"), Problems(), tagged=True))
        >>> sentence.words, sentence.tags, Columns().format_tagged(sentence, ["O", "O"])
        (['EU', 'rejects'], ['B-ORG', 'O'], 'EU\tO\nrejects\tO\n\n')
    """

    name = "columns"
    copies = True  # what it reads, it writes as it came but for the tags

    def __init__(self, words: int = 0, tags: int = -1) -> None:
        if words < 0:
            raise UsageError(f"`word_column` {words}: count the words' column from the first, which is 0")
        if tags == words:
            raise UsageError(
                f"column {tags} holds the words; name the tags' with `column`, or the words' with `word_column`"
            )
        self.words = words
        self._tags = tags

    def read(self, lines: Lines, problems: Problems, *, tagged: bool = False) -> Iterator[Sentence | Problem]:
        """Yield the sentences; see :class:`SentenceFormat`."""
        known = _CommentDetector(self, lines)
        longest, counted = 0, True  # whether each word is its place in the sentence
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
            logger.warning(
                "%s: column %s counts the words of each sentence; name the column that holds them: `word_column` %s",
                *(lines.name, self.words, self.words + 1),
            )

    def write(self, records: Iterable[TaggedSentence | Problem]) -> Iterator[str]:
        """Write sentences with their tags; see :class:`SentenceFormat`."""
        for record in records:
            yield record.text if isinstance(record, Problem) else self.format_tagged(record.sentence, record.tags)

    def format_tagged(self, sentence: Sentence, tags: list[str]) -> str:
        """Write a sentence with these tags. A line without a column for the tag gets one."""
        if sentence.format != self.name:
            written = list(map(self.row, sentence.words, tags))
            return format_block(written) if written else ""
        written = list(sentence.lines)
        for row, tag in zip(sentence.rows, tags, strict=True):
            written[row] = self._replace_tag(written[row], tag)
        return format_block(written, sentence.closing)

    def row(self, word: str, tag: str) -> str:
        """Return the line of a word that came in another format: as few columns as hold both where they belong."""
        width = next(width for width in count(self.words + 1) if self.place(width) >= 0)
        cells = ["_"] * width
        cells[self.words], cells[self.place(width)] = word, tag
        return "\t".join(cells)

    def _replace_tag(self, line: str, tag: str) -> str:
        has_tabs = "\t" in line
        parts = re.split("(\t)" if has_tabs else "( +)", line)  # cells at 0, 2, 4 ..., what parts them between
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
        """Split a line at its tabs or, where it has none, at its blanks."""
        return line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]

    def place(self, width: int) -> int:
        """Return which of so many columns the tag is in; -1 if none is left for it."""
        place = self._tags if self._tags >= 0 else width + self._tags
        return place if place < width and place != self.words else -1


class _CommentDetector:
    """What is known of the words of a file in columns: how many columns they have, and their tags.

    Only what cannot be taken for a comment counts. A file, or a text, is read once more to find out, and only where it
    has lines that may be comments; of a stream no more is known than the sentence at hand.
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
        """Tell whether a line that begins with # is a comment; no word of its sentence stands before it."""
        widths, tags = self._widths_and_tags
        allowed = {width for width, _ in widths.most_common(1)} | {len(some) for some in self._split_words(block)}
        place = self._columns.place(len(cells))
        if not allowed or len(cells) not in allowed:
            return bool(allowed)
        may_be_word = not tags or place < 0 or cells[place].strip() in tags
        return not may_be_word and (cells[0] == "#" or self._columns.words > 0)  # a tweet may begin with a rare #topic

    def _split_words(self, block: Block) -> Iterator[list[str]]:
        """Yield the cells of the lines of a sentence from the first on that is no comment for certain."""
        lines = dropwhile(lambda line: line.startswith(("#", "-DOCSTART-")), block.lines)
        return map(self._columns.cells, lines)
