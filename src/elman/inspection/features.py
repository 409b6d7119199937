"""Features of a text at each of its steps: position in the line, inside quotes, inside brackets and so on.

Each feature takes the tokens of one sequence and returns a value for each step, computed from the tokens up to and
including that step: an opening bracket is inside its brackets, the closing bracket is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPENING, CLOSING = "([{", ")]}"
OPENING_QUOTES, CLOSING_QUOTES = "“«„", "”»"


def position(tokens: Sequence[str]) -> NDArray[np.int64]:
    r"""Count the steps since the start of the line.

    Example:
        >>> position(["a", "b", "\n", "c"]).tolist()
        [0, 1, 2, 0]
    """
    found, place = [], 0
    for token in tokens:
        found.append(place)
        place = 0 if "\n" in token else place + 1
    return np.array(found, np.int64)


def quotes(tokens: Sequence[str]) -> NDArray[np.bool_]:
    r"""Return whether each step is inside quotes; a double quote ends with its paragraph at the latest.

    An apostrophe within or after a word is not a quote, and a single quote ends with its line at the latest.

    Example:
        >>> quotes([*'a "b" c']).astype(int).tolist()
        [0, 0, 1, 1, 0, 0, 0]
        >>> quotes(["don't", "'", "x", "'"]).tolist()
        [False, True, True, False]
    """

    def read() -> Iterator[bool]:
        is_double = is_single = False
        before = last = " "
        for token in tokens:
            for character in token:
                if character == '"':
                    is_double = not is_double
                elif character in OPENING_QUOTES:
                    is_double = True
                elif character in CLOSING_QUOTES:
                    is_double = False
                elif character == "'":
                    is_single = not is_single and not before.isalnum()
                elif character == "\n":
                    is_single = False
                    is_double = is_double and last != "\n"
                before = last = character
            yield is_double or is_single
            if len(token) > 1:
                before = " "  # the next token is not part of this word

    return np.fromiter(read(), np.bool_, len(tokens))


def depth(tokens: Sequence[str]) -> NDArray[np.int64]:
    """Count the open brackets; a blank line closes all of them.

    Example:
        >>> depth([*"a(b[c])d"]).tolist()
        [0, 1, 1, 2, 2, 1, 0, 0]
    """
    found, level, last = [], 0, ""
    for token in tokens:
        for character in token:
            if character in OPENING:
                level += 1
            elif character in CLOSING:
                level = max(level - 1, 0)
            elif character == last == "\n":
                level = 0
            last = character
        found.append(level)
    return np.array(found, np.int64)


def brackets(tokens: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether any bracket is open at each step."""
    return depth(tokens) > 0


def capital(tokens: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether each token has a capital letter."""
    return _check_each(tokens, lambda token: token != token.lower())


def digit(tokens: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether each token has a digit."""
    return _check_each(tokens, lambda token: any(map(str.isdigit, token)))


def word_boundary(tokens: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether each token begins with white space or has neither letter nor digit."""
    return _check_each(tokens, lambda token: token[:1].isspace() or not any(map(str.isalnum, token)))


def indentation(tokens: Sequence[str]) -> NDArray[np.int64]:
    r"""Count the blanks at the start of the line, up to each step.

    Example:
        >>> indentation([*"  a b\nc"]).tolist()
        [1, 2, 2, 2, 2, 0, 0]
    """
    found, width, is_leading = [], 0, True
    for token in tokens:
        for character in token:
            if character == "\n":
                width, is_leading = 0, True
            elif is_leading and character in " \t":
                width += 1
            else:
                is_leading = False
        found.append(width)
    return np.array(found, np.int64)


def _check_each(tokens: Sequence[str], is_so: Callable[[str], bool]) -> NDArray[np.bool_]:
    known = {token: is_so(token) for token in set(tokens)}
    return np.fromiter((known[token] for token in tokens), np.bool_, len(tokens))


FEATURES: dict[str, Callable[[Sequence[str]], NDArray[Any]]] = {
    own.__name__: own for own in (position, quotes, brackets, depth, capital, digit, word_boundary, indentation)
}
"""The built-in features by name."""
