"""Python values as data: the only entry for texts, sentences, labels and other values into a model.

    list | tuple | array | Series | one-column frame | iterator ──take_items──▶ list
        ──take_texts | take_sentences | take_labels | take_tags | ...──▶ checked values

So ``predict`` accepts and refuses the same values as ``fit``. Rows are numbered from 0 by position, whatever the index
says. A value of the wrong type is a UsageError; a missing value (None, NaN, NA, NaT, masked) or one that cannot
be saved is a DataError. Both name the row. Objects of pandas, scikit-learn and scipy are recognised by their methods;
these libraries are never imported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elman.errors import DataError, UsageError

Column: TypeAlias = Any
"""Values in order: a list, a tuple, an array (N,) or (N, 1), a Series, a frame of one column, or an iterator."""

_SHOWN = 30  # characters of a text in a message


def take_items(values: Column, name: str, noun: str) -> list[Any]:
    """Return values as a list, in their order, without checking their types.

    Args:
        values: the values.
        name: their name in messages.
        noun: what they should be, for messages.

    Raises:
        UsageError: it is a single value, has several columns, or has no order.

    Example:
        >>> take_items((text for text in ("a", "b")), "X", "texts"), take_items(np.array([[1], [2]]), "y", "labels")
        (['a', 'b'], [1, 2])
    """
    _check_order(values, name, noun)
    if not hasattr(values, "__array__"):
        return list(values)
    array = _convert_to_array(values, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    if array.ndim != 1:
        hints = {"texts": f"; give the column that holds them, such as {name}[:, 0]", "labels": "; one for each input"}
        raise UsageError(f"{name} has shape {array.shape}, but {noun} must have shape (N,){hints.get(noun, '')}")
    return list(array) if array.dtype.kind in "mM" else list(array.tolist())  # tolist would turn times into numbers


def take_nested(values: Column, name: str, noun: str) -> list[Any]:
    """Return the rows of nested values; an array (N, T) of texts or numbers has N rows."""
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.size:
        first = values.flat[0]
        if isinstance(first, str) or not isinstance(first, Sequence | np.ndarray):
            return list(values)
    return take_items(values, name, noun)


def take_rows(values: Column, name: str = "X") -> list[Any]:
    """Return sequences of numbers, the rows of an array, a frame or a tensor; masked values become NaN.

    Raises:
        UsageError: it is a single value, or has no order.

    Example:
        >>> [row.tolist() for row in take_rows(np.ones((2, 3)))]
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    if _is_tensor(values):
        values = values.detach().cpu().numpy()
    _check_order(values, name, "sequences of numbers", several_columns=True)
    rows = list(_convert_to_array(values, name)) if hasattr(values, "columns") else list(values)
    return [np.ma.filled(row.astype(float), np.nan) if isinstance(row, np.ma.MaskedArray) else row for row in rows]


def check_pairs(number: int, given: int, noun: str, answers: str) -> None:
    """Raise UsageError unless there are as many answers as inputs.

    Example:
        >>> check_pairs(3, 2, "texts", "{:,} labels")
        Traceback (most recent call last):
        elman.errors.UsageError: there are 3 texts, but 2 labels
    """
    if number != given:
        raise UsageError(f"there are {number:,} {noun}, but {answers.format(given)}")


def check_no_answers(source: Path | str, answers: Any) -> None:
    """Raise UsageError if answers are given although the file, or its text, contains them.

    Example:
        >>> check_no_answers(Path("a.csv"), [1, 2])
        Traceback (most recent call last):
        elman.errors.UsageError: y is given, but a.csv already contains the answers; omit y
    """
    if answers is not None and isinstance(source, Path):
        raise UsageError(f"y is given, but {source} already contains the answers; omit y")
    if answers is not None:
        raise UsageError(
            "y is given, but X is one text, which is read like a file with its answers; give a list of texts"
        )


def check_present(value: Any, name: str) -> None:
    """Raise DataError if a value is missing."""
    if is_missing(value):
        raise DataError(f"{name} is missing ({value}); fill it in, or drop the row")


def is_missing(value: Any) -> bool:
    """Tell whether a value means "missing": None, NaN, pandas' NA and NaT, or a masked element.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing("nan"), is_missing("")
        (True, True, False, False)
    """
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating) and math.isnan(value)


def _check_order(values: Any, name: str, noun: str, *, several_columns: bool = False) -> None:
    """Raise UsageError unless values can be iterated over in order."""
    kind = type(values).__name__
    problem = ""
    if values is None:
        problem = f"is None; give {noun}"
    elif isinstance(values, str):
        shown = values if len(values) <= _SHOWN else f"{values[:_SHOWN]}..."
        problem = f"is one text, but must be a list of {noun}, such as [{shown!r}]"
    elif isinstance(values, bytes | bytearray | memoryview):
        problem = f"is {kind}, but must be a list of {noun}; decode it first"
    elif isinstance(values, Path):
        problem = f"is a path, but must be a list of {noun}; read the file first"
    elif isinstance(values, Mapping):
        choice = "".join(f", such as {name}[{key!r}]" for key in list(values)[:1])
        problem = f"is a {kind}; give its values in a list, or the value with the {noun}{choice}"
    elif isinstance(values, AbstractSet):
        problem = f"is a {kind}, which has no order; give a list"
    elif hasattr(values, "tocsr"):
        problem = f"is a sparse matrix, but must be a list of {noun}; give a list, or an array"
    elif _is_tensor(values):
        problem = f"is a tensor, but must be a list of {noun}; give a list, or {name}.numpy()"
    elif not several_columns and len(names := _name_columns(values)) != 1:
        listed = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
        choice = f"give the column with the {noun}, such as df[{names[0]!r}]" if names else f"give {noun}"
        problem = f"is a frame of {len(names)} columns ({listed or 'none'}); {choice}"
    else:
        try:
            iter(values)
        except TypeError:
            problem = f"is a single value of type {kind}, but must be a list of {noun}"
    if problem:
        raise UsageError(f"{name} {problem}")


def _name_columns(values: Any) -> list[str]:
    """Return the names of a frame's columns; a single name for any other object."""
    named = getattr(values, "column_names", None) or getattr(values, "columns", None)
    return [""] if named is None else [str(column) for column in named]


def _convert_to_array(values: Any, name: str) -> NDArray[Any]:
    try:
        return values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except Exception as error:  # any error of the object's own library
        raise UsageError(f"{name} cannot be converted to an array ({error}); give a list") from None


def _is_tensor(values: Any) -> bool:
    return hasattr(values, "requires_grad")
