"""The tagger: many-to-many, aligned. It reads a sentence in both directions and predicts a tag for every word.

file ──a format's read──▶ Sentence(words, tags) ──WordSequences.gather──▶ SequenceBatch(words, inputs, targets)
     ──WordEncoder──▶ (B,T,E) ──Encoder──▶ (B,T,N) ──head──▶ logits (B,T,K)
          ──┬── cross_entropy_sum | LinearChainCRF.loss_sum ──▶ nats per word
            └── argmax | viterbi ──▶ ids ──labels──▶ tags ──▶ TaggedSentence
"""

from __future__ import annotations

import logging
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from elman.counting.tag_counts import MajorityTagger, MostFrequentTagger, TaggingBaseline
from elman.data import schemes
from elman.data.batching import IGNORED, LengthBuckets
from elman.data.examples import Examples, Numbering
from elman.data.files import join_names
from elman.data.formats.columns import Columns
from elman.data.formats.conllu import Conllu
from elman.data.formats.delimited import column_number
from elman.data.formats.sentences import report_inconsistencies
from elman.data.formats.table import FORMATS
from elman.data.lines import Lines, Problems
from elman.data.parts import find_parts, part_table
from elman.data.records import Problem, Sentence, TaggedSentence, drop_problems, restore_problems
from elman.data.tokens.lexicon import pad_rows
from elman.data.values.columns import check_no_answers
from elman.data.values.examples import take_tagged
from elman.data.values.texts import take_sentences
from elman.decoding.viterbi import viterbi
from elman.documents import write_json
from elman.errors import DataError, ModelError, UsageError
from elman.families.base import Model
from elman.families.endings import thin
from elman.families.inputs import SentenceInputs, WordTable
from elman.families.labelling import LabellingModel
from elman.families.plan import Traits
from elman.families.reports import Report, compare_labels
from elman.families.saved.folder import Texts
from elman.families.sequences import Encoder, SequenceBatch, batch_by_length
from elman.families.unrolled import Stack, Unrolled
from elman.metrics.labels import span_metrics, span_rates
from elman.nn.inputs.words import WordEncoder
from elman.nn.outputs.crf import LinearChainCRF
from elman.nn.outputs.heads import PartsHead, SoftmaxHead, cross_entropy_sum
from elman.settings.labelling import TaggerSettings
from elman.training.task import Batches

logger = logging.getLogger(__name__)

Sentences = Any
"""A ``Path`` to a file, a ``str`` with the content of one, or a list of words for each sentence: in a list, an array, a
Series, a data frame with one column or an iterator."""

WORDS_PER_SECOND = 300_000  # that the baselines count
MAX_PIECE = 1000  # words; longer sentences are read in pieces of this length


@dataclass(kw_only=True, eq=False)
class Tagger(TaggerSettings, LabellingModel):
    """A recurrent tagger for parts of speech, named entities, or any other label for each word of a sentence.

    Tags that are lists of features, such as UD's feats, are scored by their features too, so that a rare tag learns
    from those that share them.

    Entity tags may follow the IOB1, BIO, BIOES, BILOU or BMES scheme. The scheme is detected in the training data,
    predicted tags follow it, and evaluation includes span figures.

    Attributes:
        network_: the trained :class:`TaggerNetwork`.
        labels_: the tags that the network predicts, sorted; entity tags in BIO.
        parts_: the features of which the tags are made, such as ``Number=Sing``, sorted; empty for other tags.
        scheme_: the detected scheme of entity tags, or an empty string.
        metrics_: figures of the training and of the validation data.
        history_: one dictionary of figures for each validation.
        data_: the names, hashes and sizes of the data.

    Example:
        >>> sentences = [["Teddy", "Roosevelt", "spoke"], ["bears", "sleep"]] * 10
        >>> tags = [["PROPN", "PROPN", "VERB"], ["NOUN", "VERB"]] * 10
        >>> tagger = Tagger(hidden_size=8, steps=30).fit(sentences, tags)
        >>> tagger.predict([["bears", "sleep"]])
        [['NOUN', 'VERB']]
    """

    answer_batch_size: ClassVar[int] = 4096
    compared: ClassVar[tuple[str, ...]] = ("span_f1", "accuracy", "macro_f1")

    # Training.

    def _prepare(self, X: Sentences, y: Any, valid: Any, previous: Model | None) -> tuple[_Task, Batches]:  # noqa: N803
        train, held_out = self.read(X, y, valid=valid)
        if isinstance(previous, Tagger):
            self._restore_texts(Texts(previous._texts()))
            train = train.respell(self.labels_)
            self._check_known("the training data", chain(*map(self._to_bio, train.labels)))
        else:
            self.scheme_ = schemes.detect_scheme(train.labels)
            if not self.scheme_ and (stray := schemes.find_stray_tags(train.labels)):
                logger.warning(
                    "most tags look like entity tags, but %s fit none of the schemes (%s); tags are learned for single "
                    "words, without span_f1",
                    *(join_names(stray), ", ".join(map(str.upper, schemes.SCHEMES))),
                )
            self.labels_ = tuple(sorted({tag for tags in train.labels for tag in self._to_bio(tags)}))
            self.parts_ = find_parts(self.labels_)
            self._learn(train, held_out)
        if valid is not None:
            tags = held_out.respell(self.labels_).labels
            self._check_known("the validation data", chain(*map(self._to_bio, tags)))
        self.data_["scheme"] = self.scheme_ or "none"
        batches = _Batches(self, train)
        self._plan(Traits(self.task, batches.buckets.lengths, "sentences"), previous)
        batches.buckets.group(self.setting("batch_tokens"))
        self.network_ = self._build()
        self.inputs_.initialize(self.network_.words)
        return _Task(self), batches

    def _read(self, source: Sentences, labels: Any = None) -> Examples:
        if not isinstance(source, Path | str):
            return take_tagged(source, labels)
        check_no_answers(source, labels)
        problems, lines = Problems(), Lines(source, self.encoding)
        reader = FORMATS["tagger"].reader(self.input_format, source, self)
        number = column_number(self.column or "0")
        if (isinstance(reader, Columns) and number is None) or (
            isinstance(reader, Conllu) and self.column is not None and number is not None
        ):
            wanted = "a number, counted from 0" if isinstance(reader, Columns) else "a name, such as upos"
            raise UsageError(f"`column` {self.column}: in format {reader.name} a column is given as {wanted}")
        sentences: list[Sentence] = list(reader.read(lines, problems, tagged=True))
        if not sentences:
            raise DataError(problems.first or f"{lines.name}: contains no sentences")
        left_out, tags = problems.count, [sentence.tags or [] for sentence in sentences]
        report_inconsistencies(lines.name, sentences, schemes.detect_scheme(tags), problems)
        problems.close()
        return Examples([sentence.words for sentence in sentences], tags, left_out)

    def _strata(self, examples: Examples) -> Sequence[Hashable]:
        return [0] * len(examples.inputs)

    def _inputs(self) -> SentenceInputs:
        return SentenceInputs(self, self.lowercase)

    def _build(self) -> TaggerNetwork:
        words = self.inputs_.front()
        encoder = self._encoder(words.output_size)
        return TaggerNetwork(words, encoder, self.labels_, self.scheme_, self.crf, self.parts_)

    def _texts(self) -> dict[str, str]:
        parts = {"parts.json": write_json(self.parts_)} if self.parts_ else {}
        return {**super()._texts(), "scheme.json": write_json(self.scheme_), **parts}

    def _restore_texts(self, texts: Texts) -> None:
        super()._restore_texts(texts)
        texts.parse("labels.json", [str])
        self.scheme_ = texts.parse("scheme.json", str)
        self.parts_ = tuple(texts.parse("parts.json", [str])) if "parts.json" in texts else ()  # earlier models: none
        if self.parts_ and self.parts_ != find_parts(self.labels_):
            raise ModelError("parts.json: not the features of the tags in labels.json; copy the folder again")
        if self.scheme_ not in ("", *schemes.SCHEMES):
            raise ModelError(f"scheme.json: {self.scheme_[:20]!r} is not a tagging scheme; copy the folder again")

    def _to_bio(self, tags: Sequence[str]) -> list[str]:
        """Convert tags to the network's: entity tags from the scheme of the data to BIO."""
        return schemes.to_bio(tags, self.scheme_) if self.scheme_ else list(tags)

    def _from_bio(self, tags: Sequence[str]) -> list[str]:
        """Convert the network's tags back to the scheme of the data."""
        return schemes.from_bio(tags, self.scheme_) if self.scheme_ else list(tags)

    # Evaluating.

    def evaluate(self, X: Sentences, y: Any = None) -> dict[str, float | int]:  # noqa: N803
        """Evaluate the model on tagged sentences.

        Args:
            X: the words of each sentence; or a ``Path`` to a file, or its content as a ``str``, with words and tags.
            y: the tags of each sentence; None if X holds them.

        Returns:
            ``accuracy`` and ``macro_f1`` (over the tags, where the tags of one type of entity are one),
            ``accuracy_unseen`` (over the words that are not in the training data, if any), for entity tags
            ``span_precision``, ``span_recall`` and ``span_f1``, all from 0 to 1; ``nats_per_target`` (over the words
            whose tag is known), ``tokens``, ``sentences``, ``unknown_labels`` (words whose tag is not in the training
            data; they count as wrong) and ``left_out`` (sentences that could not be read).

        Raises:
            UsageError: the model is not fitted, or X or y is of the wrong type.
            DataError: the data cannot be read.
        """
        return self.report(X, y).metrics

    def _evaluate(self, examples: Examples) -> Report:
        examples = examples.respell(self.labels_)
        nats, targets, unknown = 0.0, 0, 0
        inside = [self._to_bio(tags) for tags in examples.labels]
        predicted = [[""] * len(tags) for tags in inside]
        numbering = Numbering(self.labels_)
        for pieces, logits, lengths in self._logits(examples.inputs, self._table()):
            flat = numbering.ids(tag for piece in pieces for tag in inside[piece.row][piece.within])
            goal = pad_rows(flat, lengths.numpy(), IGNORED)  # (B, T)
            loss_sum, count = self.network_.loss_sum(logits, goal.to(logits.device), lengths)
            nats, targets, unknown = nats + loss_sum.item(), targets + count, unknown + int((flat == IGNORED).sum())
            for piece, tags in zip(pieces, self._decode(logits, lengths), strict=True):
                predicted[piece.row][piece.within] = tags
        report = self.compare_predictions(examples, [self._from_bio(tags) for tags in predicted], self.inputs_.lexicon)
        if targets:
            report.metrics["nats_per_target"] = nats / targets
        report.metrics["unknown_labels"] = unknown
        return report

    def compare_predictions(
        self, examples: Examples, predicted: Sequence[Sequence[str]], seen: Container[str]
    ) -> Report:
        """Compare tags predicted by any model with the true ones; ``seen`` holds the words of the training data."""
        words, true, others = (list(chain(*side)) for side in (examples.inputs, examples.labels, predicted))
        report = compare_labels(true, others)
        unseen = [tag == other for word, tag, other in zip(words, true, others, strict=True) if word not in seen]
        if unseen:
            report.metrics["accuracy_unseen"] = sum(unseen) / len(unseen)
        scheme = getattr(self, "scheme_", None)  # missing where a baseline is compared before fit
        scheme = schemes.detect_scheme(examples.labels) if scheme is None else scheme
        if scheme:
            bio = [[schemes.to_bio(tags, scheme) for tags in side] for side in (examples.labels, predicted)]
            kinds = ([kind for tags in side for kind in schemes.merge_positions(tags)] for side in bio)
            report.metrics["macro_f1"] = compare_labels(*kinds).metrics["macro_f1"]
            spans = [[schemes.find_spans(tags) for tags in side] for side in bio]
            report.metrics.update(span_metrics(*spans))
            report.spans.update(span_rates(*spans))
        report.metrics.update(tokens=len(words), sentences=len(examples.inputs))
        return report

    def _evaluate_baselines(self, seconds: float) -> Iterator[tuple[str, dict[str, float | int]]]:
        train, held_out = self._train.respell(self.labels_), self._valid.respell(self.labels_)
        limit = WORDS_PER_SECOND * seconds
        if sum(map(len, held_out.inputs)) > limit:
            return
        train = train.select(thin(len(train.inputs), sum(map(len, train.inputs)), limit))
        baselines: tuple[tuple[str, TaggingBaseline], ...] = (
            ("majority", MajorityTagger()),
            ("frequent_tags", MostFrequentTagger()),
        )
        for name, baseline in baselines:
            predicted = baseline.fit(train.inputs, train.labels).predict(held_out.inputs)
            metrics = self.compare_predictions(held_out, predicted, self.inputs_.lexicon).metrics
            yield name, {figure: metrics[figure] for figure in self.compared if figure in metrics}

    # Tagging.

    def predict(self, X: Sentences) -> list[list[str]]:  # noqa: N803
        """Predict the tags of sentences.

        Args:
            X: the words of each sentence; or a ``Path`` to a file, or its content as a ``str``, in a format for
                training. Tags in the file are ignored.

        Returns:
            A list for each sentence, with a tag for every word.

        Raises:
            UsageError: the model is not fitted, or a sentence is not a list of words.
            DataError: a word is missing, or a file cannot be read.
        """
        self._check_fitted()
        return [tags for tags, _ in self._tag(self._take_sentences(X), self._table(), False)]

    def _take_sentences(self, X: Sentences) -> list[list[str]]:  # noqa: N803
        """Take the sentences to tag: lists of words, a file or its content."""
        if isinstance(X, str) and "\n" not in X:
            raise UsageError(f"X is a single line; give a list of words for each sentence, such as [{X.split()[:3]}]")
        if isinstance(X, Path | str):
            reader = FORMATS["tagger"].reader(self.input_format, X, self)
            read = reader.read(Lines(X, self.encoding), Problems(), tagged=False)
            found: list[list[str] | None] = [
                [] if isinstance(sentence, Problem) else sentence.words or None for sentence in read
            ]
            return [words for words in found if words is not None]
        return take_sentences(X)

    def unroll(self, X: Sentences, y: Any = None, *, steps: int | None = None) -> Iterator[Unrolled]:  # noqa: N803
        """Unroll the network over each sentence; see :meth:`elman.families.base.Model.unroll`."""
        self._check_fitted()
        if y is None:
            sentences, tags = self._take_sentences(X), None
        else:
            examples = take_tagged(X, y).respell(self.labels_)
            sentences, tags = examples.inputs, examples.labels
        network, table, numbering = self.network_.eval(), self._table(), Numbering(self.labels_)
        for row, words in enumerate(sentences):
            for start in range(0, len(words), MAX_PIECE):
                piece = words[start : start + MAX_PIECE]
                with torch.no_grad():
                    inputs, _ = table.gather([piece])
                targets = None
                if tags is not None:
                    own = self._to_bio(tags[row])[start : start + MAX_PIECE]
                    targets = torch.from_numpy(numbering.ids(own))

                def run(rows: Tensor) -> tuple[Tensor, None]:
                    return network.compute_logits(rows, torch.full((len(rows),), rows.shape[1])), None

                yield Unrolled(
                    stacks={"rnn": Stack(layer=network.encoder.rnn, tokens=piece, is_aligned=True)},
                    inputs=inputs[0],
                    run=run,
                    names=self.labels_,
                    targets=targets,
                    log_probabilities=network.log_probabilities,
                )

    def answer(
        self, batches: Iterable[Sequence[Sentence | Problem]], *, probabilities: bool = True
    ) -> Iterator[TaggedSentence | Problem]:
        """Tag sentences as they arrive, in order.

        Args:
            batches: batches of sentences of any size, with a problem in place of each one that could not be read.
            probabilities: whether to return the probability of each tag too.

        Yields:
            Each sentence with its tags; problems are passed through.

        Raises:
            UsageError: the model is not fitted.
        """
        self._check_fitted()
        table = self._table()
        for batch in batches:
            sentences = drop_problems(batch)
            tagged = self._tag([sentence.words for sentence in sentences], table, probabilities)
            yield from restore_problems(
                batch, map(TaggedSentence, sentences, *zip(*tagged, strict=True)) if tagged else ()
            )

    def _tag(
        self, sentences: Sequence[Sequence[str]], table: WordTable, with_probabilities: bool
    ) -> list[tuple[list[str], list[float]]]:
        """Return the tags of every sentence and, if asked for, their probabilities."""
        tags = [[""] * len(words) for words in sentences]
        probabilities = [[0.0] * len(words) if with_probabilities else [] for words in sentences]
        numbering = Numbering(self.labels_)
        for pieces, logits, lengths in self._logits(sentences, table):
            decoded = self._decode(logits, lengths)
            for piece, piece_tags in zip(pieces, decoded, strict=True):
                tags[piece.row][piece.within] = piece_tags
            if with_probabilities:
                batch = self.network_.probabilities(logits, lengths).cpu().numpy()  # (B, T, K)
                for piece, piece_tags, rows in zip(pieces, decoded, batch, strict=True):
                    ids = numbering.ids(piece_tags)
                    probabilities[piece.row][piece.within] = rows[np.arange(len(ids)), ids].tolist()
        return [(self._from_bio(row), likely) for row, likely in zip(tags, probabilities, strict=True)]

    def _decode(self, logits: Tensor, lengths: Tensor) -> list[list[str]]:
        ids = self.network_.decode(logits, lengths).tolist()
        return [
            [self.labels_[label] for label in row[:length]] for row, length in zip(ids, lengths.tolist(), strict=True)
        ]

    def _logits(
        self, sentences: Sequence[Sequence[str]], table: WordTable
    ) -> Iterator[tuple[list[_Piece], Tensor, Tensor]]:
        """Yield batches of sentences or their pieces: the pieces, their logits (B, T, K) and their lengths (B,)."""
        network = self.network_.eval()
        pieces = [
            _Piece(row, slice(start, min(start + MAX_PIECE, len(words))))
            for row, words in enumerate(sentences)
            for start in range(0, len(words), MAX_PIECE)
        ]
        for rows in batch_by_length([piece.within.stop - piece.within.start for piece in pieces]):
            batch = [pieces[row] for row in rows]
            with torch.inference_mode():
                inputs, lengths = table.gather([sentences[piece.row][piece.within] for piece in batch])
                logits = network.compute_logits(inputs, lengths)
            yield batch, logits, lengths

    def _table(self) -> WordTable:
        table: WordTable = self.inputs_.table(self.network_.eval().words)
        return table


@dataclass(frozen=True)
class _Piece:
    """A slice of a sentence: all of it, unless it is longer than MAX_PIECE."""

    row: int
    within: slice


class TaggerNetwork(nn.Module):
    """The network of a tagger, from words to the logits (B, T, K) of their tags.

    It consists of a word encoder, recurrent layers, an output layer and, optionally, a linear-chain CRF.

    Args:
        words: the word encoder.
        encoder: the recurrent layers.
        labels: the K tags; entity tags in BIO.
        scheme: the scheme of the entity tags in the data; empty if there are none.
        crf: whether to score whole tag sequences with a CRF.
        parts: the features of which the tags are made; none if they are not.
    """

    def __init__(
        self,
        words: WordEncoder,
        encoder: Encoder,
        labels: Sequence[str],
        scheme: str,
        crf: bool,
        parts: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.words = words
        self.encoder = encoder
        if parts:
            self.head: SoftmaxHead = PartsHead(encoder.output_size, torch.from_numpy(part_table(labels, parts)))
        else:
            self.head = SoftmaxHead(encoder.output_size, len(labels))
        allowed = schemes.allowed_transitions(labels) if scheme else ()  # (K, K) and (K,)
        self.crf = LinearChainCRF(len(labels), *map(torch.from_numpy, allowed)) if crf else None
        self._constraints = [torch.from_numpy(np.where(mask, 0, -np.inf).astype(np.float32)) for mask in allowed]

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Return the logits (B, T, K) of a training batch."""
        assert batch.words is not None
        return self.compute_logits(self.words(batch.words)[batch.inputs], batch.lengths)

    def compute_logits(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, T, K) of word vectors (B, T, E)."""
        outputs, _ = self.encoder(inputs, lengths)  # (B, T, N)
        logits: Tensor = self.head(outputs)
        return logits

    def loss_sum(self, logits: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, int]:
        """Return the summed negative log-likelihood in nats and the number of tags; skip unknown tags (-100).

        With a CRF, sentences that contain an unknown tag are skipped as a whole.
        """
        logits = logits.float()
        if self.crf is None:
            return cross_entropy_sum(logits, targets), int((targets != IGNORED).sum())
        known = (targets != IGNORED).sum(dim=1).cpu() == lengths  # the CRF scores whole sequences
        return self.crf.loss_sum(logits[known], targets[known], lengths[known]), int(lengths[known].sum())

    def decode(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Return the best tags (B, T); an entity never continues without having begun."""
        if self.crf is not None:
            return self.crf.decode(logits, lengths)[0]
        if not self._constraints:
            return logits.argmax(dim=-1)
        transitions, start = self._constraints
        return viterbi(logits.log_softmax(dim=-1), lengths, transitions, start, torch.zeros(len(start)))[0]

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Return the log-probability of each tag of each word (B, T, K), for rows of equal length."""
        if self.crf is None:
            return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
        return self.crf.log_marginals(logits)

    def probabilities(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Return the probability of each tag of each word (B, T, K)."""
        return logits.softmax(dim=-1) if self.crf is None else self.crf.marginals(logits, lengths)


class _Batches:
    """Training sentences, or pieces of long ones, in batches of similar length; call ``buckets.group`` first."""

    def __init__(self, model: Tagger, examples: Examples) -> None:
        numbering = Numbering(model.labels_)
        pieces = [
            (words[start : start + MAX_PIECE], tags[start : start + MAX_PIECE])
            for words, tags in zip(examples.inputs, examples.labels, strict=True)
            for start in range(0, len(words), MAX_PIECE)
        ]
        self._sequences = model.inputs_.batches([words for words, _ in pieces])
        self._targets = [numbering.ids(model._to_bio(tags)) for _, tags in pieces]
        self.buckets = LengthBuckets(self._sequences.lengths, model.seed)

    def __len__(self) -> int:
        return len(self.buckets)

    def batch(self, step: int) -> SequenceBatch:
        rows = self.buckets.rows(step)
        words, places, lengths = self._sequences.gather(rows)
        targets = pad_rows(np.concatenate([self._targets[row] for row in rows]), lengths.numpy(), IGNORED)
        return SequenceBatch(words, places, lengths, targets)


class _Task:
    """Train a tagger: the task that the training loop runs."""

    def __init__(self, model: Tagger) -> None:
        self._model = model
        self.network: Any = model.network_

    def objective(self, metrics: dict[str, Any]) -> tuple[float, ...]:
        return self._model._rank(metrics, "span_f1" if "span_f1" in metrics else "accuracy")

    def plan(self, passes: float) -> None:
        pass

    def training_step(self, batch: SequenceBatch, carry: Any) -> tuple[Tensor, int, Any]:
        loss_sum, count = self.network.loss_sum(self.network(batch), batch.targets, batch.lengths)
        return loss_sum, count, None

    def validate(self) -> dict[str, float | int]:
        return self._model._evaluate(self._model._valid).metrics

    def sample(self) -> str:
        words = self._model._valid.inputs[0]
        tags = self._model.predict([words])[0]
        return " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))
