"""Set units of a model's state while it runs, and measure what that does to its loss.

The changed model works like any other: call ``evaluate``, ``predict`` or ``generate``, or pass it to
:func:`~elman.inspection.trace`. It shares its weights with the original model, which does not change.

Units are written ``LAYER:UNIT``, counted from 0: ``0:12``; ``0r:12`` in the direction that reads from the end;
``0:c12`` in the cell of an LSTM. Units of a translator begin with ``encoder.`` or ``decoder.``. Commas separate several
units.

A unit is set after each step: the step passes the new value to the next step and to the layer above. The cell is set
after the hidden state of its step has been computed, so it takes effect from the next step on.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.batching import IGNORED
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.unrolled import Unrolled
from elman.inspection.traces import Trace, check_model, run_recorded, select, trace
from elman.nn.recording import Intervention
from elman.nn.stack import Recurrent

PATHS = {"rnn": "rnn", "encoder.rnn": "rnn", "encoder": "encoder", "decoder.rnn": "decoder"}
"""The stack that each recurrent layer of a network is, by its name among the network's modules."""
MOST_NUMBERS = 1 << 25  # in the logits of one batch
RESAMPLES = 2000  # for the interval of a mean

_UNIT = re.compile(r"(?:(encoder|decoder)\.)?(\d{1,6})(r?):(c?)(\d{1,9})")


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

    def __str__(self) -> str:
        """Write the unit as ``LAYER:UNIT``."""
        prefix = "" if self.stack == "rnn" else f"{self.stack}."
        return f"{prefix}{self.layer}{'r' * self.is_reverse}:{'c' * (self.part == 'cell')}{self.number}"


Units = str | Unit | Iterable[str | Unit]
"""Units: ``"0:12"``, ``"0:12,0r:c3"``, or several of them in a list."""


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
    values = np.stack(columns, axis=1)
    return _set_units(model, found, np.concatenate((values, values[-1:])) if len(values) == 1 else values)


def find_units(model: Model, units: Units) -> list[Unit]:
    """Look units up in a model.

    Raises:
        UsageError: a unit is not written as ``LAYER:UNIT``, or the model does not have it.
    """
    check_model(model)
    stacks = _find_stacks(model)
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


def _find_stacks(model: Model) -> dict[str, Recurrent]:
    """Return the recurrent layers of a model by name."""
    found = {PATHS[path]: module for path, module in _find_layers(model).items()}
    if not found:
        raise UsageError(f'cell is "{model.get_params()["cell"]}", which has no recurrent state to change')
    return found


def _find_layers(model: Model) -> dict[str, Recurrent]:
    """Return the recurrent layers of a model by their names among the network's modules."""
    modules = model.network_.named_modules()
    return {path: module for path, module in modules if path in PATHS and isinstance(module, Recurrent)}


def _get_column(source: Trace, unit: Unit) -> NDArray[np.float64]:
    """Return the values of a unit at each step (T,)."""
    name = unit.array if unit.array in source.arrays else unit.array.removeprefix(f"{unit.stack}.")
    array = source[name]
    if unit.number >= array.shape[1]:
        raise UsageError(f"the trace has no unit {unit}: its units are 0 to {array.shape[1] - 1}")
    column: NDArray[np.float64] = array[:, unit.number].astype(np.float64)
    return column


def _set_units(model: Model, units: Sequence[Unit], values: NDArray[Any]) -> Model:
    """Return a model whose units are set to values (1, N) or (T, N)."""
    groups: dict[tuple[str, int, bool, str], list[int]] = {}
    for index, unit in enumerate(units):
        groups.setdefault((unit.stack, unit.layer, unit.is_reverse, unit.part), []).append(index)
    changes = [
        (stack, Intervention(layer, is_reverse, part, _numbers([units[i] for i in own]), _floats(values[:, own])))
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
    for path in _find_layers(model):
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


# ---------------------------------------------------------------- the effect on the loss


@dataclass(frozen=True, eq=False)
class Effect:
    """The effect of setting units to zero on a model's loss, compared with random other units."""

    loss: float
    """The mean loss of the unchanged model over all outputs, in nats."""
    ablated_loss: float
    """The mean loss with the units set to zero."""
    interval: tuple[float, float]
    """The 95 % bootstrap interval of the difference, over the outputs."""
    controls: NDArray[np.float64]
    """(C,) the differences for C random sets of as many other units of the same layers."""

    @property
    def difference(self) -> float:
        """The increase of the loss."""
        return self.ablated_loss - self.loss

    @property
    def rank(self) -> int:
        """The number of controls with at least as large a difference: 0 if the units matter more than all of them."""
        return int((self.controls >= self.difference).sum())

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        return {
            "loss": self.loss,
            "ablated_loss": self.ablated_loss,
            "difference": self.difference,
            "interval": list(self.interval),
            "controls": self.controls.tolist(),
            "rank": self.rank,
        }

    def __repr__(self) -> str:
        """Show the figures in one line."""
        low, high = self.interval
        return (
            f"<Effect: {self.difference:+.4f} nats ({low:+.4f} … {high:+.4f}); "
            f"{self.rank} of {len(self.controls)} controls make as large a difference>"
        )


@torch.no_grad()
def ablation_effect(
    model: Model,
    units: Units,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    controls: int = 100,
    steps: int | None = None,
    seed: int = 0,
) -> Effect:
    """Measure how the loss changes if units are set to zero, compared with random other units of the same layers.

    Args:
        model: a fitted model.
        units: the units to set to zero together.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        y: the targets; by default the model's own predictions.
        controls: the number of random sets of as many other units; fewer if there are not enough units.
        steps: read only this many steps of each input of a language model or a composer.
        seed: the seed of the random sets and of the bootstrap.

    Raises:
        UsageError: there is no such unit, or there are not enough other units as controls.
        DataError: no target is known.
    """
    found = find_units(model, units)
    if controls < 1:
        raise UsageError(f"controls is {controls}, expected at least 1")
    rows = _draw_controls(found, model, controls, seed)  # by group (1 + C, N)
    num_rows = len(next(iter(rows.values())))
    plain: list[Tensor] = []
    changed: list[Tensor] = []
    for unrolled in select(model, X, y, steps=steps):
        targets, own = _compute_losses(model, unrolled, 1, None, {})
        plain.append(own)
        together = max(MOST_NUMBERS // (len(unrolled.names) * max(own.shape[1], 1)), 1)
        parts = []
        for first in range(0, num_rows, together):
            some = slice(first, min(first + together, num_rows))
            parts.append(
                _compute_losses(model, unrolled, some.stop - some.start, targets, _zero_units(unrolled, rows, some))[1]
            )
        changed.append(torch.cat(parts))
    before, after = torch.cat(plain, dim=1)[0].numpy(), torch.cat(changed, dim=1).numpy()  # (M,), (1 + C, M)
    if not len(before):
        raise DataError("there is no loss: the input has no target at any step")
    differences = after - before
    generator = np.random.default_rng(seed)
    picks = generator.integers(0, len(before), (RESAMPLES, len(before)))
    low, high = np.percentile(differences[0][picks].mean(axis=1), (2.5, 97.5))
    return Effect(float(before.mean()), float(after[0].mean()), (float(low), float(high)), differences[1:].mean(axis=1))


Group = tuple[str, int, bool, str]
"""Units of one stack, layer, direction and part of the state."""


def _draw_controls(units: Sequence[Unit], model: Model, number: int, seed: int) -> dict[Group, Tensor]:
    """Return, for each group of units, the units themselves and then the controls (1 + C, N)."""
    generator, stacks = np.random.default_rng(seed), _find_stacks(model)
    own: dict[Group, list[int]] = {}
    for unit in units:
        own.setdefault((unit.stack, unit.layer, unit.is_reverse, unit.part), []).append(unit.number)
    others = {
        group: np.setdiff1d(np.arange(stacks[group[0]].state_sizes[group[3]]), numbers)
        for group, numbers in own.items()
    }
    if any(len(others[group]) < len(numbers) for group, numbers in own.items()):
        raise UsageError("too many units are given: their layers have too few others to compare with; give fewer")
    if len(units) == 1:  # each other unit is drawn once
        number = min(number, len(next(iter(others.values()))))
    drawn: dict[Group, list[NDArray[np.int64]]] = {group: [np.array(numbers)] for group, numbers in own.items()}
    if len(units) == 1:
        (group,) = own
        drawn[group] += list(generator.permutation(others[group])[:number, None])
    else:
        for _ in range(number):
            for group, numbers in own.items():
                drawn[group].append(generator.choice(others[group], len(numbers), replace=False))
    return {group: torch.from_numpy(np.stack(rows)) for group, rows in drawn.items()}


def _zero_units(unrolled: Unrolled, rows: dict[Group, Tensor], some: slice) -> dict[Recurrent, list[Intervention]]:
    """Set different units to zero in each row."""
    found: dict[Recurrent, list[Intervention]] = {}
    for (stack, layer, is_reverse, part), numbers in rows.items():
        zeros = torch.zeros(1, numbers.shape[1])
        change = Intervention(layer, is_reverse, part, numbers[some], zeros)
        found.setdefault(unrolled.stacks[stack].layer, []).append(change)
    return found


def _compute_losses(
    model: Model,
    unrolled: Unrolled,
    num_rows: int,
    targets: Tensor | None,
    interventions: dict[Recurrent, list[Intervention]],
) -> tuple[Tensor, Tensor]:
    """Run an input in R equal rows; return its targets, and the loss of each known target in every row (R, M)."""
    inputs = unrolled.inputs.expand(num_rows, *unrolled.inputs.shape)
    _, logits, _ = run_recorded(model, unrolled, inputs, interventions=interventions)
    log_probabilities = unrolled.log_probabilities(logits).double().cpu()  # (R, M, V)
    if targets is None:
        targets = log_probabilities[0].argmax(dim=-1) if unrolled.targets is None else unrolled.targets
    known = targets != IGNORED
    chosen = targets[known].expand(num_rows, -1)[..., None]
    return targets, -log_probabilities[:, known].gather(-1, chosen)[..., 0]
