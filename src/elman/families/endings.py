"""The end of a training: whether the model beats simple baselines, and what to do if not.

Simple baselines are evaluated on the same held-out data as the model, before the first step and within the time budget.
The model's final figures are compared with theirs. What falls short becomes one sentence, with a remedy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from elman.training.schedule import TrainingSettings, budget_minutes

MOST_SECONDS = 3.0  # for all baselines of a training
BUDGET_SHARE = 0.02  # of a time budget, if that is less
REPEATED_SHARE = 0.1  # of the generated texts: the most frequent text may not have a larger share
DUPLICATE_SHARE = 0.1  # of the held-out data
MOST_LONGER = 30.0  # times the training time: the most that a remedy asks for
FEW_PASSES = 20  # over the training data: with fewer, more training is the first remedy

BASELINES = {
    "majority": "the most frequent label alone",
    "frequent_tags": "each word's most frequent tag",
    "word_counts": "naive Bayes on word counts",
    "unigrams": "the frequency of each token alone",
    "5-grams": "a 5-gram model",
    "nearest_neighbour": "copying the target of the most similar source",
    "first_sentence": "copying the first sentence",
    "constant_caption": "one caption for all pictures",
}
"""A description of each baseline by its name."""

CHANCE = ("majority", "unigrams", "constant_caption")
"""The baselines that do not look at the input."""


def affordable_seconds(settings: TrainingSettings) -> float:
    """Return how many seconds the baselines may take on an ordinary machine.

    Example:
        >>> affordable_seconds(TrainingSettings(minutes=0.5)), affordable_seconds(TrainingSettings(steps=10))
        (0.6, 3.0)
    """
    if settings.steps is not None or settings.epochs is not None:
        return MOST_SECONDS
    return min(MOST_SECONDS, BUDGET_SHARE * 60 * budget_minutes(settings))


def thin(number: int, size: float, limit: float) -> range:
    """Return the rows of ``number`` examples to count so that their ``size`` stays within a limit: every k-th one.

    Example:
        >>> list(thin(7, 70, 100)), list(thin(7, 70, 30))
        ([0, 1, 2, 3, 4, 5, 6], [0, 3, 6])
    """
    return range(0, number, max(math.ceil(size / limit), 1))


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a training ended."""

    figures: Mapping[str, float]
    """The model's figures on the held-out data."""
    compared: Sequence[str]
    """The names of the figures to compare, most important first."""
    baselines: Mapping[str, Mapping[str, float]]
    """The figures of each baseline on the same data."""
    passes: float
    """The number of passes over the training data."""
    held_out: int = 0
    """The number of held-out items among which duplicates are counted."""
    duplicates: int = 0
    """How many of them are also in the training data."""
    noun: str = "items"
    """What they are, in the plural."""
    generated: Sequence[str] = ()
    """The texts that the model generated for the held-out inputs."""
    references: Sequence[str] = field(default=())
    """The reference texts."""

    def shortcomings(self) -> list[str]:
        """Describe everything that falls short, most serious first."""
        found = [self._describe_passes(), self._describe_baseline(), self._describe_repetition()]
        if self.duplicates > DUPLICATE_SHARE * self.held_out:
            found.append(
                f"{self.duplicates:,} of {self.held_out:,} held-out {self.noun} are also in the training data, so the "
                "figures are too optimistic"
            )
        return [one for one in found if one]

    def remedy(self, settings: TrainingSettings) -> dict[str, Any]:
        """Return the settings to change; nothing if no setting helps."""
        falls_short = self._describe_passes() or self._describe_baseline() or self._describe_repetition()
        if falls_short and self.passes < FEW_PASSES:
            factor = min(max(3.0, 3 / self.passes), MOST_LONGER) if self.passes else MOST_LONGER
            for name in ("steps", "epochs"):
                if (length := getattr(settings, name)) is not None:
                    return {name: math.ceil(factor * length)}
            return {"minutes": math.ceil(factor * budget_minutes(settings))}
        rate: float | None = settings.learning_rate
        if rate and self._describe_baseline().startswith("the model is still"):
            return {"learning_rate": float(f"{rate / 3:.1g}")}
        return {}

    def warning(self, settings: TrainingSettings) -> str:
        """Describe what falls short and what to do, in one line; nothing if the training ended well."""
        found = self.shortcomings()
        if not found:
            return ""
        changes = self.remedy(settings)
        advice = "give other held-out data as `valid`"
        if changes:
            advice = " and ".join(f"set `{name}` to {value:g}" for name, value in changes.items())
            advice = f"train longer: {advice}" if "learning_rate" not in changes else advice
        elif self._describe_baseline():
            advice = "compare models on these data, or give more examples"
        elif self._describe_repetition():
            advice = "give more examples"
        text = "; ".join(found)
        return f"{text[0].upper()}{text[1:]}. What to do: {advice}"

    def _describe_passes(self) -> str:
        if self.passes >= 0.95:
            return ""
        return f"the training saw only {f'{self.passes:.0%}' if self.passes >= 0.01 else 'under 1%'} of its data"

    def _describe_baseline(self) -> str:
        chance, better = "", []
        for name, figures in self.baselines.items():
            shared = [figure for figure in self.compared if figure in figures and figure in self.figures]
            if not shared:
                continue
            gains = [_gain(one, self.figures[one], figures[one]) for one in shared]
            first = shared[0]
            values = f"{_format(first, figures[first])} against the model's {_format(first, self.figures[first])}"
            if name in CHANCE and max(gains) <= 0 and not _is_perfect(first, figures[first]):
                chance = f"the model is still at chance: {BASELINES[name]} has {first} {values}"
            elif gains[0] < 0:
                better.append((gains[0], f"{BASELINES[name]} does better on the same data: {first} {values}"))
        return chance or (min(better)[1] if better else "")

    def _describe_repetition(self) -> str:
        if not self.generated:
            return ""
        text, number = Counter(self.generated).most_common(1)[0]
        natural = Counter(self.references).most_common(1)[0][1] if self.references else 1
        if number <= max(2, REPEATED_SHARE * len(self.generated), 2 * natural):
            return ""
        shown = "".join(letter if letter.isprintable() else " " for letter in text)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        return f'{number:,} of {len(self.generated):,} generated texts are the same, "{shown}"'


def _gain(figure: str, model: float, baseline: float) -> float:
    """Return by how much the model is better; the lower, the better for a loss."""
    return baseline - model if figure.startswith("nats_") else model - baseline


def _is_perfect(figure: str, value: float) -> bool:
    return value <= 0 if figure.startswith("nats_") else value >= 1 and not figure.startswith(("bleu", "cider"))


def _format(figure: str, value: float) -> str:
    return f"{value:.1f}" if figure.startswith("bleu") else f"{value:.3f}"
