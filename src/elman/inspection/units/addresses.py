"""The units of a model, and how they are written.

``LAYER:UNIT``, counted from 0: ``0:12``; ``0r:12`` in the direction that reads from the end; ``0:c12`` in the cell of
an LSTM. Units of a translator begin with ``encoder.`` or ``decoder.``. Commas separate several units.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from elman.errors import UsageError
from elman.families.base import Model
from elman.inspection.inputs import check_model
from elman.nn.stack import Recurrent

PATHS = {"rnn": "rnn", "encoder.rnn": "rnn", "encoder": "encoder", "decoder.rnn": "decoder"}
"""The stack that each recurrent layer of a network is, by its name among the network's modules."""

_UNIT = re.compile(r"(?:(encoder|decoder)\.)?(\d{1,6})(r?):(c?)(\d{1,9})")
_ARRAY = re.compile(r"(?:(encoder|decoder)\.)?layer(\d+)\.(forward|reverse)\.(hidden|cell)")


@dataclass(frozen=True)
class Unit:
    """One unit of a state."""

    stack: str
    """``rnn``, ``encoder`` or ``decoder``."""
    layer: int
    is_reverse: bool
    part: str
    """``hidden`` or ``cell``."""
    number: int

    @property
    def array(self) -> str:
        """The name of the array of a trace that has this unit as a column."""
        prefix = "" if self.stack == "rnn" else f"{self.stack}."
        return f"{prefix}layer{self.layer}.{'reverse' if self.is_reverse else 'forward'}.{self.part}"

    @classmethod
    def of_column(cls, array: str, number: int) -> Unit | None:
        """Return the unit that is a column of an array of a trace; None if the array is a gate."""
        found = _ARRAY.fullmatch(array)
        if found is None:
            return None
        stack, layer, direction, part = found.groups()
        return cls(stack or "rnn", int(layer), direction == "reverse", part, number)

    def __str__(self) -> str:
        """Write the unit as ``LAYER:UNIT``."""
        prefix = "" if self.stack == "rnn" else f"{self.stack}."
        return f"{prefix}{self.layer}{'r' * self.is_reverse}:{'c' * (self.part == 'cell')}{self.number}"


Units = str | Unit | Iterable[str | Unit]
"""Units: ``"0:12"``, ``"0:12,0r:c3"``, or several of them in a list."""


def find_units(model: Model, units: Units) -> list[Unit]:
    """Look units up in a model.

    Raises:
        UsageError: a unit is not written as ``LAYER:UNIT``, or the model does not have it.
    """
    check_model(model)
    stacks = find_stacks(model)
    found: list[Unit] = []
    for given in [units] if isinstance(units, str | Unit) else units:
        words = [given] if isinstance(given, Unit) else str(given).split(",")
        found += [word if isinstance(word, Unit) else _parse(word.strip(), stacks) for word in words]
    if not found:
        raise UsageError("no units are given; name some, such as 0:12")
    for unit in found:
        _check(unit, stacks)
    if len(set(found)) < len(found):
        raise UsageError(f"a unit is named twice: {', '.join(map(str, found))}")
    return found


def _parse(word: str, stacks: dict[str, Recurrent]) -> Unit:
    match = _UNIT.fullmatch(word)
    if match is None:
        raise UsageError(f'"{word}" is no unit; write LAYER:UNIT, such as 0:12, 0r:12 (reverse) or 0:c12 (cell)')
    stack, layer, reverse, cell, number = match.groups()
    if stack is None and len(stacks) > 1:
        raise UsageError(f'"{word}" may be of the encoder or of the decoder; write encoder.{word} or decoder.{word}')
    stack = stack if len(stacks) > 1 else next(iter(stacks)) if stack in (None, *stacks) else stack
    return Unit(str(stack), int(layer), bool(reverse), "cell" if cell else "hidden", int(number))


def _check(unit: Unit, stacks: dict[str, Recurrent]) -> None:
    """Raise UsageError for a unit that a model does not have."""
    if unit.stack not in stacks:
        raise UsageError(f"there is no unit {unit}: the model has no {unit.stack}")
    layer = stacks[unit.stack]
    if unit.layer >= layer.num_layers:
        raise UsageError(f"there is no unit {unit}: the layers are 0 to {layer.num_layers - 1}")
    if unit.is_reverse and not layer.bidirectional:
        raise UsageError(f"there is no unit {unit}: the layers read forward only")
    if unit.part not in layer.cell.state:
        raise UsageError(f"there is no unit {unit}: the state of a {type(layer).__name__} has no {unit.part}")
    size = layer.state_sizes[unit.part]
    if unit.number >= size:
        raise UsageError(f"there is no unit {unit}: the units are 0 to {size - 1}")


def find_stacks(model: Model) -> dict[str, Recurrent]:
    """Return the recurrent layers of a model by name."""
    found = {PATHS[path]: module for path, module in find_layers(model).items()}
    if not found:
        raise UsageError(f'cell is "{model.get_params()["cell"]}", which has no recurrent state to change')
    return found


def find_layers(model: Model) -> dict[str, Recurrent]:
    """Return the recurrent layers of a model by their names among the network's modules."""
    modules = model.network_.named_modules()
    return {path: module for path, module in modules if path in PATHS and isinstance(module, Recurrent)}
