"""Set units of a model's state while it runs, and measure what that does to its loss.

A changed model is a model: hand it to ``evaluate``, ``predict``, ``generate`` or :func:`~elman.inspection.trace`. It
shares its weights with the one that it was made of, which stays as it was.

Units are called ``LAYER:UNIT``, counted from 0: ``0:12``; ``0r:12`` in the direction that reads from the end; ``0:c12``
in the cell of an LSTM. Those of a translator begin with ``encoder.`` or ``decoder.``. Several have commas between.

A unit is set after each step: what the step hands on and what the layer above reads is the new value. The hidden state
of a step has been computed when its cell is set, so the cell makes a difference from the next step on.
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
MOST_NUMBERS = 1 << 25  # of logits that are held at once
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
        """The array of a trace that has it as a column."""
        prefix = "" if self.stack == "rnn" else f"{self.stack}."
        return f"{prefix}layer{self.layer}.{'reverse' if self.is_reverse else 'forward'}.{self.part}"

    def __str__(self) -> str:
        """Write the unit as it is called."""
        prefix = "" if self.stack == "rnn" else f"{self.stack}."
        return f"{prefix}{self.layer}{'r' * self.is_reverse}:{'c' * (self.part == 'cell')}{self.number}"


Units = str | Unit | Iterable[str | Unit]
"""Units: ``"0:12"``, ``"0:12,0r:c3"``, or several of them in a list."""


def ablate(model: Model, units: Units, mean_of: Any = None) -> Model:
    r"""Return the model with units set to zero.

    Args:
        model: a fitted model.
        units: such as ``"0:12,0:80"``.
        mean_of: an input: the units are set to their mean over it instead.

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
        values = [float(_column(plain, unit).mean()) for unit in found]
    return _set(model, found, np.array(values)[None])


def clamp(model: Model, units: Units, value: float | Sequence[float]) -> Model:
    """Return the model with units set to a value, or each to one of its own.

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
    return _set(model, found, values[None])


def patch(model: Model, units: Units, source: Trace) -> Model:
    """Return the model with units set, at each step of a sequence, to what they were at that step of another run.

    The steps after the last one of that run are left alone. So are those that go on from a state: a prompt is patched,
    and not what is generated after it.

    Args:
        model: a fitted model.
        units: such as ``"0:12"``; those of a decoder can be clamped, not patched: its steps depend on what it writes.
        source: the trace of one input by a model of the same sizes.

    Raises:
        UsageError: there is no such unit, or the trace does not have it.
    """
    found = find_units(model, units)
    if not isinstance(source, Trace) or len(source) != 1:
        what = f"{len(source)} inputs" if isinstance(source, Trace) else type(source).__name__
        raise UsageError(f"the source is of {what}; give the trace of one input")
    if any(unit.stack == "decoder" for unit in found):
        raise UsageError("units of a decoder cannot be patched: its steps depend on what it writes; use clamp")
    columns = [_column(source, unit) for unit in found]
    if len({len(column) for column in columns}) > 1 or not len(columns[0]):
        raise UsageError("the units to be patched are of stacks with other numbers of steps; patch one after the other")
    values = np.stack(columns, axis=1)
    return _set(model, found, np.concatenate((values, values[-1:])) if len(values) == 1 else values)


def find_units(model: Model, units: Units) -> list[Unit]:
    """Look units up in a model.

    Raises:
        UsageError: a unit is not written as units are, or the model does not have it.
    """
    check_model(model)
    stacks = _stacks(model)
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


def _stacks(model: Model) -> dict[str, Recurrent]:
    """Return the recurrent layers of a model by name."""
    found = {PATHS[path]: module for path, module in _layers(model).items()}
    if not found:
        raise UsageError(f'cell is "{model.get_params()["cell"]}", which has no recurrent state to change')
    return found


def _layers(model: Model) -> dict[str, Recurrent]:
    """Return the recurrent layers of a model by their names among the network's modules."""
    modules = model.network_.named_modules()
    return {path: module for path, module in modules if path in PATHS and isinstance(module, Recurrent)}


def _column(source: Trace, unit: Unit) -> NDArray[np.float64]:
    """Return what a unit was at each step (T,)."""
    name = unit.array if unit.array in source.arrays else unit.array.removeprefix(f"{unit.stack}.")
    array = source[name]
    if unit.number >= array.shape[1]:
        raise UsageError(f"the trace has no unit {unit}: its units are 0 to {array.shape[1] - 1}")
    column: NDArray[np.float64] = array[:, unit.number].astype(np.float64)
    return column


def _set(model: Model, units: Sequence[Unit], values: NDArray[Any]) -> Model:
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
    """Return a copy of a model, with the same weights, some of whose layers have further interventions."""
    twin = copy.copy(model)
    twin.network_ = _copy_module(model.network_)
    for path in _layers(model):
        own = tuple(change for stack, change in changes if stack == PATHS[path])
        module: Any = twin.network_
        for name in path.split("."):
            module._modules[name] = _copy_module(module._modules[name])
            module = module._modules[name]
        module.interventions = (*module.interventions, *own)
    return twin


def _copy_module(module: nn.Module) -> Any:
    """Copy a module, but not its weights, nor the modules in it."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


# ---------------------------------------------------------------- the effect on the loss


@dataclass(frozen=True, eq=False)
class Effect:
    """What setting units to zero does to a model's loss, beside what it does with random others."""

    loss: float
    """Of the model as it is, the mean over all outputs, in nats."""
    ablated_loss: float
    """With the units set to zero."""
    interval: tuple[float, float]
    """95 % bootstrap interval, over the outputs, of the difference."""
    controls: NDArray[np.float64]
    """(C,) the difference that as many random other units of the same layers make, each by themselves."""

    @property
    def difference(self) -> float:
        """How much the loss grows."""
        return self.ablated_loss - self.loss

    @property
    def rank(self) -> int:
        """How many of the controls make at least as large a difference: 0 where the units matter more than all."""
        return int((self.controls >= self.difference).sum())

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return {
            "loss": self.loss,
            "ablated_loss": self.ablated_loss,
            "difference": self.difference,
            "interval": list(self.interval),
            "controls": self.controls.tolist(),
            "rank": self.rank,
        }

    def __repr__(self) -> str:
        """Say it in a line."""
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
    """Measure what setting units to zero does to the loss, beside random other units of the same layers.

    Args:
        model: a fitted model.
        units: set to zero together.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        y: the answers; where not given, the losses are those of the model's own.
        controls: how many times others are drawn, as many as there are units; fewer where there are no more.
        steps: look at the first so many steps of each input of a language model or a composer.
        seed: of what is drawn.

    Raises:
        UsageError: there is no such unit, or no other that could be a control.
        DataError: nothing is known of what the outputs should be.
    """
    found = find_units(model, units)
    if controls < 1:
        raise UsageError(f"controls is {controls}, expected at least 1")
    rows = _draw_controls(found, model, controls, seed)  # by group (1 + C, N)
    num_rows = len(next(iter(rows.values())))
    plain: list[Tensor] = []
    changed: list[Tensor] = []
    for unrolled in select(model, X, y, steps=steps):
        targets, own = _losses(model, unrolled, 1, None, {})
        plain.append(own)
        together = max(MOST_NUMBERS // (len(unrolled.names) * max(own.shape[1], 1)), 1)
        parts = []
        for first in range(0, num_rows, together):
            some = slice(first, min(first + together, num_rows))
            parts.append(_losses(model, unrolled, some.stop - some.start, targets, _to_zero(unrolled, rows, some))[1])
        changed.append(torch.cat(parts))
    before, after = torch.cat(plain, dim=1)[0].numpy(), torch.cat(changed, dim=1).numpy()  # (M,), (1 + C, M)
    if not len(before):
        raise DataError("there is no loss: what the input should give is unknown at every step")
    differences = after - before
    generator = np.random.default_rng(seed)
    picks = generator.integers(0, len(before), (RESAMPLES, len(before)))
    low, high = np.percentile(differences[0][picks].mean(axis=1), (2.5, 97.5))
    return Effect(float(before.mean()), float(after[0].mean()), (float(low), float(high)), differences[1:].mean(axis=1))


Group = tuple[str, int, bool, str]
"""Units of one stack, layer, direction and part of the state."""


def _draw_controls(units: Sequence[Unit], model: Model, number: int, seed: int) -> dict[Group, Tensor]:
    """Return, for each group of units, the units themselves and then the controls (1 + C, N)."""
    generator, stacks = np.random.default_rng(seed), _stacks(model)
    own: dict[Group, list[int]] = {}
    for unit in units:
        own.setdefault((unit.stack, unit.layer, unit.is_reverse, unit.part), []).append(unit.number)
    others = {
        group: np.setdiff1d(np.arange(stacks[group[0]].state_sizes[group[3]]), numbers)
        for group, numbers in own.items()
    }
    if any(len(others[group]) < len(numbers) for group, numbers in own.items()):
        raise UsageError("too many units are named: there are not as many others in their layers to compare with")
    if len(units) == 1:  # then there are no more different ones than others
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


def _to_zero(unrolled: Unrolled, rows: dict[Group, Tensor], some: slice) -> dict[Recurrent, list[Intervention]]:
    """Set other units to zero in each row."""
    found: dict[Recurrent, list[Intervention]] = {}
    for (stack, layer, is_reverse, part), numbers in rows.items():
        zeros = torch.zeros(1, numbers.shape[1])
        change = Intervention(layer, is_reverse, part, numbers[some], zeros)
        found.setdefault(unrolled.stacks[stack].layer, []).append(change)
    return found


def _losses(
    model: Model,
    unrolled: Unrolled,
    num_rows: int,
    targets: Tensor | None,
    interventions: dict[Recurrent, list[Intervention]],
) -> tuple[Tensor, Tensor]:
    """Run an input in so many rows; return its targets, and the loss of each known one in every row (R, M)."""
    inputs = unrolled.inputs.expand(num_rows, *unrolled.inputs.shape)
    _, logits, _ = run_recorded(model, unrolled, inputs, interventions=interventions)
    log_probabilities = unrolled.log_probabilities(logits).double().cpu()  # (R, M, V)
    if targets is None:
        targets = log_probabilities[0].argmax(dim=-1) if unrolled.targets is None else unrolled.targets
    known = targets != IGNORED
    chosen = targets[known].expand(num_rows, -1)[..., None]
    return targets, -log_probabilities[:, known].gather(-1, chosen)[..., 0]
