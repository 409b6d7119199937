"""The base of the tagger and the classifier: a model that predicts labels."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from elman.documents import write_json
from elman.errors import DataError, ModelError, UsageError
from elman.families.reports import Report
from elman.families.saved.folder import Texts
from elman.families.sequences import SequenceModel
from elman.training.schedule import check_positive

logger = logging.getLogger(__name__)

MAX_LABELS = 10_000
FEW_EXAMPLES = 100  # held out: their accuracy has a standard error of 3 points or more, so the loss chooses


@dataclass(kw_only=True, eq=False)
class LabellingModel(SequenceModel):
    """A model that predicts labels, usually of words or texts."""

    def check(self) -> None:
        """Raise UsageError if a setting is outside its limits or a name is unknown."""
        super().check()
        check_positive("min_count", self.min_count)
        for name in ("vector_words", "word_dropout"):
            check_positive(name, getattr(self, name), or_zero=True)
        if self.embedding_size is not None:
            check_positive("embedding_size", self.embedding_size)
        if self.character_size < 2 or self.character_size % 2:
            raise UsageError(f"character_size is {self.character_size}; it must be even and above 0")

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """Return the accuracy, from 0 to 1."""
        return float(self.evaluate(X, y)["accuracy"])

    def report(self, X: Any, y: Any = None) -> Report:  # noqa: N803
        """Evaluate the model; return the figures, the figures of each label, and the confusion matrix.

        Args:
            X: as for ``evaluate``.
            y: as for ``evaluate``.

        Raises:
            UsageError: the model is not fitted, or X or y is of the wrong type.
            DataError: the data cannot be read.
        """
        report = super().report(X, y)
        metrics = report.metrics
        if metrics["unknown_labels"] == metrics.get("tokens", metrics.get("examples")):
            found = [label for label, rates in report.labels.items() if rates["support"]]
            logger.warning("%s; every prediction counts as wrong", self._describe_unknown("the data", found))
        return report

    def _rank(self, metrics: dict[str, Any], figure: str) -> tuple[float, ...]:
        """Return what makes a validation better, to minimize, the most important first: the figure or the loss."""
        ranks = (-metrics[figure], metrics.get("nats_per_target", 0.0))
        number = metrics["tokens"] if "tokens" in metrics else metrics["examples"]
        return ranks if number >= FEW_EXAMPLES else ranks[::-1]

    def _check_known(self, part: str, labels: Iterable[Hashable]) -> None:
        """Raise DataError if the model knows none of the labels in a part of the data."""
        found = set(labels)
        if found.isdisjoint(self.labels_):
            raise DataError(self._describe_unknown(part, sorted(map(str, found))))

    def _describe_unknown(self, part: str, found: Sequence[str]) -> str:
        known = [str(label) for label in self.labels_]
        here, there = (", ".join(some[:5]) + (" ..." if len(some) > 5 else "") for some in (found, known))
        return f"none of the labels in {part} ({here}) is known to the model ({there}); is it the right column?"

    def _pictures(self) -> dict[str, str]:
        return {"confusion.svg": self._report.picture()} if hasattr(self, "_report") else {}

    # What a folder keeps.

    def _texts(self) -> dict[str, str]:
        return {**super()._texts(), "labels.json": write_json(self.labels_)}

    def _restore_texts(self, texts: Texts) -> None:
        super()._restore_texts(texts)
        self.labels_ = tuple(texts.parse("labels.json", [(str, int, float, bool)]))
        if not 1 <= len(self.labels_) <= MAX_LABELS:
            raise ModelError(f"labels.json: {len(self.labels_):,} labels; a model has 1 to {MAX_LABELS:,}")
