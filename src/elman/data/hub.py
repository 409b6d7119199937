"""Data sets of the Hugging Face hub, written as text for the readers that also read files.

NAME[@SPLIT] ──datasets.load_dataset──▶ rows ──▶ plain text | columns | JSON lines
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from elman.data.files import as_data_error, join_names, suggest_among
from elman.errors import DataError, UsageError, how_to_install

HubFormat = Literal["text", "columns", "records"]

logger = logging.getLogger(__name__)


def load_hub_text(name: str, form: HubFormat) -> str:
    r"""Load a data set and write it as text that training can read.

    ``text`` is the column ``text``, one line for each row; ``columns`` has one line for each word, with every column
    that holds a tag for each word; ``records`` has one JSON object for each row, with the names of the labels.

    Args:
        name: ``NAME``, ``NAME@SPLIT`` (by default ``train``), or ``NAME:CONFIGURATION@SPLIT``; NAME may be a local
            folder.
        form: the format to write.

    Raises:
        UsageError: the name is missing, or the extra ``hub`` is not installed.
        DataError: there is no such data set or split, or it lacks the columns that the format needs.
    """
    writers: dict[HubFormat, Callable[[str, Any], str]] = {
        "text": _write_text,
        "columns": _write_columns,
        "records": _write_json_lines,
    }
    path, _, split = name.partition("@")
    path, _, configuration = path.partition(":")
    if not path:
        raise UsageError(f"hub:{name}: names no data set; write hub:NAME or hub:NAME@SPLIT, such as hub:ag_news")
    try:
        import datasets
    except ImportError:
        raise UsageError(f"hub: needs datasets, which is not installed: {how_to_install('hub')}") from None
    with as_data_error(f"hub:{name}", "cannot be loaded"):  # the errors of datasets have no common base class
        loaded = datasets.load_dataset(path, configuration or None)
        split = split or "train"
        if split not in loaded:
            raise DataError(f"hub:{name}: no split {split}{suggest_among(loaded, split)}")
        return writers[form](f"hub:{name}", loaded[split])


def _write_text(name: str, rows: Any) -> str:
    if "text" not in rows.column_names:
        raise DataError(f'{name}: no column is called "text"; it has {join_names(rows.column_names)}')
    return "".join(f"{text}\n" for text in rows["text"] if text is not None)


def _write_json_lines(name: str, rows: Any) -> str:
    """Write one JSON object for each row, with labels by their names and nested fields (en, de) flattened."""
    named = _find_label_names(rows.features)

    def flat(row: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        for column, value in row.items():
            if isinstance(value, dict):
                yield from value.items()
            elif column in named and isinstance(value, int):
                yield column, named[column][value] if value >= 0 else None
            else:
                yield column, value

    return "".join(json.dumps(dict(flat(row)), ensure_ascii=False, default=str) + "\n" for row in rows)


def _write_columns(name: str, rows: Any) -> str:
    """Write one line for each word and its tags; the words are the first column with lists of strings."""
    named = _find_label_names(rows.features)
    lists = [column for column, value in rows[0].items() if isinstance(value, list)] if len(rows) else []
    words = next((column for column in lists if column not in named and _holds_texts(rows, column)), None)
    if words is None or len(lists) < 2:
        known = join_names(rows.column_names)
        raise DataError(f"{name}: needs a column of lists of words and one of lists of tags; it has {known}")
    columns = [words, *(column for column in lists if column != words)]
    logger.warning("%s: columns %s", name, ", ".join(f"{number} {column}" for number, column in enumerate(columns)))
    lines = []
    for number, row in enumerate(rows):
        cells = [[_format_cell(named, column, value) for value in row[column]] for column in columns]
        if len(set(map(len, cells))) > 1:
            counts = ", ".join(f"{len(some)} {column}" for column, some in zip(columns, cells, strict=True))
            raise DataError(f"{name}: row {number}: {counts}; every word needs one of each")
        lines += ["\t".join(together) for together in zip(*cells, strict=True)]
        lines.append("")
    return "\n".join(lines) + "\n"


def _format_cell(named: Mapping[str, list[str]], column: str, value: Any) -> str:
    """Write a word or a tag; a missing one becomes an empty cell, which the reader reports and skips."""
    if value is None or (column in named and value == -1):
        return ""
    written = named[column][value] if column in named and isinstance(value, int) else str(value)
    return re.sub(r"[\t\r\n]", " ", written)  # they would end the cell


def _holds_texts(rows: Any, column: str) -> bool:
    first: list[Any] = next((row[column] for row in rows if row[column]), [])
    return bool(first) and isinstance(first[0], str)


def _find_label_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the label names of each column whose numbers stand for labels."""
    kinds = {column: getattr(kind, "feature", kind) for column, kind in features.items()}
    return {column: kind.names for column, kind in kinds.items() if hasattr(kind, "names")}
