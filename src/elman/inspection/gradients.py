"""How far back a model's errors reach: gradients by lag on its own data."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.gradients import add_layers, choose_curve, choose_outputs, find_reach, measure, summarise
from elman.families.unrolled import Unrolled
from elman.families.verdicts import Verdict, diagnose
from elman.inspection.traces import check_model, select, to_lists
from elman.nn.stack import Recurrent


@dataclass(frozen=True, eq=False, repr=False)
class GradientByLag:
    """Gradients by lag: |d loss_t / d state|, the state being the one that step t - k hands to step t - k + 1.

    The names are those of a :class:`~elman.inspection.Trace`, such as ``layer0.forward.hidden``; ``forward`` and, where
    a direction reads from the end, ``reverse`` are all layers and parts of the state together. Where an encoder comes
    before a decoder, both begin with its name.
    """

    norms: dict[str, NDArray[np.float64]]
    """By name (N, K): the 2-norms for each of N losses, column k - 1 for lag k; NaN where the input does not reach so
    far back."""
    steps: NDArray[np.int64]
    """(N,) the output, counted from 0 in its input, that each loss is about."""
    records: NDArray[np.int64]
    """(N,) the input that each loss is about, counted from 1."""
    verdict: Verdict
    """What is to be made of it."""

    @property
    def lags(self) -> NDArray[np.int64]:
        """(K,) the lags: 1, 2 and so on."""
        return np.arange(1, next(iter(self.norms.values())).shape[1] + 1)

    @cached_property
    def mean(self) -> dict[str, NDArray[np.float64]]:
        """By name (K,): the mean over the losses, of those that reach so far back."""
        return {name: summarise(norms, "mean") for name, norms in self.norms.items()}

    @cached_property
    def median(self) -> dict[str, NDArray[np.float64]]:
        """By name (K,)."""
        return {name: summarise(norms, 50) for name, norms in self.norms.items()}

    @cached_property
    def quartiles(self) -> dict[str, NDArray[np.float64]]:
        """By name (2, K): a quarter of the losses lies below the first, a quarter above the second."""
        return {name: np.stack([summarise(norms, share) for share in (25, 75)]) for name, norms in self.norms.items()}

    @cached_property
    def reach(self) -> dict[str, dict[str, int | None]]:
        """By name: the first lag at which the mean is below 1/e, and 1 %, of that at lag 1; None where it never is."""
        return {
            name: {"1/e": find_reach(mean, np.exp(-1)), "1%": find_reach(mean, 0.01)}
            for name, mean in self.mean.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return {
            "gradient_by_lag": {
                "lags": self.lags.tolist(),
                "losses": len(self.steps),
                "mean": {name: to_lists(values) for name, values in self.mean.items()},
                "median": {name: to_lists(values) for name, values in self.median.items()},
                "quartiles": {name: to_lists(values) for name, values in self.quartiles.items()},
            },
            "reach": self.reach,
            "verdict": self.verdict.to_json(),
        }

    def named_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the figures as arrays by name, as an ``.npz`` holds them."""
        found: dict[str, NDArray[Any]] = {"gradient_by_lag.lags": self.lags, "gradient_by_lag.steps": self.steps}
        found["gradient_by_lag.records"] = self.records
        return found | {f"gradient_by_lag.norms.{name}": norms for name, norms in self.norms.items()}

    def __repr__(self) -> str:
        """Say the verdict."""
        return f"<GradientByLag of {len(self.steps)} losses, {len(self.lags)} lags: {self.verdict.text}>"


def gradient_by_lag(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    lags: int | None = None,
    losses: int = 64,
    steps: int | None = None,
    record: int | None = None,
) -> GradientByLag:
    r"""Measure how much each loss still depends on the state k steps before, in float64.

    Of a classifier and an encoder, lags are counted from the last step that each direction reads.

    Args:
        model: a fitted model of any task.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        y: the answers; where not given, losses are those of the model's own.
        lags: K; 100, or as many as the inputs have, where not given.
        losses: at most so many are looked at, spread evenly over all there are.
        steps: look at the first so many steps of each input of a language model or a composer.
        record: look at this input only, counted from 1.

    Returns:
        The norms of every layer and part of the state, the reach, and a verdict with its remedy.

    Raises:
        UsageError: an argument does not fit.
        DataError: no input is longer than one step, or nothing is known of what it should give.

    Example:
        >>> from elman import LanguageModel
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit("to be or not to be\n" * 80)
        >>> found = gradient_by_lag(lm, "to be or not to be", lags=5)
        >>> found.mean["layer0.forward.cell"].shape
        (5,)
    """
    check_model(model)
    for name, number in (("lags", lags), ("losses", losses)):
        if number is not None and number < 1:
            raise UsageError(f"{name} is {number}, expected at least 1")
    double = to_double(model)
    chosen, lengths = choose_losses(double, X, y, losses, steps, record)
    num_lags = min(lags or 100, max(max(lengths) - 1, 1))
    found: dict[str, list[NDArray[np.float64]]] = {}
    rows: list[tuple[int, int]] = []
    for number, unrolled, outputs in chosen:
        for name, norms in measure(double, unrolled, outputs, num_lags).items():
            found.setdefault(name, []).append(norms)
        rows += [(number, output) for output in outputs.tolist()]
    if not found or all(np.isnan(norms).all() for parts in found.values() for norms in parts):
        raise DataError("no loss has a step before it; give inputs of two steps or more")
    by_layer = {name: np.concatenate(parts) for name, parts in found.items()}
    totals = add_layers(by_layer)
    records, positions = np.array(rows, np.int64).T
    verdict = diagnose(model, choose_curve(model, totals), int(np.median(lengths)))
    return GradientByLag(by_layer | totals, positions, records, verdict)


def to_double(model: Model) -> Model:
    """Return a copy of a model that computes in float64; where a gradient has vanished, float32 would be noise."""
    twin = copy.copy(model)
    twin.network_ = copy.deepcopy(model.network_).double().eval()
    for layer in twin.network_.modules():
        if isinstance(layer, Recurrent):
            layer.backend = "auto"
    return twin


def choose_losses(
    model: Model,
    X: Any,  # noqa: N803
    y: Any,
    losses: int,
    steps: int | None,
    record: int | None,
) -> tuple[list[tuple[int, Unrolled, Tensor]], list[int]]:
    """Choose losses, spread evenly over all inputs.

    Returns:
        The number of each input, from 1, itself, and which of its outputs are looked at (R,); and the length of each.
    """
    inputs = list(select(model, X, y, steps=steps, record=record))
    chosen = [((record or 1) + row, inputs[row], outputs) for row, outputs in choose_outputs(inputs, losses)]
    return chosen, [unrolled.num_steps for unrolled in inputs]
