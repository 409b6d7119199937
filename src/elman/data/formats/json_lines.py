"""JSON Lines: one object on each line, for reading examples and for writing any record."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import singledispatch
from typing import Any

from elman.data.files import describe_error, suggest_among
from elman.data.formats.examples import TEXT_AND_LABEL, find_problem, join_texts, report_skipped, text_columns
from elman.data.lines import Lines, Problems
from elman.data.records import Caption, Classification, Example, Problem, TaggedSentence, Translation
from elman.documents import write_json
from elman.errors import DataError


class JsonLines:
    """One JSON object on each line.

    Args:
        text: the key of the text. Several keys are separated by commas; their texts are joined by line breaks. A list
            of strings, such as sentences, is joined by spaces.
        label: the key of the label, which may be a string, a number or a boolean.
        nouns: the names of the two parts of a record in messages.

    Example:
        >>> lines = Lines('{"text": "so, so", "label": 1}')
        >>> next(JsonLines().read(lines, Problems(), labelled=True)).label
        '1'
    """

    writes_probabilities = True

    def __init__(self, text: str = "text", label: str = "label", nouns: tuple[str, str] = TEXT_AND_LABEL) -> None:
        self._nouns = nouns
        self._text = text
        self._label = label

    def read(self, lines: Lines, problems: Problems, *, labelled: bool = False) -> Iterator[Example | Problem]:
        """Yield the examples; see :class:`~elman.data.formats.examples.ExampleReader`.

        Raises:
            DataError: the input is empty, or a JSON array.
        """
        is_empty = True
        for line in lines:
            if not line.strip():
                continue
            if is_empty and line.lstrip().startswith("["):
                raise DataError(f"{lines.name}: is an array; write one record on each line, as jq -c '.[]' does")
            is_empty = False
            text, label, problem = self._parse(line, labelled)
            if problem:
                yield from report_skipped(problem, lines.name, lines.number, problems, labelled)
            else:
                yield Example(text, label, lines.number)
        if is_empty:
            raise DataError(f"{lines.name}: is empty; it needs a JSON object on each line")

    def _parse(self, line: str, labelled: bool) -> tuple[str, str | None, str]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError, MemoryError) as error:
            return "", None, f"not JSON ({describe_error(error)})"
        if not isinstance(record, dict):
            return "", None, "not a JSON object"
        keys = text_columns(self._text, record)
        for key in (*keys, self._label) if labelled else keys:
            if key not in record:
                return "", None, f'no "{key}"{suggest_among(record, key)}'
        texts = []
        for key in keys:
            text = record[key]
            if isinstance(text, list) and text and all(isinstance(part, str) for part in text):
                text = " ".join(text)
            if not isinstance(text, str):
                kind = "a list or an object" if isinstance(text, list | dict) else json.dumps(text)[:40]
                return "", None, f'"{key}" is not a string but {kind}'
            texts.append(text)
        text = join_texts(texts)
        label = record[self._label] if labelled else None
        if isinstance(label, list | dict):
            return "", None, f'"{self._label}" is not one label but a list or an object'
        if isinstance(label, float) and not math.isfinite(label):
            label = None  # pandas writes NaN for a missing label
        written = label.strip() if isinstance(label, str) else "" if label is None else json.dumps(label)
        return text, written if labelled else None, find_problem(text, written if labelled else None, self._nouns)

    @staticmethod
    def write(records: Iterable[Any]) -> Iterator[str]:
        """Write one object for each record."""
        for record in records:
            if not (isinstance(record, TaggedSentence) and record.sentence.is_comment):
                yield write_json(_convert_to_object(record)) + "\n"


@singledispatch
def _convert_to_object(record: Any) -> dict[str, Any]:
    """Convert a record to a JSON object: its fields, unless a function below is registered for its type."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


@_convert_to_object.register
def _(record: Problem) -> dict[str, Any]:
    return {"line" if isinstance(record.where, int) else "picture": record.where, "problem": record.what}


@_convert_to_object.register
def _(record: TaggedSentence) -> dict[str, Any]:
    shares = [round(share, 4) for share in record.probabilities]
    return {"words": record.sentence.words, "tags": record.tags, "probabilities": shares}


@_convert_to_object.register
def _(record: Classification) -> dict[str, Any]:
    shares = {str(label): round(share, 4) for label, share in record.probabilities.items()}
    return {"label": record.label, "probabilities": shares}


@_convert_to_object.register
def _(record: Translation) -> dict[str, Any]:
    return {"source": record.source, "translations": _format_candidates(record.candidates)}


@_convert_to_object.register
def _(record: Caption) -> dict[str, Any]:
    return {"picture": record.picture, "captions": _format_candidates(record.candidates)}


def _format_candidates(candidates: list[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"text": text, "score": round(score, 4)} for text, score in candidates]
