"""Everything that is measured of one input: what ``elman inspect`` writes, and what the report shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from elman.data.batching import IGNORED
from elman.drawing.report import Holding
from elman.errors import DataError
from elman.families.base import Model
from elman.families.encoder_decoder import EncoderDecoderModel
from elman.families.next_token import NextTokenModel
from elman.families.unrolled import Unrolled
from elman.inspection.attribution import InputAttribution, attribute
from elman.inspection.context import ContextUse, context_use
from elman.inspection.gradients import GradientByLag, gradient_by_lag
from elman.inspection.holding import measure_holding
from elman.inspection.inputs import check_model, run_recorded, select
from elman.inspection.traces import Trace, save_arrays
from elman.inspection.tracing import trace_recorded
from elman.inspection.units.effects import Effect, unit_effects
from elman.inspection.units.interventions import list_set_units
from elman.inspection.units.ranking import rank_units
from elman.inspection.units.rankings import UnitRanking
from elman.nn.recording import Recording

STEPS = 500  # of the input to inspect, by default
LOSSES = 64  # to differentiate for the gradients by lag
CONTEXT_TARGETS = 64  # outputs whose loss by context is measured
ATTRIBUTED = 8  # outputs to attribute to the inputs; 4 to a picture, and 2 of a model that predicts its input ...
ATTRIBUTED_STEPS = 64  # ... and the most steps of a text to attribute them to
CONTROLS = 20  # random other units beside each of the best units

Measure = TypeVar("Measure")


@dataclass(frozen=True, eq=False, repr=False)
class Inspection:
    """What a model does with one input, in all measures. A measure that the input is too short for is None."""

    model: Model
    unrolled: Unrolled
    recording: Recording
    trace: Trace
    gradients: GradientByLag | None
    context: ContextUse | None
    units: UnitRanking | None
    effects: dict[str, Effect]
    """By unit, what setting it to zero does to the loss: the best units of all features that are no gates."""
    attribution: InputAttribution | None
    holding: list[Holding]
    """How much of each input a classifier's last state holds; empty for other models."""
    has_targets: bool
    """Whether the targets are known; otherwise they are the model's own predictions."""
    set_units: dict[str, float | None]
    """The units that were set while the model ran, and their values; None for values that differ by step."""
    notes: list[str]
    """What a reader has to know: that units are set, or that there are no targets."""
    attributed: str
    """How much of the input the attribution covers; empty if it is all of it."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object, under the names of ``elman inspect --json``."""
        return {
            **self.trace.to_json(),
            **({} if self.gradients is None else self.gradients.to_json()),
            "context_use": None if self.context is None else self.context.to_json(),
            "units": None if self.units is None else self.units.to_json(),
            "effects": {unit: effect.to_json() for unit, effect in self.effects.items()},
            "attribution": None if self.attribution is None else [self.attribution.to_json()],
            "holding": {held.name: held.shares.tolist() for held in self.holding},
            "set_units": self.set_units,
            "notes": [*self.notes, *[self.attributed] * bool(self.attributed)],
        }

    def named_arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays by name, as :meth:`save` writes them."""
        found = self.trace.named_arrays()
        for measure in (self.gradients, self.context, self.units, self.attribution):
            found |= {} if measure is None else measure.named_arrays()
        if self.effects:
            effects = self.effects.values()
            found["effects.units"] = np.array(list(self.effects), np.str_)
            found["effects.losses"] = np.array([[effect.loss, effect.ablated_loss] for effect in effects])  # (U, 2)
            found["effects.intervals"] = np.array([effect.interval for effect in effects])  # (U, 2)
            found |= {f"effects.controls.{unit}": effect.controls for unit, effect in self.effects.items()}
        return found | {f"holding.{held.name}": held.shares for held in self.holding}

    def save(self, path: Path | str) -> None:
        """Write an ``.npz`` with all arrays by name.

        Raises:
            StorageError: it cannot be written.
        """
        save_arrays(path, self.named_arrays())

    def __repr__(self) -> str:
        """Show the trace's sizes and the verdict in one line."""
        verdict = "" if self.gradients is None else f", {self.gradients.verdict.kind}"
        return f"<Inspection of {self.trace!r}{verdict}>"


@dataclass(frozen=True)
class _Case:
    """One input of a model, as every measure takes it."""

    model: Model
    X: Any
    y: Any
    steps: int | None
    record: int

    def measure(self, function: Callable[..., Measure], **options: Any) -> Measure | None:
        """Call a measure; return None if the input is too short for it, or has no loss."""
        try:
            return function(self.model, X=self.X, y=self.y, **{"steps": self.steps, "record": self.record} | options)
        except DataError:
            return None


def inspect(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    steps: int | None = STEPS,
    record: int = 1,
    train: Any = None,
) -> Inspection:
    r"""Measure everything of one input: its trace, gradients by lag, context use, units and attribution.

    Args:
        model: a fitted model of any task.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        y: the targets, for supervised models; by default the model's own predictions.
        steps: the number of steps of the input to read.
        record: the input, counted from 1.
        train: what n-gram models learn from; see :func:`~elman.inspection.context_use`.

    Raises:
        UsageError: the model has no recurrent layers, is not fitted, or an argument is outside its limits.
        DataError: there is no such record, or no token that the model knows.

    Example:
        >>> from elman import LanguageModel
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit("to be or not to be\n" * 80)
        >>> found = inspect(lm, "to be or not to be")
        >>> found.trace.states.shape, found.gradients.verdict.kind
        ((1, 18, 16), 'healthy')
    """
    check_model(model)
    is_known = y is not None
    if isinstance(model, EncoderDecoderModel) and y is None:  # it is generated once, for all measures
        if isinstance(X, list) and 1 <= record <= len(X):
            X, record = X[record - 1 : record], 1  # noqa: N806
        y = model.generate_answers(X)
    (unrolled,) = select(model, X, y, steps=steps, record=record)
    notes = []
    if is_known and unrolled.targets is not None and bool((unrolled.targets == IGNORED).all()):
        is_known, y = False, None
        notes.append("The model knows none of the given targets.")
        (unrolled,) = select(model, X, y, steps=steps, record=record)
    case = _Case(model, X, y, steps, record)
    with torch.no_grad():
        recording, logits, attention = run_recorded(model, unrolled, unrolled.inputs[None])
        found = trace_recorded(model, unrolled, recording, logits, attention, steps, top=10)
    has_targets = is_known or isinstance(model, NextTokenModel)
    if not has_targets:
        notes.append("Without targets, losses and gradients are those of the model's own predictions.")
    set_units = list_set_units(model)
    if set_units:
        values = (f"{unit} = {'by step' if value is None else f'{value:g}'}" for unit, value in set_units.items())
        notes.append(f"Units are set after every step: {', '.join(values)}.")
    if train is None:
        context = case.measure(context_use, targets=CONTEXT_TARGETS)
    else:  # errors are those of a file that the user named
        context = context_use(model, X, y, train=train, targets=CONTEXT_TARGETS, steps=steps, record=record)
    units = case.measure(rank_units)
    best = [] if units is None else [own.best.address for own in units.models[0].values()]
    addresses = list(dict.fromkeys(address for address in best if address is not None))
    effects = case.measure(unit_effects, units=addresses, controls=CONTROLS) if addresses else None
    outputs, attributed = _choose_attributed(model, found, steps)
    attribution = case.measure(attribute, outputs=outputs, steps=attributed)
    return Inspection(
        model=model,
        unrolled=unrolled,
        recording=recording,
        trace=found,
        gradients=case.measure(gradient_by_lag, losses=LOSSES),
        context=context,
        units=units,
        effects=effects or {},
        attribution=None if attribution is None else attribution[0],
        holding=[] if unrolled.last.is_aligned else measure_holding(model, unrolled),
        has_targets=has_targets,
        set_units=set_units,
        notes=notes,
        attributed=""
        if attributed == steps
        else f"Attribution covers the first {attributed:,} of {len(found.tokens):,} steps.",
    )


def _choose_attributed(model: Model, found: Trace, steps: int | None) -> tuple[list[int], int | None]:
    """Choose outputs to attribute and the number of steps to read: the beginning if the model predicts its input."""
    number, most = len(found.targets), 4 if found.places else ATTRIBUTED
    if isinstance(model, NextTokenModel):
        most = 2
        if number > ATTRIBUTED_STEPS:
            number = steps = ATTRIBUTED_STEPS
    return np.unique(np.linspace(0, number - 1, 1 + most).round().astype(int)[1:]).tolist(), steps
