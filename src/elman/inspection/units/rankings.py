"""Rankings of units by how well they follow a feature."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import UsageError
from elman.inspection.units.addresses import Unit


@dataclass(frozen=True)
class RankedUnit:
    """One unit and how well it follows a feature."""

    array: str
    """The array of the trace that contains it, such as ``layer0.forward.cell``."""
    unit: int
    """Its column."""
    score: float
    """The score on the second half of the text: an AUC (0.5 is chance, below 0.5 the unit is low where the feature
    holds), or a correlation."""
    choice_score: float
    """The score on the first half, by which the unit was chosen."""

    @property
    def name(self) -> str:
        """The array and the column, such as ``layer0.forward.cell[12]``."""
        return f"{self.array}[{self.unit}]"

    @property
    def address(self) -> str | None:
        """The unit as :func:`~elman.inspection.ablate` takes it, such as ``0:c12``; None for a gate."""
        unit = Unit.of_column(self.array, self.unit)
        return None if unit is None else str(unit)


@dataclass(frozen=True, eq=False)
class FeatureRanking:
    """The units of one model, ranked by how well they follow one feature."""

    feature: str
    measure: str
    """``AUC`` for a feature that is true or false, ``correlation`` for a number."""
    units: list[RankedUnit]
    """The best units by their score on the first half of the text, best first."""
    bound: float
    """The score that the best of all units stays below by chance in 95 of 100 cases: that of circular shifts of the
    feature against the text, which keep the structure of both."""
    scores: dict[str, NDArray[np.float64]]
    """The score of every unit on the second half, (H,) for each array of the trace."""
    share: float
    """The mean of the feature; for one that is true or false, how often it is true."""

    @property
    def best(self) -> RankedUnit:
        """The unit that follows it best."""
        return self.units[0]

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the best unit, on the second half, is above the bound."""
        return self.strength > self.bound

    @property
    def strength(self) -> float:
        """The score of the best unit on the second half, in the direction in which it was chosen.

        An AUC, or 1 - AUC of a unit that is low where the feature holds; the size of a correlation. Below chance if the
        unit points the other way there.
        """
        score, choice = self.best.score, self.best.choice_score
        if self.measure == "AUC":
            return score if choice >= 0.5 else 1 - score
        return score if choice >= 0 else -score

    def to_json(self) -> dict[str, Any]:
        """Return the ranking as a JSON object, without the scores of all units."""
        return {
            "measure": self.measure,
            "bound": self.bound,
            "share": self.share,
            "strength": self.strength,
            "beyond_chance": self.is_beyond_chance,
            "units": [
                {"unit": unit.name, "address": unit.address, "score": unit.score, "choice_score": unit.choice_score}
                for unit in self.units
            ],
        }


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well several models agree on one feature."""

    strengths: NDArray[np.float64]
    """The strength of each model's best unit, (models,)."""
    num_beyond_chance: int
    """How many models' best units are above their bound."""
    correlation: float
    """The mean absolute correlation between the best units of two models, over all pairs."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        return {
            "strengths": self.strengths.tolist(),
            "beyond_chance": self.num_beyond_chance,
            "correlation": self.correlation,
        }


@dataclass(frozen=True, eq=False, repr=False)
class UnitRanking:
    """Which unit follows which feature, in one model or in several. ``ranking[name]`` is a feature in the first."""

    models: list[dict[str, FeatureRanking]]
    """For each model, the rankings by feature."""
    skipped: dict[str, str]
    """The features without a ranking, and why: they are constant over one half of the text."""
    agreement: dict[str, Agreement]
    """By feature, for several models; empty for one."""
    num_steps: int
    """T, the number of steps."""

    def __getitem__(self, feature: str) -> FeatureRanking:
        """Return the units of the first model for a feature."""
        if feature in self.skipped:
            raise UsageError(f"there is no ranking for {feature!r}: {self.skipped[feature]}")
        if feature not in self.models[0]:
            raise UsageError(f"there is no feature {feature!r}; there are {', '.join(self.models[0])}")
        return self.models[0][feature]

    def __repr__(self) -> str:
        """Name the best unit for each feature."""
        best = (
            f"{own.feature} {own.best.name} ({own.measure} {own.best.score:.3f})" for own in self.models[0].values()
        )
        return f"<UnitRanking over {self.num_steps:,} steps: {', '.join(best)}>"

    def to_json(self) -> dict[str, Any]:
        """Return everything but the scores of all units as a JSON object."""
        return {
            "steps": self.num_steps,
            "features": {name: own.to_json() for name, own in self.models[0].items()},
            "skipped": self.skipped,
            **({"models": [_to_json(model) for model in self.models]} if len(self.models) > 1 else {}),
            **({"agreement": {name: own.to_json() for name, own in self.agreement.items()}} if self.agreement else {}),
        }

    def named_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the ranking of the first model as arrays by name, as in an ``.npz``."""
        rankings = list(self.models[0].values())
        return {
            "units.features": np.array([own.feature for own in rankings], np.str_),
            "units.measures": np.array([own.measure for own in rankings], np.str_),
            "units.best": np.array([own.best.name for own in rankings], np.str_),
            "units.strengths": np.array([own.strength for own in rankings]),
            "units.bounds": np.array([own.bound for own in rankings]),
            **{
                f"units.scores.{array}": np.stack([own.scores[array] for own in rankings])  # (features, H)
                for array in rankings[0].scores
            },
        }

    def _repr_html_(self) -> str:
        """Show, in a notebook, the best unit for each feature."""
        several = len(self.models) > 1
        rows = []
        for number, model in enumerate(self.models, start=1):
            for own in model.values():
                cells = [own.feature, own.best.name, own.measure, f"{own.best.score:.3f}", f"{own.bound:.3f}"]
                cells += [str(number)] * several
                weight = "bold" if own.is_beyond_chance else "normal"
                row = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
                rows.append(f"<tr style='font-weight:{weight}'>{row}</tr>")
        heads = ["feature", "best unit", "measure", "held out", "by chance up to", *["model"] * several]
        head = "".join(f"<th>{name}</th>" for name in heads)
        left = "".join(f"<p>{html.escape(name)}: {html.escape(reason)}</p>" for name, reason in self.skipped.items())
        return f"<table><tr>{head}</tr>{''.join(rows)}</table><p>Bold: beyond chance.</p>{left}"


def _to_json(model: dict[str, FeatureRanking]) -> dict[str, Any]:
    return {name: own.to_json() for name, own in model.items()}
