"""The tagger: many-to-many, aligned. It reads a sentence from both sides and gives every word its tag.

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
from elman.data.records import Problem, Sentence, TaggedSentence, drop_problems, restore_problems
from elman.data.tokens.lexicon import pad_rows
from elman.data.values.columns import check_no_answers
from elman.data.values.examples import take_tagged
from elman.data.values.texts import take_sentences
from elman.decoding.viterbi import viterbi
from elman.documents import write_json
from elman.errors import DataError, ModelError, UsageError
from elman.families.base import Model
from elman.families.inputs import SentenceInputs, WordTable
from elman.families.labelling import LabellingModel
from elman.families.reports import Report, compare_labels
from elman.families.saved.folder import Texts
from elman.families.sequences import Encoder, SequenceBatch, batch_by_length
from elman.families.unrolled import Stack, Unrolled
from elman.metrics.labels import span_metrics
from elman.nn.inputs.words import WordEncoder
from elman.nn.outputs.crf import LinearChainCRF
from elman.nn.outputs.heads import SoftmaxHead, cross_entropy_sum
from elman.settings.labelling import TaggerSettings
from elman.training.task import Batches

logger = logging.getLogger(__name__)

Sentences = Any
"""A ``Path`` names a file, a ``str`` is the text of one; or the words of each sentence: lists in a list, an array, a
Series, a frame of one column or an iterator."""

LONGEST_PIECE = 1000  # words that are read at once; a longer sentence is read piece by piece


@dataclass(kw_only=True, eq=False)
class Tagger(TaggerSettings, LabellingModel):
    """A recurrent tagger: parts of speech, named entities, or any other label for each word of a sentence.

    Example:
        >>> sentences = [["Teddy", "Roosevelt", "spoke"], ["bears", "sleep"]] * 10
        >>> tags = [["PROPN", "PROPN", "VERB"], ["NOUN", "VERB"]] * 10
        >>> tagger = Tagger(hidden_size=8, steps=30).fit(sentences, tags)
        >>> tagger.predict([["bears", "sleep"]])
        [['NOUN', 'VERB']]
    """

    answer_batch_size: ClassVar[int] = 4096

    # Learning.

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
                    "most tags look like those of spans, but with %s among them they follow no scheme (%s): they are "
                    "learned as tags of single words, and there will be no span_f1",
                    *(join_names(stray), ", ".join(map(str.upper, schemes.SCHEMES))),
                )
            self.labels_ = tuple(sorted({tag for tags in train.labels for tag in self._to_bio(tags)}))
            self._learn(train, held_out)
        if valid is not None:
            tags = held_out.respell(self.labels_).labels
            self._check_known("the validation data", chain(*map(self._to_bio, tags)))
        self.data_["scheme"] = self.scheme_ or "none"
        self.network_ = self._build()
        self.inputs_.initialize(self.network_.words)
        return _Task(self), _Batches(self, train)

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
            wanted = "a number, from 0" if isinstance(reader, Columns) else "a name, such as upos"
            raise UsageError(f"`column` {self.column}: of the format {reader.name} a column is called by {wanted}")
        sentences: list[Sentence] = list(reader.read(lines, problems, tagged=True))
        if not sentences:
            raise DataError(problems.first or f"{lines.name}: holds no sentence")
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
        return TaggerNetwork(words, self._encoder(words.output_size), self.labels_, self.scheme_, self.crf)

    def _texts(self) -> dict[str, str]:
        return {**super()._texts(), "scheme.json": write_json(self.scheme_)}

    def _restore_texts(self, texts: Texts) -> None:
        super()._restore_texts(texts)
        texts.parse("labels.json", [str])
        self.scheme_ = texts.parse("scheme.json", str)
        if self.scheme_ not in ("", *schemes.SCHEMES):
            raise ModelError(f"scheme.json: not a scheme of tags but {self.scheme_[:20]!r}; copy the folder anew")

    def _to_bio(self, tags: Sequence[str]) -> list[str]:
        """Return tags as the network knows them: entities in BIO, whatever the data's scheme."""
        return schemes.to_bio(tags, self.scheme_) if self.scheme_ else list(tags)

    def _from_bio(self, tags: Sequence[str]) -> list[str]:
        """Return tags as the data writes them."""
        return schemes.from_bio(tags, self.scheme_) if self.scheme_ else list(tags)

    # Judging.

    def evaluate(self, X: Sentences, y: Any = None) -> dict[str, float | int]:  # noqa: N803
        """Judge the model on tagged sentences.

        Returns:
            ``accuracy``, ``accuracy_unseen`` (on words that training never saw, where there are any), ``macro_f1``
            (over the tags), for entities ``span_precision``, ``span_recall`` and ``span_f1``; ``nats_per_target``
            (where a tag is known), ``tokens``, ``sentences``, ``unknown_labels`` (tags that training never saw, always
            wrong) and ``left_out`` (sentences that could not be read).

        Raises:
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
        """Set predicted tags, whoever predicted them, beside the true ones; ``seen`` are the words of the training."""
        words, true, others = (list(chain(*side)) for side in (examples.inputs, examples.labels, predicted))
        report = compare_labels(true, others)
        unseen = [tag == other for word, tag, other in zip(words, true, others, strict=True) if word not in seen]
        if unseen:
            report.metrics["accuracy_unseen"] = sum(unseen) / len(unseen)
        scheme = getattr(self, "scheme_", None)
        scheme = schemes.detect_scheme(examples.labels) if scheme is None else scheme  # before fit, for a baseline
        if scheme:
            spans = (
                [schemes.find_spans(schemes.to_bio(tags, scheme)) for tags in side]
                for side in (examples.labels, predicted)
            )
            report.metrics.update(span_metrics(*spans))
        report.metrics.update(tokens=len(words), sentences=len(examples.inputs))
        return report

    # Tagging.

    def predict(self, X: Sentences) -> list[list[str]]:  # noqa: N803
        """Tag sentences.

        Args:
            X: the words of each sentence; or a file, or its text, in a format that training reads.

        Returns:
            A tag for every word.

        Raises:
            UsageError: the sentences are no lists of words.
            DataError: a word is missing.
        """
        self._check_fitted()
        return [tags for tags, _ in self._tag(self._take_sentences(X), self._table(), False)]

    def _take_sentences(self, X: Sentences) -> list[list[str]]:  # noqa: N803
        """Take what is to be tagged: sentences, or a file or its text."""
        if isinstance(X, str) and "\n" not in X:
            raise UsageError(f"X is one line; give the words of each sentence in a list, such as [{X.split()[:3]}]")
        if isinstance(X, Path | str):
            reader = FORMATS["tagger"].reader(self.input_format, X, self)
            read = reader.read(Lines(X, self.encoding), Problems(), tagged=False)
            found: list[list[str] | None] = [
                [] if isinstance(sentence, Problem) else sentence.words or None for sentence in read
            ]
            return [words for words in found if words is not None]
        return take_sentences(X)

    def unroll(self, X: Sentences, y: Any = None, *, steps: int | None = None) -> Iterator[Unrolled]:  # noqa: N803
        """Lay the network out over each sentence; see :meth:`elman.families.base.Model.unroll`."""
        self._check_fitted()
        if y is None:
            sentences, tags = self._take_sentences(X), None
        else:
            examples = take_tagged(X, y).respell(self.labels_)
            sentences, tags = examples.inputs, examples.labels
        network, table, numbering = self.network_.eval(), self._table(), Numbering(self.labels_)
        for row, words in enumerate(sentences):
            for start in range(0, len(words), LONGEST_PIECE):
                piece = words[start : start + LONGEST_PIECE]
                with torch.no_grad():
                    inputs, lengths = table.gather([piece])
                targets = None
                if tags is not None:
                    own = self._to_bio(tags[row])[start : start + LONGEST_PIECE]
                    targets = torch.from_numpy(numbering.ids(own))

                def run(rows: Tensor, lengths: Tensor = lengths) -> tuple[Tensor, None]:
                    return network.compute_logits(rows, lengths.expand(len(rows))), None

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
        """Tag sentences as they come, in order.

        Args:
            batches: sentences, as many together as are there; a problem stays in its place.
            probabilities: whether to say how likely each tag is.
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
        """Return the tags of every sentence and, where wanted, how likely each is."""
        tags = [[""] * len(words) for words in sentences]
        probabilities = [[0.0] * len(words) if with_probabilities else [] for words in sentences]
        numbering = Numbering(self.labels_)
        for pieces, logits, lengths in self._logits(sentences, table):
            decoded = self._decode(logits, lengths)
            for piece, piece_tags in zip(pieces, decoded, strict=True):
                tags[piece.row][piece.within] = piece_tags
            if with_probabilities:
                shares = self.network_.probabilities(logits, lengths).cpu().numpy()  # (B, T, K)
                for piece, piece_tags, share in zip(pieces, decoded, shares, strict=True):
                    ids = numbering.ids(piece_tags)
                    probabilities[piece.row][piece.within] = share[np.arange(len(ids)), ids].tolist()
        return [(self._from_bio(row), shares) for row, shares in zip(tags, probabilities, strict=True)]

    def _decode(self, logits: Tensor, lengths: Tensor) -> list[list[str]]:
        ids = self.network_.decode(logits, lengths).tolist()
        return [
            [self.labels_[label] for label in row[:length]] for row, length in zip(ids, lengths.tolist(), strict=True)
        ]

    def _logits(
        self, sentences: Sequence[Sequence[str]], table: WordTable
    ) -> Iterator[tuple[list[_Piece], Tensor, Tensor]]:
        """Yield batches of pieces of sentences, the logits (B, T, K) of their words, and their lengths (B,)."""
        network = self.network_.eval()
        pieces = [
            _Piece(row, slice(start, min(start + LONGEST_PIECE, len(words))))
            for row, words in enumerate(sentences)
            for start in range(0, len(words), LONGEST_PIECE)
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
    """A part of a sentence: all of it, but where it is very long."""

    row: int
    within: slice


class TaggerNetwork(nn.Module):
    """Word vectors, recurrent layers, head: words to logits (B, T, K) of their tags.

    Args:
        words: what encodes the words.
        encoder: the recurrent layers.
        labels: the tags, as the network knows them.
        scheme: how tags make spans; empty where they do not.
        crf: whether whole sequences of tags are scored.
    """

    def __init__(self, words: WordEncoder, encoder: Encoder, labels: Sequence[str], scheme: str, crf: bool) -> None:
        super().__init__()
        self.words = words
        self.encoder = encoder
        self.head = SoftmaxHead(self.encoder.output_size, len(labels))
        allowed = schemes.allowed_transitions(labels) if scheme else ()  # (K, K) and (K,)
        self.crf = LinearChainCRF(len(labels), *map(torch.from_numpy, allowed)) if crf else None
        self._constraints = [torch.from_numpy(np.where(mask, 0, -np.inf).astype(np.float32)) for mask in allowed]

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Read a batch while training; return the logits (B, T, K)."""
        assert batch.words is not None
        return self.compute_logits(self.words(batch.words)[batch.inputs], batch.lengths)

    def compute_logits(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Turn the words' vectors (B, T, E) into logits (B, T, K)."""
        outputs, _ = self.encoder(inputs, lengths)  # (B, T, N)
        logits: Tensor = self.head(outputs)
        return logits

    def loss_sum(self, logits: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, int]:
        """Return the summed negative log-likelihood in nats, and of how many tags; unknown tags (-100) do not count."""
        logits = logits.float()
        if self.crf is None:
            return cross_entropy_sum(logits, targets), int((targets != IGNORED).sum())
        known = (targets != IGNORED).sum(dim=1).cpu() == lengths  # the CRF scores whole sequences
        return self.crf.loss_sum(logits[known], targets[known], lengths[known]), int(lengths[known].sum())

    def decode(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Return the best tags (B, T): no entity goes on that has not begun."""
        if self.crf is not None:
            return self.crf.decode(logits, lengths)[0]
        if not self._constraints:
            return logits.argmax(dim=-1)
        transitions, start = self._constraints
        return viterbi(logits.log_softmax(dim=-1), lengths, transitions, start, torch.zeros(len(start)))[0]

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Return how likely each tag is for each word of rows of one length (B, T, K), as a logarithm."""
        if self.crf is None:
            return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
        return self.crf.marginals(logits, None).clamp(min=torch.finfo(logits.dtype).tiny).log()

    def probabilities(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Return how likely each tag is for each word (B, T, K)."""
        return logits.softmax(dim=-1) if self.crf is None else self.crf.marginals(logits, lengths)


class _Batches:
    """Training sentences in batches of about equal length."""

    def __init__(self, model: Tagger, examples: Examples) -> None:
        numbering = Numbering(model.labels_)
        self._sequences = model.inputs_.batches(examples.inputs)
        self._targets = [numbering.ids(model._to_bio(tags)) for tags in examples.labels]
        self._buckets = LengthBuckets(self._sequences.lengths, model.batch_tokens, model.seed)

    def __len__(self) -> int:
        return len(self._buckets)

    def batch(self, step: int) -> SequenceBatch:
        rows = self._buckets.rows(step)
        words, places, lengths = self._sequences.gather(rows)
        targets = pad_rows(np.concatenate([self._targets[row] for row in rows]), lengths.numpy(), IGNORED)
        return SequenceBatch(words, places, lengths, targets)


class _Task:
    """The tagger as the training loop sees it."""

    def __init__(self, model: Tagger) -> None:
        self._model = model
        self.network: Any = model.network_

    def objective(self, metrics: dict[str, Any]) -> tuple[float, ...]:
        return -metrics.get("span_f1", metrics["accuracy"]), metrics.get("nats_per_target", 0.0)

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
