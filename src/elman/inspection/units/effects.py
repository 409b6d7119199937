"""What setting units to zero does to a model's loss, beside random other units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import IGNORED
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.unrolled import Unrolled
from elman.inspection.inputs import run_recorded, select
from elman.inspection.units.addresses import Unit, Units, find_stacks, find_units
from elman.nn.recording import Intervention
from elman.nn.stack import Recurrent

MOST_NUMBERS = 1 << 25  # in the logits of one batch
RESAMPLES = 2000  # for the interval of a mean


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
    record: int | None = None,
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
        record: read this input only, counted from 1.
        seed: the seed of the random sets and of the bootstrap.

    Raises:
        UsageError: there is no such unit, or there are not enough other units as controls.
        DataError: no target is known.
    """
    found = find_units(model, units)
    if controls < 1:
        raise UsageError(f"controls is {controls}, expected at least 1")
    rows = _draw_controls(found, model, controls, seed)
    before, after = _compare_losses(model, rows, select(model, X, y, steps=steps, record=record))
    return _summarise(before, after[0], after[1:], seed)


@torch.no_grad()
def unit_effects(
    model: Model,
    units: Units,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    controls: int = 20,
    steps: int | None = None,
    record: int | None = None,
    seed: int = 0,
) -> dict[str, Effect]:
    """Measure the effect of each unit alone, by unit; units of the same layer share their controls.

    Args and errors are those of :func:`ablation_effect`. Without enough other units, there are fewer controls or none.
    """
    if controls < 0:
        raise UsageError(f"controls is {controls}, expected at least 0")
    effects: dict[str, Effect] = {}
    by_group: dict[Group, list[Unit]] = {}
    for unit in find_units(model, units):
        by_group.setdefault(_group_of(unit), []).append(unit)
    inputs = list(select(model, X, y, steps=steps, record=record))  # each layer reads them
    generator, stacks = np.random.default_rng(seed), find_stacks(model)
    for group, own in by_group.items():
        numbers = [unit.number for unit in own]
        others = np.setdiff1d(np.arange(stacks[group[0]].state_sizes[group[3]]), numbers)
        drawn = np.concatenate((numbers, generator.permutation(others)[:controls]))
        rows = {group: torch.from_numpy(drawn[:, None])}
        before, after = _compare_losses(model, rows, inputs)
        for unit, losses in zip(own, after, strict=False):
            effects[str(unit)] = _summarise(before, losses, after[len(own) :], seed)
    return effects


Group = tuple[str, int, bool, str]
"""Units of one stack, layer, direction and part of the state."""


def _group_of(unit: Unit) -> Group:
    return unit.stack, unit.layer, unit.is_reverse, unit.part


def _compare_losses(
    model: Model, rows: dict[Group, Tensor], inputs: Iterable[Unrolled]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the M losses of all inputs without changes (M,), and with the units of each row set to zero (R, M).

    Raises:
        DataError: no target is known.
    """
    num_rows = len(next(iter(rows.values())))
    plain: list[Tensor] = []
    changed: list[Tensor] = []
    for unrolled in inputs:
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
    before, after = torch.cat(plain, dim=1)[0].numpy(), torch.cat(changed, dim=1).numpy()  # (M,), (R, M)
    if not len(before):
        raise DataError("there is no loss: the input has no target at any step")
    return before, after


def _summarise(
    before: NDArray[np.float64], after: NDArray[np.float64], controls: NDArray[np.float64], seed: int
) -> Effect:
    """Summarise the losses (M,) before and after, and those of the controls (C, M)."""
    differences = after - before
    picks = np.random.default_rng(seed).integers(0, len(before), (RESAMPLES, len(before)))
    low, high = np.percentile(differences[picks].mean(axis=1), (2.5, 97.5))
    interval = float(low), float(high)
    return Effect(float(before.mean()), float(after.mean()), interval, (controls - before).mean(axis=1))


def _draw_controls(units: Sequence[Unit], model: Model, number: int, seed: int) -> dict[Group, Tensor]:
    """Return, for each group of units, the units themselves and then the controls (1 + C, N)."""
    generator, stacks = np.random.default_rng(seed), find_stacks(model)
    own: dict[Group, list[int]] = {}
    for unit in units:
        own.setdefault(_group_of(unit), []).append(unit.number)
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
