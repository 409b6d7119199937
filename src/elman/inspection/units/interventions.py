"""Set units of a model's state while it runs.

The changed model works like any other: call ``evaluate``, ``predict`` or ``generate``, or pass it to
:func:`~elman.inspection.trace`. It shares its weights with the original model, which does not change.

A unit is set after each step: the step passes the new value to the next step and to the layer above. The cell is set
after the hidden state of its step has been computed, so it takes effect from the next step on.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.errors import UsageError
from elman.families.base import Model
from elman.inspection.traces import Trace
from elman.inspection.tracing import trace
from elman.inspection.units.addresses import PATHS, Unit, Units, find_layers, find_units
from elman.nn.recording import Intervention


def ablate(model: Model, units: Units, mean_of: Any = None) -> Model:
    r"""Return the model with units set to zero.

    Args:
        model: a fitted model.
        units: such as ``"0:12,0:80"``.
        mean_of: an input; set the units to their mean over it instead of zero.

    Raises:
        UsageError: there is no such unit.

    Example:
        >>> from elman import LanguageModel
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit("to be or not to be\n" * 80)
        >>> without = ablate(lm, "0:3,0:c5")
        >>> float(abs(trace(without, "to be")["layer0.forward.hidden"][:, 3]).max())
        0.0
    """
    found = find_units(model, units)
    values = [0.0] * len(found)
    if mean_of is not None:
        plain = trace(model, mean_of)
        values = [float(_get_column(plain, unit).mean()) for unit in found]
    return _set_units(model, found, np.array(values)[None])


def clamp(model: Model, units: Units, value: float | Sequence[float]) -> Model:
    """Return the model with all units set to one value, or each unit to its own value.

    Raises:
        UsageError: there is no such unit, or a value is not a finite number.
    """
    found = find_units(model, units)
    values = np.broadcast_to(np.asarray(value, np.float64), len(found)) if np.ndim(value) == 0 else np.asarray(value)
    if values.shape != (len(found),):
        raise UsageError(f"{len(values)} values are given for {len(found)} units; give one, or one for each")
    for unit, number in zip(found, values.astype(float).tolist(), strict=True):
        if not math.isfinite(number):
            raise UsageError(f"{unit} cannot be set to {number}; give a finite number")
    return _set_units(model, found, values[None])


def patch(model: Model, units: Units, source: Trace) -> Model:
    """Return the model with units set, at each step of a sequence, to what they were at that step of another run.

    Steps after the last step of that run do not change, nor do steps that continue from a state: a prompt is patched,
    the text generated after it is not.

    Args:
        model: a fitted model.
        units: such as ``"0:12"``. Units of a decoder can only be clamped: its steps depend on what it generates.
        source: the trace of one input by a model of the same sizes.

    Raises:
        UsageError: there is no such unit, or the trace does not have it.
    """
    found = find_units(model, units)
    if not isinstance(source, Trace) or len(source) != 1:
        what = f"{len(source)} inputs" if isinstance(source, Trace) else type(source).__name__
        raise UsageError(f"the source is of {what}; give the trace of one input")
    if any(unit.stack == "decoder" for unit in found):
        raise UsageError("units of a decoder cannot be patched: its steps depend on what it generates; use clamp")
    columns = [_get_column(source, unit) for unit in found]
    if len({len(column) for column in columns}) > 1 or not len(columns[0]):
        raise UsageError("the units belong to stacks with different numbers of steps; patch one stack after the other")
    return _set_units(model, found, np.stack(columns, axis=1), by_step=True)


def list_set_units(model: Model) -> dict[str, float | None]:
    """Return the units of a model that are set, by unit the value; None for one that differs from step to step."""
    found: dict[str, float | None] = {}
    for path, layer in find_layers(model).items():
        for change in layer.interventions:
            values = [None] * len(change.units) if change.by_step else change.values[0].tolist()
            for number, value in zip(change.units.tolist(), values, strict=True):
                found[str(Unit(PATHS[path], change.layer, change.is_reverse, change.part, number))] = value
    return found


def _get_column(source: Trace, unit: Unit) -> NDArray[np.float64]:
    """Return the values of a unit at each step (T,)."""
    name = unit.array if unit.array in source.arrays else unit.array.removeprefix(f"{unit.stack}.")
    array = source[name]
    if unit.number >= array.shape[1]:
        raise UsageError(f"the trace has no unit {unit}: its units are 0 to {array.shape[1] - 1}")
    column: NDArray[np.float64] = array[:, unit.number].astype(np.float64)
    return column


def _set_units(model: Model, units: Sequence[Unit], values: NDArray[Any], by_step: bool = False) -> Model:
    """Return a model whose units are set to values (1, N), or by step (T, N)."""
    groups: dict[tuple[str, int, bool, str], list[int]] = {}
    for index, unit in enumerate(units):
        groups.setdefault((unit.stack, unit.layer, unit.is_reverse, unit.part), []).append(index)
    changes = [
        (
            stack,
            Intervention(layer, is_reverse, part, _numbers([units[i] for i in own]), _floats(values[:, own]), by_step),
        )
        for (stack, layer, is_reverse, part), own in groups.items()
    ]
    return _with_interventions(model, changes)


def _numbers(units: Sequence[Unit]) -> Tensor:
    return torch.tensor([unit.number for unit in units])


def _floats(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float64))


def _with_interventions(model: Model, changes: Sequence[tuple[str, Intervention]]) -> Model:
    """Return a copy of a model that shares its weights, with more interventions in some layers."""
    twin = copy.copy(model)
    twin.network_ = _copy_module(model.network_)
    for path in find_layers(model):
        own = tuple(change for stack, change in changes if stack == PATHS[path])
        module: Any = twin.network_
        for name in path.split("."):
            module._modules[name] = _copy_module(module._modules[name])
            module = module._modules[name]
        module.interventions = (*module.interventions, *own)
    return twin


def _copy_module(module: nn.Module) -> Any:
    """Copy a module, but not its weights or submodules."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin
