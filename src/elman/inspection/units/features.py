"""Features of a text at each of its steps: position in the line, inside quotes, inside brackets and so on.

Each feature takes the tokens of one sequence and returns a value for each step, computed from the tokens up to and
including that step: an opening bracket is inside its brackets, the closing bracket is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import UsageError, suggest
from elman.families.base import Model
from elman.inspection.traces import Trace

Features = Sequence[str] | Mapping[str, Callable[[Sequence[str]], ArrayLike] | ArrayLike]
"""Names of built-in features; or your own features by name: a function of a sequence's tokens, or a column."""

LABEL = "label"  # stands for one feature for each label
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


@dataclass(frozen=True)
class Text:
    """The tokens that one stack reads, and its arrays."""

    tokens: list[str]
    offsets: NDArray[np.int64]
    labels: list[str | None]
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, traced: Trace, stack: str | None) -> Text:
        """Take them from a trace.

        Raises:
            UsageError: there is no such stack.
        """
        if stack not in ((None, "encoder", "decoder") if traced.source_tokens else (None,)):
            raise UsageError(f"there is no stack {stack!r}; leave `stack` out")
        is_source = stack == "encoder"
        offsets = traced.source_offsets if is_source else traced.offsets
        lengths = np.diff(offsets)
        labels: list[str | None] = []
        if traced.task == "tagger":
            labels = traced.targets
        elif traced.task == "classifier":
            labels = [label for label, length in zip(traced.targets, lengths, strict=True) for _ in range(length)]
        arrays = {name: array for name, array in traced.arrays.items() if name.startswith("encoder.") == is_source}
        return cls(traced.source_tokens if is_source else traced.tokens, offsets, labels, arrays)

    @property
    def half(self) -> int:
        """The start of the second half: the start of a sequence, if there are several."""
        middle = len(self.tokens) // 2
        if len(self.offsets) == 2:
            return middle
        inner = self.offsets[1:-1]
        return int(inner[np.abs(inner - middle).argmin()])


def compute_features(text: Text, features: Features | None, model: Model) -> dict[str, NDArray[Any]]:
    """Compute each feature, (T,) each: bool, or float64."""
    if isinstance(features, str):
        raise UsageError(f"features is {features!r}; give names in a list: [{features!r}]")
    if isinstance(features, Mapping):
        columns: dict[str, NDArray[Any]] = {}
        for name, own in features.items():
            columns[name] = _take_column(name, _by_sequence(text, own) if callable(own) else own, len(text.tokens))
        return columns
    names = [*FEATURES, *[LABEL] * bool(text.labels)] if features is None else list(features)
    columns = {}
    for name in names:
        if name == LABEL:
            if not text.labels:
                raise UsageError(
                    f"a {type(model).__name__} has no labels to follow; give a column of your own in `features`"
                )
            labels = np.array(["" if label is None else label for label in text.labels], np.str_)
            columns |= {f"{LABEL}:{label}": labels == label for label in sorted(set(text.labels) - {None})}  # type: ignore[type-var]
        elif name in FEATURES:
            columns[name] = _take_column(name, _by_sequence(text, FEATURES[name]), len(text.tokens))
        else:
            known = (*FEATURES, LABEL)
            meant = suggest(str(name), known) or ";"
            raise UsageError(f"there is no feature {name!r}{meant} there are {', '.join(known)}")
    return columns


def _by_sequence(text: Text, feature: Callable[[Sequence[str]], ArrayLike]) -> NDArray[Any]:
    parts = []
    for start, stop in zip(text.offsets[:-1], text.offsets[1:], strict=True):
        tokens = text.tokens[start:stop]
        part = np.asarray(feature(tokens))
        if part.shape != (len(tokens),):
            raise UsageError(
                f"a feature returns the shape {part.shape} for {len(tokens)} tokens; it must return a value for each"
            )
        parts.append(part)
    return np.concatenate(parts)


def _take_column(name: str, column: ArrayLike, num_steps: int) -> NDArray[Any]:
    """Check a feature; of zeros and ones make booleans."""
    values = np.asarray(column)
    if values.shape != (num_steps,):
        raise UsageError(
            f"feature {name!r} has the shape {values.shape}, expected ({num_steps},): a value for each step"
        )
    if values.dtype.kind not in "biuf":
        raise UsageError(f"feature {name!r} is of type {values.dtype}; give numbers, or true and false")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        step = int(np.flatnonzero(~np.isfinite(values))[0])
        raise UsageError(f"feature {name!r} is {values[step]} at step {step}; every value must be finite")
    return values.astype(np.bool_) if np.isin(values, (0, 1)).all() else values
