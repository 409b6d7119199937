"""True labels beside predicted ones: the figures, each label's own, and which was taken for which."""

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
    """How a model fared.

    Args:
        metrics: the figures by name; rates lie between 0 and 1.
        labels: precision, recall, F1 and support of each label; none where the model gives no labels.
        signatures: how figures were computed, exactly, where that is not obvious: ``bleu_signature``.
        confusion: (K, K) how often the label of the row was taken for that of the column, in the order of ``labels``.
    """

    metrics: dict[str, float | int]
    labels: dict[str, LabelRates] = field(default_factory=dict)
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    signatures: dict[str, str] = field(default_factory=dict)

    def confusion_text(self) -> str:
        """Return which label was taken for which, for the terminal."""
        return confusion_text(self.confusion, list(self.labels))

    def picture(self) -> str:
        """Return the confusion table as an SVG document.

        Raises:
            UsageError: the model gives no labels.
        """
        if not self.labels:
            raise UsageError("a confusion table is of labels, and this model gives none; leave `confusion` out")
        return confusion_table(self.confusion, list(self.labels))


def compare_labels(true: Sequence[str], predicted: Sequence[str]) -> Report:
    """Set labels side by side.

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
