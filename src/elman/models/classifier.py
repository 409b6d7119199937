"""The classifier: many-to-one. It reads a text, or a sequence of numbers, and gives it one label.

file | folder ──a format's read──▶ examples ──split──▶ tokens ──WordSequences.gather──▶ SequenceBatch
     ──WordEncoder──▶ (B,T,E) ──Encoder──▶ outputs (B,T,N), last (B,N) ──Pooling──▶ (B,N) ──head──▶ logits (B,K)
          ──┬── cross entropy ──▶ nats per text
            └── softmax ──▶ probabilities ──▶ Classification
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.batching import IGNORED
from elman.data.examples import Examples, Numbering
from elman.data.formats.table import FORMATS
from elman.data.formats.text_folder import read_text_folder
from elman.data.lines import Lines, Problems
from elman.data.records import Classification, Example, NumberSequence, Problem, drop_problems, restore_problems
from elman.data.values.columns import check_no_answers, check_pairs
from elman.data.values.labels import check_classes, take_labels
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.inputs import NumberInputs, Table, TextInputs
from elman.families.labelling import LabellingModel
from elman.families.reports import Report, compare_labels
from elman.families.saved.folder import Texts
from elman.families.sequences import PooledNetwork, SequenceBatch, SequenceBatches
from elman.families.unrolled import Stack, Unrolled
from elman.metrics.labels import calibration_error
from elman.settings.labelling import ClassifierSettings
from elman.training.schedule import check_positive
from elman.training.task import Batches

ClassifierInput = Any
"""A ``Path`` names a file or a folder; or texts, or arrays of numbers (T, F), in a list, an array, a Series, a frame of
one column or an iterator. Where labels are wanted, a ``str`` is the text of a table; a text by itself is a list of one.
"""


@dataclass(kw_only=True, eq=False)
class Classifier(ClassifierSettings, LabellingModel):
    """A recurrent classifier: sentiment, topic, spam, or what a sensor's readings mean.

    Example:
        >>> texts, labels = ["good, really good", "bad, really bad"] * 10, ["praise", "complaint"] * 10
        >>> classifier = Classifier(hidden_size=8, steps=30, learning_rate=0.03).fit(texts, labels)
        >>> classifier.predict(["good"]).tolist()
        ['praise']
    """

    def check(self) -> None:
        """Raise UsageError where a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("vocab_size", "max_length"):
            check_positive(name, getattr(self, name))
        if self.vectors is not None and self.level != "word":
            raise UsageError(f'vectors are of words, but level is "{self.level}"; set level "word" or leave them out')
        if self.level != "word" and self.characters != "none":
            raise UsageError(f'characters are read of words, but level is "{self.level}"; leave them out')

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator; only scikit-learn asks."""
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        tags.target_tags.required = True
        return tags

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of ``predict_proba``'s columns."""
        return np.array(self.labels_)

    # Learning.

    def _prepare(self, X: ClassifierInput, y: Any, valid: Any, previous: Model | None) -> tuple[_Task, Batches]:  # noqa: N803
        train, held_out = self.read(X, y, valid=valid)
        if isinstance(previous, Classifier):
            self._restore_texts(Texts(previous._texts()))
            train = train.respell(self.labels_)
            self._check_known("the training data", train.labels)
        else:
            check_classes(train.labels)
            self.labels_ = tuple(sorted(set(train.labels)))
            self._learn(train, held_out)
        if valid is not None:
            self._check_known("the validation data", held_out.respell(self.labels_).labels)
        if len(self.labels_) < 2:
            raise DataError(
                f"every example is labelled {self.labels_[0]!r}, so there is nothing to tell apart; "
                "is `label` the right column?"
            )
        self.inputs_.check([*train.inputs, *held_out.inputs])
        self.network_ = self._build()
        self.inputs_.initialize(self.network_.front)
        return _Task(self, train.labels), self._batches(train)

    def _read(self, source: ClassifierInput, labels: Any = None) -> Examples:
        if not isinstance(source, Path | str):
            return self._take_examples(source, labels)
        check_no_answers(source, labels)
        problems = Problems()
        examples = list(self._examples(source, problems, labelled=True))
        problems.close()
        if not examples:
            raise DataError(problems.first or "there is no labelled example")
        return Examples([example[0] for example in examples], [example.label for example in examples], problems.count)

    def _strata(self, examples: Examples) -> Sequence[Hashable]:
        return examples.labels

    def _examples(
        self, source: Path | str, problems: Problems, *, labelled: bool
    ) -> Iterator[Example | NumberSequence]:
        """Yield what can be read of a file, or a folder; where labels are not wanted, a problem is an error."""
        found: Iterable[Example | NumberSequence | Problem]
        if isinstance(source, Path) and source.is_dir():
            found = read_text_folder(source, problems, self.encoding)
        else:
            reader = FORMATS[self.formats].reader(self.input_format, source, self)
            found = reader.read(Lines(source, self.encoding), problems, labelled=labelled)
        return (example for example in found if not isinstance(example, Problem))

    def _take_examples(self, inputs: Any, labels: Any) -> Examples:
        """Take texts, or arrays of numbers, and their labels as Python has them."""
        if labels is None:
            raise UsageError("the labels are missing: fit(texts, labels) takes a label for every text")
        inputs, labels = self._inputs().take(inputs), take_labels(labels)
        if not inputs:
            raise DataError("there are no examples: X is empty")
        check_pairs(len(inputs), len(labels), "texts", "{:,} labels")
        return Examples(inputs, labels)

    def _sequences(self, inputs: ClassifierInput) -> list[Any]:
        """Take what is to be classified: texts, or arrays of numbers, or a file of them without anything wrong."""
        found: list[Any]
        if not isinstance(inputs, Path):
            found = self.inputs_.take(inputs)
            return found
        problems = Problems(shown=0)
        found = [example[0] for example in self._examples(inputs, problems, labelled=False)]
        if problems.count:
            raise DataError(problems.first)
        return found

    def _inputs(self) -> TextInputs | NumberInputs:
        return NumberInputs() if self.level == "numbers" else TextInputs(self)

    @property
    def formats(self) -> str:
        """The formats that the model's inputs come in, by their name in :mod:`elman.data.formats.table`."""
        return "numbers" if self.level == "numbers" else "classifier"

    def _batches(self, examples: Examples) -> SequenceBatches:
        targets = Numbering(self.labels_).ids(examples.labels)  # (N,)
        return SequenceBatches(self.inputs_.batches(examples.inputs), targets, self.batch_tokens, self.seed)

    def _build(self) -> PooledNetwork:
        front: Any = self.inputs_.front()
        return PooledNetwork(front, self._encoder(front.output_size), self.pooling, len(self.labels_))

    # Judging.

    def evaluate(self, X: ClassifierInput, y: Any = None) -> dict[str, float | int]:  # noqa: N803
        """Judge the model on labelled examples.

        Returns:
            ``accuracy``, ``macro_f1``, ``calibration_error`` (how far its certainty is from how often it is right),
            ``nats_per_target`` (where a label is known), ``examples``, ``unknown_labels`` (labels that training never
            saw, always wrong) and ``left_out`` (examples that could not be read).

        Raises:
            DataError: the data cannot be read.
        """
        return self.report(X, y).metrics

    def _evaluate(self, examples: Examples) -> Report:
        examples = examples.respell(self.labels_)
        probabilities = self._probabilities(examples.inputs)  # (N, K)
        targets = Numbering(self.labels_).ids(examples.labels)  # (N,)
        known = targets >= 0
        likelihoods = np.maximum(probabilities[known, targets[known]], np.finfo(np.float64).tiny)
        report = self.compare_predictions(examples, [self.labels_[index] for index in probabilities.argmax(axis=1)], ())
        report.metrics["calibration_error"] = calibration_error(probabilities, targets)
        if known.any():
            report.metrics["nats_per_target"] = float(0.0 - np.log(likelihoods).sum()) / int(known.sum())
        report.metrics["unknown_labels"] = int((~known).sum())
        return report

    def compare_predictions(self, examples: Examples, predicted: Sequence[Any], seen: Container[str]) -> Report:
        """Set predicted labels, whoever predicted them, beside the true ones."""
        report = compare_labels([str(label) for label in examples.labels], [str(label) for label in predicted])
        report.metrics["examples"] = len(examples.labels)
        return report

    # Classifying.

    def predict(self, X: ClassifierInput) -> NDArray[Any]:  # noqa: N803
        """Return the likeliest label of each text, or of each array of numbers (T, F), in the type that labels had.

        Args:
            X: texts or arrays; or a ``Path``: a file, or a folder, that training reads, with or without its labels.

        Raises:
            UsageError: X is one text, or holds what is no text.
            DataError: a text is missing, or cannot be read.
        """
        labels: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def predict_proba(self, X: ClassifierInput) -> NDArray[np.float64]:  # noqa: N803
        """Return how likely each label is, (N, K), in the order of ``classes_``; see :meth:`predict`."""
        self._check_fitted()
        return self._probabilities(self._sequences(X))

    def unroll(self, X: ClassifierInput, y: Any = None, *, steps: int | None = None) -> Iterator[Unrolled]:  # noqa: N803
        """Lay the network out over each text; see :meth:`elman.families.base.Model.unroll`."""
        self._check_fitted()
        if y is None:
            items, labels = self._sequences(X), None
        else:
            examples = self._take_examples(X, y).respell(self.labels_)
            items, labels = examples.inputs, Numbering(self.labels_).ids(examples.labels)
        self.inputs_.check(items)
        network, table = self.network_.eval(), self._table()
        for row, item in enumerate(items):
            tokens = self.inputs_.tokens(item)
            with torch.no_grad():
                inputs, lengths = table.gather([tokens])

            def run(rows: Tensor, lengths: Tensor = lengths) -> tuple[Tensor, Tensor | None]:
                found: tuple[Tensor, Tensor | None] = network.classify(rows, lengths.expand(len(rows)))
                return found

            yield Unrolled(
                stacks={"rnn": Stack(layer=network.encoder.rnn, tokens=_name_steps(tokens), is_aligned=False)},
                inputs=inputs[0],
                run=run,
                names=[str(label) for label in self.labels_],
                targets=None if labels is None else torch.from_numpy(labels[row : row + 1]),
            )

    def transform(self, X: ClassifierInput) -> NDArray[np.float64]:  # noqa: N803
        """Return what the network makes of each text before the output layer, (N, features), for other models."""
        self._check_fitted()
        return self._hidden(self._sequences(X), self._table()).double().numpy()

    def answer(
        self, batches: Iterable[Sequence[Example | NumberSequence | Problem]]
    ) -> Iterator[Classification | Problem]:
        """Classify texts, or sequences of numbers, as they come, in order.

        Args:
            batches: examples, as many together as are there; a problem stays in its place.
        """
        self._check_fitted()
        table = self._table()
        for batch in batches:
            rows = self._probabilities([example[0] for example in drop_problems(batch)], table)
            yield from restore_problems(batch, map(self._classification, rows))

    def _classification(self, shares: NDArray[np.float64]) -> Classification:
        return Classification(self.labels_[int(shares.argmax())], dict(zip(self.labels_, shares.tolist(), strict=True)))

    def _probabilities(self, inputs: Sequence[Any], table: Table | None = None) -> NDArray[np.float64]:
        hidden = self._hidden(inputs, table or self._table())  # (N, features)
        with torch.inference_mode():
            logits = self.network_.head(hidden.to(self.network_.head.weight.device))
            shares: NDArray[np.float64] = logits.double().softmax(dim=-1).cpu().numpy()
        return shares


def _name_steps(tokens: Sequence[Any]) -> list[str]:
    """Name the time steps of a sequence: tokens by themselves, numbers by the first few of them."""
    if not isinstance(tokens, np.ndarray):
        return list(tokens)
    return [" ".join(f"{number:.3g}" for number in row[:4]) + " …" * (len(row) > 4) for row in tokens]


class _Task:
    """The classifier as the training loop sees it."""

    def __init__(self, model: Classifier, labels: Sequence[Any]) -> None:
        self._model = model
        self.network: nn.Module = model.network_
        counts = Counter(labels)
        each = len(labels) / len(model.labels_)
        self._weights = None
        if model.class_weights:
            self._weights = torch.tensor([each / max(counts[label], 1) for label in model.labels_])

    def objective(self, metrics: dict[str, Any]) -> tuple[float, ...]:
        return -metrics["accuracy" if self._weights is None else "macro_f1"], metrics.get("nats_per_target", 0.0)

    def plan(self, passes: float) -> None:
        pass

    def training_step(self, batch: SequenceBatch, carry: Any) -> tuple[Tensor, int, Any]:
        logits = self.network(batch).float()  # (B, K)
        weights = None if self._weights is None else self._weights.to(logits.device)
        losses = nn.functional.cross_entropy(logits, batch.targets, weights, ignore_index=IGNORED, reduction="sum")
        return losses, max(int((batch.targets != IGNORED).sum()), 1), None

    def validate(self) -> dict[str, float | int]:
        return self._model._evaluate(self._model._valid).metrics

    def sample(self) -> str:
        first = self._model._valid.inputs[0]
        return f"{self._model.predict([first])[0]}: {self._model.inputs_.preview(first)}"
