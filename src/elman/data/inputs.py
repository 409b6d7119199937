"""Python values as data: the one door through which texts, sentences, labels and all else come into a model.

    list | tuple | array | Series | one-column frame | iterator ──take_items──▶ list
        ──take_texts | take_sentences | take_labels | take_tags | ...──▶ checked

So ``predict`` takes and refuses what ``fit`` does. Rows are counted from 0, by their place, whatever an index calls
them. Values of the wrong kind are a UsageError; a value that is missing (None, NaN, NA, NaT, masked) or that no model
could keep is a DataError. Both name the row. pandas, scikit-learn and scipy are known by what their objects can do, and
are never imported.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elman.data.spelling import Label, label_text, unified
from elman.errors import DataError, UsageError

Column: TypeAlias = Any
"""Values in order: a list, a tuple, an array (N,) or (N, 1), a Series, a frame of one column, or an iterator."""

_SHOWN = 30  # characters of a text in a message


def take_items(values: Column, name: str, noun: str) -> list[Any]:
    """Take values in their order, whatever they are.

    Args:
        values: the values.
        name: what to call them in messages.
        noun: what they are to be.

    Raises:
        UsageError: there is one value, several columns of them, or they have no order.

    Example:
        >>> take_items((text for text in ("a", "b")), "X", "texts"), take_items(np.array([[1], [2]]), "y", "labels")
        (['a', 'b'], [1, 2])
    """
    _check_order(values, name, noun)
    if not hasattr(values, "__array__"):
        return list(values)
    array = _array(values, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    if array.ndim != 1:
        hints = {"texts": f"; give the column that holds them, such as {name}[:, 0]", "labels": "; one for each input"}
        raise UsageError(f"{name} has shape {array.shape}, where {noun} have shape (N,){hints.get(noun, '')}")
    return list(array) if array.dtype.kind in "mM" else list(array.tolist())  # tolist would make numbers of times


def take_texts(values: Column, name: str = "X", hint: str = "") -> list[str]:
    """Take texts.

    Args:
        values: the texts.
        name: what to call them in messages.
        hint: the tail of the message about a value that is no text.

    Raises:
        UsageError: a value is no text; see also :func:`take_items`.
        DataError: a text is missing, or holds half a character.

    Example:
        >>> take_texts(np.array(["good", "bad"]))
        ['good', 'bad']
    """
    return _texts(take_items(values, name, "texts"), name, "text", hint)


def take_text(value: Any, name: str, noun: str = "text", hint: str = "") -> str:
    """Take one text.

    Raises:
        UsageError: it is something else.
        DataError: it is missing, or holds half a character, which no file can keep.

    Example:
        >>> take_text(np.str_("good"), "X[0]")
        'good'
    """
    if not isinstance(value, str):
        check_there(value, name)
        hint = "; decode it first" if isinstance(value, bytes) else hint
        raise UsageError(f"{name} is of type {type(value).__name__}, not a {noun}{hint}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{name} holds half a character (a surrogate without its other half); decode it with errors='replace'"
        ) from None
    return str.__str__(value)


def take_sources(values: Path | str | Column, name: str = "X") -> Path | str | list[Path | str]:
    """Take a text in one piece or in several, each a ``str`` or the ``Path`` of a file.

    Raises:
        UsageError: a value is neither; see also :func:`take_items`.
        DataError: a piece is missing.

    Example:
        >>> take_sources(("To be, ", "or not")), take_sources("to be")
        (['To be, ', 'or not'], 'to be')
    """
    if isinstance(values, Path | str):
        return values
    pieces = take_items(values, name, "texts")
    for row, value in enumerate(pieces):
        check_there(value, f"{name}[{row}]")
        if not isinstance(value, Path | str):
            raise UsageError(f"{name}[{row}] is of type {type(value).__name__}, not a text or the Path of a file")
    return pieces


def take_sentences(values: Column, name: str = "X") -> list[list[str]]:
    """Take the words of each sentence.

    Raises:
        UsageError: a sentence is one text, or a word is none; see also :func:`take_items`.
        DataError: a sentence or a word is missing, or holds half a character.

    Example:
        >>> take_sentences([["Teddy", "bears"], ("sleep",)])
        [['Teddy', 'bears'], ['sleep']]
    """
    sentences = []
    for row, words in enumerate(_rows(values, name, "sentences")):
        own = f"{name}[{row}]"
        check_there(words, own)
        if isinstance(words, str):
            raise UsageError(f"sentence {row} is a text; a sentence is a list of words, such as {words.split()[:3]}")
        sentences.append(_texts(take_items(words, own, "words"), own, "word"))
    return sentences


def take_labels(values: Column, name: str = "y") -> list[Label]:
    """Take a label for each input: texts, whole numbers or truth values, which keep their type.

    Texts and others together are all made texts, so that 1 and "1" are one label; see :mod:`elman.data.spelling`.

    Raises:
        UsageError: a label is something else, or truth values and numbers are mixed; see also :func:`take_items`.
        DataError: a label is missing or empty.

    Example:
        >>> take_labels(np.array([1, 0])), take_labels([1.0, 2.0]), take_labels([1, "1", "spam"])
        ([1, 0], [1.0, 2.0], ['1', '1', 'spam'])
    """
    labels = _labels(take_items(values, name, "labels"), name)
    kinds = set(map(type, labels))
    if str in kinds and len(kinds) > 1:
        return list(unified(labels))
    if bool in kinds and len(kinds) > 1:
        raise UsageError(f"the labels in {name} are of several types; make them all texts, or all whole numbers")
    return list(map(float, labels)) if float in kinds else labels


def take_tags(values: Column, name: str = "y") -> list[list[str]]:
    """Take a tag for each word of each sentence; tags are texts, or are made texts.

    Raises:
        UsageError: a sentence's tags are one text, or a tag is no label; see also :func:`take_items`.
        DataError: a tag is missing or empty.

    Example:
        >>> take_tags([["NOUN", "VERB"], ["NOUN"]]), take_tags([[1, 2.0]])
        ([['NOUN', 'VERB'], ['NOUN']], [['1', '2']])
    """
    tags = []
    for row, some in enumerate(_rows(values, name, "lists of tags")):
        own = f"{name}[{row}]"
        check_there(some, own)
        tags.append(_labels(take_items(some, own, "tags"), own))
    flat = [tag for some in tags for tag in some]
    kinds = set(map(type, flat))
    texts = iter(unified(flat) if str in kinds and len(kinds) > 1 else map(label_text, flat))
    return [list(islice(texts, len(some))) for some in tags]


def take_captions(values: Any, name: str = "captions") -> dict[Any, list[str]]:
    """Take the captions of each picture, one or several, by the picture's name or in the pictures' order.

    Returns:
        The captions by name, or by the picture's number; those that are blank are left out.

    Raises:
        UsageError: a caption is no text; see also :func:`take_items`.
        DataError: a caption is missing, or holds half a character.

    Example:
        >>> take_captions(["a dog", ["a cat", " "]]), take_captions({"a.jpg": "a dog"})
        ({0: ['a dog'], 1: ['a cat']}, {'a.jpg': ['a dog']})
    """
    named = values if isinstance(values, Mapping) else dict(enumerate(_rows(values, name, "captions")))
    captions = {}
    for key, some in named.items():
        own = f"{name}[{key!r}]"
        check_there(some, own)
        given = [some] if isinstance(some, str) else take_items(some, own, "captions")
        for caption in given:
            check_there(caption, own)
            if not isinstance(caption, str):
                raise UsageError(f"{own} holds a {type(caption).__name__}; captions are texts")
        captions[key] = [take_text(caption, own) for caption in given if caption.strip()]
    return captions


def take_pictures(values: Any, name: str = "X") -> Path | dict[str, Any] | list[Any]:
    """Take pictures, or their features: a ``Path``, arrays by the pictures' names, or arrays in order.

    Raises:
        UsageError: there is one picture, or what is no array; see also :func:`take_items`.
        DataError: a picture is missing.

    Example:
        >>> len(take_pictures(np.zeros((2, 8, 8, 3), np.uint8)))
        2
    """
    if isinstance(values, Path):
        return values
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | AbstractSet):
        raise UsageError(f"the pictures are of type {type(values).__name__}; give a Path, or arrays")
    array = values if isinstance(values, np.ndarray) and values.ndim else None
    if array is not None and array.size and (array.ndim, array.dtype.kind) in ((1, "f"), (1, "i"), (1, "u"), (3, "u")):
        raise UsageError(f"{name} is one array of shape {array.shape}, where pictures are wanted in a list")
    by_name: dict[str, Any] | None = None
    if isinstance(values, Mapping):
        by_name = {str(key): picture for key, picture in values.items()}
        named = {f"{name}[{key!r}]": picture for key, picture in by_name.items()}
    else:
        given = take_items(values, name, "pictures") if array is None else list(array)
        named = {f"{name}[{row}]": picture for row, picture in enumerate(given)}
    for own, picture in named.items():
        check_there(picture, own)
        is_nested = isinstance(picture, Sequence) and not isinstance(picture, str | bytes)
        if not (is_nested or hasattr(picture, "__array__") or hasattr(picture, "__array_interface__")):
            kind = type(picture).__name__
            raise UsageError(f"{own} is of type {kind}, not an array; a Path takes the place of all pictures")
    return list(named.values()) if by_name is None else by_name


def take_rows(values: Column, name: str = "X") -> list[Any]:
    """Take sequences of numbers, a row of an array, a frame or a tensor each; what is masked becomes NaN.

    Raises:
        UsageError: there is one value, or they have no order.

    Example:
        >>> [row.tolist() for row in take_rows(np.ones((2, 3)))]
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    if _is_tensor(values):
        values = values.detach().cpu().numpy()
    _check_order(values, name, "sequences of numbers", several_columns=True)
    rows = list(_array(values, name)) if hasattr(values, "columns") else list(values)
    return [np.ma.filled(row.astype(float), np.nan) if isinstance(row, np.ma.MaskedArray) else row for row in rows]


def check_pairs(number: int, given: int, noun: str, answers: str) -> None:
    """Raise UsageError where there are not as many answers as inputs.

    Example:
        >>> check_pairs(3, 2, "texts", "{:,} labels")
        Traceback (most recent call last):
        elman.errors.UsageError: there are 3 texts, but 2 labels
    """
    if number != given:
        raise UsageError(f"there are {number:,} {noun}, but {answers.format(given)}")


def check_alone(source: Path | str, answers: Any) -> None:
    """Raise UsageError where answers are given beside a file, or its text, that holds them itself.

    Example:
        >>> check_alone(Path("a.csv"), [1, 2])
        Traceback (most recent call last):
        elman.errors.UsageError: y is given, but a.csv holds the answers itself; leave y out
    """
    if answers is not None and isinstance(source, Path):
        raise UsageError(f"y is given, but {source} holds the answers itself; leave y out")
    if answers is not None:
        raise UsageError(
            "y is given, but X is one text, which is read as a file with its answers; give a list of texts"
        )


def check_there(value: Any, name: str) -> None:
    """Raise DataError where a value is missing."""
    if is_missing(value):
        raise DataError(f"{name} is missing ({value}); fill it in, or leave its row out")


def is_missing(value: Any) -> bool:
    """Tell whether a value stands for one that is not there: None, NaN, pandas' NA and NaT, a masked element.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing("nan"), is_missing("")
        (True, True, False, False)
    """
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating) and math.isnan(value)


def _texts(values: Sequence[Any], name: str, noun: str, hint: str = "") -> list[str]:
    return [
        value if type(value) is str and value.isascii() else take_text(value, f"{name}[{row}]", noun, hint)
        for row, value in enumerate(values)
    ]


def _labels(values: Sequence[Any], name: str) -> list[Label]:
    return [
        value
        if type(value) in (int, bool) or (type(value) is str and value.isascii() and value.strip())
        else _label(value, f"{name}[{row}]")
        for row, value in enumerate(values)
    ]


def _label(value: Any, name: str) -> Label:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    check_there(value, name)
    if isinstance(value, str):
        if not value.strip():
            raise DataError(f"{name} is empty; fill it in, or leave its row out")
        return take_text(value, name)
    wanted = "labels are texts, whole numbers or truth values"
    if not isinstance(value, float | np.floating):
        raise UsageError(f"{name} is of type {type(value).__name__}, not a label; {wanted}, one for each input")
    if not float(value).is_integer():
        raise UsageError(f"{name} is {value}, a continuous value; {wanted}: bin the numbers, or use str(number)")
    return float(value)


def _check_order(values: Any, name: str, noun: str, *, several_columns: bool = False) -> None:
    """Raise UsageError unless values can be gone through in their order, one after the other."""
    kind = type(values).__name__
    problem = ""
    if values is None:
        problem = f"is None; give {noun}"
    elif isinstance(values, str):
        shown = values if len(values) <= _SHOWN else f"{values[:_SHOWN]}..."
        problem = f"is one text, where {noun} are wanted in a list, such as [{shown!r}]"
    elif isinstance(values, bytes | bytearray | memoryview):
        problem = f"is {kind}, where {noun} are wanted; decode it first"
    elif isinstance(values, Path):
        problem = f"is a path, where {noun} are wanted; read the file first"
    elif isinstance(values, Mapping):
        choice = "".join(f", such as {name}[{key!r}]" for key in list(values)[:1])
        problem = f"is a {kind}; give its values in a list, or the one that holds the {noun}{choice}"
    elif isinstance(values, AbstractSet):
        problem = f"is a {kind}, which has no order; give a list"
    elif hasattr(values, "tocsr"):
        problem = f"is a sparse matrix, where {noun} are wanted; give a list, or an array"
    elif _is_tensor(values):
        problem = f"is a tensor, where {noun} are wanted; give a list, or {name}.numpy()"
    elif not several_columns and len(names := _columns(values)) != 1:
        listed = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
        choice = f"give the one that holds the {noun}, such as df[{names[0]!r}]" if names else f"give {noun}"
        problem = f"is a frame of {len(names)} columns ({listed or 'none'}); {choice}"
    else:
        try:
            iter(values)
        except TypeError:
            problem = f"is a single value of type {kind}, where {noun} are wanted in a list"
    if problem:
        raise UsageError(f"{name} {problem}")


def _columns(values: Any) -> list[str]:
    """Return the names of a frame's columns; of what is no frame, one name."""
    named = getattr(values, "column_names", None) or getattr(values, "columns", None)
    return [""] if named is None else [str(column) for column in named]


def _rows(values: Column, name: str, noun: str) -> list[Any]:
    """Return the rows of nested values; in an array (N, T) of texts or numbers each row is one."""
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.size:
        first = values.flat[0]
        if isinstance(first, str) or not isinstance(first, Sequence | np.ndarray):
            return list(values)
    return take_items(values, name, noun)


def _array(values: Any, name: str) -> NDArray[Any]:
    try:
        return values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except Exception as error:  # whatever the library behind it raises
        raise UsageError(f"{name} cannot be made an array ({error}); give a list") from None


def _is_tensor(values: Any) -> bool:
    return hasattr(values, "requires_grad")
