"""Which unit of a network follows which feature: position in the line, inside quotes, a label or one of your own."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.inspection.tracing import trace
from elman.inspection.units.features import Features, Text, compute_features
from elman.inspection.units.rankings import Agreement, FeatureRanking, RankedUnit, UnitRanking

logger = logging.getLogger(__name__)

NUM_SHIFTS = 199  # circular shifts of a feature against the text, for the bound


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

    Units are chosen on the first half of the text and scored on the second. The text should be one that the
    model was not trained on.

    Args:
        model: a fitted model of any task; or several, such as the same settings with other seeds.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        features: names of built-in features; or your own by name, each a function from the tokens of a sequence to a
            value for each, or a column with a value for each step of all sequences. By default all built-in features:
            ``position`` in the line, inside ``quotes``, inside ``brackets``, their ``depth``, ``capital``, ``digit``,
            ``word_boundary``, ``indentation`` and, for a tagger or a classifier, ``label``.
        y: the targets, for ``label``; by default the model's own predictions.
        steps: read only this many steps of each input.
        record: read this input only, counted from 1.
        stack: ``encoder`` for the encoder's units and tokens; by default the stack that computes the outputs.
        top: how many units to return for each feature.
        seed: the seed of the shifts for the bound.

    Returns:
        For each feature the best units, their AUC or correlation, and what the best of all units reaches by chance.

    Raises:
        UsageError: there is no such feature, or one has the wrong length; the models tokenize the text differently.
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
        raise UsageError("there is no model to inspect; give one, or several in a list")
    if top < 1:
        raise UsageError(f"top is {top}, expected at least 1")
    X, y = (list(own) if isinstance(own, Iterator) else own for own in (X, y))  # noqa: N806  # each model reads them
    found: list[dict[str, FeatureRanking]] = []
    courses: dict[str, list[NDArray[np.float64]]] = {}  # of each feature, the values of each model's best unit
    tokens: list[str] = []
    skipped: dict[str, str] = {}
    for number, own in enumerate(models):
        traced = trace(own, X, y, steps=steps, record=record, top=1)
        text = Text.of(traced, stack)
        if number and text.tokens != tokens:
            raise UsageError(
                f"model {number + 1} reads other tokens than model 1; compare models with the same tokenizer"
            )
        tokens = text.tokens
        columns = compute_features(text, features, own)
        rankings, skipped = _rank(text, columns, top, seed)
        if not rankings:
            raise DataError(f"no feature varies in the text: {_join_reasons(skipped)}")
        if features is not None and not number and skipped:
            logger.warning("left out: %s", _join_reasons(skipped))
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


def _join_reasons(skipped: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in skipped.items())


def _rank(
    text: Text, columns: dict[str, NDArray[Any]], top: int, seed: int
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
    """Features over a part of the text, unshifted and shifted, ready to be compared with all units at once.

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
        """Score units with the values (T, H): (features, shifts, H), zero for a constant unit."""
        units = np.ascontiguousarray(values[self._part].T, np.float32)  # (H, T)
        found = np.zeros((*self._rows.shape[:2], len(units)))
        for is_binary, prepare in ((True, centred_ranks), (False, _standardise)):
            own = self._is_binary == is_binary
            if own.any():
                rows = self._rows[own]
                found[own] = (rows.reshape(-1, rows.shape[-1]) @ prepare(units).T).reshape(*rows.shape[:2], -1)
        return found


def _draw_shifts(num_steps: int, seed: int) -> NDArray[np.int64]:
    """Draw the shifts: zero first, the others at least a twentieth of the text."""
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
    """Give each row (H, T) the mean 0 and the norm 1; a constant row becomes zero."""
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
        correlation=float(np.mean(np.nan_to_num(pairs))),
    )
