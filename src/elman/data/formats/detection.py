"""Detecting the format of a file or a string, by the file's ending and its first lines."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from elman.data.formats.columns import Columns
from elman.data.formats.conllu import Conllu
from elman.data.formats.delimited import ENDINGS, Delimited, column_number, detect_separator
from elman.data.formats.examples import SOURCE_AND_TARGET, TEXT_AND_LABEL
from elman.data.formats.json_lines import JsonLines
from elman.data.formats.resemblance import describe_other_format
from elman.data.formats.text_lines import TextLines
from elman.data.lines import Lines, Problems
from elman.errors import DataError, UsageError

NUMBERS = (".npz", ".npy", ".ts", ".arff")
MOST_LINES, MOST_ROWS = 1000, 200  # how much of a file is read to detect its format

_JSON = (".jsonl", ".ndjson", ".json")
_JSON_BEGINS = re.compile(r"\s*(?:\[\s*)?(?:\{|$)")  # an object, or an array of objects, which the reader refuses


def detect_sentence_format(
    source: Path | str, column: str | None = None, words: int = 0, encoding: str = "utf-8"
) -> Conllu | Columns:
    r"""Detect the format of tagged sentences.

    Args:
        source: a ``Path`` names a file, a ``str`` is its text.
        column: the column of the tags: a name of CoNLL-U's, or a number. By default upos in CoNLL-U, and the last
            column in other formats.
        words: the column of the words, in formats other than CoNLL-U.
        encoding: the encoding of the file.

    Raises:
        UsageError: CoNLL-U has no such column, or the column of the tags is also that of the words.
        DataError: it looks like prose, a table or JSON.

    Example:
        >>> detect_sentence_format("EU B-ORG\n").name, detect_sentence_format("1\tEU" + "\t_" * 8 + "\n").name
        ('columns', 'conllu')
    """
    number = None if column is None else column_number(column)
    if column is not None and number is None:
        return Conllu(column)
    if column is None and isinstance(source, Path) and source.suffix == ".conllu":
        return Conllu()
    lines = Lines(source, encoding, Problems(shown=0))
    rows = list(islice(filter(_is_row, islice(lines, MOST_LINES)), MOST_ROWS))
    cells = rows[0].split("\t") if rows else []
    if column is None and len(cells) == 10 and re.fullmatch("[0-9]+([-.][0-9]+)?", cells[0]):
        return Conllu()
    if found := describe_other_format(rows):
        raise DataError(
            f"{lines.name}: it looks like {found}, but a tagger reads CoNLL-U, or a word and its tag on each line; to "
            "tag plain text with a sentence on each line, give `input_format` text"
        )
    return Columns(words) if number is None else Columns(words, number)


def _is_row(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("#", "-DOCSTART-"))


def detect_example_format(
    source: Path | str,
    text: str,
    label: str,
    header: bool,
    nouns: tuple[str, str] = TEXT_AND_LABEL,
    encoding: str = "utf-8",
) -> Delimited | JsonLines | TextLines:
    r"""Detect the format of labelled texts, by the file's ending and its first records.

    Args:
        source: a ``Path`` names a file, a ``str`` is its text.
        text: the column of the text.
        label: the column of the label.
        header: whether the first record names the columns.
        nouns: the names of the two parts of a record in messages.
        encoding: the encoding of the file.

    Example:
        >>> type(detect_example_format('{"text": "so, so"}', "text", "label", True)).__name__
        'JsonLines'
        >>> detect_example_format("text;label\nso, so;bad\n", "text", "label", True).delimiter
        ';'
    """
    suffix = source.suffix.lower() if isinstance(source, Path) else ""
    if suffix in NUMBERS:
        remedy = "train with `level` numbers" if nouns == TEXT_AND_LABEL else "give a table or plain text"
        raise UsageError(f"{source}: contains sequences of numbers, but the model reads texts; {remedy}")
    if suffix == ".txt":
        return TextLines()
    if suffix in _JSON:
        return JsonLines(text, label, nouns)
    lines = Lines(source, encoding, Problems(shown=0))
    if suffix not in ENDINGS and _JSON_BEGINS.match(lines.peek().lstrip("\n").partition("\n")[0]):
        return JsonLines(text, label, nouns)
    separator, spaced = detect_separator(lines, (text, label), header=header)
    return Delimited(separator, text, label, header=header, spaced=spaced, nouns=nouns)


def detect_pair_format(
    source: Path | str, columns: tuple[str, str], header: bool, encoding: str = "utf-8"
) -> Delimited | JsonLines | TextLines:
    r"""Detect the format of pairs in a single file.

    A TSV (or a ``.txt`` with tabs) with two columns whose first line does not name them has no header: each line is a
    source, a tab and a target.

    Args:
        source: a ``Path`` names a file, a ``str`` is its text.
        columns: the columns of the source and the target.
        header: whether the first record names the columns.
        encoding: the encoding of the file.

    Raises:
        DataError: a TSV with more columns does not name these, or the file is plain text, only one side of the pairs.

    Example:
        >>> table = detect_pair_format("a cat\teine Katze\n", ("source", "target"), header=True)
        >>> next(table.read(Lines("a cat\teine Katze\n"), Problems(), labelled=True)).label
        'eine Katze'
    """
    lines = Lines(source, encoding, Problems(shown=0))
    found = detect_example_format(source, *columns, header, SOURCE_AND_TARGET, encoding)
    if isinstance(found, TextLines) and "\t" in lines.peek().lstrip("\n").partition("\n")[0]:  # a .txt
        found = Delimited("\t", *columns, header=header, nouns=SOURCE_AND_TARGET)
    one_side = (
        f"{lines.name}: is plain text, only one side of the pairs: give two files, SOURCES TARGETS, or a table whose "
        "first line names source and target"
    )
    if isinstance(found, TextLines) and lines.peek().strip():
        raise DataError(one_side)
    if header and columns == SOURCE_AND_TARGET and isinstance(found, Delimited):
        first = next((cells for _, cells, _ in found.records(Lines(lines.peek()))), [])
        named = set(columns) & {cell.strip() for cell in first}
        is_table = isinstance(source, str) or source.suffix.lower() in ENDINGS or found.delimiter == "\t"
        if first and not named and not is_table:
            raise DataError(one_side)
        if len(first) == 2 and not named and found.delimiter == "\t":
            return Delimited("\t", "0", "1", header=False, nouns=SOURCE_AND_TARGET)
        if len(first) > 2 and not named:
            raise DataError(
                f"{lines.name}: has {len(first)} columns, but none is called source or target; name them with `source` "
                "NAME `target` NAME or, if the file has no header, with `no_header` `source` 0 `target` 1"
            )
    return found
