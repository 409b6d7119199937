"""Metrics of labels and spans, between 0 and 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from elman.errors import UsageError

Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Span: TypeAlias = tuple[int, int, str]  # start, stop, type: the positions start to stop - 1 of a sentence


class LabelRates(TypedDict):
    """The metrics of one label; a rate with the denominator 0 is 0."""

    precision: float
    """The fraction of predictions of the label that are correct."""
    recall: float
    """The fraction of true occurrences of the label that are found."""
    f1: float
    """The harmonic mean of the two."""
    support: int
    """The number of true occurrences of the label."""


class LabelMetrics(TypedDict):
    """The metrics of a model that predicts labels."""

    accuracy: float
    """The fraction of correct labels."""
    macro_f1: float
    """The unweighted mean F1 of the labels that are true or predicted at least once."""
    labels: dict[str, LabelRates]
    """The metrics of each label, in the order given."""


def confusion(targets: Integers, predictions: Integers, num_labels: int) -> npt.NDArray[np.int64]:
    """Compute the confusion matrix.

    Args:
        targets: the ids of the true labels, in [0, num_labels), any shape.
        predictions: the predicted ids, of the same shape.
        num_labels: the number K of labels.

    Returns:
        (K, K) int64: how often the row's label was predicted as the column's label.

    Raises:
        UsageError: the shapes differ, or an id is outside the labels.

    Example:
        >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), num_labels=2).tolist()
        [[1, 1], [0, 1]]
    """
    targets, predictions = np.asarray(targets, np.int64), np.asarray(predictions, np.int64)
    if targets.shape != predictions.shape:
        raise UsageError(
            f"targets have shape {targets.shape}, predictions {predictions.shape}; give one prediction for each target"
        )
    for name, ids in (("targets", targets), ("predictions", predictions)):
        wrong = ids[(ids < 0) | (ids >= num_labels)]
        if len(wrong):
            raise UsageError(
                f"{name} contain the id {wrong[0]}, but the ids of {num_labels} labels go from 0 to {num_labels - 1}"
            )
    pairs = (targets * num_labels + predictions).ravel()
    return np.bincount(pairs, minlength=num_labels**2).reshape(num_labels, num_labels)  # (K, K)


def label_metrics(confusion: Integers, labels: Sequence[str]) -> LabelMetrics:
    """Compute accuracy, macro F1 and the metrics of each label from a confusion matrix.

    Args:
        confusion: the confusion matrix, with true labels as rows, shape (K, K).
        labels: the distinct names of the K labels.

    Returns:
        The metrics, as scikit-learn computes them with ``zero_division=0``.

    Raises:
        UsageError: the matrix is not (K, K).

    Example:
        >>> figures = label_metrics(np.array([[3, 1], [0, 4]]), ["NOUN", "VERB"])
        >>> figures["accuracy"], round(figures["macro_f1"], 3)
        (0.875, 0.873)
        >>> figures["labels"]["VERB"]
        {'precision': 0.8, 'recall': 1.0, 'f1': 0.8888888888888888, 'support': 4}
    """
    if confusion.shape != (len(labels), len(labels)):
        raise UsageError(
            f"the confusion matrix has shape {confusion.shape}, but needs a row and a column for each of the "
            f"{len(labels)} labels"
        )
    right, true, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)  # (K,) each
    f1 = 2 * right / np.maximum(true + predicted, 1)  # (K,): the harmonic mean of precision and recall
    columns = (right / np.maximum(predicted, 1), right / np.maximum(true, 1), f1, true)
    return {
        "accuracy": float(right.sum() / max(int(true.sum()), 1)),
        "macro_f1": float(f1[true + predicted > 0].mean()) if true.any() else 0.0,
        "labels": {
            label: {"precision": precision, "recall": recall, "f1": f1, "support": support}
            for label, precision, recall, f1, support in zip(labels, *(c.tolist() for c in columns), strict=True)
        },
    }


def span_metrics(true: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> dict[str, float]:
    """Evaluate entities or chunks: a predicted span is correct if its start, its stop and its type are.

    Source: Tjong Kim Sang and De Meulder (2003), "Introduction to the CoNLL-2003 shared task: language-independent
    named entity recognition", CoNLL.

    Args:
        true: the spans of each sentence: ``(start, stop, type)``.
        predicted: the predicted spans of the same sentences.

    Returns:
        ``span_precision``, ``span_recall`` and ``span_f1`` over all spans of all sentences (the micro average); a rate
        with the denominator 0 is 0.

    Raises:
        UsageError: the numbers of sentences differ.

    Example:
        >>> span_metrics([[(0, 2, "PER")], [(1, 2, "LOC")]], [[(0, 2, "PER"), (3, 4, "LOC")], []])
        {'span_precision': 0.5, 'span_recall': 0.5, 'span_f1': 0.5}
    """
    expected, found = _collect_spans(true, predicted)
    right = len(expected & found)
    return {
        "span_precision": right / max(len(found), 1),
        "span_recall": right / max(len(expected), 1),
        "span_f1": 2 * right / max(len(expected) + len(found), 1),
    }


def span_rates(true: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> dict[str, LabelRates]:
    """Evaluate the entities or chunks of each type; see :func:`span_metrics`.

    Returns:
        The metrics of each type that is true or predicted, sorted by type; the support is the number of true spans.

    Raises:
        UsageError: the numbers of sentences differ.

    Example:
        >>> span_rates([[(0, 2, "PER")], [(1, 2, "PER")]], [[(0, 2, "PER")], []])
        {'PER': {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666, 'support': 2}}
    """
    expected, found = _collect_spans(true, predicted)
    support, guessed, right = (Counter(kind for *_, kind in spans) for spans in (expected, found, expected & found))
    return {
        kind: {
            "precision": right[kind] / max(guessed[kind], 1),
            "recall": right[kind] / max(support[kind], 1),
            "f1": 2 * right[kind] / (support[kind] + guessed[kind]),
            "support": support[kind],
        }
        for kind in sorted(support | guessed)
    }


def _collect_spans(
    true: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]
) -> tuple[set[tuple[int, int, int, str]], set[tuple[int, int, int, str]]]:
    """Return all true and all predicted spans, each with the number of its sentence."""
    if len(true) != len(predicted):
        raise UsageError(
            f"spans for {len(true)} sentences, but predictions for {len(predicted)}; give both for each sentence"
        )
    expected, found = (
        {(sentence, *span) for sentence, spans in enumerate(side) for span in spans} for side in (true, predicted)
    )
    return expected, found


def calibration_error(probabilities: npt.NDArray[np.floating[Any]], targets: Integers, bins: int = 15) -> float:
    """Compute the expected calibration error: the gap between a classifier's confidence and its accuracy.

    Predictions are binned by the probability of the predicted label. In each bin the mean probability is compared with
    the accuracy; the differences are averaged, weighted by the number of predictions in each bin.

    Source: Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks", ICML, equation 3.

    Args:
        probabilities: the probability of each label for each example, shape (N, K).
        targets: the ids of the true labels, shape (N,).
        bins: the number of intervals of equal width between 0 and 1; each includes its upper bound.

    Returns:
        The error, from 0 (predictions at 80 % are correct 80 times in 100) to 1.

    Example:
        >>> calibration_error(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
        0.0
        >>> calibration_error(np.array([[1.0, 0.0]] * 4), np.array([0, 0, 0, 1]))
        0.25
    """
    confidence = probabilities.max(axis=1).clip(max=1.0)  # (N,)
    correct = probabilities.argmax(axis=1) == targets  # (N,)
    places = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)  # (N,): the bin of each
    differences = np.bincount(places, weights=correct - confidence)  # (bins,): summed over each bin
    return float(np.abs(differences).sum() / max(len(correct), 1))
