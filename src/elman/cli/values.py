"""From one word on the command line to a value: a path, a number, a text, or one of several names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import tyro

from elman.settings.base import LARGEST


def parse_path(word: str) -> Path:
    """Return the path that a word names; an empty one, which Python takes for the current folder, names none."""
    if not word:
        raise ValueError("the name is empty; is a variable of the shell not set?")
    return Path(word)


def _parse_whole_number(word: str) -> int:
    """Return a whole number of at most 64 bits, which is what torch and numpy take."""
    try:
        value = int(word[:40])
    except ValueError:
        raise ValueError(f"{word[:40]!r} is not a whole number") from None
    if len(word) > 30 or abs(value) > LARGEST:
        raise ValueError(f"{word[:30]} is too large; it must be at most {LARGEST:,}")
    return value


def _parse_number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word[:40]!r} is not a number") from None


_TYPES: dict[Any, tuple[str, Callable[[str], Any]]] = {  # what help calls a value, and what reads it
    Path: ("PATH", parse_path),
    int: ("INT", _parse_whole_number),
    float: ("NUMBER", _parse_number),
    str: ("TEXT", str),
}


def metavar_of(hint: Any) -> str:
    """Return what help writes for a value of a type: ``INT``, ``char|word|bpe``."""
    kind = _strip_optional(hint)
    return "|".join(get_args(kind)) if get_origin(kind) is Literal else _TYPES.get(kind, _TYPES[str])[0]


def _strip_optional(hint: Any) -> Any:
    """Return ``int`` of ``int | None``; other types as they are."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if get_origin(hint) in (Union, UnionType) and len(kinds) == 1 else hint


def _read_one_word(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Tell tyro how to read a value of one word; the model checks names against their choices."""
    kind = _strip_optional(info.type)
    if get_origin(kind) is not Literal and kind not in _TYPES:
        return None
    parse = _TYPES[str if get_origin(kind) is Literal else kind][1]
    is_optional = kind is not info.type
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar_of(kind),
        instance_from_str=lambda words: None if is_optional and words[0] == "None" else parse(words[0]),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [str(value)],
    )


REGISTRY = tyro.constructors.ConstructorRegistry()
REGISTRY.primitive_rule(_read_one_word)
