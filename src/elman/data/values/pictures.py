"""Pictures and their captions from Python values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np

from elman.data.values.columns import check_present, take_items, take_nested
from elman.data.values.texts import take_text
from elman.errors import UsageError


def take_pictures(values: Any, name: str = "X") -> Path | dict[str, Any] | list[Any]:
    """Check and convert pictures, or their features: a ``Path``, arrays by the pictures' names, or arrays in order.

    Raises:
        UsageError: it is a single picture, or an item is not an array; see also ``take_items``.
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
        raise UsageError(f"{name} is one array of shape {array.shape}, but must be a list of pictures")
    by_name: dict[str, Any] | None = None
    if isinstance(values, Mapping):
        by_name = {str(key): picture for key, picture in values.items()}
        named = {f"{name}[{key!r}]": picture for key, picture in by_name.items()}
    else:
        given = take_items(values, name, "pictures") if array is None else list(array)
        named = {f"{name}[{row}]": picture for row, picture in enumerate(given)}
    for own, picture in named.items():
        check_present(picture, own)
        is_nested = isinstance(picture, Sequence) and not isinstance(picture, str | bytes)
        if not (is_nested or hasattr(picture, "__array__") or hasattr(picture, "__array_interface__")):
            kind = type(picture).__name__
            raise UsageError(f"{own} is of type {kind}, not an array; to read pictures from files, give one Path as X")
    return list(named.values()) if by_name is None else by_name


def take_captions(values: Any, name: str = "captions") -> dict[Any, list[str]]:
    """Check and convert the captions of each picture, one or several, by the picture's name or in order.

    Returns:
        The captions by the picture's name, or by its index; blank captions are skipped.

    Raises:
        UsageError: a caption is not a string; see also ``take_items``.
        DataError: a caption is missing, or contains a lone surrogate.

    Example:
        >>> take_captions(["a dog", ["a cat", " "]]), take_captions({"a.jpg": "a dog"})
        ({0: ['a dog'], 1: ['a cat']}, {'a.jpg': ['a dog']})
    """
    named = values if isinstance(values, Mapping) else dict(enumerate(take_nested(values, name, "captions")))
    captions = {}
    for key, some in named.items():
        own = f"{name}[{key!r}]"
        check_present(some, own)
        given = [some] if isinstance(some, str) else take_items(some, own, "captions")
        for caption in given:
            check_present(caption, own)
            if not isinstance(caption, str):
                raise UsageError(f"{own} contains a value of type {type(caption).__name__}; captions are strings")
        captions[key] = [take_text(caption, own) for caption in given if caption.strip()]
    return captions
