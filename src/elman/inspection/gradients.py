"""How far back a model's errors reach: gradients by lag on its own data."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import IGNORED
from elman.draws import drawing
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.unrolled import Unrolled
from elman.inspection.traces import array_names, check_model, run_recorded, select, to_lists
from elman.inspection.verdicts import Verdict, judge
from elman.nn.gradients import Place, gradients_by_lag
from elman.nn.recording import LayerRun
from elman.nn.stack import Recurrent
from elman.nn.state import State

MOST_NUMBERS = 1 << 24  # numbers of all states that are held at once: more losses go in several batches


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
    double = in_double(model)
    chosen, lengths = choose_losses(double, X, y, losses, steps, record)
    longest = max(lengths)
    num_lags = min(lags or 100, max(longest - 1, 1))
    found: dict[str, list[NDArray[np.float64]]] = {}
    rows: list[tuple[int, int]] = []
    for number, unrolled, outputs in chosen:
        for name, norms in _measure(double, unrolled, outputs, num_lags).items():
            found.setdefault(name, []).append(norms)
        rows += [(number, output) for output in outputs.tolist()]
    if not found or all(np.isnan(norms).all() for parts in found.values() for norms in parts):
        raise DataError("no loss has a step before it; give inputs of two steps or more")
    by_layer = {name: np.concatenate(parts) for name, parts in found.items()}
    totals = _totals(by_layer)
    records, positions = np.array(rows, np.int64).T
    verdict = judge(model, _deciding(model, totals), int(np.median(lengths)))
    return GradientByLag(by_layer | totals, positions, records, verdict)


def summarise(norms: NDArray[np.float64], how: str | int) -> NDArray[np.float64]:
    """Return the mean, or a percentile, of each column of (N, K), of its numbers that are not NaN."""
    results = np.full(norms.shape[1], np.nan)
    for column, values in enumerate(norms.T):
        values = values[~np.isnan(values)]
        if len(values):
            results[column] = values.mean() if isinstance(how, str) else np.percentile(values, how)
    return results


def find_reach(mean: NDArray[np.float64], share: float) -> int | None:
    """Return the first lag at which a mean (K,) is below a share of that at lag 1; None where there is none.

    Example:
        >>> find_reach(np.array([8.0, 4.0, 2.0, 1.0]), 0.3)
        3
    """
    below = np.flatnonzero(mean < share * mean[0])
    return int(below[0]) + 1 if len(below) else None


def in_double(model: Model) -> Model:
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
    inputs = list(enumerate(select(model, X, y, steps=steps, record=record), start=record or 1))
    known = []
    for number, unrolled in inputs:
        places = list(range(len(unrolled.last.tokens) if unrolled.last.is_aligned else 1))
        if unrolled.targets is not None:
            places = torch.nonzero(unrolled.targets != IGNORED).flatten().tolist()
        known += [(number, place) for place in places]
    if not known:
        raise DataError("no loss is known: what the input should give is unknown at every step")
    picked = np.unique(np.linspace(0, len(known) - 1, min(losses, len(known))).round().astype(int))
    by_input: dict[int, list[int]] = {}
    for index in picked.tolist():
        number, place = known[index]
        by_input.setdefault(number, []).append(place)
    chosen = [(number, unrolled, torch.tensor(by_input[number])) for number, unrolled in inputs if number in by_input]
    return chosen, [max(len(stack.tokens) for stack in unrolled.stacks.values()) for _, unrolled in inputs]


def _measure(model: Model, unrolled: Unrolled, outputs: Tensor, num_lags: int) -> dict[str, NDArray[np.float64]]:
    """Measure the losses of some outputs (R,) of one input: norms (R, K) by name."""
    with torch.no_grad():
        record, logits, _ = run_recorded(model, unrolled, unrolled.inputs[None])
        log_probabilities = unrolled.log_probabilities(logits)[0]  # (M, V)
        targets = log_probabilities.argmax(dim=-1) if unrolled.targets is None else unrolled.targets
        targets = targets.to(log_probabilities.device)[outputs]
        errors = log_probabilities[outputs].exp()  # (R, V): d loss / d logits = probabilities - one-hot
        errors[torch.arange(len(outputs)), targets] -= 1
        runs = record.of(unrolled.last.layer)
    reads_forward = unrolled.run_from is not None
    num_steps = max(len(stack.tokens) for stack in unrolled.stacks.values())
    window = min(num_lags + 1, num_steps) if reads_forward else num_steps
    sizes = sum(part.shape[-1] for run in runs for part in run.states.values())
    together = max(MOST_NUMBERS // (6 * sizes * window), 1)
    found: dict[str, list[NDArray[np.float64]]] = {}
    for rows in torch.split(torch.arange(len(outputs)), together):
        if reads_forward:
            norms = _measure_windows(unrolled, runs, outputs[rows], errors[rows], num_lags, window)
        else:
            norms = _measure_rows(model, unrolled, outputs[rows], errors[rows], num_lags)
        for name, values in norms.items():
            found.setdefault(name, []).append(values.numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _measure_rows(
    model: Model, unrolled: Unrolled, outputs: Tensor, errors: Tensor, num_lags: int
) -> dict[str, Tensor]:
    """Run the whole input once for each loss."""
    rows = torch.arange(len(outputs))

    def run() -> Tensor:
        inputs = unrolled.inputs.expand(len(outputs), *unrolled.inputs.shape).clone().requires_grad_()
        with drawing(model.seed):
            logits, _ = unrolled.run(inputs)  # (R, M, V)
        return (logits[rows, outputs] * errors).sum()

    places = []
    for name, prefix in array_names(unrolled).items():
        stack = unrolled.stacks[name]
        last = torch.full_like(outputs, len(stack.tokens) - 1)
        origins = (outputs, outputs) if stack.is_aligned else (last, torch.zeros_like(outputs))
        places.append(Place(prefix, stack.layer, origins))
    return gradients_by_lag(run, places, num_lags)


def _measure_windows(
    unrolled: Unrolled, runs: list[LayerRun], outputs: Tensor, errors: Tensor, num_lags: int, window: int
) -> dict[str, Tensor]:
    """Run for each loss only the steps that its lags reach, from the state that was there."""
    assert unrolled.run_from is not None
    run_from, rows = unrolled.run_from, torch.arange(len(outputs))
    firsts = (outputs - (window - 1)).clamp(min=0)  # (R,)
    inputs = unrolled.inputs[firsts[:, None] + torch.arange(window)]  # (R, W, E)
    states = [run.before.map(lambda part: part[firsts, 0]) for run in runs]  # each part (R, H)
    state = State.join(states, torch.stack)
    origins = outputs - firsts

    def run() -> Tensor:
        logits = run_from(inputs.clone().requires_grad_(), state)  # (R, W, V)
        return (logits[rows, origins] * errors).sum()

    return gradients_by_lag(run, [Place("", unrolled.last.layer, (origins, origins))], num_lags)


def _deciding(model: Model, totals: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Choose the curve that the verdict looks at, the mean of both directions where there are two.

    Before a decoder without attention that is the encoder's, which has to bring the whole source over; else it is that
    of the stack that the outputs come from.
    """
    prefix = ""
    if any("." in name for name in totals):
        prefix = "encoder." if getattr(model, "attention", "none") == "none" else "decoder."
    curves = np.stack([summarise(norms, "mean") for name, norms in totals.items() if name.startswith(prefix)])
    is_known = ~np.isnan(curves)
    weights = is_known / np.maximum(is_known.sum(axis=0), 1)  # of a lag that one direction has, that counts alone
    found: NDArray[np.float64] = (np.where(is_known, curves, 0.0) * weights).sum(axis=0)
    return found[is_known.any(axis=0)]


def _totals(norms: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Put the layers and parts of the state together, by stack and direction."""
    squares: dict[str, NDArray[np.float64]] = {}
    for name, values in norms.items():
        prefix, _, rest = name.partition("layer")
        direction = f"{prefix}{rest.split('.')[1]}"
        squares[direction] = squares.get(direction, 0.0) + values**2
    return {name: np.sqrt(values) for name, values in squares.items()}
