"""Labels and tags from Python values."""

from __future__ import annotations

import numbers
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from elman.data.spelling import Label, format_label, unify_labels
from elman.data.values.columns import Column, check_present, take_items, take_nested
from elman.data.values.texts import take_text
from elman.errors import DataError, UsageError

MOST_MEASURES = 20  # as many different fractions may be classes, such as half stars; of more, most must repeat

_WHOLE = re.compile(r"-?[0-9]+(?:\.0+)?")


def take_labels(values: Column, name: str = "y") -> list[Label]:
    """Check and convert one label for each input: strings, integers or booleans, which keep their type.

    Strings mixed with other types all become strings, so that 1 and "1" are one label; see :mod:`elman.data.spelling`.

    Raises:
        UsageError: a label has another type, or booleans and numbers are mixed; see also ``take_items``.
        DataError: a label is missing or empty.

    Example:
        >>> take_labels(np.array([1, 0])), take_labels([1.0, 2.0]), take_labels([1, "1", "spam"])
        ([1, 0], [1.0, 2.0], ['1', '1', 'spam'])
    """
    labels = _take_all(take_items(values, name, "labels"), name)
    kinds = set(map(type, labels))
    if str in kinds and len(kinds) > 1:
        return list(unify_labels(labels))
    if bool in kinds and len(kinds) > 1:
        raise UsageError(f"the labels in {name} have several types; make them all strings, or all integers")
    return list(map(float, labels)) if float in kinds else labels


def take_tags(values: Column, name: str = "y") -> list[list[str]]:
    """Check and convert one tag for each word of each sentence; all tags become strings.

    Raises:
        UsageError: the tags of a sentence are a single string, or a tag is not a label; see also ``take_items``.
        DataError: a tag is missing or empty.

    Example:
        >>> take_tags([["NOUN", "VERB"], ["NOUN"]]), take_tags([[1, 2.0]])
        ([['NOUN', 'VERB'], ['NOUN']], [['1', '2']])
    """
    tags = []
    for row, some in enumerate(take_nested(values, name, "lists of tags")):
        own = f"{name}[{row}]"
        check_present(some, own)
        tags.append(_take_all(take_items(some, own, "tags"), own))
    flat = [tag for some in tags for tag in some]
    kinds = set(map(type, flat))
    texts = iter(unify_labels(flat) if str in kinds and len(kinds) > 1 else map(format_label, flat))
    return [list(islice(texts, len(some))) for some in tags]


def check_classes(labels: Sequence[Label]) -> None:
    """Raise DataError if the labels of a file are measurements rather than classes.

    They are measurements if all of them are numbers, some are fractions, and most of them occur only once.

    Example:
        >>> check_classes(["0.5", "1", "1.5"] * 10)
    """
    different = list(dict.fromkeys(labels))
    if (
        len(different) < MOST_MEASURES
        or len(different) * 2 <= len(labels)
        or all(map(_WHOLE.fullmatch, map(str, labels)))
    ):
        return
    try:
        list(map(float, different))
    except ValueError:
        return
    shown = ", ".join(map(str, different[:3]))
    raise DataError(
        f"the labels are {len(different):,} different numbers in {len(labels):,} examples ({shown} ...), continuous "
        "values; a classifier needs classes: bin them, or is `label` another column?"
    )


def _take_all(values: Sequence[Any], name: str) -> list[Label]:
    return [
        value
        if type(value) in (int, bool) or (type(value) is str and value.isascii() and value.strip())
        else _take_label(value, f"{name}[{row}]")
        for row, value in enumerate(values)
    ]


def _take_label(value: Any, name: str) -> Label:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    check_present(value, name)
    if isinstance(value, str):
        if not value.strip():
            raise DataError(f"{name} is empty; fill it in, or drop the row")
        return take_text(value, name)
    wanted = "labels are strings, integers or booleans"
    if not isinstance(value, float | np.floating):
        raise UsageError(f"{name} is of type {type(value).__name__}, not a label; {wanted}, one for each input")
    if not float(value).is_integer():
        raise UsageError(
            f"{name} is {value}, a continuous value; {wanted}: bin the numbers, or convert them with str()"
        )
    return float(value)
