"""The classifier: many-to-one. It reads a text, or a sequence of numbers, and gives it one label.

file ──Delimited | JsonLines | folder | series──▶ examples ──split──▶ tokens ──WordSequences.gather──▶ SequenceBatch
     ──WordEncoder──▶ (B,T,E) ──Encoder──▶ outputs (B,T,N), last (B,N) ──Pooling──▶ (B,N) ──head──▶ logits (B,K)
          ──┬── cross entropy ──▶ nats per text
            └── softmax ──▶ probabilities ──▶ label
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.batching import IGNORED, LengthBuckets
from elman.data.examples import Examples
from elman.data.lines import Lines, Problems, arrived
from elman.data.series import NumberSequences, check_series, read_series
from elman.data.tables import Example, format_of, read_folder, reader_named
from elman.data.tokens.byte_pairs import BytePairTokenizer
from elman.data.tokens.lexicon import Lexicon, WordSequences
from elman.data.tokens.tokenizer import Tokenizer
from elman.data.tokens.words import split_words
from elman.data.values.columns import check_alone, check_pairs
from elman.data.values.labels import take_labels
from elman.data.values.texts import take_texts
from elman.documents import write_json
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.folder import Texts, check_width
from elman.families.labelling import Encoder, LabellingModel, NumberTable, SequenceBatch, Table, WordTable, by_length
from elman.families.reports import Report, judged
from elman.metrics.labels import calibration_error
from elman.nn.heads import SoftmaxHead
from elman.nn.inputs.numbers import Standardised, spread
from elman.nn.inputs.words import WordEncoder
from elman.nn.pooling import Pooling
from elman.training.schedule import positive
from elman.training.task import Batches

Inputs = Any
"""A ``Path`` names a file or a folder; or texts, or arrays of numbers (T, F), in a list, an array, a Series, a frame of
one column or an iterator. Where labels are wanted, a ``str`` is the text of a table; a text by itself is a list of one.
"""

WINDOW = 1024  # texts of a file that are classified together


@dataclass(kw_only=True, eq=False)
class Classifier(LabellingModel):
    """A recurrent classifier: sentiment, topic, spam, or what a sensor's readings mean.

    Example:
        >>> texts, labels = ["good, really good", "bad, really bad"] * 10, ["praise", "complaint"] * 10
        >>> classifier = Classifier(hidden_size=8, steps=30, learning_rate=0.03).fit(texts, labels)
        >>> classifier.predict(["good"]).tolist()
        ['praise']
    """

    task: ClassVar[str] = "classifier"
    architecture: ClassVar[tuple[str, ...]] = (
        *("cell", "hidden_size", "num_layers", "bidirectional", "merge", "embedding_size", "lowercase", "min_count"),
        *("characters", "character_size", "level", "pooling"),
    )

    text: str = "text"
    """The column of the text: its name, or its number from 0."""
    label: str = "label"
    """The column of the label: its name, or its number from 0."""
    no_header: bool = False
    """The table has no line of names; text and label are numbers."""
    level: Literal["word", "char", "bpe", "numbers"] = "word"
    """What a sequence is made of: words and marks, characters, pieces found by byte-level BPE, or rows of numbers."""
    vocab_size: int = 4096
    """How many pieces BPE learns (level bpe only)."""
    max_length: int = 2000
    """Longer texts are cut after so many tokens."""
    pooling: Literal["last", "mean", "max", "attention"] = "max"
    """What of the hidden states is passed to the output layer: the last one (of each direction), their mean, their
    maximum, or a sum weighted by attention."""
    class_weights: bool = False
    """Let each label count the same in training, however rare."""
    max_epochs: float = 20
    """End a time budget after so many passes over the training data (but not before step 1000); 0: use all of it."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW: reached after the warm-up, then brought down to zero linearly."""

    def check(self) -> None:
        """Raise UsageError where a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("vocab_size", "max_length"):
            positive(name, getattr(self, name))
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

    def _prepare(self, X: Inputs, y: Any, valid: Any, former: Model | None) -> tuple[_Task, Batches]:  # noqa: N803
        train, judged_on = self.read(X, y, valid=valid)
        matrix = None
        if isinstance(former, Classifier):
            self._restore_texts(Texts(former._texts()))
            train = train.spelled_as(self.labels_)
            self._check_known("the training data", train.labels)
        else:
            self.labels_ = tuple(sorted(set(train.labels)))
            matrix = self._learn_inputs(train.inputs, judged_on.inputs)
        if valid is not None:
            self._check_known("the validation data", judged_on.spelled_as(self.labels_).labels)
        if len(self.labels_) < 2:
            raise DataError(
                f"every example is labelled {self.labels_[0]!r}, so there is nothing to tell apart; "
                "is --label the right column?"
            )
        if self.level == "numbers":
            self._check_width([*train.inputs, *judged_on.inputs])
        self.network_ = self._build()
        if matrix is not None:
            self.network_.front.take(matrix, self.lexicon_)
        return _Task(self, train.labels), _Batches(self, train)

    def _read(self, source: Inputs, labels: Any = None) -> Examples:
        if not isinstance(source, Path | str):
            return self._given(source, labels)
        check_alone(source, labels)
        problems = Problems()
        inputs: list[Any]
        if self.level == "numbers":
            series = read_series(source, label=self.label, problems=problems, encoding=self.encoding)
            inputs, labels = series.sequences, series.labels or []
        else:
            examples = list(self._examples(source, problems))
            inputs, labels = [example.text for example in examples], [example.label for example in examples]
        problems.close()
        if not labels:
            raise DataError(problems.first or "there is no labelled example")
        return Examples(inputs, labels, problems.count)

    def _strata(self, examples: Examples) -> Sequence[Hashable]:
        return examples.labels

    def _examples(self, source: Path | str, problems: Problems) -> Iterator[Example]:
        if isinstance(source, Path) and source.is_dir():
            return read_folder(source, problems, self.encoding)
        reader = format_of(source, self.text, self.label, not self.no_header, encoding=self.encoding)
        return reader.read(Lines(source, self.encoding), problems, labelled=True)

    def _given(self, inputs: Any, labels: Any) -> Examples:
        """Take texts, or arrays of numbers, and their labels as Python has them."""
        if labels is None:
            raise UsageError("the labels are missing: fit(texts, labels) takes a label for every text")
        inputs, labels = self._values(inputs), take_labels(labels)
        if not inputs:
            raise DataError("there are no examples: X is empty")
        check_pairs(len(inputs), len(labels), "texts", "{:,} labels")
        return Examples(inputs, labels)

    def _values(self, inputs: Any) -> list[Any]:
        """Take texts, or arrays of numbers, as Python has them."""
        if self.level == "numbers":
            return check_series(inputs)
        return take_texts(inputs, hint='; for sequences of numbers set level "numbers"')

    def _sequences(self, inputs: Inputs) -> list[Any]:
        """Take what is to be classified: texts, or arrays of numbers, or a file of them without anything wrong."""
        if not isinstance(inputs, Path):
            return self._values(inputs)
        problems = Problems(shown=0)
        found: list[Any]
        if self.level == "numbers":
            found = read_series(inputs, problems, label=self.label, encoding=self.encoding, labelled=False).sequences
        elif inputs.is_dir():
            found = [example.text for example in read_folder(inputs, problems, self.encoding)]
        else:
            found = [example.text for example in self._unlabelled(Lines(inputs, self.encoding), problems, None)]
        if problems.count:
            raise DataError(problems.first)
        return found

    def _check_width(self, sequences: Sequence[Any]) -> None:
        """Raise DataError where sequences of numbers have other features than those that the model learned from."""
        wanted = self.num_features_
        found = next((sequence.shape[1] for sequence in sequences if sequence.shape[1] != wanted), wanted)
        if found != wanted:
            raise DataError(f"a sequence has {found} features a time step, but the model has learned from {wanted}")

    def _learn_inputs(self, inputs: Sequence[Any], others: Sequence[Any]) -> NDArray[np.float32] | None:
        """Learn the words of the training texts, or the spread of the training numbers; return pretrained vectors."""
        self.tokenizer_: Tokenizer | None = None
        self.lexicon_ = Lexicon({})
        if self.level == "numbers":
            self.num_features_ = inputs[0].shape[1]
            self._spread = spread(inputs)
            return None
        if self.level == "bpe":
            self.tokenizer_ = BytePairTokenizer.train(inputs, vocab_size=self.vocab_size)
        counts = Counter(chain.from_iterable(map(self._tokens, inputs)))
        known = set(chain.from_iterable(map(self._tokens, others))) if self.vectors is not None else ()
        return self._learn_words(counts, known)

    @property
    def _ignores_case(self) -> bool:
        return self.lowercase and self.level == "word"

    def _tokens(self, text: str) -> list[str]:
        """Split a text into what the network reads; a text without any is one unknown token."""
        if self.level == "word":
            tokens = split_words(text)
        elif self.tokenizer_ is None:
            tokens = list(text)
        else:
            tokens = self.tokenizer_.tokens(self.tokenizer_.encode(text))
        return tokens[: self.max_length] or [""]

    def _build(self) -> ClassifierNetwork:
        if self.level != "numbers":
            return ClassifierNetwork(self, self._word_encoder(), len(self.labels_))
        return ClassifierNetwork(self, Standardised(*self._spread), len(self.labels_))

    def _texts(self) -> dict[str, str]:
        texts = super()._texts()
        if self.tokenizer_ is not None:
            texts["tokenizer.json"] = self.tokenizer_.to_json()
        if self.level == "numbers":
            texts["features.json"] = write_json({"number": self.num_features_})
        return texts

    def _restore_texts(self, texts: Texts) -> None:
        super()._restore_texts(texts)
        self.tokenizer_ = Tokenizer.from_json(texts["tokenizer.json"], "bpe") if self.level == "bpe" else None
        if self.level == "numbers":
            self.num_features_ = size = check_width(texts.read("features.json", {"number": int})["number"])
            self._spread = torch.zeros(size), torch.ones(size)  # the weights hold the real ones

    # Judging.

    def evaluate(self, X: Inputs, y: Any = None) -> dict[str, float | int]:  # noqa: N803
        """Judge the model on labelled examples.

        Returns:
            ``accuracy``, ``macro_f1``, ``calibration_error`` (how far its certainty is from how often it is right),
            ``nats_per_target`` (where a label is known), ``examples``, ``unknown_labels`` (labels that training never
            saw, always wrong) and ``left_out`` (examples that could not be read).

        Raises:
            DataError: the data cannot be read.
        """
        return self.report(X, y).metrics

    def _judge(self, examples: Examples) -> Report:
        examples = examples.spelled_as(self.labels_)
        probabilities = self._probabilities(examples.inputs)  # (N, K)
        number = {label: index for index, label in enumerate(self.labels_)}
        targets = np.array([number.get(label, -1) for label in examples.labels])  # (N,)
        known = targets >= 0
        likelihoods = np.maximum(probabilities[known, targets[known]], np.finfo(np.float64).tiny)
        report = self.compared(examples, [self.labels_[index] for index in probabilities.argmax(axis=1)], ())
        report.metrics["calibration_error"] = calibration_error(probabilities, targets)
        if known.any():
            report.metrics["nats_per_target"] = float(0.0 - np.log(likelihoods).sum()) / int(known.sum())
        report.metrics["unknown_labels"] = int((~known).sum())
        return report

    def compared(self, examples: Examples, predicted: Sequence[Any], seen: Container[str]) -> Report:
        """Set predicted labels, whoever predicted them, beside the true ones."""
        report = judged([str(label) for label in examples.labels], [str(label) for label in predicted])
        report.metrics["examples"] = len(examples.labels)
        return report

    # Classifying.

    def predict(self, X: Inputs) -> NDArray[Any]:  # noqa: N803
        """Return the likeliest label of each text, or of each array of numbers (T, F), in the type that labels had.

        Args:
            X: texts or arrays; or a ``Path``: a file, or a folder, that training reads, with or without its labels.

        Raises:
            UsageError: X is one text, or holds what is no text.
            DataError: a text is missing, or cannot be read.
        """
        labels: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def predict_proba(self, X: Inputs) -> NDArray[np.float64]:  # noqa: N803
        """Return how likely each label is, (N, K), in the order of ``classes_``; see :meth:`predict`."""
        self._check_fitted()
        return self._probabilities(self._sequences(X))

    def transform(self, X: Inputs) -> NDArray[np.float64]:  # noqa: N803
        """Return what the network makes of each text before the output layer, (N, features), for other models."""
        self._check_fitted()
        return self._hidden(self._sequences(X), self._table()).double().numpy()

    def annotate(
        self, lines: Lines, problems: Problems, input_format: str | None = None, output_format: str | None = None
    ) -> Iterator[str]:
        """Classify what ``lines`` hold and write a line for each example, in order, as it comes.

        Args:
            lines: from a file, a text or a pipe.
            problems: who is told of what cannot be read; its line says so.
            input_format: csv, tsv, jsonl, or text: one text a line. Found out where not given; of a pipe, text.
                Numbers come as they do in training.
            output_format: jsonl, or text (the label alone); jsonl where not given.

        Raises:
            UsageError: there is no such format.
        """
        self._check_fitted()
        if output_format not in (None, "jsonl", "text"):
            raise UsageError(f"--output-format {output_format}: no such format; there are jsonl, text")
        table = self._table()
        if self.level == "numbers":
            source = lines.source if isinstance(lines.source, Path | str) else "\n".join(lines)
            series = read_series(source, problems, label=self.label, encoding=self.encoding, labelled=False)
            rows = iter(self._probabilities(series.sequences, table))
            for line, problem in series.each():
                yield _unreadable(line, problem, output_format) if problem else self._written(next(rows), output_format)
            return
        for examples in arrived(self._unlabelled(lines, problems, input_format), lines, WINDOW):
            readable = [example for example in examples if not example.problem]
            rows = iter(self._probabilities([example.text for example in readable], table))
            for example in examples:
                if example.problem:
                    yield _unreadable(example.line, example.problem, output_format)
                else:
                    yield self._written(next(rows), output_format)

    def _written(self, shares: NDArray[np.float64], output_format: str | None) -> str:
        label = self.labels_[int(shares.argmax())]
        if output_format == "text":
            return f"{label}\n"
        named = {str(name): round(float(share), 4) for name, share in zip(self.labels_, shares, strict=True)}
        return write_json({"label": label, "probabilities": named}) + "\n"

    def _unlabelled(self, lines: Lines, problems: Problems, input_format: str | None) -> Iterator[Example]:
        columns = self.text, self.label, not self.no_header
        if input_format is None and isinstance(lines.source, Path | str):
            return format_of(lines.source, *columns, encoding=lines.encoding).read(lines, problems, labelled=False)
        return reader_named(input_format or "text", *columns).read(lines, problems, labelled=False)

    def _probabilities(self, inputs: Sequence[Any], table: Table | None = None) -> NDArray[np.float64]:
        hidden = self._hidden(inputs, table or self._table())  # (N, features)
        with torch.inference_mode():
            logits = self.network_.head(hidden.to(self.network_.head.weight.device))
            shares: NDArray[np.float64] = logits.double().softmax(dim=-1).cpu().numpy()
        return shares

    def _hidden(self, inputs: Sequence[Any], table: Table) -> Tensor:
        """Read texts, or arrays; return what is passed to the output layer (N, features), in order."""
        if self.level == "numbers":
            self._check_width(inputs)
        sequences = inputs if self.level == "numbers" else [self._tokens(text) for text in inputs]
        network = self.network_.eval()
        hidden = torch.empty(len(sequences), network.encoder.output_size)
        for rows in by_length([len(sequence) for sequence in sequences]):
            with torch.inference_mode():
                hidden[rows] = network.read(*table.gather([sequences[row] for row in rows])).float().cpu()
        return hidden

    def _table(self) -> Table:
        front = self.network_.eval().front
        return WordTable(front, self.lexicon_) if isinstance(front, WordEncoder) else NumberTable(front)


def _unreadable(line: int, problem: str, output_format: str | None) -> str:
    """Write what stands in place of the label of an example that cannot be read."""
    if output_format == "text":
        return "\n"
    return write_json({"line": line, "problem": problem}) + "\n"


class ClassifierNetwork(nn.Module):
    """Token vectors, or numbers, recurrent layers, pooling, head: sequences to logits (B, K).

    Args:
        settings: see :class:`Classifier`.
        front: what turns tokens, or numbers, into what the recurrent layers read.
        num_labels: K.
    """

    def __init__(self, settings: Classifier, front: WordEncoder | Standardised, num_labels: int) -> None:
        super().__init__()
        self.front = front
        self.encoder = Encoder(settings, front.output_size)
        self.pooling = Pooling(settings.pooling, self.encoder.output_size)
        self.head = SoftmaxHead(self.encoder.output_size, num_labels)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Read a batch while training; return the logits (B, K)."""
        front: Any = self.front
        inputs = front(batch.inputs) if batch.words is None else front(batch.words)[batch.inputs]  # (B, T, E)
        logits: Tensor = self.head(self.read(inputs, batch.lengths))
        return logits

    def read(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Turn vectors (B, T, E) into what is passed to the output layer (B, N)."""
        outputs, last = self.encoder(inputs, lengths)  # (B, T, N), (B, N)
        pooled: Tensor = self.pooling(outputs, last, lengths)
        return pooled


class _Batches:
    """Training examples in batches of about equal length."""

    def __init__(self, model: Classifier, examples: Examples) -> None:
        number = {label: index for index, label in enumerate(model.labels_)}
        self._targets = np.array([number.get(label, IGNORED) for label in examples.labels], np.int64)  # (N,)
        self._sequences: WordSequences | NumberSequences
        if model.level == "numbers":
            self._sequences = NumberSequences(examples.inputs)
        else:
            self._sequences = WordSequences([model._tokens(text) for text in examples.inputs], model.lexicon_)
        self._buckets = LengthBuckets(self._sequences.lengths, model.batch_tokens, model.seed)

    def __len__(self) -> int:
        return len(self._buckets)

    def batch(self, step: int) -> SequenceBatch:
        rows = self._buckets.rows(step)
        words, inputs, lengths = self._sequences.gather(rows)
        return SequenceBatch(words, inputs, lengths, torch.from_numpy(self._targets[rows]))


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
        return self._model._judge(self._model._valid).metrics

    def sample(self) -> str:
        first = self._model._valid.inputs[0]
        label = self._model.predict([first])[0]
        return f"{label}: {' '.join(first.split())[:100]}" if isinstance(first, str) else f"{label}: {len(first)} steps"
