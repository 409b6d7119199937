"""The classifier: many-to-one. It reads a text or a sequence of numbers and predicts one label.

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
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.counting.naive_bayes import NaiveBayes
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
from elman.families.endings import thin
from elman.families.inputs import NumberInputs, Table, TextInputs
from elman.families.labelling import LabellingModel
from elman.families.plan import Traits
from elman.families.reports import Report, compare_labels
from elman.families.saved.folder import Texts
from elman.families.sequences import PooledNetwork, SequenceBatch, SequenceBatches
from elman.families.unrolled import Stack, Unrolled
from elman.metrics.labels import calibration_error
from elman.settings.labelling import ClassifierSettings
from elman.training.schedule import check_positive
from elman.training.task import Batches

CHARACTERS_PER_SECOND = 1_000_000  # of texts whose words the baseline counts
MOST_SCORES = 20_000_000  # of the baseline: held-out texts times labels

ClassifierInput = Any
"""A ``Path`` to a file or a folder; or texts, or arrays of numbers (T, F), in a list, an array, a Series, a data frame
with one column or an iterator. For labelled examples a ``str`` is the content of a table.
"""


@dataclass(kw_only=True, eq=False)
class Classifier(ClassifierSettings, LabellingModel):
    """A recurrent classifier for texts (sentiment, topic, spam) and for sequences of numbers (sensor readings).

    With ``level="numbers"`` the inputs are arrays (T, F) of T time steps and F features; otherwise they are texts.

    Attributes:
        network_: the trained :class:`~elman.families.sequences.PooledNetwork`.
        labels_: the K labels, sorted; ``classes_`` gives them as an array.
        metrics_: figures of the training and of the validation data.
        history_: one dictionary of figures for each validation.
        data_: the names, hashes and sizes of the data.

    Example:
        >>> texts, labels = ["good, really good", "bad, really bad"] * 10, ["praise", "complaint"] * 10
        >>> classifier = Classifier(hidden_size=8, steps=30, learning_rate=0.03).fit(texts, labels)
        >>> classifier.predict(["good"]).tolist()
        ['praise']
    """

    compared: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")

    def check(self) -> None:
        """Raise UsageError if a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("vocab_size", "max_length"):
            check_positive(name, getattr(self, name))
        if self.crop_length is not None:
            check_positive("crop_length", self.crop_length, or_zero=True)
        if self.vectors is not None and self.level != "word":
            raise UsageError(
                f'`level` is "{self.level}", but `vectors` are for words; set `level` word or leave out `vectors`'
            )
        if self.level != "word" and self.characters != "none":
            raise UsageError(f'characters are read within words, but level is "{self.level}"; leave out characters')

    def __sklearn_tags__(self) -> Any:
        """Return the estimator tags of scikit-learn."""
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        tags.target_tags.required = True
        return tags

    @property
    def classes_(self) -> NDArray[Any]:
        """The K labels, in the order of the columns of ``predict_proba``."""
        return np.array(self.labels_)

    # Training.

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
                f"every example has the label {self.labels_[0]!r}, and a classifier needs at least two labels; "
                "is `label` the right column?"
            )
        self.inputs_.check([*train.inputs, *held_out.inputs])
        batches = self._batches(train)
        is_text = self.level != "numbers"
        noun = "texts" if is_text else "sequences"
        crop = self.crop_length if is_text else self.crop_length or 0
        traits = Traits(self.task, batches.buckets.lengths, noun, is_text, len(self.labels_), crop)
        self._plan(traits, previous)
        batches.crop(self.setting("crop_length"))
        batches.buckets.group(self.setting("batch_tokens"))
        self.network_ = self._build()
        self.inputs_.initialize(self.network_.front)
        return _Task(self, train.labels), batches

    def _read(self, source: ClassifierInput, labels: Any = None) -> Examples:
        if not isinstance(source, Path | str):
            return self._take_examples(source, labels)
        check_no_answers(source, labels)
        problems = Problems()
        examples = list(self._examples(source, problems, labelled=True))
        problems.close()
        if not examples:
            raise DataError(problems.first or "there are no labelled examples")
        return Examples([example[0] for example in examples], [example.label for example in examples], problems.count)

    def _strata(self, examples: Examples) -> Sequence[Hashable]:
        return examples.labels

    def _examples(
        self, source: Path | str, problems: Problems, *, labelled: bool
    ) -> Iterator[Example | NumberSequence]:
        """Yield the readable examples of a file or a folder; the rest is reported to ``problems``."""
        found: Iterable[Example | NumberSequence | Problem]
        if isinstance(source, Path) and source.is_dir():
            found = read_text_folder(source, problems, self.encoding)
        else:
            reader = FORMATS[self.formats].reader(self.input_format, source, self)
            found = reader.read(Lines(source, self.encoding), problems, labelled=labelled)
        return (example for example in found if not isinstance(example, Problem))

    def _take_examples(self, inputs: Any, labels: Any) -> Examples:
        """Take texts or arrays of numbers, and their labels, given as Python values."""
        if labels is None:
            raise UsageError("the labels are missing: fit(texts, labels) takes a label for every text")
        inputs, labels = self._inputs().take(inputs), take_labels(labels)
        if not inputs:
            raise DataError("there are no examples: X is empty")
        check_pairs(len(inputs), len(labels), "texts", "{:,} labels")
        return Examples(inputs, labels)

    def _sequences(self, inputs: ClassifierInput) -> list[Any]:
        """Take the inputs to classify: texts, arrays of numbers, or a file without a single problem."""
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
        """The name, in :mod:`elman.data.formats.table`, of the group of formats that the inputs come in."""
        return "numbers" if self.level == "numbers" else "classifier"

    def _batches(self, examples: Examples) -> SequenceBatches:
        targets = Numbering(self.labels_).ids(examples.labels)  # (N,)
        return SequenceBatches(self.inputs_.batches(examples.inputs), targets, self.seed)

    def _build(self) -> PooledNetwork:
        front: Any = self.inputs_.front()
        return PooledNetwork(front, self._encoder(front.output_size), self.setting("pooling"), len(self.labels_))

    # Evaluating.

    def evaluate(self, X: ClassifierInput, y: Any = None) -> dict[str, float | int]:  # noqa: N803
        """Evaluate the model on labelled examples.

        Args:
            X: the inputs, or a ``Path`` to a file or folder that holds the labels too.
            y: the label of each input; None if X is a file or a folder.

        Returns:
            ``accuracy`` and ``macro_f1`` (0 to 1), ``calibration_error`` (expected calibration error, 0 to 1),
            ``nats_per_target`` (cross entropy over the examples whose label is known), ``examples``,
            ``unknown_labels`` (examples whose label is not in the training data; they count as wrong) and
            ``left_out`` (examples that could not be read).

        Raises:
            UsageError: the model is not fitted, or X or y is of the wrong type.
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
        """Compare labels predicted by any model with the true ones; ``seen`` is not used."""
        report = compare_labels([str(label) for label in examples.labels], [str(label) for label in predicted])
        report.metrics["examples"] = len(examples.labels)
        return report

    def _evaluate_baselines(self, seconds: float) -> Iterator[tuple[str, dict[str, float | int]]]:
        train, held_out = self._train.respell(self.labels_), self._valid.respell(self.labels_)
        labels = [str(label) for label in train.labels]

        def compare(predicted: Sequence[str]) -> dict[str, float | int]:
            metrics = self.compare_predictions(held_out, predicted, ()).metrics
            return {name: metrics[name] for name in self.compared if name == "macro_f1" or not self.class_weights}

        yield "majority", compare([Counter(labels).most_common(1)[0][0]] * len(held_out.inputs))
        if not isinstance(train.inputs[0], str):
            return
        limit = CHARACTERS_PER_SECOND * seconds
        cells = len(held_out.inputs) * len(self.labels_)
        if sum(map(len, held_out.inputs)) <= limit and cells <= MOST_SCORES:
            rows = thin(len(labels), sum(map(len, train.inputs)), limit)
            counts = NaiveBayes().fit([train.inputs[row] for row in rows], [labels[row] for row in rows])
            yield "word_counts", compare(counts.predict(held_out.inputs))

    # Classifying.

    def predict(self, X: ClassifierInput) -> NDArray[Any]:  # noqa: N803
        """Return the most likely label of each text, or of each array of numbers (T, F).

        Args:
            X: texts or arrays; or a ``Path`` to a file or folder in a format for training, with or without labels.

        Returns:
            An array (N,) of labels, of the type that the training labels had.

        Raises:
            UsageError: the model is not fitted, X is a single text, or an item is of the wrong type.
            DataError: a text is missing or cannot be read, or an array has the wrong number of features.
        """
        labels: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def predict_proba(self, X: ClassifierInput) -> NDArray[np.float64]:  # noqa: N803
        """Return the probability of each label, (N, K) float64, with columns in the order of ``classes_``.

        Args:
            X: as for :meth:`predict`, with the same errors.

        Example:
            >>> classifier = Classifier(hidden_size=8, steps=2).fit(["good", "bad"] * 10, ["praise", "complaint"] * 10)
            >>> classifier.classes_.tolist(), classifier.predict_proba(["good", "bad", "so, so"]).shape
            (['complaint', 'praise'], (3, 2))
        """
        self._check_fitted()
        return self._probabilities(self._sequences(X))

    def unroll(self, X: ClassifierInput, y: Any = None, *, steps: int | None = None) -> Iterator[Unrolled]:  # noqa: N803
        """Unroll the network over each text; see :meth:`elman.families.base.Model.unroll`."""
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
                inputs, _ = table.gather([tokens])

            def run(rows: Tensor) -> tuple[Tensor, Tensor | None]:
                lengths = torch.full((len(rows),), rows.shape[1])
                found: tuple[Tensor, Tensor | None] = network.classify(rows, lengths)
                return found

            yield Unrolled(
                stacks={"rnn": Stack(layer=network.encoder.rnn, tokens=_name_steps(tokens), is_aligned=False)},
                inputs=inputs[0],
                run=run,
                names=[str(label) for label in self.labels_],
                targets=None if labels is None else torch.from_numpy(labels[row : row + 1]),
            )

    def transform(self, X: ClassifierInput) -> NDArray[np.float64]:  # noqa: N803
        """Return the input of the output layer for each text, (N, features) float64, as features for other models.

        Args:
            X: as for :meth:`predict`, with the same errors.
        """
        self._check_fitted()
        return self._hidden(self._sequences(X), self._table()).double().numpy()

    def answer(
        self, batches: Iterable[Sequence[Example | NumberSequence | Problem]]
    ) -> Iterator[Classification | Problem]:
        """Classify texts or sequences of numbers as they arrive, in order.

        Args:
            batches: batches of examples of any size, with a problem in place of each one that could not be read.

        Yields:
            The label of each example with the probability of every label; problems are passed through.

        Raises:
            UsageError: the model is not fitted.
        """
        self._check_fitted()
        table = self._table()
        for batch in batches:
            rows = self._probabilities([example[0] for example in drop_problems(batch)], table)
            yield from restore_problems(batch, map(self._classify, rows))

    def _classify(self, probabilities: NDArray[np.float64]) -> Classification:
        """Make the record of one example from the probabilities (K,) of its labels."""
        by_label = dict(zip(self.labels_, probabilities.tolist(), strict=True))
        return Classification(self.labels_[int(probabilities.argmax())], by_label)

    def _probabilities(self, inputs: Sequence[Any], table: Table | None = None) -> NDArray[np.float64]:
        hidden = self._hidden(inputs, table or self._table())  # (N, features)
        with torch.inference_mode():
            logits = self.network_.head(hidden.to(self.network_.head.weight.device))
            probabilities: NDArray[np.float64] = logits.double().softmax(dim=-1).cpu().numpy()
        return probabilities


def _name_steps(tokens: Sequence[Any]) -> list[str]:
    """Name the time steps of a sequence: tokens by themselves, numbers by the first few of them."""
    if not isinstance(tokens, np.ndarray):
        return list(tokens)
    return [" ".join(f"{number:.3g}" for number in row[:4]) + " …" * (len(row) > 4) for row in tokens]


class _Task:
    """Train a classifier: the task that the training loop runs."""

    def __init__(self, model: Classifier, labels: Sequence[Any]) -> None:
        self._model = model
        self.network: nn.Module = model.network_
        counts = Counter(labels)
        each = len(labels) / len(model.labels_)
        self._weights = None
        if model.class_weights:
            self._weights = torch.tensor([each / max(counts[label], 1) for label in model.labels_])

    def objective(self, metrics: dict[str, Any]) -> tuple[float, ...]:
        return self._model._rank(metrics, "accuracy" if self._weights is None else "macro_f1")

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
