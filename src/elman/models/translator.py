"""The translator: many-to-many, with an encoder that reads and a decoder that writes. It also summarises.

one file or two ──a format's read──▶ pairs ──split, encode──▶ PairBatch(sources (B,S), inputs (B,T), targets (B,T))
  ──Embedding──▶ (B,S,E) ──bidirectional RNN | GRU | LSTM──▶ outputs (B,S,M), state ──bridge──▶ DecoderState
  ──Decoder, attending to the outputs──▶ (B,T,H) ──head──┬── loss_sum ──▶ nats per token
                                                         └── logits (R,V) ──beam search──▶ ids ──▶ Translation
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.counting.copies import NearestNeighbour
from elman.data.examples import Examples
from elman.data.formats.detection import detect_pair_format
from elman.data.formats.examples import ExampleReader, read_labelled
from elman.data.formats.parallel import read_parallel
from elman.data.formats.table import FORMATS
from elman.data.lines import Lines, Problems
from elman.data.records import Example, Problem, Translation, drop_problems
from elman.data.tokens.lexicon import pad_rows
from elman.data.tokens.pairs import PairBatch, PairBatches
from elman.data.tokens.targets import Targets, encode_texts
from elman.data.tokens.tokenizer import Tokenizer
from elman.data.tokens.words import restore_spelling
from elman.data.values.columns import check_no_answers, check_pairs
from elman.data.values.examples import take_pairs
from elman.data.values.texts import take_text, take_texts
from elman.decoding.beam import Hypothesis
from elman.decoding.options import Search
from elman.errors import DataError, UsageError
from elman.families.encoder_decoder import EncoderDecoderModel, UnrolledEncoder
from elman.families.encoder_decoder_network import EncoderDecoderNetwork
from elman.families.endings import thin
from elman.families.reports import Report
from elman.families.saved.folder import Texts
from elman.families.unrolled import Stack, check_any_known
from elman.metrics.texts import first_sentence, rouge, translation_metrics
from elman.nn.cells import CELLS
from elman.nn.decoder import DecoderState
from elman.nn.state import PublicState, State
from elman.settings.encoder_decoder import TranslatorSettings
from elman.training.schedule import check_positive

CHARACTERS_PER_SECOND = 1_000_000  # of sources that the nearest neighbour counts

TranslatorInput = Any
"""A ``Path`` to a file of sources or of pairs; or texts in a list, an array, a Series, a data frame with one column or
an iterator. For pairs of texts a ``str`` is the content of a file."""


@dataclass(kw_only=True, eq=False)
class Translator(TranslatorSettings, EncoderDecoderModel):
    """A recurrent encoder-decoder, with attention, that maps one text to another: translations, summaries, spellings.

    Attributes:
        network_: the trained :class:`TranslatorNetwork`.
        source_tokenizer_: the tokenizer of the sources.
        target_tokenizer_: the tokenizer of the targets; the same object with ``shared_vocabulary``.
        metrics_: figures of the training and of the validation data.
        history_: one dictionary of figures for each validation.
        data_: the names, hashes and sizes of the data.

    Example:
        >>> sources = ["one two", "two one", "one one", "two two"] * 5
        >>> targets = ["un deux", "deux un", "un un", "deux deux"] * 5
        >>> translator = Translator(level="word", hidden_size=16, embedding_size=16, dropout=0, steps=300)
        >>> translator.fit(sources, targets).predict(["two one"])
        ['deux un']
    """

    answer_batch_size: ClassVar[int] = 512
    _noun: ClassVar[str] = "pairs"
    compared: ClassVar[tuple[str, ...]] = ("bleu", "rougeL")

    def check(self) -> None:
        """Raise UsageError if a setting is outside its limits or a name is unknown."""
        super().check()
        check_positive("source_length", self.source_length)
        if self.input_feeding and self.attention != "luong":
            raise UsageError(f'input_feeding is on, but attention is "{self.attention}"; set attention "luong"')

    # Training.

    def _learn_texts(self, train: Examples) -> None:
        shared, learn = self.shared_vocabulary, self._learn_tokenizer
        self.target_tokenizer_ = learn([*train.inputs, *train.labels] if shared else train.labels)
        self.source_tokenizer_ = self.target_tokenizer_ if shared else learn(train.inputs)

    @property
    def _vocabulary(self) -> int:
        return max(self.source_tokenizer_.vocab_size, self.target_tokenizer_.vocab_size)

    def _encode_examples(self, examples: Examples) -> PairBatches:
        targets = Targets(examples.labels, self.target_tokenizer_, self.max_length)
        sources = self._source_ids(examples.inputs)
        return PairBatches(sources, targets, source_length=self.source_length, seed=self.seed)

    def _build(self) -> TranslatorNetwork:
        return TranslatorNetwork(
            self.source_tokenizer_.vocab_size,
            self.target_tokenizer_.vocab_size,
            bidirectional=self.bidirectional,
            merge=self.merge,
            shared_vocabulary=self.shared_vocabulary,
            input_feeding=self.input_feeding,
            **self._sizes,
        )

    def _read(self, source: TranslatorInput, labels: Any = None) -> Examples:
        problems = Problems()
        if isinstance(source, Path | str) and isinstance(labels, Path | str):
            pairs = list(read_parallel(Lines(source, self.encoding), Lines(labels, self.encoding), problems))
        elif isinstance(source, Path | str):
            check_no_answers(source, labels)
            table: ExampleReader = (
                FORMATS["translator"].reader(self.input_format, source, self)
                if self.input_format
                else detect_pair_format(source, (self.source, self.target), not self.no_header, self.encoding)
            )
            pairs = list(read_labelled(table, Lines(source, self.encoding), problems))
        else:
            return take_pairs(source, labels)
        problems.close()
        if not pairs:
            raise DataError(problems.first or "there are no pairs of texts")
        return Examples([pair.text for pair in pairs], [str(pair.label) for pair in pairs], problems.count)

    def _pictures(self) -> dict[str, str]:
        if self.attention == "none" or not hasattr(self, "_valid"):
            return {}
        return {"attention.svg": self.attention_picture(min(self._valid.inputs[:50], key=len))}

    def _texts(self) -> dict[str, str]:
        own = {} if self.shared_vocabulary else {"source_tokenizer.json": self.source_tokenizer_.to_json()}
        return {**own, "tokenizer.json": self.target_tokenizer_.to_json()}

    def _restore_texts(self, texts: Texts) -> None:
        self.target_tokenizer_ = Tokenizer.from_json(texts["tokenizer.json"], self.level)
        self.source_tokenizer_ = self.target_tokenizer_
        if not self.shared_vocabulary:
            self.source_tokenizer_ = Tokenizer.from_json(texts["source_tokenizer.json"], self.level)

    # Evaluating.

    def evaluate(self, X: TranslatorInput, y: Any = None, *, search: Search | None = None) -> dict[str, float | int]:  # noqa: N803
        """Evaluate the model on pairs of texts.

        Args:
            X: the sources, or a ``Path`` to a file of sources, or of pairs.
            y: the targets, or a ``Path`` to their file; None if X is a file of pairs.
            search: options of the beam search or the sampling; the model's settings by default.

        Returns:
            ``bleu`` and ``chrf`` (0 to 100, from sacrebleu) and ``rouge1``, ``rouge2`` and ``rougeL`` (0 to 1) of the
            best translations; if most sources have several sentences, the same ROUGE figures for copying the first
            sentence (``first_sentence_rouge1`` and so on); with teacher forcing ``nats_per_token`` and ``perplexity``
            of the targets, ``tokens`` and ``unknown`` (tokens that are ``<unk>``); ``cut`` (sources and targets cut to
            ``source_length`` and ``max_length``), ``examples`` and ``left_out`` (pairs that could not be read).

        Raises:
            UsageError: the model is not fitted, or an argument is of the wrong type or outside its limits.
            DataError: the data cannot be read.
        """
        return self.report(X, y, search=search).metrics

    def score(self, X: TranslatorInput, y: Any = None) -> float:  # noqa: N803
        """Return BLEU as a number from 0 to 1, where :meth:`evaluate` gives it from 0 to 100."""
        return float(self.evaluate(X, y)["bleu"]) / 100

    def _compare_texts(self, examples: Examples, search: Search | None = None) -> Report:
        written = self._translate_best(examples.inputs, search)
        figures, signatures = translation_metrics(written, examples.labels)
        figures.update(rouge(written, examples.labels))
        copied = _copy_first_sentences(examples)
        figures.update({f"first_sentence_{name}": share for name, share in copied.items()})
        return Report(figures, signatures=signatures, written=written)

    def _evaluate_baselines(self, seconds: float) -> Iterator[tuple[str, dict[str, float | int]]]:
        judged, train = self._judged, self._train
        if copied := _copy_first_sentences(judged):
            yield "first_sentence", dict(copied)
        limit = CHARACTERS_PER_SECOND * seconds
        if sum(map(len, judged.inputs)) <= limit:
            train = train.select(thin(len(train.inputs), sum(map(len, train.inputs)), limit))
            rows = NearestNeighbour().fit(train.inputs).find(judged.inputs)
            figures, _ = translation_metrics([train.labels[row] for row in rows], judged.labels)
            yield "nearest_neighbour", dict(figures)

    def _sample(self, examples: Examples) -> str:
        source, target = examples.inputs[0], examples.labels[0]
        return f"{source[:200]}\n→ {self._translate_best([source])[0][:200]}\n({target[:200]})"

    # Translating.

    def predict(self, X: TranslatorInput) -> list[str]:  # noqa: N803
        """Return the best translation of each text.

        Args:
            X: the texts; or a ``Path`` to a file of sources.

        Returns:
            A translation for each source, in order; an empty one for an empty source.

        Raises:
            UsageError: the model is not fitted, X is a single text, or an item is not a text.
            DataError: a text is missing or cannot be read.
        """
        self._check_fitted()
        return self._translate_best(self._take_inputs(X))

    def encode(self, X: TranslatorInput) -> State:  # noqa: N803
        """Return the state that the decoder starts from, each part (num_layers, N, hidden_size), for N texts.

        Args:
            X: the texts; or a ``Path`` to a file of sources.

        Raises:
            UsageError: the model is not fitted, X is a single text, or there is none.
            DataError: a text is missing or cannot be read.

        Example:
            >>> sources, targets = ["one two", "two one"] * 10, ["un deux", "deux un"] * 10
            >>> translator = Translator(level="word", hidden_size=16, embedding_size=16, steps=2).fit(sources, targets)
            >>> state = translator.encode(["one two", "two one"])
            >>> mean = State.mean([state.select_rows(torch.tensor([row])) for row in (0, 1)])
            >>> len(translator.translate(["one two"], state=mean))
            1
        """
        self._check_fitted()
        return self._encode_states(self._take_inputs(X), "texts")

    def translate(
        self,
        X: TranslatorInput,  # noqa: N803
        search: Search | None = None,
        state: State | PublicState | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Return the ``n_best`` translations of each text with their scores, best first.

        Args:
            X: the texts; or a ``Path`` to a file of sources.
            search: options of the beam search or the sampling; the model's settings by default.
            state: the state that the decoder starts from, of one row for all texts or one for each, as returned by
                :meth:`encode`; it is never modified. By default it is the encoder's. Attention looks at the texts.

        Returns:
            For each source a list of pairs of a translation and its score. The score is the log-probability in nats
            divided by the length, in tokens, to the power of ``length_penalty``.

        Raises:
            UsageError: the model is not fitted, X is a single text, an item is not a text, or an option is outside its
                limits.
            DataError: a text is missing or cannot be read.
        """
        self._check_fitted()
        if search is not None:
            search.check()
        sources = self._take_inputs(X)
        return list(self._translate(sources, search=search, hidden=self._take_state(state, len(sources))))

    def _take_inputs(self, X: TranslatorInput) -> list[str]:  # noqa: N803
        """Take the sources to translate: texts, or a file of them without a single problem."""
        if not isinstance(X, Path):
            return take_texts(X)
        problems = Problems(shown=0)
        reader = FORMATS["translator"].reader(self.input_format, X, self)
        found = [
            source.text for source in drop_problems(reader.read(Lines(X, self.encoding), problems, labelled=False))
        ]
        if problems.count:
            raise DataError(problems.first)
        return found

    def _translate_best(self, sources: Sequence[str], search: Search | None = None) -> list[str]:
        return [texts[0][0] for texts in self._translate(sources, search=search)]

    def _translate(
        self, sources: Sequence[str], first: int = 0, search: Search | None = None, hidden: State | None = None
    ) -> Iterator[list[tuple[str, float]]]:
        generated = self._generate(sources, first, search=search, hidden=hidden)
        for row, (source, hypotheses) in enumerate(zip(sources, generated, strict=True)):
            own = None if hidden is None else hidden.select_rows(torch.tensor([row]))
            if not source.strip():
                yield [("", 0.0)] * len(hypotheses)
            else:
                yield [(self._text(source, hypothesis, own), hypothesis.score) for hypothesis in hypotheses]

    def _text(self, source: str, hypothesis: Hypothesis, hidden: State | None = None) -> str:
        """Decode tokens to text; replace each <unk> by the source word with the largest attention weight."""
        ids = list(hypothesis.ids)
        if Tokenizer.unknown_id not in ids or not self._writes_unknown:
            return self.target_tokenizer_.decode(ids)
        words, weights = self._attend(source, ids, hidden)
        copied = [words[int(row.argmax())] for row in weights]
        decoder = self.target_tokenizer_.stream_decoder()
        pieces = []
        for token, word in zip(ids, copied, strict=False):
            piece = decoder.push(token)
            pieces.append(piece.replace("<unk>", word) if token == Tokenizer.unknown_id else piece)
        return "".join(pieces) + decoder.finish()

    def attention_of(
        self, source: str, search: Search | None = None
    ) -> tuple[list[str], list[str], NDArray[np.float32]]:
        """Translate a text and return the attention weights.

        Args:
            source: the text to translate.
            search: options of the beam search or the sampling; the model's settings by default.

        Returns:
            The S tokens of the source, the T tokens of the translation, ending with ``</s>``, and the weights (T, S)
            float32; each row sums to 1.

        Raises:
            UsageError: the model is not fitted or has no attention.

        Example:
            >>> sources, targets = ["one two", "two one"] * 10, ["un deux", "deux un"] * 10
            >>> translator = Translator(level="word", hidden_size=16, embedding_size=16, steps=2).fit(sources, targets)
            >>> read, written, weights = translator.attention_of("one two")
            >>> read, weights.shape == (len(written), len(read))
            (['one', 'two'], True)
        """
        self._check_fitted()
        if self.attention == "none":
            raise UsageError('attention is "none", so there are no weights; train a model with `attention` luong')
        source = take_text(source, "source")
        (hypotheses,) = self._generate([source], search=search)
        ids = [*hypotheses[0].ids, Tokenizer.end_id]
        words, weights = self._attend(source, list(hypotheses[0].ids))
        return words, self.target_tokenizer_.tokens(ids), weights

    def attention_picture(self, source: str, search: Search | None = None) -> str:
        """Translate a text and draw its attention weights as an SVG document; see :meth:`attention_of`."""
        from elman.drawing.attention import attention_map

        return attention_map(*self.attention_of(source, search))

    def _attend(
        self, source: str, ids: Sequence[int], hidden: State | None = None
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Run the decoder over the ids of a target; return the tokens of the source and the weights (T + 1, S)."""
        read = encode_texts([source], self.source_tokenizer_)[0][: self.source_length]
        tokens = self.source_tokenizer_.tokens(read) or [""]
        if self.level == "word":
            tokens = restore_spelling(source, tokens)
        inputs = torch.tensor([[Tokenizer.begin_id, *ids]])
        with torch.inference_mode():
            state = self._encode_inputs([source])
            if hidden is not None:
                state = state._replace(hidden=hidden)
            network = self.network_
            _, _, weights = network.decoder(network.embedding(inputs.to(network.head.weight.device)), state)
        return tokens, weights[0].float().cpu().numpy()

    # Looking inside.

    @property
    def _target_tokenizer(self) -> Tokenizer:
        return self.target_tokenizer_

    def _take_answers(self, y: Any, number: int) -> list[str]:
        answers = take_texts(y, "y")
        check_pairs(number, len(answers), "sources", "{:,} targets")
        return answers

    def _unroll_encoder(self, item: str) -> UnrolledEncoder:
        network = self.network_.eval()
        (ids,) = self._source_ids([item])
        ids = ids[: self.source_length]
        check_any_known(ids, self.source_tokenizer_.unknown_id)
        with torch.no_grad():
            vectors = network.source_embedding(torch.from_numpy(ids).to(network.head.weight.device))  # (S, E)
        tokens = self.source_tokenizer_.tokens(ids)
        return UnrolledEncoder(
            inputs=vectors,
            start=lambda rows: network.encode_vectors(rows, torch.full((len(rows),), len(ids))),
            stacks={"encoder": Stack(layer=network.encoder, tokens=tokens, is_aligned=False)},
        )

    @property
    def _writes_unknown(self) -> bool:
        return self.level == "word" and self.attention != "none"

    def _lengths(self, inputs: Sequence[str]) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self._source_ids(inputs)], np.int64)

    def _source_ids(self, sources: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return the ids of each source, uncut; an empty source becomes one unknown token."""
        unknown = np.array([Tokenizer.unknown_id])
        return [ids if len(ids) else unknown for ids in encode_texts(sources, self.source_tokenizer_)]

    def _encode_inputs(self, inputs: Sequence[str]) -> DecoderState:
        network = self.network_.eval()
        ids = [one[: self.source_length] for one in self._source_ids(inputs)]
        lengths = np.array([len(one) for one in ids], np.int64)
        sources = pad_rows(np.concatenate(ids), lengths, 0).to(network.head.weight.device)
        state: DecoderState = network.encode(sources, torch.from_numpy(lengths))
        return state

    def answer(
        self, batches: Iterable[Sequence[Example | Problem]], *, search: Search | None = None
    ) -> Iterator[Translation | Problem]:
        """Translate sources as they arrive, in order; a blank source gives an empty translation.

        Args:
            batches: batches of sources of any size, with a problem in place of each one that could not be read.
            search: options of the beam search or the sampling; the model's settings by default.

        Yields:
            Each source with its translations, best first; problems are passed through.

        Raises:
            UsageError: the model is not fitted, or an option is outside its limits.
        """
        self._check_fitted()
        if search is not None:
            search.check()
        number = 0
        for batch in batches:
            sources = ["" if isinstance(item, Problem) else item.text for item in batch]
            for item, texts in zip(batch, self._translate(sources, number, search), strict=True):
                if isinstance(item, Problem):
                    yield item
                else:
                    yield Translation(item.text, texts, item.line, self._describe_cut(item.text))
            number += len(batch)

    def _describe_cut(self, source: str) -> str:
        """Return a warning if only the beginning of a source is read, else an empty string."""
        limit = self.source_length
        length = len(self._source_ids([source])[0]) if len(source.encode()) > limit else 0  # a token has a byte or more
        return (
            f"the source has {length:,} tokens; only the first {limit:,} (source_length) are read"
            if length > limit
            else ""
        )


def _copy_first_sentences(examples: Examples) -> dict[str, float]:
    """Return the ROUGE figures of copying the first sentence, if most sources have several; else nothing."""
    first = [first_sentence(source) for source in examples.inputs]
    if 2 * sum(one != source.strip() for one, source in zip(first, examples.inputs, strict=True)) <= len(first):
        return {}
    return rouge(first, examples.labels)


class TranslatorNetwork(EncoderDecoderNetwork):
    """A recurrent encoder and decoder, from sources and targets to logits.

    Arguments that are not described here are the settings of the same name.

    Args:
        source_size: size of the source vocabulary.
        target_size: V, size of the target vocabulary.
        decoder: further arguments of :class:`~elman.families.encoder_decoder_network.EncoderDecoderNetwork`.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        *,
        cell: str,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        merge: str,
        shared_vocabulary: bool,
        dropout: float,
        backend: str,
        **decoder: Any,
    ) -> None:
        shared: dict[str, Any] = {
            "embedding_size": embedding_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
        }
        shared |= {"cell": cell, "dropout": dropout, "backend": backend}
        memory_size = hidden_size * (2 if bidirectional and merge == "concat" else 1)
        super().__init__(target_size, memory_size=memory_size, **shared, **decoder)
        self.source_embedding = self.embedding
        if not shared_vocabulary:
            self.source_embedding = nn.Embedding(source_size, embedding_size)
            nn.init.normal_(self.source_embedding.weight, std=embedding_size**-0.5)
        options: dict[str, Any] = {"bidirectional": bidirectional, "merge": merge, "backend": backend}
        options["dropout"] = dropout if num_layers > 1 else 0.0
        self.encoder = CELLS[cell].layer(embedding_size, hidden_size, num_layers, batch_first=True, **options)
        self.bridge = nn.ModuleList(nn.Linear(memory_size, hidden_size) for _ in CELLS[cell].state)

    def encode_batch(self, batch: PairBatch) -> DecoderState:
        """Encode the sources of a batch; return the decoder's first state."""
        return self.encode(batch.sources, batch.lengths)

    def encode(self, sources: Tensor, lengths: Tensor) -> DecoderState:
        """Encode sources (B, S) with lengths (B,); return the decoder's first state."""
        return self.encode_vectors(self.source_embedding(sources), lengths)

    def encode_vectors(self, vectors: Tensor, lengths: Tensor) -> DecoderState:
        """Do as :meth:`encode` for sources given as vectors (B, S, E)."""
        outputs, state = self.encoder.run(self.dropout(vectors), lengths=lengths)  # (B, S, M)
        merged = self.encoder.merge_directions(state).items()  # each part (L, B, state_size)
        bridged = State((name, bridge(part)) for bridge, (name, part) in zip(self.bridge, merged, strict=True))
        bridged["hidden"] = torch.tanh(bridged["hidden"])  # (L, B, H)
        return self.decoder.start(bridged, self.dropout(outputs), lengths)
