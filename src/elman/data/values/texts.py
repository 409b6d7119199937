"""Texts and sentences from Python values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elman.data.values.columns import Column, check_present, take_items, take_nested
from elman.errors import DataError, UsageError


def take_texts(values: Column, name: str = "X", hint: str = "") -> list[str]:
    """Check and convert texts.

    Args:
        values: the texts.
        name: their name in messages.
        hint: the end of the message about a value that is not a text.

    Raises:
        UsageError: a value is not a text; see also ``take_items``.
        DataError: a text is missing, or contains a lone surrogate.

    Example:
        >>> import numpy as np
        >>> take_texts(np.array(["good", "bad"]))
        ['good', 'bad']
    """
    return _take_all(take_items(values, name, "texts"), name, "text", hint)


def take_text(value: Any, name: str, noun: str = "text", hint: str = "") -> str:
    """Check and convert one text.

    Raises:
        UsageError: it is not a text.
        DataError: it is missing, or contains a lone surrogate, which cannot be saved in a file.

    Example:
        >>> import numpy as np
        >>> take_text(np.str_("good"), "X[0]")
        'good'
    """
    if not isinstance(value, str):
        check_present(value, name)
        hint = "; decode it first" if isinstance(value, bytes) else hint
        raise UsageError(f"{name} is of type {type(value).__name__}, not a {noun}{hint}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{name} contains half a character (a lone surrogate); decode it with errors='replace'"
        ) from None
    return str.__str__(value)


def take_sources(values: Path | str | Column, name: str = "X") -> Path | str | list[Path | str]:
    """Check and convert a text in one piece or several, each a ``str`` or the ``Path`` of a file.

    Raises:
        UsageError: a piece is neither; see also ``take_items``.
        DataError: a piece is missing.

    Example:
        >>> take_sources(("To be, ", "or not")), take_sources("to be")
        (['To be, ', 'or not'], 'to be')
    """
    if isinstance(values, Path | str):
        return values
    pieces = take_items(values, name, "texts")
    for row, value in enumerate(pieces):
        check_present(value, f"{name}[{row}]")
        if not isinstance(value, Path | str):
            raise UsageError(f"{name}[{row}] is of type {type(value).__name__}, not a text or the Path of a file")
    return pieces


def take_sentences(values: Column, name: str = "X") -> list[list[str]]:
    """Check and convert the words of each sentence.

    Raises:
        UsageError: a sentence is a single text, or a word is not a text; see also ``take_items``.
        DataError: a sentence or a word is missing, or contains a lone surrogate.

    Example:
        >>> take_sentences([["Teddy", "bears"], ("sleep",)])
        [['Teddy', 'bears'], ['sleep']]
    """
    sentences = []
    for row, words in enumerate(take_nested(values, name, "sentences")):
        own = f"{name}[{row}]"
        check_present(words, own)
        if isinstance(words, str):
            raise UsageError(f"sentence {row} is a text; a sentence is a list of words, such as {words.split()[:3]}")
        sentences.append(_take_all(take_items(words, own, "words"), own, "word"))
    return sentences


def _take_all(values: Sequence[Any], name: str, noun: str, hint: str = "") -> list[str]:
    return [
        value if type(value) is str and value.isascii() else take_text(value, f"{name}[{row}]", noun, hint)
        for row, value in enumerate(values)
    ]
