"""When two labels are equal: 1, 1.0 and "1"; True and "True".

In Python a label may be a number or a boolean. In a file it is always a string, and pandas writes integers as 1.0 if a
column has gaps. So labels are compared here and nowhere else:

    labels with the same text are equal        1, 1.0, numpy.int64(1) and "1"; True and "True"
    if all known labels are integers           "1.0" also equals 1
    if all known labels are booleans           "true" and "TRUE" also equal True

No other texts are equal: among words, "true" and "True" are two labels, and so are the versions "1" and "1.0" if the
known labels include both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

Label: TypeAlias = str | bool | int | float
"""A label in Python; a float must be a whole number."""

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")


def format_label(label: Label) -> str:
    """Write a label as text, a float as an integer.

    Example:
        >>> format_label(1.0), format_label(True), format_label("1.0")
        ('1', 'True', '1.0')
    """
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


class Spelling:
    """The spelling of the known labels.

    Args:
        known: the labels, all different.

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
        """Return the known label that equals this one, or its text if there is none."""
        text = format_label(label)
        return self._by_text[text] if text in self._by_text else self._by_value.get(self._value(text), text)


def unify_labels(labels: Sequence[Label]) -> list[str]:
    """Write labels of several types as strings, so that equal labels become equal strings.

    Example:
        >>> unify_labels([1, "1.0", 2.0]), unify_labels([True, "true"]), unify_labels([1, "1.0", "spam"])
        (['1', '1', '2'], ['True', 'True'], ['1', '1.0', 'spam'])
    """
    texts = [format_label(label) for label in labels]
    return list(map(_choose_normaliser(set(texts)), texts))


def _choose_normaliser(texts: Iterable[str]) -> Callable[[str], str]:
    """Return the function that maps equal labels to the same string: labels are integers, booleans or words."""
    for normalise in (_normalise_whole_number, _normalise_truth_value):
        if all(map(normalise, texts)):
            return normalise
    return str


def _normalise_whole_number(text: str) -> str:
    """Return an integer without its decimal point; an empty string if the text is not an integer."""
    number = _WHOLE.fullmatch(text)
    return "0" if number and number[1] == "-0" else number[1] if number else ""


def _normalise_truth_value(text: str) -> str:
    return text.capitalize() if text.lower() in ("true", "false") else ""
