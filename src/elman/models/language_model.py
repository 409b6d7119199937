"""The language model: many-to-many, shifted by one. It reads a text, says what comes next, and writes on.

text ──Text.chunks, tokenizer.encode──▶ ids ──StreamBatches | LineBatches──▶ Batch(inputs (B,T), lengths, targets)
     ──embedding──▶ (B,T,E) ──rnn (x, state)──▶ (B,T,H), state ──head──▶ logits (B,T,V)
          ──┬── cross_entropy_sum(logits, targets) ──▶ nats per token
            └── kernels.generate.Writer | decoding.sampling.sample ──▶ ids ──tokenizer.decode──▶ text
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from elman.data.batching import IGNORED, Batch, LineBatches, StreamBatches, line_chunks, stream_chunks
from elman.data.corpus import Corpus, build_corpus
from elman.data.lines import Lines, Problems
from elman.data.text import Source, Text
from elman.data.tokenizer import BytePairTokenizer, CharacterTokenizer, Tokenizer, WordTokenizer
from elman.decoding.sampling import Sampling, StopBuffer, sample
from elman.errors import DataError, UsageError
from elman.kernels.generate import Writer
from elman.models.base import Model
from elman.nn.dropout import LockedDropout
from elman.nn.heads import SoftmaxHead, cross_entropy_sum
from elman.nn.recurrent import GRU, LSTM, RNN
from elman.nn.window import Window
from elman.training.loop import Batches
from elman.training.metrics import language_metrics
from elman.training.schedule import positive

RecurrentState = Tensor | tuple[Tensor, Tensor]
"""``(num_layers, B, H)``, a pair of them for LSTM: a value that can be kept, copied, rewound and handed back."""

LONGEST_STRETCH = 64  # tokens that the kernels write before the text is handed out
VALIDATION_STREAMS = 32  # validation along the way cuts the text in so many streams; the final one carries one state


@dataclass(kw_only=True, eq=False)
class LanguageModel(Model):
    r"""A recurrent language model over characters, words or byte-level BPE.

    Example:
        >>> text = "the quick brown fox jumps over the lazy dog\n" * 40
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit(text)
        >>> len(lm.generate("the ", max_tokens=5, seed=1))
        5
    """

    task: ClassVar[str] = "lm"
    architecture: ClassVar[tuple[str, ...]] = (
        *("level", "lines", "cell", "hidden_size", "num_layers", "embedding_size", "window"),
        *("tie_weights", "initial_state"),
    )

    level: Literal["char", "word", "bpe"] = "char"
    """What a token is: a character, a word or punctuation mark, or a piece found by byte-level BPE."""
    cell: Literal["rnn", "gru", "lstm", "window"] = "lstm"
    """The network that reads: simple (Elman) RNN, GRU, LSTM, or a feed-forward network over the last tokens."""
    hidden_size: int = 384
    """Units of each layer."""
    num_layers: int = 1
    """Stacked layers: each reads the outputs of the one below."""
    embedding_size: int | None = None
    """Length of a token's vector; 64 for characters and 128 for words and pieces where not given."""
    window: int = 5
    """How many tokens back a window network sees (cell window only)."""
    lines: bool = False
    """Read the text line by line, each from <s> to </s> on its own, in place of one long stream."""
    batch_size: int = 16
    """Parallel streams of the text in a batch; with --lines, lines of about bptt_length tokens."""
    bptt_length: int = 64
    """Time steps that gradients flow back through (truncated BPTT); the state is carried on beyond them."""
    dropout: float | None = None
    """Share of hidden values, between layers and before the head, set to zero while training. Where not given, it grows
    with how often the text is read: 0 for one pass, 0.1 for two, 0.2 for four, 0.3 for eight, at most 0.5."""
    tie_weights: bool = False
    """Use the embedding's matrix as the output matrix V, with a projection where their sizes differ."""
    initial_state: Literal["zeros", "random", "learned"] = "zeros"
    """The hidden state before the first token."""
    forget_bias: float = 0.0
    """Begin with this added to the LSTM's forget gates; 1 or 2 keeps them open, to learn over long distances sooner."""
    backend: Literal["auto", "fused", "torch", "reference"] = "auto"
    """What computes the recurrent layers: Elman's fused kernels (float32 on a CPU), torch.nn, the slow float64
    reference, or the fastest."""
    vectors: Path | None = None
    """Begin the embedding from these pretrained vectors (GloVe, fastText or word2vec text; level word only)."""
    vocab_size: int | None = None
    """At most so many tokens: 10000 for words, 4096 for BPE where not given; characters are all kept."""
    min_count: int | None = None
    """Words rarer than this become <unk>; 2 where not given, so that <unk> is learned (level word only)."""
    encoding: str = "utf-8"
    """How the text files are encoded."""
    valid_fraction: float = 0.1
    """Share of the text, at its end, held out for validation where no other text is given."""
    valid_characters: int = 250_000
    """At most so many characters of the validation text are judged by fit; evaluate judges any text whole."""

    # Learning.

    def check(self) -> None:
        """Raise UsageError where a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("hidden_size", "num_layers", "window", "batch_size", "bptt_length", "valid_characters"):
            positive(name, getattr(self, name))
        for name in ("embedding_size", "vocab_size", "min_count"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; it is a share: at least 0 and below 1")
        if not 0 < self.valid_fraction < 1:
            raise UsageError(f"valid_fraction is {self.valid_fraction}; it is a share: above 0 and below 1")
        if self.forget_bias and self.cell != "lstm":
            raise UsageError(
                f'forget_bias is {self.forget_bias}, but only an LSTM has forget gates; cell is "{self.cell}"'
            )
        if self.cell == "window" and self.backend != "auto":
            raise UsageError(f'backend is "{self.backend}", but cell is "window", which has no recurrent layer')
        if self.vectors is not None and self.level != "word":
            raise UsageError(f'vectors are of words, but level is "{self.level}"; set level "word" or leave them out')

    def _prepare(self, X: Source, y: Any, valid: Source | None, former: Model | None) -> tuple[_Task, Batches]:  # noqa: N803
        train_corpus, self._valid = self.read_corpora(X, valid, former)
        batches: LineBatches | StreamBatches
        try:
            if self.lines:
                batches = LineBatches(train_corpus, self.batch_size * self.bptt_length, self.seed)
            else:
                batches = StreamBatches(train_corpus, self.batch_size, self.bptt_length, self.seed)
            if self._valid.num_targets < 1:
                raise DataError(
                    f"the validation text has {len(self._valid.ids)} tokens and needs 2; "
                    "raise --valid-fraction or name another with --valid"
                )
        except DataError as error:
            raise DataError(f"{', '.join(self.data_['train']['files'])}: {error}") from error
        self.network_ = self._build()
        if self.vectors is not None:
            self._take_vectors(self.vectors)
        return _Task(self), batches

    def read_corpora(
        self,
        X: Source,  # noqa: N803
        valid: Source | None = None,
        former: Model | None = None,
    ) -> tuple[Corpus, Corpus]:
        """Read the text, learn the vocabulary from its training part, and encode both parts.

        Args:
            X: the text.
            valid: the text to validate on; the last ``valid_fraction`` of X where not given.
            former: a model whose vocabulary to take instead.

        Returns:
            The training and the validation corpus, the second cut off after ``valid_characters``.
        """
        text = Text(_listed(X), self.encoding)
        valid_text = text if valid is None else Text(_listed(valid), self.encoding)
        train_end = text.split(self.valid_fraction, by_line=self.lines) if valid is None else text.num_characters
        if isinstance(former, LanguageModel):
            self.tokenizer_: Tokenizer = former.tokenizer_
        else:
            self.tokenizer_ = self._learn_tokenizer(text.chunks(0, train_end, keep_lines=self.lines))
        train_corpus = build_corpus(text, self.tokenizer_, 0, train_end, lines=self.lines)
        valid_start = train_end if valid is None else 0
        unjudged = 1 - (valid_start + self.valid_characters) / valid_text.num_characters
        valid_end = valid_text.split(max(unjudged, 0.0), by_line=self.lines)
        valid_corpus = build_corpus(valid_text, self.tokenizer_, valid_start, valid_end, lines=self.lines)
        self.data_ = {
            "train": {"files": text.names, "sha256": text.sha256, "characters": [0, train_end]},
            "valid": {"files": valid_text.names, "sha256": valid_text.sha256, "characters": [valid_start, valid_end]},
            "train_tokens": len(train_corpus.ids),
            "train_unknown": train_corpus.num_unknown,
            "vocabulary": self.tokenizer_.vocab_size,
        }
        return train_corpus, valid_corpus

    def _learn_tokenizer(self, chunks: Iterable[str]) -> Tokenizer:
        if self.level == "char":
            return CharacterTokenizer.train(chunks)
        if self.level == "word":
            min_count = 2 if self.min_count is None else self.min_count
            return WordTokenizer.train(chunks, max_vocab=self.vocab_size or 10_000, min_count=min_count)
        return BytePairTokenizer.train(chunks, vocab_size=self.vocab_size or 4096)

    def _take_vectors(self, path: Path) -> None:
        from elman.data.vectors import read_vectors

        tokens = self.tokenizer_.tokens(range(self.tokenizer_.vocab_size))
        rows, matrix = read_vectors(path, tokens)
        width = self.network_.embedding.embedding_dim
        if matrix.shape[1] != width:
            raise UsageError(
                f"{path}: vectors of {matrix.shape[1]} numbers, but embedding_size is {width}; "
                f"set --embedding-size {matrix.shape[1]}"
            )
        found = {number: rows.get(token, rows.get(token.lower())) for number, token in enumerate(tokens)}
        known = {number: row for number, row in found.items() if row is not None}
        with torch.no_grad():
            self.network_.embedding.weight[list(known)] = torch.from_numpy(matrix[list(known.values())])
        self.data_["vectors"] = {"file": str(path), "found": len(known), "of": len(tokens)}

    def _build(self) -> LanguageNetwork:
        return LanguageNetwork(self, self.tokenizer_.vocab_size)

    def _final_metrics(self) -> dict[str, float | int]:
        return self._judge(self._valid)

    def _final_seconds(self) -> float:
        began = time.perf_counter()
        with torch.random.fork_rng():  # a random first state must not be drawn from the training's numbers
            batch, _ = next(self._losses(self._valid, num_streams=1))
        return (time.perf_counter() - began) * self._valid.num_targets / batch.num_targets

    def _texts(self) -> dict[str, str]:
        return {"tokenizer.json": self.tokenizer_.to_json()}

    def _restore_texts(self, texts: dict[str, str]) -> None:
        self.tokenizer_ = Tokenizer.from_json(texts["tokenizer.json"])

    # Judging.

    def evaluate(self, X: Source) -> dict[str, float | int]:  # noqa: N803
        """Judge the model on a text: every token but the first is predicted, the state carried all through it.

        Args:
            X: the text; a ``Path`` names a file, a ``str`` is text. In line mode each line stands alone and its
                ``</s>`` is predicted too.

        Returns:
            ``nats_per_token``, ``bits_per_token``, ``bits_per_character``, ``perplexity``, ``tokens``, ``characters``
            and ``unknown``, see :func:`~elman.training.metrics.language_metrics`.

        Raises:
            DataError: the text cannot be read or has fewer than two tokens.
        """
        self._check_fitted()
        text = Text(_listed(X), self.encoding)
        corpus = build_corpus(text, self.tokenizer_, 0, None, lines=self.lines)
        if corpus.num_targets < 1:
            found = f"{len(corpus.ids)} token{'s' if len(corpus.ids) != 1 else ''}"
            raise DataError(f"{', '.join(text.names)}: {found}, and evaluation needs 2{text.hint}")
        return self._judge(corpus)

    def score(self, X: Source, y: Any = None) -> float:  # noqa: N803
        """Return minus the nats per token: higher is better, as scikit-learn wants it."""
        return -self.evaluate(X)["nats_per_token"]

    def predict(self, X: Source) -> Iterator[tuple[str, float | None]]:  # noqa: N803
        """Yield every token of a text with its surprisal in nats, ``-log p(token | all before it)``.

        The first token of a stream has none (None). In line mode each line ends with ``</s>``.
        """
        self._check_fitted()
        text = Text(_listed(X), self.encoding)
        corpus = build_corpus(text, self.tokenizer_, 0, None, lines=self.lines)
        if not len(corpus.ids):
            raise DataError(f"{', '.join(text.names)}: holds no token, only blanks{text.hint}")
        if not self.lines:
            yield self.tokenizer_.tokens(corpus.ids[:1])[0], None
        for batch, losses in self._losses(corpus, num_streams=1):
            mask = batch.targets != IGNORED
            tokens = self.tokenizer_.tokens(batch.targets[mask].tolist())
            yield from zip(tokens, losses[mask].tolist(), strict=True)

    def annotate(
        self, lines: Lines, problems: Problems, input_format: str | None = None, output_format: str | None = None
    ) -> Iterator[str]:
        """Write every token of a text and its surprisal, tab-separated, under a line of titles; see :meth:`predict`.

        Raises:
            UsageError: another format is asked for.
        """
        if input_format not in (None, "text") or output_format not in (None, "text"):
            raise UsageError("a language model reads text and writes tokens and surprisals; leave the formats out")
        X = lines.source if isinstance(lines.source, Path | str) else "".join(f"{line}\n" for line in lines)  # noqa: N806
        for index, (token, surprisal) in enumerate(self.predict(X)):
            if index == 0:
                yield "token\tsurprisal\n"
            written = token.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
            yield f"{written}\t{'NA' if surprisal is None else f'{surprisal:.6f}'}\n"

    def _judge(self, corpus: Corpus, num_streams: int = 1) -> dict[str, float | int]:
        nats, unknown = 0.0, 0
        for batch, losses in self._losses(corpus, num_streams):
            nats += losses.double().sum().item()
            unknown += int((batch.targets == self.tokenizer_.unknown_id).sum())
        return language_metrics(nats, corpus.num_targets, self.num_predicted_characters(corpus), unknown)

    def num_predicted_characters(self, corpus: Corpus) -> int:
        """Count the characters that the predicted tokens stand for: all but those of a stream's first token."""
        if self.lines:
            return corpus.num_characters
        first = 1 if self.level == "char" else len(self.tokenizer_.decode(corpus.ids[:1]))  # <unk> is one character
        return corpus.num_characters - first

    def _losses(self, corpus: Corpus, num_streams: int) -> Iterator[tuple[Batch, Tensor]]:
        """Yield each batch of a text, in order, with the nats (B, T) of its targets (zero at padding)."""
        network = self.network_.eval()
        device = next(network.parameters()).device
        state = None
        for batch in _in_order(corpus, self.lines, num_streams):
            with torch.inference_mode():
                moved = batch.to(device)
                logits, state = network(moved.inputs, None if batch.first else state, moved.lengths)  # (B, T, V)
                losses = nn.functional.cross_entropy(
                    logits.flatten(0, 1).float(), moved.targets.flatten(), ignore_index=IGNORED, reduction="none"
                )
            yield batch, losses.view_as(moved.targets).cpu()

    # Reading and writing.

    def read(self, text: str | Path, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """Read a text into the state; reading it in two pieces is the same as reading it at once.

        Args:
            text: a ``str`` is text, a ``Path`` names a file; at least one token.
            state: what an earlier ``read`` returned; the beginning where not given. In line mode the beginning reads
                ``<s>`` first.

        Returns:
            The logits (T, V), row t for the token that follows token t, and the state after the last token:
            ``(num_layers, 1, hidden_size)``, a pair of them for LSTM.
        """
        self._check_fitted()
        pieces = []
        for logits, state in self._read(self._content(text), state):  # noqa: B007, B020 (the last state is wanted)
            pieces.append(logits)
        assert state is not None
        return torch.cat(pieces), state

    def _content(self, text: str | Path) -> str:
        """Return a text, or a file's content, with newlines as training reads them."""
        return "".join(Text(text, self.encoding).chunks()) if text != "" else ""

    def _read(self, content: str, state: RecurrentState | None) -> Iterator[tuple[Tensor, RecurrentState]]:
        """Read a text piece by piece; yield the logits (T, V) of each and the state after it."""
        ids = torch.from_numpy(self.tokenizer_.encode(content).astype("int64"))
        if state is None and self.lines:
            ids = torch.cat([torch.tensor([self.tokenizer_.begin_id]), ids])
        if len(ids) == 0:
            raise UsageError("there is nothing to read: the text has no token")
        network = self.network_.eval()
        for start in range(0, len(ids), 4096):
            piece = ids[None, start : start + 4096].to(next(network.parameters()).device)
            with torch.inference_mode():
                logits, state = network(piece, state)  # (1, T, V)
            yield logits[0], state

    def generate(
        self,
        prompt: str | Path = "",
        *,
        max_tokens: int = 400,
        temperature: float = Sampling.temperature,
        top_k: int = Sampling.top_k,
        top_p: float = Sampling.top_p,
        repetition_penalty: float = Sampling.repetition_penalty,
        greedy: bool = Sampling.greedy,
        num_samples: int = 1,
        seed: int | None = None,
        stop: Sequence[str] = (),
        state: RecurrentState | None = None,
        return_state: bool = False,
    ) -> Any:
        """Write on from a prompt.

        Args:
            prompt: read into the state first, however long; a ``Path`` names a file. Empty: the text goes on from
                ``state``, or begins as the training text's lines do.
            max_tokens: how many tokens to write at most; in line mode ``</s>`` ends the text earlier.
            temperature: see :class:`~elman.decoding.sampling.Sampling`, as the four after it.
            top_k: draw among the k likeliest tokens only.
            top_p: draw among the fewest tokens that reach this probability.
            repetition_penalty: make tokens already seen less likely.
            greedy: take the likeliest token every time.
            num_samples: how many texts to write.
            seed: the same seed gives the same texts; another each time where not given.
            stop: texts that end the writing; they are not part of the result.
            state: what ``read`` or an earlier ``generate`` returned.
            return_state: hand back the state after the last token written, too.

        Returns:
            The text without the prompt; a list of them where ``num_samples`` is above 1; with ``return_state`` a pair
            of that and the state.

        Raises:
            UsageError: an argument is outside its limits.
        """
        sampling = Sampling(
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            greedy=greedy,
        )
        writing = self._write(prompt, sampling, max_tokens, num_samples, seed, stop, state)
        texts = [""] * num_samples
        for pieces, state in writing:  # noqa: B007 (the last state is wanted)
            texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
        result = texts[0] if num_samples == 1 else texts
        return (result, state) if return_state else result

    def stream(
        self,
        prompt: str | Path = "",
        *,
        sampling: Sampling | None = None,
        max_tokens: int = 400,
        seed: int | None = None,
        stop: Sequence[str] = (),
        state: RecurrentState | None = None,
    ) -> Iterator[str]:
        """Write on from a prompt, handing out each piece of text as soon as it is certain; see :meth:`generate`."""
        for pieces, _ in self._write(prompt, sampling or Sampling(), max_tokens, 1, seed, stop, state):
            if pieces[0]:
                yield pieces[0]

    def _write(
        self,
        prompt: str | Path,
        sampling: Sampling,
        max_tokens: int,
        num_samples: int,
        seed: int | None,
        stop: Sequence[str],
        state: RecurrentState | None,
    ) -> Iterator[tuple[list[str], RecurrentState]]:
        """Yield the new text of every sample after each token, and the state that has read it."""
        self._check_fitted()
        sampling.check()
        prompt = self._content(prompt)
        positive("max_tokens", max_tokens, or_zero=True)
        positive("num_samples", num_samples)
        first_seed = torch.Generator().seed() % 2**31 if seed is None else seed  # the caller's generator stays as it is
        with torch.random.fork_rng(enabled=self.initial_state == "random"):
            if self.initial_state == "random":
                torch.manual_seed(first_seed)
            logits, state = self._primed(prompt, state)
        state = _expanded(state, num_samples)
        logits = logits.expand(num_samples, -1)
        seen = None
        if sampling.repetition_penalty != 1:
            seen = torch.zeros_like(logits, dtype=torch.bool, device="cpu")
            if prompt:
                seen[:, self.tokenizer_.encode(prompt).astype("int64")] = True
        generators = [torch.Generator().manual_seed(first_seed + index) for index in range(num_samples)]

        decoders = [self.tokenizer_.stream_decoder() for _ in range(num_samples)]
        if prompt and not prompt[-1].isspace():
            for decoder in decoders:
                decoder.push(int(self.tokenizer_.encode(prompt)[-1]))  # whether a space is due before the next word
        buffers = [StopBuffer(stop) for _ in range(num_samples)]
        ended = [False] * num_samples
        for ids, state_after in self._sampled(logits, state, sampling, generators, max_tokens, seen):
            pieces = [""] * num_samples
            for count, column in enumerate(ids.T.tolist(), start=1):
                for index, token_id in enumerate(column):
                    ended[index] = ended[index] or token_id == self.tokenizer_.end_id
                    pieces[index] += "" if ended[index] else buffers[index].push(decoders[index].push(token_id))
                    ended[index] = ended[index] or buffers[index].stopped
                if all(ended) and count < ids.shape[1]:
                    state_after = self._after(ids[:, :count], state)  # what was written beyond is not read
                if all(ended):
                    break
            state = state_after
            yield pieces, state
            if all(ended):
                break
        yield (
            [
                buffer.push(decoder.finish()) + buffer.finish()
                for buffer, decoder in zip(buffers, decoders, strict=True)
            ],
            state,
        )

    def _sampled(
        self,
        logits: Tensor,
        state: RecurrentState,
        sampling: Sampling,
        generators: Sequence[torch.Generator],
        max_tokens: int,
        seen: Tensor | None,
    ) -> Iterator[tuple[Tensor, RecurrentState]]:
        """Yield stretches of ids (N, T), and the state that has read them."""
        logits = self._writable(logits.cpu())
        if self.network_.is_fused:
            write = self.network_.writer(self._writable).write
            parts = tuple(part.clone() for part in (state if isinstance(state, tuple) else (state,)))
            logits, length = logits.contiguous(), 1
            while max_tokens > 0:
                length = min(length, max_tokens)
                draws = [torch.rand(length, generator=generator, dtype=torch.float64) for generator in generators]
                ids = write(logits, parts, torch.stack(draws), seen, **asdict(sampling))
                after = tuple(part.clone() for part in parts)
                yield ids, (after[0], after[1]) if len(after) == 2 else after[0]
                max_tokens, length = max_tokens - length, min(2 * length, LONGEST_STRETCH)
            return

        device = next(self.network_.parameters()).device

        def read(ids: Tensor) -> Tensor:
            nonlocal state
            with torch.inference_mode():
                logits, state = self.network_(ids[:, None].to(device), state)  # (N, 1, V)
            return self._writable(logits[:, 0].cpu())

        options: dict[str, Any] = {"sampling": sampling, "generators": generators, "max_tokens": max_tokens}
        for ids in sample(logits, read, seen=seen, **options):
            yield ids[:, None], state

    def _after(self, ids: Tensor, state: RecurrentState) -> RecurrentState:
        """Read ids (N, T) from a state; return the state after them."""
        with torch.inference_mode():
            after: RecurrentState
            _, after = self.network_.eval()(ids.to(next(self.network_.parameters()).device), state)
        return after

    def _primed(self, prompt: str, state: RecurrentState | None) -> tuple[Tensor, RecurrentState]:
        """Read the prompt; return the logits (1, V) for what follows it, and the state."""
        if prompt == "" and state is not None:
            with torch.inference_mode():
                return self.network_.eval().next_logits(state), state
        if prompt == "" and not self.lines:
            prompt = "\n"  # a text without a beginning begins as a line does
        for logits, state in self._read(prompt, state):  # noqa: B007, B020 (only the end is wanted)
            last = logits[-1:]
        assert state is not None
        return last, state

    def _writable(self, logits: Tensor) -> Tensor:
        """Forbid what is no text: ``<unk>`` and ``<s>``, and ``</s>`` where lines do not end."""
        forbidden = [self.tokenizer_.unknown_id, self.tokenizer_.begin_id]
        if not self.lines:
            forbidden.append(self.tokenizer_.end_id)
        logits = logits.clone()
        logits[:, forbidden] = -torch.inf
        return logits


class LanguageNetwork(nn.Module):
    """Embedding, recurrent layers, head: ids (B, T) to logits (B, T, V).

    In the lecture's names W = ``rnn.weight_ih_l0``, U = ``rnn.weight_hh_l0`` and V = ``head.weight``.
    """

    def __init__(self, settings: LanguageModel, vocab_size: int) -> None:
        super().__init__()
        embedding_size = settings.embedding_size or (64 if settings.level == "char" else 128)
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        if settings.tie_weights:
            nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)  # V's scale, so that logits begin small
        self.dropout = LockedDropout(0.1 if settings.dropout is None else settings.dropout)
        sizes: dict[str, Any] = {
            "input_size": embedding_size,
            "hidden_size": int(settings.hidden_size),  # it may be NumPy's, from a search over settings
            "num_layers": int(settings.num_layers),
        }
        self.rnn: RNN | GRU | LSTM | Window
        if settings.cell == "window":
            self.rnn = Window(**sizes, window=settings.window)
        else:
            options = {"batch_first": True, "initial_state": settings.initial_state, "backend": settings.backend}
            recurrent: Any = {"rnn": RNN, "gru": GRU, "lstm": LSTM}[settings.cell]
            self.rnn = recurrent(**sizes, **options)
        if isinstance(self.rnn, LSTM) and settings.forget_bias:
            with torch.no_grad():
                for name, bias in self.rnn.named_parameters():
                    if name.startswith("bias_ih"):
                        bias[settings.hidden_size : 2 * settings.hidden_size] += settings.forget_bias  # rows i, f, g, o
        self.head = SoftmaxHead(settings.hidden_size, vocab_size, self.embedding if settings.tie_weights else None)

    def forward(
        self, inputs: Tensor, state: RecurrentState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Read ids (B, T) from a state; return the logits (B, T, V) and the state after each row's last id."""
        embedded = self.embedding(inputs)  # (B, T, E)
        hidden, state = self.rnn(embedded, state, lengths=lengths)  # (B, T, H)
        logits: Tensor = self.head(self.dropout(hidden))  # (B, T, V)
        return logits, state

    def set_dropout(self, share: float) -> None:
        """Drop this share of the hidden values, between layers and before the head, while training."""
        self.dropout.p = share
        self.rnn.dropout = share if self.rnn.num_layers > 1 else 0.0

    @property
    def is_fused(self) -> bool:
        """Whether Elman's kernels can write with this network."""
        weight = self.head.weight
        can = not isinstance(self.rnn, Window) and weight.device.type == "cpu" and weight.dtype == torch.float32
        return can and self.rnn.backend in ("auto", "fused")

    def writer(self, writable: Callable[[Tensor], Tensor]) -> Writer:
        """Pack the weights for writing; ``writable`` forbids tokens by their logits (1, V)."""
        assert not isinstance(self.rnn, Window)
        head_bias = writable(self.head.bias.detach()[None])[0]
        return Writer(self.rnn.mode, self.embedding.weight, self.rnn.all_weights, self.head.matrix, head_bias)

    def next_logits(self, state: RecurrentState) -> Tensor:
        """Return the logits (B, V) for the token after what the state has read."""
        if isinstance(state, tuple):
            state = state[0]
        top = self.rnn.hidden(state) if isinstance(self.rnn, Window) else state[-1]  # (B, H)
        logits: Tensor = self.head(top)
        return logits


class _Task:
    """The language model as the training loop sees it."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.network: nn.Module = model.network_

    def objective(self, metrics: dict[str, Any]) -> tuple[float, ...]:
        return (metrics["nats_per_token"],)

    def plan(self, passes: float) -> None:
        share = self._model.dropout
        if share is None:
            share = min(max(0.1 * math.log2(passes), 0.0), 0.5)
        self._model.network_.set_dropout(share)

    def training_step(self, batch: Batch, carry: Any) -> tuple[Tensor, int, Any]:
        logits, state = self.network(batch.inputs, carry, batch.lengths)  # (B, T, V)
        targets = batch.targets.numel() if batch.lengths is None else int(batch.lengths.sum())
        return cross_entropy_sum(logits, batch.targets), targets, None if self._model.lines else _detached(state)

    def validate(self) -> dict[str, float | int]:
        return self._model._judge(self._model._valid, VALIDATION_STREAMS)

    def sample(self) -> str:
        return str(self._model.generate(max_tokens=120 if self._model.level == "char" else 30, seed=0))


def _in_order(corpus: Corpus, lines: bool, num_streams: int) -> Iterator[Batch]:
    if lines:
        return line_chunks(corpus, 4096)
    return stream_chunks(corpus, num_streams=num_streams, chunk_length=max(4096 // num_streams, 128))


def _listed(source: Any) -> Source:
    """Accept what scikit-learn hands over: an array of texts."""
    if isinstance(source, str | Path):
        return source
    if isinstance(source, bytes):
        raise UsageError("the text is bytes; decode it first, or pass the pathlib.Path of its file")
    return [item if isinstance(item, Path) else str(item) for item in source]


def _detached(state: RecurrentState) -> RecurrentState:
    return (state[0].detach(), state[1].detach()) if isinstance(state, tuple) else state.detach()


def _expanded(state: RecurrentState, batch_size: int) -> RecurrentState:
    """Repeat a state of one stream for a batch of them."""
    found = (state[0] if isinstance(state, tuple) else state).shape[1]
    if found not in (1, batch_size):
        raise UsageError(f"the state is of {found} streams, but num_samples is {batch_size}; take one, or as many")
    if isinstance(state, tuple):
        return state[0].expand(-1, batch_size, -1).contiguous(), state[1].expand(-1, batch_size, -1).contiguous()
    return state.expand(-1, batch_size, -1).contiguous()
