"""Strict JSON: NaN is never written, and a document that is read is checked against a shape.

A shape looks like the JSON that it describes:

    str, int, float, bool, None     a value of that type; an int is also a float, but True is not an int
    (str, int)                      one of several types
    ([int], None)                   any shape, or null
    [int]                           a list of any length
    {str: int}                      an object with any keys
    {"size": int, "words?": [str]}  an object with these keys; a key with ? is optional, other keys are ignored
    object                          anything
"""

from __future__ import annotations

import json
import math
from typing import Any

MOST_DIGITS = 18  # of an integer: enough for an int64, and too few to take seconds to convert

_NAMES: dict[Any, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    None: "null",
}


def write_json(value: Any, indent: int | None = None) -> str:
    """Write a value as JSON; NaN and infinity, which JSON lacks, become null.

    Example:
        >>> write_json({"nats": float("nan"), "tokens": 3})
        '{"nats": null, "tokens": 3}'
    """
    return json.dumps(_replace_non_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def read_json(content: str | bytes, shape: Any = object) -> Any:
    """Read JSON from an untrusted file.

    Args:
        content: the content of the file, in UTF-8.
        shape: the shape that it must have; see above.

    Raises:
        ValueError: it is not JSON or has another shape; the message says where.

    Example:
        >>> read_json('{"size": 3}', {"size": int, "words?": [str]})
        {'size': 3}
        >>> read_json('{"words": [1]}', {"words": [str]})
        Traceback (most recent call last):
            ...
        ValueError: words[0] is 1, expected a string
    """
    text = content.decode() if isinstance(content, bytes) else content
    try:
        value = json.loads(text, parse_int=_parse_integer, parse_float=_parse_number, parse_constant=_parse_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    check_shape(value, shape)
    return value


def check_shape(value: Any, shape: Any, where: str = "") -> None:
    """Raise ValueError unless a value has a shape; ``where`` is its place in the document."""
    if shape is object:
        return
    if isinstance(shape, tuple):
        if value is None and None in shape:
            return
        kinds = [one for one in shape if one is not None]
        if len(kinds) == 1:
            check_shape(value, kinds[0], where)
        elif not any(_fits(value, kind) for kind in kinds):
            _refuse(value, " or ".join(_NAMES[kind] for kind in kinds), where)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            _refuse(value, "a list", where)
        for index, item in enumerate(value):
            check_shape(item, shape[0], f"{where}[{index}]")
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            _refuse(value, "an object", where)
        if str in shape:
            for key, item in value.items():
                check_shape(item, shape[str], f"{where}.{key}".lstrip("."))
            return
        for key, part in shape.items():
            name = key.removesuffix("?")
            if name in value:
                check_shape(value[name], part, f"{where}.{name}".lstrip("."))
            elif name == key:
                raise ValueError(f'{where or "it"} has no "{name}"')
    elif not _fits(value, shape):
        _refuse(value, _NAMES[shape], where)


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(value, bool):  # to Python, True is an int
        return kind is bool
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        return False
    return value is None if kind is None else isinstance(value, (int, float) if kind is float else kind)


def _refuse(value: Any, expected: str, where: str) -> None:
    shown = (
        "a number too large" if isinstance(value, int) and value.bit_length() > 64 else json.dumps(value, default=repr)
    )
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    raise ValueError(f"{where or 'it'} is {shown}, expected {expected}")


def _parse_integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MOST_DIGITS:
        raise ValueError(f"the number {digits[:20]}... is too large")
    return int(digits)


def _parse_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is not a finite number")
    return number


def _replace_non_finite(value: Any) -> Any:
    """Copy a value, with null in place of every number that is not finite."""
    if isinstance(value, dict):
        return {key: _replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
