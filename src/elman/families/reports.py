"""The report of an evaluation: figures and, for labels, the figures of each label and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from elman.data.examples import Numbering
from elman.drawing.confusion import confusion_table, confusion_text
from elman.errors import UsageError
from elman.metrics.labels import LabelRates, confusion, label_metrics


@dataclass(frozen=True)
class Report:
    """The result of an evaluation.

    Args:
        metrics: the figures by name; rates are between 0 and 1.
        labels: precision, recall, F1 and support of each of the K labels; empty if the model predicts no labels.
        spans: the same of each type of entity; empty if the model predicts none.
        signatures: exactly how some figures were computed, such as ``bleu_signature``.
        written: the texts that the model generated, if it does.
        confusion: (K, K) counts, true labels in rows and predicted labels in columns, in the order of ``labels``.
    """

    metrics: dict[str, float | int]
    labels: dict[str, LabelRates] = field(default_factory=dict)
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    signatures: dict[str, str] = field(default_factory=dict)
    written: Sequence[str] = ()
    spans: dict[str, LabelRates] = field(default_factory=dict)

    def confusion_text(self) -> str:
        """Return the confusion matrix as text for a terminal."""
        return confusion_text(self.confusion, list(self.labels))

    def picture(self) -> str:
        """Return the confusion matrix as an SVG document.

        Raises:
            UsageError: the model predicts no labels.
        """
        if not self.labels:
            raise UsageError("this model predicts no labels, so there is no confusion matrix; leave out `confusion`")
        return confusion_table(self.confusion, list(self.labels))


def compare_labels(true: Sequence[str], predicted: Sequence[str]) -> Report:
    """Report on predicted labels.

    Example:
        >>> report = compare_labels(["NOUN", "VERB", "NOUN", "X"], ["NOUN", "VERB", "VERB", "NOUN"])
        >>> report.metrics["accuracy"], list(report.labels), report.confusion.tolist()
        (0.5, ['NOUN', 'VERB', 'X'], [[1, 1, 0], [0, 1, 0], [1, 0, 0]])
    """
    labels = sorted({*true, *predicted})
    numbering = Numbering(labels)
    counts = confusion(numbering.ids(true), numbering.ids(predicted), len(labels))
    rates = label_metrics(counts, labels)
    return Report({"accuracy": rates["accuracy"], "macro_f1": rates["macro_f1"]}, rates["labels"], counts)
