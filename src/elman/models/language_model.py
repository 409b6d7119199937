"""The language model: many-to-many, shifted by one. It predicts the next token of a text and generates text.

text ──Text.chunks, tokenizer.encode──▶ ids ──StreamBatches | LineBatches──▶ Batch(inputs (B,T), lengths, targets)
     ──embedding──▶ (B,T,E) ──rnn (x, state)──▶ hidden (B,T,H), state
          ──head──┬── loss_sum(hidden, targets) ──▶ nats per token
                  └── logits (B,T,V) ──decoding.streams.Writing──▶ ids ──tokenizer.decode──▶ text
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.corpus import Corpus, build_corpus, count_predicted_characters
from elman.data.records import Passage, Surprisals
from elman.data.text import Source, Text, read_text
from elman.data.tokens.levels import learn_tokenizer
from elman.data.tokens.tokenizer import Tokenizer
from elman.data.values.texts import take_sources
from elman.decoding.options import Sampling
from elman.draws import drawing
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.next_token import NextTokenModel, NextTokenTask
from elman.families.saved.folder import Texts
from elman.families.surprisals import line_surprisals, stream_surprisals
from elman.families.unrolled import check_any_known
from elman.families.writing import Completion, Request, TextWriting
from elman.metrics.likelihood import language_metrics
from elman.nn.inputs.words import load_embedding
from elman.nn.state import PublicState, State
from elman.settings.next_token import LanguageModelSettings
from elman.training.schedule import check_positive, check_whole
from elman.training.task import Batches


@dataclass(kw_only=True, eq=False)
class LanguageModel(LanguageModelSettings, NextTokenModel):
    r"""A recurrent language model over characters, words, tokens between white space, or byte-level BPE tokens.

    It learns from plain text to predict each token from all tokens before it, and generates text token by token.
    In line mode (``lines=True``) each line is an independent sequence between ``<s>`` and ``</s>``; otherwise the
    text is one stream.

    Attributes:
        network_: the trained :class:`~elman.families.next_token.LanguageNetwork`.
        tokenizer_: the tokenizer learned from the training text.
        metrics_: figures of the training and of the validation data.
        history_: one dictionary of figures for each validation.
        data_: the names, hashes and sizes of the data.

    Example:
        >>> text = "the quick brown fox jumps over the lazy dog\n" * 40
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit(text)
        >>> len(lm.generate("the ", max_tokens=5, seed=1))
        5
    """

    answer_batch_size: ClassVar[int] = 1
    compared: ClassVar[tuple[str, ...]] = ("nats_per_token",)

    # Training.

    def check(self) -> None:
        """Raise UsageError if a setting is outside its limits or a name is unknown."""
        super().check()
        check_positive("valid_characters", self.valid_characters)
        for name in ("vocab_size", "min_count"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if self.vectors is not None and self.level not in ("word", "space"):
            raise UsageError(
                f'`level` is "{self.level}", but `vectors` are for words; set `level` word or leave out `vectors`'
            )

    def _prepare(
        self,
        X: Source,  # noqa: N803
        y: Any,
        valid: Source | None,
        previous: Model | None,
    ) -> tuple[NextTokenTask, Batches]:
        train_corpus, valid_corpus = self.read_corpora(X, valid, previous)
        try:
            batches = self._batches(train_corpus, valid_corpus)
        except DataError as error:
            raise DataError(f"{', '.join(self.data_['train']['files'])}: {error}") from error
        self.network_ = self._build()
        if self.vectors is not None:
            tokens = self.tokenizer_.tokens(range(self._vocab_size))
            found = load_embedding(self.network_.embedding, self.vectors, tokens)
            self.data_["vectors"] = {"file": str(self.vectors), "found": found, "of": len(tokens)}
        return NextTokenTask(self), batches

    def read_corpora(
        self,
        X: Source,  # noqa: N803
        valid: Source | None = None,
        previous: Model | None = None,
    ) -> tuple[Corpus, Corpus]:
        """Read the text, learn the tokenizer from its training part, and encode both parts.

        Args:
            X: the text; a ``Path`` names a file, a ``str`` is text, and a list of either is read as one text.
            valid: the text to validate on; by default the last ``valid_fraction`` of X is held out.
            previous: a model whose tokenizer to reuse instead of learning one.

        Returns:
            The training corpus and the validation corpus; the latter is cut off after ``valid_characters``.

        Raises:
            DataError: a text cannot be read or is too short to split.
        """
        text = Text(take_sources(X), self.encoding)
        valid_text = text if valid is None else Text(take_sources(valid, "valid"), self.encoding)
        train_end = text.split(self.valid_fraction, by_line=self.lines) if valid is None else text.num_characters
        if isinstance(previous, LanguageModel):
            self.tokenizer_: Tokenizer = previous.tokenizer_
        else:
            self.tokenizer_ = self._learn_tokenizer(text.chunks(0, train_end, keep_lines=self.lines))
        train_corpus = build_corpus(text, self.tokenizer_, 0, train_end, lines=self.lines)
        valid_start = train_end if valid is None else 0
        unused = 1 - (valid_start + self.valid_characters) / valid_text.num_characters
        valid_end = valid_text.split(max(unused, 0.0), by_line=self.lines)
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
        return learn_tokenizer(self.level, chunks, self.vocab_size, self.min_count)

    @property
    def _vocab_size(self) -> int:
        return self.tokenizer_.vocab_size

    @property
    def _default_embedding_size(self) -> int:
        return 64 if self.level == "char" else 128

    @property
    def _independent(self) -> bool:
        return self.lines

    @property
    def _forbidden(self) -> list[int]:
        """The tokens that are never generated: ``<unk>``, ``<s>`` and, outside line mode, ``</s>``."""
        forbidden = [self.tokenizer_.unknown_id, self.tokenizer_.begin_id]
        return forbidden if self.lines else [*forbidden, self.tokenizer_.end_id]

    def _sample(self) -> str:
        return str(self.generate(max_tokens=120 if self.level == "char" else 30, seed=0))

    def _texts(self) -> dict[str, str]:
        return {"tokenizer.json": self.tokenizer_.to_json()}

    def _restore_texts(self, texts: Texts) -> None:
        self.tokenizer_ = Tokenizer.from_json(texts["tokenizer.json"], self.level)

    # Evaluating.

    def evaluate(self, X: Source) -> dict[str, float | int]:  # noqa: N803
        """Evaluate the model on a text: predict every token but the first, carrying the state through the whole text.

        Args:
            X: the text; a ``Path`` names a file, a ``str`` is text, and a list of either is read as one text. In line
                mode each line is evaluated independently and its ``</s>`` is predicted too.

        Returns:
            ``nats_per_token``, ``bits_per_token``, ``bits_per_character``, ``perplexity``, ``perplexity_per_word``,
            ``tokens`` (the number predicted), ``words`` (between white space, with line ends), ``characters`` and
            ``unknown`` (predicted tokens that are ``<unk>``); see
            :func:`~elman.metrics.likelihood.language_metrics`.

        Raises:
            UsageError: the model is not fitted, or X is not text.
            DataError: the text cannot be read or has fewer than two tokens.
        """
        self._check_fitted()
        text = Text(take_sources(X), self.encoding)
        corpus = build_corpus(text, self.tokenizer_, 0, None, lines=self.lines)
        if corpus.num_targets < 1:
            found = f"{len(corpus.ids)} token{'s' if len(corpus.ids) != 1 else ''}"
            raise DataError(f"{', '.join(text.names)}: {found}, and evaluation needs 2{text.hint}")
        return self._evaluate(corpus)

    def score(self, X: Source, y: Any = None) -> float:  # noqa: N803
        """Return the negative of nats per token, so that higher is better, as scikit-learn expects; ignore ``y``."""
        return -self.evaluate(X)["nats_per_token"]

    def predict(self, X: Source) -> Iterator[tuple[str, float | None]]:  # noqa: N803
        """Yield each token of a text with its surprisal, ``-log p(token | all tokens before it)``, in nats.

        Args:
            X: the text, as for :meth:`evaluate`.

        Yields:
            Pairs of a token and its surprisal. The first token of a stream has no surprisal (None). In line mode every
            token has one, and each line ends with ``</s>``.

        Raises:
            UsageError: the model is not fitted, or X is not text.
            DataError: the text is missing, cannot be read, or has no tokens; outside line mode, if it has only one.
        """
        self._check_fitted()
        text = Text(take_sources(X), self.encoding)
        passages = (Passage(chunk, more=True) for chunk in text.chunks(keep_lines=self.lines))
        found = chain.from_iterable(zip(one.tokens, one.nats, strict=True) for one in self._surprisals(passages))
        first = next(found, None)
        if first is None:
            raise DataError(f"{', '.join(text.names)}: contains no tokens, only white space{text.hint}")
        return chain([first], found)

    def answer(self, batches: Iterable[Iterable[Passage]]) -> Iterator[Surprisals]:
        """Yield the surprisal of every token of a text as the text arrives; see :meth:`predict`.

        Args:
            batches: pieces of the text, cut between tokens. Many tokens are read at once while more are available.

        Yields:
            Records of consecutive tokens and their surprisals in nats.

        Raises:
            UsageError: the model is not fitted.
            DataError: the text has no tokens; outside line mode, if it has only one.
        """
        self._check_fitted()
        record = None
        for record in self._surprisals(chain.from_iterable(batches)):
            yield record
        if record is None:
            raise DataError("the text contains no tokens, only white space")

    def _surprisals(self, passages: Iterable[Passage]) -> Iterator[Surprisals]:
        read = line_surprisals if self.lines else stream_surprisals
        for ids, nats in read(passages, self.tokenizer_, self._nats):
            yield Surprisals(self.tokenizer_.tokens(ids), nats)

    def _evaluate(self, corpus: Corpus, num_streams: int = 1) -> dict[str, float | int]:
        nats, unknown = 0.0, 0
        for batch, losses in self._losses(corpus, num_streams):
            nats += losses.double().sum().item()
            unknown += int((batch.targets == self.tokenizer_.unknown_id).sum())
        characters = count_predicted_characters(corpus, self.tokenizer_, self.lines)
        return language_metrics(nats, corpus.num_targets, characters, unknown, corpus.num_words)

    # Looking inside.

    @property
    def _token_names(self) -> list[str]:
        return self.tokenizer_.tokens(range(self._vocab_size))

    def _read_ids(self, X: Source, most: int | None) -> Iterator[NDArray[np.int64]]:  # noqa: N803
        text = Text(take_sources(X), self.encoding)
        held = np.zeros(0, np.int64)  # the ids of a stream so far
        for chunk in text.chunks(keep_lines=self.lines):
            if self.lines:
                ids, lengths = self.tokenizer_.encode_lines(chunk.removesuffix("\n"))
                begin, end = [self.tokenizer_.begin_id], [self.tokenizer_.end_id]
                for line in np.split(ids, np.cumsum(lengths)[:-1]):
                    if len(line):
                        check_any_known(line, self.tokenizer_.unknown_id)
                        yield np.concatenate((begin, line, end))
                continue
            held = np.concatenate((held, self.tokenizer_.encode(chunk)))
            if most is not None and len(held) >= most:
                break
        if not self.lines:
            if not len(held):
                raise DataError(f"{', '.join(text.names)}: contains no tokens, only white space{text.hint}")
            check_any_known(held, self.tokenizer_.unknown_id)
            yield held[:most]

    # Reading and generating.

    def read(self, text: str | Path, state: State | PublicState | None = None) -> tuple[Tensor, PublicState]:
        r"""Read a text and return the logits and the final state; reading in pieces equals reading at once.

        Args:
            text: a ``str`` is text, a ``Path`` names a file; it must have at least one token.
            state: the state to start from, as returned by an earlier ``read`` or ``generate``, or a
                :class:`~elman.nn.state.State` made from such states; it is never modified. By default the network
                starts from its initial state and, in line mode, reads ``<s>`` first.

        Returns:
            The logits (T, V), where row t predicts the token after token t, and the state after the last token:
            a tensor (num_layers, 1, hidden_size), or a pair of them for an LSTM.

        Raises:
            UsageError: the model is not fitted, the text has no tokens, or the state has the wrong type, shape or
                dtype for this network.

        Example:
            >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit("to be or not\n" * 80)
            >>> logits, state = lm.read("to be")
            >>> logits.shape[0], state[0].shape
            (5, torch.Size([1, 1, 16]))
        """
        self._check_fitted()
        pieces, states = zip(*self._read(read_text(text, self.encoding), state), strict=True)
        return torch.cat(pieces), states[-1].public()

    def _read(self, content: str, state: State | PublicState | None) -> Iterator[tuple[Tensor, State]]:
        """Read a text in chunks; yield the logits (T, V) of each chunk and the state after it."""
        ids = torch.from_numpy(self.tokenizer_.encode(content).astype("int64"))
        if state is None and self.lines:
            ids = torch.cat([torch.tensor([self.tokenizer_.begin_id]), ids])
        if len(ids) == 0:
            raise UsageError("the text has no tokens to read")
        network = self.network_.eval()
        for start in range(0, len(ids), 4096):
            piece = ids[None, start : start + 4096].to(next(network.parameters()).device)
            with torch.inference_mode():
                logits, after = network(piece, state)  # (1, T, V)
            state = after
            yield logits[0], after

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
        state: State | PublicState | None = None,
        return_state: bool = False,
    ) -> Any:
        """Generate text that continues a prompt.

        Args:
            prompt: text to continue, of any length; a ``Path`` names a file. If empty, generation continues from
                ``state`` or, without one, starts at the beginning of a line.
            max_tokens: maximum number of tokens to generate; in line mode ``</s>`` ends the text earlier.
            temperature: divides the logits; below 1 the text is more predictable, above 1 more varied. See
                :class:`~elman.decoding.options.Sampling` for this and the next four options.
            top_k: sample only from the k most likely tokens; 0 for all.
            top_p: sample only from the smallest set of tokens whose probabilities add up to this.
            repetition_penalty: make tokens that already occurred less likely; 1 for no penalty.
            greedy: always take the most likely token.
            num_samples: number of texts to generate.
            seed: the same seed gives the same texts; by default every call gives different ones.
            stop: a string, or several, that ends the text; it is not part of the result.
            state: a state returned by ``read`` or an earlier ``generate``; it is never modified.
            return_state: also return the state after the last generated token.

        Returns:
            The text without the prompt, or a list of texts if ``num_samples`` is above 1. With ``return_state``, a
            pair of that and the state.

        Raises:
            UsageError: the model is not fitted, an argument is outside its limits, or the state does not fit this
                network.
        """
        check_whole(num_samples=num_samples)
        check_positive("num_samples", num_samples)
        choice: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "greedy": greedy}
        sampling = Sampling(**choice, repetition_penalty=repetition_penalty)
        request = Request(prompt=prompt, sampling=sampling, max_tokens=max_tokens, seed=seed, stop=stop, state=state)
        texts = self._start([request], num_samples)
        written = texts.finish()
        result = written[0] if num_samples == 1 else written
        return (result, State.join(texts.states(), partial(torch.cat, dim=1)).public()) if return_state else result

    def generate_many(self, requests: Sequence[Request]) -> list[Completion]:
        r"""Generate several texts in one batch, each with its own prompt, sampling options, seed and stop strings.

        Each text is the one that its request gives alone.

        Args:
            requests: the texts to generate.

        Returns:
            For each request, in order, its text, the state after it, and the position at which to continue drawing.

        Raises:
            UsageError: the model is not fitted, a value is outside its limits, or a state does not fit this network.

        Example:
            >>> text = "to be or not to be\n" * 80
            >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit(text)
            >>> hot = Request(prompt="to ", sampling=Sampling(temperature=2.0), seed=1, max_tokens=9)
            >>> first, second = lm.generate_many([hot, Request(prompt="or", seed=2, stop=["t"])])
            >>> first.text == lm.generate("to ", temperature=2.0, seed=1, max_tokens=9)
            True
        """
        if not requests:
            return []
        texts = self._start(requests)
        written = texts.finish()
        states = (state.public() for state in texts.states())
        return [Completion(*parts) for parts in zip(written, states, texts.positions(), strict=True)]

    def stream(
        self,
        prompt: str | Path = "",
        *,
        sampling: Sampling | None = None,
        max_tokens: int = 400,
        seed: int | None = None,
        stop: Sequence[str] = (),
        state: State | PublicState | None = None,
    ) -> Iterator[str]:
        r"""Generate text that continues a prompt, and yield each piece as soon as it is final.

        Args:
            prompt: as for :meth:`generate`, like the arguments below.
            sampling: how to draw tokens.
            max_tokens: maximum number of tokens to generate.
            seed: the same seed gives the same text.
            stop: a string, or several, that ends the text.
            state: the state to continue from.

        Yields:
            Pieces that add up to the text that :meth:`generate` returns. A piece is held back while it may be the
            start of a stop string or of a character of several bytes.

        Raises:
            UsageError: as for :meth:`generate`.

        Example:
            >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit("to be or not\n" * 80)
            >>> "".join(lm.stream("to ", max_tokens=9, seed=1)) == lm.generate("to ", max_tokens=9, seed=1)
            True
        """
        options: dict[str, Any] = {"max_tokens": max_tokens, "seed": seed, "stop": stop, "state": state}
        request = Request(prompt=prompt, sampling=sampling or Sampling(), **options)
        for (piece,) in self._start([request]):
            if piece:
                yield piece

    def _start(self, requests: Sequence[Request], num_samples: int = 1) -> TextWriting:
        """Read the prompt of each request and return the texts to generate: ``num_samples`` of each."""
        self._check_fitted()
        samples, states = [], []
        for unresolved in requests:
            content, request = read_text(unresolved.prompt, self.encoding), unresolved.resolve()
            seed = request.seed or 0
            with drawing(seed):  # a random initial state
                state = self._read_prompt(content, request.state).expand(num_samples)
            states.append(state)
            samples += [replace(request, prompt=content, seed=seed + index) for index in range(num_samples)]
        return TextWriting(self.network_.eval().writing(), states, samples, self.tokenizer_, self._forbidden)

    def _read_prompt(self, prompt: str, start: State | PublicState | None) -> State:
        """Read a prompt from a state; return the state after it."""
        if prompt == "" and start is not None:
            state: State = self.network_.rnn.check_state(start)
            return state
        if prompt == "" and not self.lines:
            prompt = "\n"  # without a prompt, start at the beginning of a line
        *_, (_, after) = self._read(prompt, start)
        return after
