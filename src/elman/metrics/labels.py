"""How labels and spans fared: rates between 0 and 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from elman.errors import UsageError

Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Span: TypeAlias = tuple[int, int, str]  # start, stop, type: the positions start to stop - 1 of a sentence


class LabelRates(TypedDict):
    """How one label fared; a rate whose denominator is 0 is 0."""

    precision: float
    """The share of what was taken for the label that is right."""
    recall: float
    """The share of what has the label that was found."""
    f1: float
    """The harmonic mean of the two."""
    support: int
    """How often the label is the true one."""


class LabelMetrics(TypedDict):
    """How a model that gives labels fared."""

    accuracy: float
    """The share of labels that are right."""
    macro_f1: float
    """The mean F1 of the labels that are true or predicted at least once, each counting the same."""
    labels: dict[str, LabelRates]
    """Every label, in the order given."""


def confusion(targets: Integers, predictions: Integers, num_labels: int) -> npt.NDArray[np.int64]:
    """Count which label was taken for which.

    Args:
        targets: the true labels' ids, in [0, num_labels), any shape.
        predictions: the predicted ids, of the same shape.
        num_labels: the number K of labels.

    Returns:
        (K, K) int64: how often the label of the row was taken for the label of the column.

    Raises:
        UsageError: the shapes differ, or an id is outside the labels.

    Example:
        >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), num_labels=2).tolist()
        [[1, 1], [0, 1]]
    """
    targets, predictions = np.asarray(targets, np.int64), np.asarray(predictions, np.int64)
    if targets.shape != predictions.shape:
        raise UsageError(
            f"targets of shape {targets.shape}, predictions of {predictions.shape}; give one prediction for each target"
        )
    for name, ids in (("targets", targets), ("predictions", predictions)):
        wrong = ids[(ids < 0) | (ids >= num_labels)]
        if len(wrong):
            raise UsageError(f"{name} hold the id {wrong[0]}, where {num_labels} labels go from 0 to {num_labels - 1}")
    pairs = (targets * num_labels + predictions).ravel()
    return np.bincount(pairs, minlength=num_labels**2).reshape(num_labels, num_labels)  # (K, K)


def label_metrics(confusion: Integers, labels: Sequence[str]) -> LabelMetrics:
    """Turn a confusion matrix into accuracy, macro F1, and the rates of each label.

    Args:
        confusion: how often each label was taken for each, true labels down, shape (K, K).
        labels: the K labels' names, each a different one.

    Returns:
        The figures, which are those of scikit-learn with ``zero_division=0``.

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
            f"the confusion matrix has shape {confusion.shape}, where {len(labels)} labels need as many rows"
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
    """Judge entities or chunks: a predicted span is right where its start, its stop and its type all are.

    Source: Tjong Kim Sang and De Meulder (2003), "Introduction to the CoNLL-2003 shared task: language-independent
    named entity recognition", CoNLL.

    Args:
        true: the spans of each sentence: ``(start, stop, type)``.
        predicted: the predicted spans of the same sentences.

    Returns:
        ``span_precision``, ``span_recall`` and ``span_f1`` over all spans of all sentences (the micro average); a rate
        whose denominator is 0 is 0.

    Raises:
        UsageError: the two hold different numbers of sentences.

    Example:
        >>> span_metrics([[(0, 2, "PER")], [(1, 2, "LOC")]], [[(0, 2, "PER"), (3, 4, "LOC")], []])
        {'span_precision': 0.5, 'span_recall': 0.5, 'span_f1': 0.5}
    """
    if len(true) != len(predicted):
        raise UsageError(
            f"spans of {len(true)} sentences and predictions of {len(predicted)}; give both for each sentence"
        )
    expected = {(sentence, *span) for sentence, spans in enumerate(true) for span in spans}
    found = {(sentence, *span) for sentence, spans in enumerate(predicted) for span in spans}
    right = len(expected & found)
    return {
        "span_precision": right / max(len(found), 1),
        "span_recall": right / max(len(expected), 1),
        "span_f1": 2 * right / max(len(expected) + len(found), 1),
    }


def calibration_error(probabilities: npt.NDArray[np.floating[Any]], targets: Integers, bins: int = 15) -> float:
    """Measure how far a classifier's certainty is from how often it is right: the expected calibration error.

    Predictions are sorted into bins by the probability of the label they choose; in each bin the mean probability is
    set against the share that is right, and the bins' differences are averaged by how many predictions each holds.

    Source: Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks", ICML, equation 3.

    Args:
        probabilities: of each label for each example, shape (N, K).
        targets: the true labels' ids, shape (N,).
        bins: how many intervals of the same width 0 to 1 is cut into; each holds its upper border.

    Returns:
        The error, from 0 (where 80 % certain means right 80 times in 100) to 1.

    Example:
        >>> calibration_error(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
        0.0
        >>> calibration_error(np.array([[1.0, 0.0]] * 4), np.array([0, 0, 0, 1]))
        0.25
    """
    certainty = probabilities.max(axis=1).clip(max=1.0)  # (N,)
    right = probabilities.argmax(axis=1) == targets  # (N,)
    places = np.digitize(certainty, np.linspace(0, 1, bins + 1)[1:-1], right=True)  # (N,): the bin of each
    differences = np.bincount(places, weights=right - certainty)  # (bins,): summed over each
    return float(np.abs(differences).sum() / max(len(right), 1))
