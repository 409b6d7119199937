"""The language model: many-to-many, shifted by one. It reads a text, says what comes next, and writes on.

text ──Text.chunks, tokenizer.encode──▶ ids ──StreamBatches | LineBatches──▶ Batch(inputs (B,T), lengths, targets)
     ──embedding──▶ (B,T,E) ──rnn (x, state)──▶ (B,T,H), state ──head──▶ logits (B,T,V)
          ──┬── cross_entropy_sum(logits, targets) ──▶ nats per token
            └── decoding.streams.Writing ──▶ ids ──tokenizer.decode──▶ text
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
    r"""A recurrent language model over characters, words or byte-level BPE.

    Example:
        >>> text = "the quick brown fox jumps over the lazy dog\n" * 40
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit(text)
        >>> len(lm.generate("the ", max_tokens=5, seed=1))
        5
    """

    answer_batch_size: ClassVar[int] = 1

    # Learning.

    def check(self) -> None:
        """Raise UsageError where a setting is outside its limits or a name is unknown."""
        super().check()
        check_positive("valid_characters", self.valid_characters)
        for name in ("vocab_size", "min_count"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if self.vectors is not None and self.level != "word":
            raise UsageError(f'vectors are of words, but level is "{self.level}"; set level "word" or leave them out')

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
        """Read the text, learn the vocabulary from its training part, and encode both parts.

        Args:
            X: the text.
            valid: the text to validate on; the last ``valid_fraction`` of X where not given.
            previous: a model whose vocabulary to take instead.

        Returns:
            The training and the validation corpus, the second cut off after ``valid_characters``.
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
        vocab_size = self.vocab_size or (10_000 if self.level == "word" else 4096)
        return learn_tokenizer(self.level, chunks, vocab_size, 2 if self.min_count is None else self.min_count)

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
        """Forbid what is no text: ``<unk>`` and ``<s>``, and ``</s>`` where lines do not end."""
        forbidden = [self.tokenizer_.unknown_id, self.tokenizer_.begin_id]
        return forbidden if self.lines else [*forbidden, self.tokenizer_.end_id]

    def _sample(self) -> str:
        return str(self.generate(max_tokens=120 if self.level == "char" else 30, seed=0))

    def _texts(self) -> dict[str, str]:
        return {"tokenizer.json": self.tokenizer_.to_json()}

    def _restore_texts(self, texts: Texts) -> None:
        self.tokenizer_ = Tokenizer.from_json(texts["tokenizer.json"], self.level)

    # Judging.

    def evaluate(self, X: Source) -> dict[str, float | int]:  # noqa: N803
        """Judge the model on a text: every token but the first is predicted, the state carried all through it.

        Args:
            X: the text; a ``Path`` names a file, a ``str`` is text. In line mode each line stands alone and its
                ``</s>`` is predicted too.

        Returns:
            ``nats_per_token``, ``bits_per_token``, ``bits_per_character``, ``perplexity``, ``tokens``, ``characters``
            and ``unknown``, see :func:`~elman.metrics.labels.language_metrics`.

        Raises:
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
        """Return minus the nats per token: higher is better, as scikit-learn wants it."""
        return -self.evaluate(X)["nats_per_token"]

    def predict(self, X: Source) -> Iterator[tuple[str, float | None]]:  # noqa: N803
        """Yield every token of a text with its surprisal in nats, ``-log p(token | all before it)``.

        The first token of a stream has none (None). In line mode each line ends with ``</s>``.

        Raises:
            UsageError: X is no text.
            DataError: a text is missing, cannot be read, or holds no token, or one alone that is not a line.
        """
        self._check_fitted()
        text = Text(take_sources(X), self.encoding)
        passages = (Passage(chunk, more=True) for chunk in text.chunks(keep_lines=self.lines))
        found = chain.from_iterable(zip(one.tokens, one.nats, strict=True) for one in self._surprisals(passages))
        first = next(found, None)
        if first is None:
            raise DataError(f"{', '.join(text.names)}: holds no token, only blanks{text.hint}")
        return chain([first], found)

    def answer(self, batches: Iterable[Iterable[Passage]]) -> Iterator[Surprisals]:
        """Say how surprising every token of a text is, as it comes; see :meth:`predict`.

        Args:
            batches: pieces of the text, cut where tokens end. Tokens are read many at a time while there are more.

        Raises:
            DataError: there is no token, or one alone that is not a line.
        """
        self._check_fitted()
        record = None
        for record in self._surprisals(chain.from_iterable(batches)):
            yield record
        if record is None:
            raise DataError("the text holds no token, only blanks")

    def _surprisals(self, passages: Iterable[Passage]) -> Iterator[Surprisals]:
        read = line_surprisals if self.lines else stream_surprisals
        for ids, nats in read(passages, self.tokenizer_, self._nats):
            yield Surprisals(self.tokenizer_.tokens(ids), nats)

    def _evaluate(self, corpus: Corpus, num_streams: int = 1) -> dict[str, float | int]:
        nats, unknown = 0.0, 0
        for batch, losses in self._losses(corpus, num_streams):
            nats += losses.double().sum().item()
            unknown += int((batch.targets == self.tokenizer_.unknown_id).sum())
        return language_metrics(
            nats, corpus.num_targets, count_predicted_characters(corpus, self.tokenizer_, self.lines), unknown
        )

    # Looking inside.

    @property
    def _token_names(self) -> list[str]:
        return self.tokenizer_.tokens(range(self._vocab_size))

    def _read_ids(self, X: Source, most: int | None) -> Iterator[NDArray[np.int64]]:  # noqa: N803
        text = Text(take_sources(X), self.encoding)
        held = np.zeros(0, np.int64)  # of a stream
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
                raise DataError(f"{', '.join(text.names)}: holds no token, only blanks{text.hint}")
            check_any_known(held, self.tokenizer_.unknown_id)
            yield held[:most]

    # Reading and writing.

    def read(self, text: str | Path, state: PublicState | None = None) -> tuple[Tensor, PublicState]:
        """Read a text into the state; reading it in two pieces is the same as reading it at once.

        Args:
            text: a ``str`` is text, a ``Path`` names a file; at least one token.
            state: what an earlier ``read`` returned, never changed in place; the beginning where not given. In line
                mode the beginning reads ``<s>`` first.

        Returns:
            The logits (T, V), row t for the token that follows token t, and the state after the last token:
            ``(num_layers, 1, hidden_size)``, a pair of them for LSTM.

        Raises:
            UsageError: the text has no token, or the state is that of another network: of another shape, type or dtype.
        """
        self._check_fitted()
        pieces, states = zip(*self._read(read_text(text, self.encoding), state), strict=True)
        return torch.cat(pieces), states[-1].public()

    def _read(self, content: str, state: State | PublicState | None) -> Iterator[tuple[Tensor, State]]:
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
        state: PublicState | None = None,
        return_state: bool = False,
    ) -> Any:
        """Write on from a prompt.

        Args:
            prompt: read into the state first, however long; a ``Path`` names a file. Empty: the text goes on from
                ``state``, or begins as the training text's lines do.
            max_tokens: how many tokens to write at most; in line mode ``</s>`` ends the text earlier.
            temperature: see :class:`~elman.decoding.options.Sampling`, as the four after it.
            top_k: draw among the k likeliest tokens only.
            top_p: draw among the fewest tokens that reach this probability.
            repetition_penalty: make tokens already seen less likely.
            greedy: take the likeliest token every time.
            num_samples: how many texts to write.
            seed: the same seed gives the same texts; another each time where not given.
            stop: a text that ends the writing, or several; they are not part of the result.
            state: what ``read`` or an earlier ``generate`` returned; never changed in place.
            return_state: hand back the state after the last token written, too.

        Returns:
            The text without the prompt; a list of them where ``num_samples`` is above 1; with ``return_state`` a pair
            of that and the state.

        Raises:
            UsageError: an argument is outside its limits, or the state is that of another network.
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
        r"""Write several texts at once, each from its own prompt with options, a seed and an end of its own.

        Each is the text that would be written alone.

        Args:
            requests: what to write.

        Returns:
            For each request the text, the state after it, and the position from which its draws go on.

        Raises:
            UsageError: a value is outside its limits, or a state is that of another network.

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
        state: PublicState | None = None,
    ) -> Iterator[str]:
        """Write on from a prompt, handing out each piece of text as soon as it is certain; see :meth:`generate`."""
        options: dict[str, Any] = {"max_tokens": max_tokens, "seed": seed, "stop": stop, "state": state}
        request = Request(prompt=prompt, sampling=sampling or Sampling(), **options)
        for (piece,) in self._start([request]):
            if piece:
                yield piece

    def _start(self, requests: Sequence[Request], num_samples: int = 1) -> TextWriting:
        """Read what each request begins with; ``num_samples`` texts are to be written from each."""
        self._check_fitted()
        samples, states = [], []
        for given in requests:
            content, request = read_text(given.prompt, self.encoding), given.resolve()
            seed = request.seed or 0
            with drawing(seed):  # a random initial state
                state = self._read_prompt(content, request.state).expand(num_samples)
            states.append(state)
            samples += [replace(request, prompt=content, seed=seed + index) for index in range(num_samples)]
        return TextWriting(self.network_.eval().writing(), states, samples, self.tokenizer_, self._forbidden)

    def _read_prompt(self, prompt: str, given: PublicState | None) -> State:
        """Read the prompt; return the state after it."""
        if prompt == "" and given is not None:
            state: State = self.network_.rnn.check_state(given)
            return state
        if prompt == "" and not self.lines:
            prompt = "\n"  # a text without a beginning begins as a line does
        *_, (_, after) = self._read(prompt, given)
        return after
