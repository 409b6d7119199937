"""CoNLL-U: ten columns separated by tabs, of which one holds the tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from elman.data.formats.resemblance import LEAST_ROWS
from elman.data.formats.sentences import SHOWN, check_sentence, count_columns, format_block, read_blocks
from elman.data.lines import Lines, Problems
from elman.data.records import Problem, Sentence, TaggedSentence
from elman.errors import DataError, UsageError, suggest

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")

_NO_WORD = re.compile(r"[0-9]+[-.][0-9]+")  # the ID of a multiword token (3-4) or of an empty node (5.1)
_MAY_BE_EMPTY = ("form", "lemma", "xpos", "feats", "misc")
_CHECKED = 200  # lines at the beginning of a file


class Conllu:
    r"""CoNLL-U: one line for each word, ten columns separated by tabs.

    Multiword tokens (3-4) and empty nodes (5.1) are not words.

    Source: https://universaldependencies.org/format.html

    Args:
        column: the column of the tags. "_" is not a tag, except in feats, xpos and misc, where it means "none", and in
            form and lemma, where it may be the underscore itself.

    Raises:
        UsageError: there is no such column.

    Example:
        >>> lines = Lines("# a comment\n1\tTeddy\t_\tPROPN\t_\t_\t_\t_\t_\t_\n\n")
        >>> sentence = next(Conllu().read(lines, Problems(), tagged=True))
        >>> sentence.words, sentence.tags, Conllu().format_tagged(sentence, ["NOUN"]).split()[4:7]
        (['Teddy'], ['PROPN'], ['Teddy', '_', 'NOUN'])
    """

    name = "conllu"
    copies = True  # it writes what it reads unchanged, except for the tags

    def __init__(self, column: str = "upos") -> None:
        if column not in CONLLU_COLUMNS:
            listed = ", ".join(CONLLU_COLUMNS)
            meant = suggest(column, CONLLU_COLUMNS) or ";"
            raise UsageError(f"`column` {column}: CoNLL-U has no such column{meant} it has {listed}")
        self._column = CONLLU_COLUMNS.index(column)
        self._may_be_empty = column in _MAY_BE_EMPTY

    def read(self, lines: Lines, problems: Problems, *, tagged: bool = False) -> Iterator[Sentence | Problem]:
        """Yield the sentences; see :class:`SentenceFormat`.

        Raises:
            DataError: tags are requested, but the file has other columns than CoNLL-U.
        """
        if tagged:
            self._check_columns(lines)
        for block in read_blocks(lines):
            words: list[str] = []
            tags: list[str] = []
            rows: list[int] = []
            problem, place = "", 0
            for place, line in enumerate(block.lines):
                if line.startswith("#"):
                    continue
                cells = line.split("\t")
                if len(cells) != 10:
                    problem = f"{count_columns(cells)} where CoNLL-U has 10; is the file cut off?"
                elif cells[0] != str(len(words) + 1):
                    if _NO_WORD.fullmatch(cells[0]):
                        continue
                    problem = f"the ID is {cells[0][:SHOWN]!r}, expected {len(words) + 1}"
                elif not cells[1]:
                    problem = "the word is empty"
                elif tagged and cells[self._column].strip() in (("",) if self._may_be_empty else ("", "_")):
                    problem = f"the word {cells[1][:SHOWN]!r} has no tag in column {CONLLU_COLUMNS[self._column]}"
                if problem:
                    break
                words.append(cells[1])
                tags.append(cells[self._column].strip())
                rows.append(place)
            sentence = Sentence(
                words, tags if tagged else None, block.first, block.lines, rows, self.name, block.closing
            )
            yield from check_sentence(block, sentence, place, problem, lines.name, problems)

    @staticmethod
    def _check_columns(lines: Lines) -> None:
        """Raise DataError if no word at the beginning of the lines has the columns of CoNLL-U."""
        rows = [row for row in lines.peek().splitlines()[:_CHECKED] if row.strip() and not row.startswith("#")]
        if len(rows) < LEAST_ROWS or any(row.count("\t") == 9 for row in rows):
            return
        width = len(rows[0].split("\t") if "\t" in rows[0] else rows[0].split())
        raise DataError(
            f"{lines.name}: has {width} column{'s' * (width != 1)}, but CoNLL-U has 10; if it has a word on "
            f"each line, give the number of the tags' column, such as `column` {max(width - 1, 1)}"
        )

    def write(self, records: Iterable[TaggedSentence | Problem]) -> Iterator[str]:
        """Write sentences with their tags; see :class:`SentenceFormat`."""
        for record in records:
            yield record.text if isinstance(record, Problem) else self.format_tagged(record.sentence, record.tags)

    def format_tagged(self, sentence: Sentence, tags: list[str]) -> str:
        """Write a sentence with these tags."""
        if sentence.format == self.name:
            written = list(sentence.lines)
            rows: Sequence[int] = sentence.rows
        else:
            written = [
                "\t".join([str(number), word, *"________"]) for number, word in enumerate(sentence.words, start=1)
            ]
            rows = range(len(written))
        for row, tag in zip(rows, tags, strict=True):
            cells = written[row].split("\t")
            cells[self._column] = tag
            written[row] = "\t".join(cells)
        return format_block(written, sentence.closing) if written or sentence.format == self.name else ""
