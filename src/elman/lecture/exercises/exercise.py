"""One exercise, and the comparison of an answer with the right one."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

MOST_SHOWN = 100  # characters of an argument or a result in a message


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A function to write."""

    page: str
    """The name of the page that it stands on."""
    answer: Callable[..., Any]
    """A right answer. Its name and parameters are those of the function to write."""
    cases: Callable[[], Iterable[tuple[Any, ...]]]
    """Returns the arguments of some calls."""
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Wrong answers that a teacher expects, by what to say about them."""
    tolerance: float = 1e-6
    """How far a number may be from the right one, relative to numbers of size 1."""

    @property
    def name(self) -> str:
        """The name of the function to write."""
        return self.answer.__name__

    def review(self, given: Callable[..., Any]) -> str:
        """Return what is wrong with an answer, in the words of a teacher; "" where it is right.

        Args:
            given: the reader's function. What it raises passes through.
        """
        wanted, taken = len(inspect.signature(self.answer).parameters), _number_of_parameters(given)
        if taken is not None and taken != wanted:
            return f"takes {show_count(taken, 'argument')}, but should take {wanted}: {inspect.signature(self.answer)}"
        cases = list(self.cases())
        for case in cases:
            right, result = _call(self.answer, case), _call(given, case)
            if wrong := compare(result, right, self.tolerance):
                return f"{self._recognize(given, cases) or wrong}{_show_call(self.name, case)}"
        return ""

    def _recognize(self, given: Callable[..., Any], cases: list[tuple[Any, ...]]) -> str:
        """Return what to say where the answer agrees with an expected mistake on every call."""
        for text, mistake in self.mistakes.items():
            if not any(compare(_call(given, case), _call(mistake, case), self.tolerance) for case in cases):
                return text
        return ""


def compare(given: Any, right: Any, tolerance: float) -> str:
    """Say how a result differs from the right one; "" if it does not.

    Example:
        >>> compare([1.0, 2.0], np.array([1.0, 2.5]), 1e-6)
        'returned 2 at [1], but 2.5 is right'
        >>> compare([[1.0, 2.0]], np.array([1.0, 2.5]), 1e-6)
        'returned shape (1, 2), but (2,) is right'
    """
    if given is None:
        return "returned nothing; end it with return"
    if isinstance(right, tuple):
        if not isinstance(given, tuple | list) or len(given) != len(right):
            found = (
                show_count(len(given), "value") if isinstance(given, tuple | list) else f"one {type(given).__name__}"
            )
            return f"returned {found}, but should return {len(right)} values"
        parts = ((place, compare(*pair, tolerance)) for place, pair in enumerate(zip(given, right, strict=True)))
        return next((f"value {place + 1} of {len(right)}: {wrong}" for place, wrong in parts if wrong), "")
    if isinstance(right, str):
        return "" if given == right else f"returned {_short(given)}, but {_short(right)} is right"
    try:
        values = np.asarray(given.detach() if hasattr(given, "detach") else given)
        if values.dtype.kind in "SU":
            return f"returned {_short(given)}, which is text, where numbers are expected; convert it with float"
        # Fractions and integers over 64 bits are objects to NumPy, as None is
        is_exact = values.dtype.kind == "O" and all(isinstance(value, Real) for value in values.flat)
        if values.dtype.kind not in "biuf" and not is_exact:
            raise TypeError
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        return f"returned {_short(given)}, a {type(given).__name__}, where numbers are expected"
    expected = np.asarray(right, dtype=np.float64)
    if numbers.shape != expected.shape:
        return f"returned shape {numbers.shape}, but {expected.shape} is right"
    wrong = ~np.isclose(numbers, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not wrong.any():
        return ""
    place = tuple(int(index) for index in np.argwhere(wrong)[0])
    at = f" at [{', '.join(map(str, place))}]" if place else ""
    return f"returned {numbers[place]:.6g}{at}, but {expected[place]:.6g} is right"


def _call(function: Callable[..., Any], case: tuple[Any, ...]) -> Any:
    return function(*copy.deepcopy(case))  # an answer may change its arguments


def _number_of_parameters(function: Callable[..., Any]) -> int | None:
    """Return how many arguments a function takes; None if it takes any number."""
    parameters = inspect.signature(function).parameters.values()
    is_open = any(
        one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) or one.default is not one.empty for one in parameters
    )
    return None if is_open else len(parameters)


def _show_call(name: str, case: tuple[Any, ...]) -> str:
    """Show the call that went wrong, if it is short."""
    arguments = ", ".join(repr(argument) for argument in case)
    return f", for {name}({arguments})" if len(arguments) <= MOST_SHOWN and "\n" not in arguments else ""


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]} ..."


def show_count(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 value" and "2 values"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
