"""How far back the gradients of a model's losses reach: gradients by lag on the user's data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.gradients import add_layers, choose_curve, find_missed_token, measure, summarise
from elman.families.verdicts import REACHED, Verdict, diagnose, find_reach
from elman.inspection.inputs import check_model, choose_losses, select, to_double
from elman.inspection.traces import to_lists


@dataclass(frozen=True, eq=False, repr=False)
class GradientByLag:
    """Gradients by lag: |d loss_t / d state|, for the state that step t - k passes to step t - k + 1.

    The names are those of a :class:`~elman.inspection.Trace`, such as ``layer0.forward.hidden``; ``forward`` and, for
    layers of two directions, ``reverse`` combine all layers and parts of the state. With an encoder and a decoder, all
    names begin with ``encoder`` or ``decoder``.
    """

    norms: dict[str, NDArray[np.float64]]
    """By name (N, K): the 2-norms for each of N losses, column k - 1 for lag k; NaN before the start of
    the input."""
    steps: NDArray[np.int64]
    """(N,) the output that each loss belongs to, counted from 0 within its input."""
    records: NDArray[np.int64]
    """(N,) the input that each loss belongs to, counted from 1."""
    verdict: Verdict
    """The diagnosis, with the setting to change."""

    @property
    def lags(self) -> NDArray[np.int64]:
        """(K,) the lags: 1, 2 and so on."""
        return np.arange(1, next(iter(self.norms.values())).shape[1] + 1)

    @cached_property
    def mean(self) -> dict[str, NDArray[np.float64]]:
        """By name (K,): the mean over the losses whose inputs reach that far back."""
        return {name: summarise(norms, "mean") for name, norms in self.norms.items()}

    @cached_property
    def median(self) -> dict[str, NDArray[np.float64]]:
        """By name (K,)."""
        return {name: summarise(norms, 50) for name, norms in self.norms.items()}

    @cached_property
    def quartiles(self) -> dict[str, NDArray[np.float64]]:
        """By name (2, K): the first and the third quartile over the losses."""
        return {name: np.stack([summarise(norms, share) for share in (25, 75)]) for name, norms in self.norms.items()}

    @cached_property
    def reach(self) -> dict[str, dict[str, int | None]]:
        """By name: the first lag at which the mean is below 1/e, and 1 %, of that at lag 1; None if it never is."""
        return {
            name: {"1/e": find_reach(mean, np.exp(-1)), "1%": find_reach(mean, REACHED)}
            for name, mean in self.mean.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
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
        """Return the figures as arrays by name, as in an ``.npz``."""
        found: dict[str, NDArray[Any]] = {"gradient_by_lag.lags": self.lags, "gradient_by_lag.steps": self.steps}
        found["gradient_by_lag.records"] = self.records
        return found | {f"gradient_by_lag.norms.{name}": norms for name, norms in self.norms.items()}

    def __repr__(self) -> str:
        """Show the verdict in one line."""
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
    r"""Measure in float64 how much each loss depends on the state k steps before.

    For a classifier and an encoder, lags count from the last step that each direction reads.

    Args:
        model: a fitted model of any task.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        y: the targets; by default the model's own predictions.
        lags: K; by default 100, or fewer if the inputs are shorter.
        losses: the maximum number of losses to measure, evenly spaced.
        steps: read only this many steps of each input of a language model or a composer.
        record: read this input only, counted from 1.

    Returns:
        The norms of every layer and part of the state, the reach, and a verdict with its remedy.

    Raises:
        UsageError: an argument is outside its limits.
        DataError: no input is longer than one step, or no target is known.

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
    inputs = list(select(double, X, y, steps=steps, record=record))
    chosen, lengths = choose_losses(inputs, losses, record)
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
    missed = find_missed_token(double, inputs, num_lags)
    verdict = diagnose(model, choose_curve(model, totals), int(np.median(lengths)), missed)
    return GradientByLag(by_layer | totals, positions, records, verdict)
