"""The inputs of a model that are inspected, and the network run over them while it is recorded."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from elman.draws import drawing
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.gradients import choose_outputs
from elman.families.unrolled import Unrolled
from elman.nn.recording import Intervention, Recording, recording
from elman.nn.stack import Recurrent

logger = logging.getLogger(__name__)


def select(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    steps: int | None = None,
    most: int | None = None,
    record: int | None = None,
) -> Iterator[Unrolled]:
    """Unroll the model over the inputs to inspect.

    Args:
        model: a fitted model.
        X: the inputs.
        y: the targets.
        steps: the number of steps to read of each input.
        most: the maximum number of steps; a longer input is cut, with a warning.
        record: the only input to yield, counted from 1.

    Raises:
        UsageError: ``steps`` or ``record`` is below 1.
        DataError: there is no such record.
    """
    for name, number in (("steps", steps), ("record", record)):
        if number is not None and number < 1:
            raise UsageError(f"{name} is {number}, expected at least 1")
    limit = min((number for number in (steps, most) if number is not None), default=None)
    with drawing(model.seed):
        found = model.unroll(X, y, steps=limit)
    number = 0
    for number, unrolled in enumerate(found, start=1):
        if record is not None and number != record:
            continue
        if unrolled.is_cut and limit != steps:
            logger.warning("the input is longer than memory allows: its first %s steps are read", f"{limit:,}")
        yield unrolled
        if record is not None:
            return
    if record is not None:
        raise DataError(f"there is no record {record}: the input has {number:,}")


def check_model(model: Any) -> None:
    """Raise UsageError if this is not a fitted model."""
    if not isinstance(model, Model):
        raise UsageError(
            f"the model is of type {type(model).__name__}; give a fitted model, such as elman.load returns"
        )
    model._check_fitted()


def run_recorded(
    model: Model,
    unrolled: Unrolled,
    inputs: Tensor,
    interventions: Mapping[Recurrent, Sequence[Intervention]] | None = None,
) -> tuple[Recording, Any, Any]:
    """Run a network over inputs (R, …) and record it: the recording, the logits (R, T_out, V) and the attention."""
    with recording(interventions=interventions) as record, drawing(model.seed):
        logits, attention = unrolled.run(inputs)
    return record, logits, attention


def to_double(model: Model) -> Model:
    """Return a copy of a model that computes in float64: a vanished gradient is noise in float32."""
    twin = copy.copy(model)
    twin.network_ = copy.deepcopy(model.network_).double().eval()
    for layer in twin.network_.modules():
        if isinstance(layer, Recurrent):
            layer.backend = "auto"
    return twin


def choose_losses(
    inputs: Sequence[Unrolled], losses: int, record: int | None
) -> tuple[list[tuple[int, Unrolled, Tensor]], list[int]]:
    """Choose losses, evenly spaced over all inputs.

    Returns:
        For each chosen input its number, from 1, itself unrolled, and its outputs (R,); and the lengths of all inputs.
    """
    chosen = [((record or 1) + row, inputs[row], outputs) for row, outputs in choose_outputs(inputs, losses)]
    return chosen, [unrolled.num_steps for unrolled in inputs]
