"""What a comparison shows: the mean and the spread over several seeds, and one sentence about the winner."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

NAMES = {
    "majority": "the most frequent label",
    "frequent": "each word's most frequent tag",
    "hmm": "a hidden Markov model",
    "logreg": "word counts with logistic regression",
    "logreg2": "counts of words and pairs with logistic regression",
    "tfidf": "counts of words and characters with logistic regression",
    "mlp": "word counts with a perceptron",
    "mlp2": "counts of words and pairs with a perceptron",
    "nearest": "copying the nearest neighbour",
    "first": "copying the first sentence",
    "constant": "one caption for all pictures",
}
"""What a sentence calls the baselines."""

SCALES = {"accuracy": 100.0, "span_f1": 100.0}
"""Factors by which a sentence multiplies figures between 0 and 1."""

Row = TypeVar("Row", bound=Any)


@dataclass(frozen=True)
class Outcome(Generic[Row]):
    """The rows of one model, one for each seed."""

    rows: Sequence[Row]

    @property
    def mean(self) -> Row:
        """The row with the mean of every figure; names and texts are those of the first seed."""
        first = self.rows[0]
        means = {}
        for field in fields(first):
            values = [getattr(row, field.name) for row in self.rows]
            if all(isinstance(value, float) for value in values):
                means[field.name] = statistics.fmean(values)
        return replace(first, **means)

    @property
    def spread(self) -> dict[str, float]:
        """The standard deviation of every figure over the seeds; 0 for a single one."""
        first = self.rows[0]
        columns = {field.name: [getattr(row, field.name) for row in self.rows] for field in fields(first)}
        return {
            name: statistics.stdev(values) if len(values) > 1 else 0.0
            for name, values in columns.items()
            if all(isinstance(value, float) for value in values)
        }


def gather(by_seed: Sequence[Sequence[Row]]) -> list[Outcome[Row]]:
    """Gather the rows of several seeds by model, in the order of the first seed."""
    return [Outcome(rows) for rows in zip(*by_seed, strict=True)]


def conclude(outcomes: Sequence[Outcome[Any]], figure: str, is_network: Sequence[bool], num_held_out: int = 0) -> str:
    """Say in a sentence whether the best network is better than the best baseline.

    They are equally good if their means differ by less than the noise: twice the standard error of the difference over
    the seeds, or for rates, with a single seed, of the held-out sample.

    Args:
        outcomes: the models.
        figure: the name of the field in which they are compared; the lower, the better if it begins with ``nats_``.
        is_network: whether each model is a network.
        num_held_out: the number of held-out targets, for the noise of rates; 0 if unknown.

    Returns:
        The sentence, or an empty string unless there are networks and baselines.
    """
    sign = -1 if figure.startswith("nats_") else 1
    ranked = sorted(
        zip(outcomes, is_network, strict=True), key=lambda pair: -sign * float(getattr(pair[0].mean, figure))
    )
    network = next((outcome for outcome, flag in ranked if flag), None)
    baseline = next((outcome for outcome, flag in ranked if not flag), None)
    if network is None or baseline is None:
        return ""
    gain = sign * (getattr(network.mean, figure) - getattr(baseline.mean, figure))
    is_tie = abs(gain) <= _noise(network, baseline, figure, num_held_out)
    ours, theirs = _show(network, figure), _show(baseline, figure)
    name = NAMES.get(baseline.mean.model, baseline.mean.model)
    cost = _describe_seconds(baseline.mean.seconds)
    if is_tie:
        verdict = "as good"
    elif gain < 0:
        verdict = "better"
    else:
        return (
            f"On these data {network.mean.model} is best: {figure} {ours} against {theirs} of {name}; it costs "
            f"{_describe_seconds(network.mean.seconds)} against {cost}."
        )
    against = f"{figure} {theirs} against {ours} of {network.mean.model}"
    return f"On these data {name} is {verdict}: {against}; it costs {cost}."


def _noise(one: Outcome[Any], other: Outcome[Any], figure: str, num_held_out: int) -> float:
    seeds = len(one.rows)
    if seeds > 1:
        variance = one.spread[figure] ** 2 + other.spread[figure] ** 2
        return 2 * math.sqrt(variance / seeds)
    if figure not in SCALES or not num_held_out:
        return 0.0
    rates = (getattr(one.mean, figure), getattr(other.mean, figure))
    return 2 * math.sqrt(sum(rate * (1 - rate) for rate in rates) / num_held_out)


def _show(outcome: Outcome[Any], figure: str) -> str:
    scale = SCALES.get(figure, 1.0)
    digits = 3 if figure.startswith("nats_") else 1 if scale > 1 or figure == "bleu" else 3
    shown = f"{scale * getattr(outcome.mean, figure):.{digits}f}"
    return f"{shown} ± {scale * outcome.spread[figure]:.{digits}f}" if len(outcome.rows) > 1 else shown


def _describe_seconds(seconds: float) -> str:
    if seconds < 1.5:
        return "a second" if seconds >= 0.5 else "less than a second"
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
