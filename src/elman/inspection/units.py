"""Which unit of a network follows what: position in line, inside quotes, a label, or whatever can be said of a step."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import DataError, UsageError, suggest
from elman.families.base import Model
from elman.inspection.features import FEATURES
from elman.inspection.traces import Trace, trace

logger = logging.getLogger(__name__)

Features = Sequence[str] | Mapping[str, Callable[[Sequence[str]], ArrayLike] | ArrayLike]
"""Names of built-in features; or features of one's own by name: a function of a sequence's tokens, or a column."""

NUM_SHIFTS = 199  # of a feature against the text, for the bound
LABEL = "label"  # stands for one feature for each label
_PLACE = re.compile(r"(encoder\.|decoder\.)?layer(\d+)\.(forward|reverse)\.(hidden|cell)")


@dataclass(frozen=True)
class RankedUnit:
    """One unit and how well it follows a feature."""

    array: str
    """The array of the trace that holds it, such as ``layer0.forward.cell``."""
    unit: int
    """Its column."""
    score: float
    """On the second half of the text: an AUC (0.5 is chance, below 0.5 the unit is low where the feature holds), or a
    correlation."""
    choice_score: float
    """On the first half, where it was chosen."""

    @property
    def name(self) -> str:
        """The array and the column, such as ``layer0.forward.cell[12]``."""
        return f"{self.array}[{self.unit}]"

    @property
    def address(self) -> str | None:
        """The unit as :func:`~elman.inspection.ablate` takes it, such as ``0:c12``; None for a gate."""
        found = _PLACE.fullmatch(self.array)
        if found is None:
            return None
        stack, layer, direction, part = found.groups("")
        return f"{stack}{layer}{'r' * (direction == 'reverse')}:{'c' * (part == 'cell')}{self.unit}"


@dataclass(frozen=True, eq=False)
class FeatureRanking:
    """The units of one model, ranked by how well they follow one feature."""

    feature: str
    measure: str
    """``AUC`` of a feature that holds or not, ``correlation`` of a number."""
    units: list[RankedUnit]
    """The best ones, the best first, as the first half of the text has it."""
    bound: float
    """What the best of all units reaches by chance in 95 of 100 cases. The feature is shifted against the text, so that
    both keep their regularity, and the best unit of each shift counts."""
    scores: dict[str, NDArray[np.float64]]
    """The score of every unit on the second half, (H,) for each array of the trace."""
    share: float
    """The mean of the feature: of one that holds or not, how often it holds."""

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
        """How well the best unit does on the second half in the direction in which it was chosen.

        An AUC, or 1 - AUC of a unit that is low where the feature holds; the size of a correlation. Below chance if the
        unit points the other way there.
        """
        score, choice = self.best.score, self.best.choice_score
        if self.measure == "AUC":
            return score if choice >= 0.5 else 1 - score
        return score if choice >= 0 else -score

    def to_json(self) -> dict[str, Any]:
        """Return what there is as JSON has it, without the scores of all units."""
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
    """How far several models agree on one feature."""

    strengths: NDArray[np.float64]
    """The strength of each model's best unit, (models,)."""
    num_beyond_chance: int
    """How many models' best units are above their bound."""
    correlation: float
    """The mean size of the correlation between the best units of two models, over all pairs: how alike they behave."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return {
            "strengths": self.strengths.tolist(),
            "beyond_chance": self.num_beyond_chance,
            "correlation": self.correlation,
        }


@dataclass(frozen=True, eq=False, repr=False)
class UnitRanking:
    """Which unit follows which feature, in one model or in several. ``ranking[name]`` is a feature in the first."""

    models: list[dict[str, FeatureRanking]]
    """Of each model, the features by name."""
    skipped: dict[str, str]
    """The features that nothing can follow, and why: they are the same at every step of a half of the text."""
    agreement: dict[str, Agreement]
    """By feature, of several models; empty for one."""
    num_steps: int
    """T, how many steps were looked at."""

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
        """Return everything but the scores of all units as JSON has it."""
        return {
            "steps": self.num_steps,
            "features": {name: own.to_json() for name, own in self.models[0].items()},
            "skipped": self.skipped,
            **({"models": [_to_json(model) for model in self.models]} if len(self.models) > 1 else {}),
            **({"agreement": {name: own.to_json() for name, own in self.agreement.items()}} if self.agreement else {}),
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


def rank_units(
    model: Model | Sequence[Model],
    X: Any,  # noqa: N803
    features: Features | None = None,
    *,
    y: Any = None,
    steps: int | None = None,
    record: int | None = None,
    stack: str | None = None,
    top: int = 10,
    seed: int = 0,
) -> UnitRanking:
    r"""Rank the units of all states, cells and gates by how well they follow features of a text.

    The first half of the text chooses the unit, the second half says how good it is. The text should be one that the
    model was not trained on.

    Args:
        model: a fitted model of any task; or several, such as the same settings with other seeds.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        features: names of built-in features; or one's own by name, each a function from the tokens of a sequence to a
            value for each, or a column with a value for each step of all sequences. All that are built in where not
            given: ``position`` in the line, inside ``quotes``, inside ``brackets``, their ``depth``, ``capital``,
            ``digit``, ``word_boundary``, ``indentation`` and, of a tagger or a classifier, ``label``.
        y: the answers, for ``label``; the model's own where not given.
        steps: look at the first so many steps of each input.
        record: look at this input only, counted from 1.
        stack: ``encoder`` for an encoder's units and what it reads; those that the outputs come from where not given.
        top: how many units to keep for each feature.
        seed: of the shifts that the bound comes from.

    Returns:
        For each feature the best units, their AUC or correlation, and what the best of all units reaches by chance.

    Raises:
        UsageError: there is no such feature, or one does not fit; the models read the text differently.
        DataError: the text is too short, or no feature varies in it.

    Example:
        >>> from elman import LanguageModel
        >>> text = "to be (or not) to be\n" * 80
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit(text)
        >>> ranking = rank_units(lm, text[:420], ["brackets", "position"])
        >>> ranking["position"].measure, len(ranking["position"].scores["layer0.forward.cell"])
        ('correlation', 16)
    """
    models = list(model) if isinstance(model, Sequence) else [model]
    if not models:
        raise UsageError("there is no model to look into; give one, or several in a list")
    if top < 1:
        raise UsageError(f"top is {top}, expected at least 1")
    found: list[dict[str, FeatureRanking]] = []
    courses: dict[str, list[NDArray[np.float64]]] = {}  # of each feature, the values of each model's best unit
    tokens: list[str] = []
    skipped: dict[str, str] = {}
    for number, own in enumerate(models):
        traced = trace(own, X, y, steps=steps, record=record, top=1)
        text = _Text.of(traced, stack)
        if number and text.tokens != tokens:
            raise UsageError(f"model {number + 1} reads other tokens than model 1; compare models of one tokenizer")
        tokens = text.tokens
        columns = _compute(text, features, own)
        rankings, skipped = _rank(text, columns, top, seed)
        if not rankings:
            raise DataError(f"no feature varies in the text: {_list(skipped)}")
        if features is not None and not number and skipped:
            logger.warning("left out: %s", _list(skipped))
        found.append(rankings)
        for name, ranking in rankings.items():
            best = traced.arrays[ranking.best.array][:, ranking.best.unit]
            courses.setdefault(name, []).append(best.astype(np.float64))
    agreement = {}
    if len(models) > 1:
        for name in found[0]:
            if all(name in own for own in found):
                agreement[name] = _agree([own[name] for own in found], courses[name])
    return UnitRanking(found, skipped, agreement, len(tokens))


def _list(skipped: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in skipped.items())


@dataclass(frozen=True)
class _Text:
    """What one stack reads, and its arrays."""

    tokens: list[str]
    offsets: NDArray[np.int64]
    labels: list[str | None]
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, traced: Trace, stack: str | None) -> _Text:
        if stack not in ((None, "encoder", "decoder") if traced.source_tokens else (None,)):
            raise UsageError(f"there is no stack {stack!r}; leave `stack` out")
        is_source = stack == "encoder"
        offsets = traced.source_offsets if is_source else traced.offsets
        lengths = np.diff(offsets)
        labels: list[str | None] = []
        if traced.task == "tagger":
            labels = traced.targets
        elif traced.task == "classifier":
            labels = [label for label, length in zip(traced.targets, lengths, strict=True) for _ in range(length)]
        arrays = {name: array for name, array in traced.arrays.items() if name.startswith("encoder.") == is_source}
        return cls(traced.source_tokens if is_source else traced.tokens, offsets, labels, arrays)

    @property
    def half(self) -> int:
        """Where the second half begins: where a sequence does, if there are several."""
        middle = len(self.tokens) // 2
        if len(self.offsets) == 2:
            return middle
        inner = self.offsets[1:-1]
        return int(inner[np.abs(inner - middle).argmin()])


# ---------------------------------------------------------------- features


def _compute(text: _Text, features: Features | None, model: Model) -> dict[str, NDArray[Any]]:
    """Compute each feature, (T,) each: bool, or float64."""
    if isinstance(features, str):
        raise UsageError(f"features is {features!r}; give names in a list: [{features!r}]")
    if isinstance(features, Mapping):
        columns: dict[str, NDArray[Any]] = {}
        for name, own in features.items():
            columns[name] = _take_column(name, _by_sequence(text, own) if callable(own) else own, len(text.tokens))
        return columns
    names = [*FEATURES, *[LABEL] * bool(text.labels)] if features is None else list(features)
    columns = {}
    for name in names:
        if name == LABEL:
            if not text.labels:
                raise UsageError(
                    f"a {type(model).__name__} has no labels to follow; give a column of your own in `features`"
                )
            labels = np.array(["" if label is None else label for label in text.labels], np.str_)
            columns |= {f"{LABEL}:{label}": labels == label for label in sorted(set(text.labels) - {None})}  # type: ignore[type-var]
        elif name in FEATURES:
            columns[name] = _take_column(name, _by_sequence(text, FEATURES[name]), len(text.tokens))
        else:
            known = (*FEATURES, LABEL)
            meant = suggest(str(name), known) or ";"
            raise UsageError(f"there is no feature {name!r}{meant} there are {', '.join(known)}")
    return columns


def _by_sequence(text: _Text, feature: Callable[[Sequence[str]], ArrayLike]) -> NDArray[Any]:
    parts = []
    for start, stop in zip(text.offsets[:-1], text.offsets[1:], strict=True):
        tokens = text.tokens[start:stop]
        part = np.asarray(feature(tokens))
        if part.shape != (len(tokens),):
            raise UsageError(
                f"a feature returns the shape {part.shape} for {len(tokens)} tokens; it must return a value for each"
            )
        parts.append(part)
    return np.concatenate(parts)


def _take_column(name: str, column: ArrayLike, num_steps: int) -> NDArray[Any]:
    """Check a feature; of zeros and ones make booleans."""
    values = np.asarray(column)
    if values.shape != (num_steps,):
        raise UsageError(
            f"feature {name!r} has the shape {values.shape}, expected ({num_steps},): a value for each step"
        )
    if values.dtype.kind not in "biuf":
        raise UsageError(f"feature {name!r} is of type {values.dtype}; give numbers, or true and false")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        step = int(np.flatnonzero(~np.isfinite(values))[0])
        raise UsageError(f"feature {name!r} is {values[step]} at step {step}; every value must be finite")
    return values.astype(np.bool_) if np.isin(values, (0, 1)).all() else values


# ---------------------------------------------------------------- ranking


def _rank(
    text: _Text, columns: dict[str, NDArray[Any]], top: int, seed: int
) -> tuple[dict[str, FeatureRanking], dict[str, str]]:
    """Rank all units for all features that vary in both halves; say why the others are left out."""
    half = text.half
    if half < 2 or len(text.tokens) - half < 3:
        raise DataError(f"the text has {len(text.tokens)} steps; ranking units needs more")
    kept: dict[str, NDArray[Any]] = {}
    skipped = {}
    for name, column in columns.items():
        for part, where in (
            (column, "the text"),
            (column[:half], "its first half"),
            (column[half:], "its second half"),
        ):
            if (part == part[0]).all():
                skipped[name] = f"it is {part[0]} at every step of {where}"
                break
        else:
            kept[name] = column
    if not kept:
        return {}, skipped
    rounds = (
        _Targets(kept, slice(0, half), np.zeros(1, np.int64)),
        _Targets(kept, slice(half, None), _draw_shifts(len(text.tokens) - half, seed)),
    )
    choices: dict[str, NDArray[np.float64]] = {}  # (features, H)
    scores: dict[str, NDArray[np.float64]] = {}
    by_chance = np.zeros((len(kept), len(rounds[1].shifts) - 1))  # what the best unit of each shift reaches
    for array, values in text.arrays.items():
        choices[array] = rounds[0].score(values)[:, 0]
        found = rounds[1].score(values)  # (features, shifts, H)
        scores[array] = found[:, 0]
        np.maximum(by_chance, np.abs(found[:, 1:]).max(axis=2), out=by_chance)
    bounds = np.quantile(by_chance, 0.95, axis=1)
    rankings = {}
    for row, (name, column) in enumerate(kept.items()):
        middle = 0.5 if column.dtype == np.bool_ else 0.0
        places = [(array, unit) for array, own in choices.items() for unit in range(own.shape[1])]
        order = np.argsort(-np.abs(np.concatenate([own[row] for own in choices.values()])), kind="stable")
        best = [places[place] for place in order[:top]]
        rankings[name] = FeatureRanking(
            feature=name,
            measure="AUC" if middle else "correlation",
            units=[
                RankedUnit(
                    array, unit, middle + float(scores[array][row, unit]), middle + float(choices[array][row, unit])
                )
                for array, unit in best
            ],
            bound=middle + float(bounds[row]),
            scores={array: middle + own[row] for array, own in scores.items()},
            share=float(column.mean()),
        )
    return rankings, skipped


class _Targets:
    """Features over a part of the text, as they are and shifted, ready to be set beside every unit at once.

    Both measures are one product: the AUC less 0.5 of the units' centred ranks and a centred feature, divided by the
    number of pairs; the correlation of standardised units and a standardised feature. A circular shift changes neither
    divisor.
    """

    def __init__(self, columns: dict[str, NDArray[Any]], part: slice, shifts: NDArray[np.int64]) -> None:
        self._part, self.shifts = part, shifts
        self._is_binary = np.array([column.dtype == np.bool_ for column in columns.values()])
        rows = []
        for column in columns.values():
            own = column[part].astype(np.float64)
            centred = own - own.mean()
            pairs = own.sum() * (1 - own).sum() if column.dtype == np.bool_ else np.linalg.norm(centred)
            rows.append(centred / pairs)
        num_steps = len(rows[0])
        turned = (np.arange(num_steps) - shifts[:, None]) % num_steps  # (shifts, T)
        self._rows = np.stack(rows).astype(np.float32)[:, turned]  # (features, shifts, T)

    def score(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Score units with the values (T, H): (features, shifts, H), zero where there is nothing to see."""
        units = np.ascontiguousarray(values[self._part].T, np.float32)  # (H, T)
        found = np.zeros((*self._rows.shape[:2], len(units)))
        for is_binary, prepare in ((True, centred_ranks), (False, _standardise)):
            own = self._is_binary == is_binary
            if own.any():
                rows = self._rows[own]
                found[own] = (rows.reshape(-1, rows.shape[-1]) @ prepare(units).T).reshape(*rows.shape[:2], -1)
        return found


def _draw_shifts(num_steps: int, seed: int) -> NDArray[np.int64]:
    """Draw how far to shift, no shift at first, the others by a twentieth of the text at least."""
    least = max(num_steps // 20, 1)
    possible = np.arange(least, num_steps - least + 1)
    drawn = np.random.default_rng(seed).permutation(possible)[:NUM_SHIFTS]
    return np.concatenate(([0], drawn))


def centred_ranks(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rank the values of each row (H, T), equal ones with the mean of their ranks, and centre the ranks.

    Example:
        >>> centred_ranks(np.array([[0.5, 0.1, 0.5, 0.9]], np.float32)).tolist()
        [[0.0, -1.5, 0.0, 1.5]]
    """
    num_steps = rows.shape[1]
    order = rows.argsort(axis=1)
    ordered = np.take_along_axis(rows, order, axis=1)
    is_new = np.ones(rows.shape, np.bool_)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=is_new[:, 1:])
    places = np.arange(num_steps, dtype=np.int32)
    middle = np.broadcast_to(places.astype(np.float32), rows.shape)
    if not is_new.all():
        is_last = np.ones(rows.shape, np.bool_)
        is_last[:, :-1] = is_new[:, 1:]
        first = np.maximum.accumulate(np.where(is_new, places, 0), axis=1)
        last = np.minimum.accumulate(np.where(is_last, places, num_steps - 1)[:, ::-1], axis=1)[:, ::-1]
        middle = ((first + last) / 2).astype(np.float32)
    ranks = np.empty(rows.shape, np.float32)
    np.put_along_axis(ranks, order, middle - np.float32((num_steps - 1) / 2), axis=1)
    return ranks


def _standardise(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give each row (H, T) the mean 0 and the length 1; one that is constant becomes zero."""
    centred = rows - rows.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    sizes = np.linalg.norm(centred, axis=1, keepdims=True)
    is_constant = rows.max(axis=1, keepdims=True) == rows.min(axis=1, keepdims=True)
    standardised: NDArray[np.float32] = np.where(is_constant, 0, centred / np.where(is_constant, 1, sizes))
    return standardised


def _agree(rankings: list[FeatureRanking], courses: list[NDArray[np.float64]]) -> Agreement:
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = [abs(np.corrcoef(one, other)[0, 1]) for one, other in combinations(courses, 2)]
    return Agreement(
        strengths=np.array([ranking.strength for ranking in rankings]),
        num_beyond_chance=sum(ranking.is_beyond_chance for ranking in rankings),
        correlation=float(np.nan_to_num(np.mean(pairs))),
    )
