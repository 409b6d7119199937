"""When two labels are one: 1, 1.0 and "1"; True and "True".

A label is what its text says. In Python it may be a number or a truth value, in a file it is always a text, and pandas
writes whole numbers as 1.0 where the column had a gap; so labels are compared here, and nowhere else:

    labels are one where their texts are the same        1, 1.0, numpy.int64(1) and "1"; True and "True"
    where all known labels are whole numbers             "1.0" is 1, too
    where all known labels are truth values              "true" and "TRUE" are True, too

Other texts are never taken for each other: among words, "true" and "True" are two labels, and so are the versions "1"
and "1.0" where the known labels hold both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

Label: TypeAlias = str | bool | int | float
"""A label as Python has it; floats are whole numbers."""

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")


def format_label(label: Label) -> str:
    """Write a label as a text, a whole float as the whole number that it is.

    Example:
        >>> format_label(1.0), format_label(True), format_label("1.0")
        ('1', 'True', '1.0')
    """
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


class Spelling:
    """How the labels that are known are written.

    Args:
        known: the labels, each a different one.

    Example:
        >>> Spelling([0, 1]).match("1.0"), Spelling(["0", "1"]).match(1), Spelling([False, True]).match("true")
        (1, '1', True)
    """

    def __init__(self, known: Iterable[Label]) -> None:
        self._by_text = {format_label(label): label for label in known}
        self._value = _choose_normaliser(list(self._by_text))
        self._by_value: dict[str, Label] = {}
        for text, label in self._by_text.items():
            self._by_value.setdefault(self._value(text), label)

    def match(self, label: Label) -> Label:
        """Return the known label that this one is; where it is none of them, its text."""
        text = format_label(label)
        return self._by_text[text] if text in self._by_text else self._by_value.get(self._value(text), text)


def unify_labels(labels: Sequence[Label]) -> list[str]:
    """Write labels of several types as texts, the same label always in the same way.

    Example:
        >>> unify_labels([1, "1.0", 2.0]), unify_labels([True, "true"]), unify_labels([1, "1.0", "spam"])
        (['1', '1', '2'], ['True', 'True'], ['1', '1.0', 'spam'])
    """
    texts = [format_label(label) for label in labels]
    return list(map(_choose_normaliser(set(texts)), texts))


def _choose_normaliser(texts: Iterable[str]) -> Callable[[str], str]:
    """Find out how to read texts so that those that say the same are the same: as numbers, truth values, or words."""
    for read in (_normalise_whole_number, _normalise_truth_value):
        if all(map(read, texts)):
            return read
    return str


def _normalise_whole_number(text: str) -> str:
    """Return the whole number that a text is, an empty text where it is none."""
    number = _WHOLE.fullmatch(text)
    return "0" if number and number[1] == "-0" else number[1] if number else ""


def _normalise_truth_value(text: str) -> str:
    return text.capitalize() if text.lower() in ("true", "false") else ""
