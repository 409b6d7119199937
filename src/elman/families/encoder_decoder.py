"""The base of the translator and the captioner: an encoder that reads an input and a decoder that generates a text.

inputs ──Network.encode──▶ DecoderState ─┬─ Network.forward (teacher forcing) ──▶ logits ──cross entropy──▶ nats/token
                                         └─ Network.step, beam_search ──▶ ids ──Tokenizer.decode──▶ text
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import IGNORED, LengthBuckets
from elman.data.examples import Examples
from elman.data.tokens.levels import learn_tokenizer
from elman.data.tokens.targets import Targets
from elman.data.tokens.tokenizer import Tokenizer
from elman.decoding.beam import Hypothesis, beam_search
from elman.decoding.drawing import draw_sequences
from elman.decoding.options import Search
from elman.errors import UsageError
from elman.families.base import Model
from elman.families.plan import Traits, plan_vocabulary
from elman.families.reports import Report
from elman.families.saved.folder import Texts
from elman.families.supervised import Supervised
from elman.families.unrolled import Stack, Unrolled
from elman.metrics.likelihood import language_metrics
from elman.nn.decoder import DecoderState
from elman.nn.state import PublicState, State
from elman.settings.encoder_decoder import EncoderDecoderSettings
from elman.training.clock import predict_seconds
from elman.training.schedule import check_positive
from elman.training.task import Batches

logger = logging.getLogger(__name__)

MAX_FINAL = 500  # validation examples for which fit generates texts at its end; evaluate uses all examples
GENERATION_BATCH = 64  # inputs for which texts are generated together
ENDS = {"begin_id": Tokenizer.begin_id, "end_id": Tokenizer.end_id}


@dataclass(kw_only=True, eq=False)
class EncoderDecoderModel(EncoderDecoderSettings, Supervised, Model):
    """A model that generates a text for each input, by beam search or by sampling."""

    _noun: ClassVar[str]
    """What an input is, in the plural."""

    def check(self) -> None:
        """Raise UsageError if a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("hidden_size", "num_layers", "embedding_size", "min_count", "max_length"):
            check_positive(name, getattr(self, name))
        for name in ("vocab_size", "batch_tokens"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        self.search.check()

    @property
    def _sizes(self) -> dict[str, Any]:
        """The settings that the network is built from."""
        names = (
            "cell",
            "embedding_size",
            "hidden_size",
            "num_layers",
            "attention",
            "tie_weights",
            "dropout",
            "backend",
        )
        return {name: getattr(self, name) for name in names}

    @property
    def search(self) -> Search:
        """The options of the search, from the settings."""
        return Search(
            beam_size=self.beam_size,
            length_penalty=self.length_penalty,
            n_best=self.n_best,
            temperature=self.temperature,
        )

    def _strata(self, examples: Examples) -> Sequence[Hashable]:
        return [0] * len(examples.inputs)

    # Training.

    def _prepare(self, X: Any, y: Any, valid: Any, previous: Model | None) -> tuple[EncoderDecoderTask, Batches]:  # noqa: N803
        train, held_out = self.read(X, y, valid=valid)
        if isinstance(previous, type(self)):
            self._restore_texts(Texts(previous._texts()))
        else:
            self._learn_texts(train)
        batches = self._encode_examples(train)
        self._plan(Traits(self.task, batches.buckets.lengths, self._noun, vocabulary=self._vocabulary), previous)
        batches.buckets.group(self.setting("batch_tokens"))
        for setting, number in batches.num_cut.items():
            if number:
                logger.warning(
                    "%s of %s examples have a text longer than %s %d tokens: it is cut to that length; raise `%s`",
                    *(f"{number:,}", f"{len(train.inputs):,}", setting, getattr(self, setting)),
                    setting,
                )
        self._valid_batches = self._batches(held_out)
        self.network_ = self._build()
        return EncoderDecoderTask(self), batches

    @abstractmethod
    def _learn_texts(self, train: Examples) -> None:
        """Learn the tokenizers, and whatever else the network needs, before it is built."""

    @property
    @abstractmethod
    def _vocabulary(self) -> int:
        """The number of tokens in the larger vocabulary."""

    @abstractmethod
    def _encode_examples(self, examples: Examples) -> TargetBatches:
        """Return the examples as ids, not yet grouped into batches."""

    def _batches(self, examples: Examples) -> TargetBatches:
        """Return the examples in batches."""
        batches = self._encode_examples(examples)
        batches.buckets.group(self.setting("batch_tokens"))
        return batches

    # Generating.

    def _learn_tokenizer(self, texts: Sequence[str]) -> Tokenizer:
        """Learn a tokenizer from texts."""
        most = plan_vocabulary(self.level, texts) if self.vocab_size is None else self.vocab_size
        return learn_tokenizer(self.level, texts, most, self.min_count)

    @abstractmethod
    def _encode_inputs(self, inputs: Sequence[Any]) -> DecoderState:
        """Encode inputs of similar length; return the decoder's first state."""

    @abstractmethod
    def _lengths(self, inputs: Sequence[Any]) -> NDArray[np.int64]:
        """Return the length of each input (N,); inputs of similar length are encoded together."""

    @property
    @abstractmethod
    def _writes_unknown(self) -> bool:
        """Whether <unk> may be generated, because it is replaced afterwards."""

    def _encode_states(self, inputs: Sequence[Any], noun: str) -> State:
        """Encode each input alone; return the state that the decoder starts from, each part (num_layers, N, H).

        Raises:
            UsageError: there is no input.
        """
        if not inputs:
            raise UsageError(f"there are no {noun} to encode; give at least one")
        with torch.inference_mode():
            states = [self._encode_inputs([one]).hidden for one in inputs]
        return State.join(states, partial(torch.cat, dim=1))

    def _take_state(self, state: State | PublicState | None, number: int) -> State | None:
        """Check a state to start the decoder from; return a row for each of ``number`` inputs, or None."""
        return None if state is None else self.network_.decoder.rnn.check_state(state).expand(number)

    def _generate(
        self,
        inputs: Sequence[Any],
        first: int = 0,
        max_length: int | None = None,
        search: Search | None = None,
        hidden: State | None = None,
    ) -> Iterator[list[Hypothesis]]:
        """Yield for each input, in order, the ``n_best`` generated token sequences, best first.

        Args:
            inputs: the inputs.
            first: the number of the first input; samples depend on the seed and the number.
            max_length: the maximum number of tokens; the setting by default.
            search: the options of the search; the settings by default.
            hidden: the state that the decoder starts from, a row for each input; the encoder's by default.
        """
        max_length, search = max_length or self.max_length, search or self.search
        results: list[list[Hypothesis]] = [[] for _ in inputs]
        order = np.argsort(self._lengths(inputs), kind="stable").tolist()
        batch_size = max(
            GENERATION_BATCH * 5 // max(search.beam_size, search.n_best, 5), 1
        )  # a large beam needs memory
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            with torch.inference_mode():
                state = self._encode_inputs([inputs[row] for row in rows])
                if hidden is not None:
                    state = state._replace(hidden=hidden.select_rows(torch.tensor(rows)))
                if search.temperature == 0:
                    found = beam_search(
                        self._step,
                        state,
                        len(rows),
                        beam_size=search.beam_size,
                        max_length=max_length,
                        length_penalty=search.length_penalty,
                        **ENDS,
                    )
                else:
                    seed = self.seed if search.seed is None else search.seed
                    seeds = [(seed, first + row) for row in rows]
                    found = draw_sequences(self._step, state, seeds, search, max_length=max_length, **ENDS)
            for row, hypotheses in zip(rows, found, strict=True):
                results[row] = hypotheses[: search.n_best]
        yield from results

    def _step(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one token per row (R,); return the logits (R, V) of the next token, never ``<s>``, and the new state."""
        logits, state = self.network_.step(ids.to(self.network_.head.weight.device), state)
        logits[:, Tokenizer.begin_id] = -torch.inf
        if not self._writes_unknown:
            logits[:, Tokenizer.unknown_id] = -torch.inf
        return logits, state

    # Looking inside.

    @property
    @abstractmethod
    def _target_tokenizer(self) -> Tokenizer:
        """The tokenizer of the generated texts."""

    @abstractmethod
    def _take_inputs(self, X: Any) -> Sequence[Any]:  # noqa: N803
        """Take inputs as ``predict`` does."""

    @abstractmethod
    def _take_answers(self, y: Any, number: int) -> Sequence[str]:
        """Take the target text of each of ``number`` inputs."""

    @abstractmethod
    def _unroll_encoder(self, item: Any) -> UnrolledEncoder:
        """Return the encoder of the encoder for one input."""

    def generate_answers(self, X: Any) -> list[Hypothesis]:  # noqa: N803
        """Return the best generated token sequence for each input, as :meth:`unroll` takes it for y."""
        self._check_fitted()
        return [hypotheses[0] for hypotheses in self._generate(self._take_inputs(X))]

    def unroll(self, X: Any, y: Any = None, *, steps: int | None = None) -> Iterator[Unrolled]:  # noqa: N803
        """Unroll the network over each input; see :meth:`elman.families.base.Model.unroll`."""
        self._check_fitted()
        items, tokenizer = self._take_inputs(X), self._target_tokenizer
        is_generated = isinstance(y, list) and {*map(type, y)} == {Hypothesis}
        answers = y if y is None or is_generated else self._take_answers(y, len(items))
        network, names = self.network_.eval(), tokenizer.tokens(range(tokenizer.vocab_size))
        for row, item in enumerate(items):
            answer = next(self._generate([item]))[0] if answers is None else answers[row]
            read, targets = self._pair(answer)
            encoder = self._unroll_encoder(item)
            with torch.no_grad():
                embedded = network.embedding(read.to(network.head.weight.device))  # (T, E)

            def run(
                rows: Tensor, encoder: UnrolledEncoder = encoder, embedded: Tensor = embedded
            ) -> tuple[Tensor, Tensor | None]:
                state = encoder.start(rows)
                outputs, _, weights = network.decoder(embedded.expand(len(rows), -1, -1), state)
                return network.head(outputs), weights

            def run_steps(steps: Tensor, encoder: UnrolledEncoder = encoder, embedded: Tensor = embedded) -> Tensor:
                rows = torch.zeros(len(steps), dtype=torch.int64)
                state = encoder.start(encoder.inputs[None]).select(rows, rows)
                outputs, _, _ = network.decoder(embedded[steps], state)
                logits: Tensor = network.head(outputs)
                return logits

            decoder = Stack(
                layer=network.decoder.rnn, tokens=[names[number] for number in read.tolist()], is_aligned=True
            )
            yield Unrolled(
                stacks={**encoder.stacks, "decoder": decoder},
                inputs=encoder.inputs,
                run=run,
                run_steps=run_steps,
                names=names,
                targets=targets,
                places=encoder.places,
            )

    def _pair(self, answer: str | Hypothesis) -> tuple[Tensor, Tensor]:
        """Return the ids that the decoder reads and their targets, (T,) each, of a text or of generated tokens."""
        tokenizer = self._target_tokenizer
        if isinstance(answer, str):
            read, targets = Targets([answer], tokenizer, self.max_length).gather(np.array([0]))
            return read[0], targets[0]
        ends = [tokenizer.end_id] * (len(answer.ids) < self.max_length)
        whole = torch.tensor([tokenizer.begin_id, *answer.ids, *ends])
        return whole[:-1], whole[1:]

    # Evaluating.

    @property
    def _judged(self) -> Examples:
        """The validation examples for which ``fit`` generates texts at its end."""
        return self._valid.select(range(min(MAX_FINAL, len(self._valid.inputs))))

    def _generated(self) -> tuple[Sequence[str], Sequence[str]]:
        labels = [label if isinstance(label, list) else [label] for label in self._judged.labels]
        return self._report.written, [text for some in labels for text in some[:1]]

    def _final_metrics(self) -> dict[str, float | int]:
        number = len(self._valid.inputs)
        self._report = self._compare_texts(self._judged)
        self._report.metrics.update(self._evaluate_likelihood(self._valid_batches), examples=number)
        if number > MAX_FINAL:
            self._report.metrics["written_examples"] = MAX_FINAL
        return self._report.metrics

    def _final_seconds(self) -> float:
        number = len(self._valid.inputs)

        def evaluate_likelihood(size: int) -> float:
            some = self._valid.select(range(min(size, number)))
            self._evaluate_likelihood(self._batches(some))
            return len(some.inputs) / number

        def generate(size: int) -> float:
            some = self._valid.select(range(min(size, number)))
            longest = int(self._batches(some).targets.lengths.max())
            list(self._generate(some.inputs, max_length=longest))  # a trained model rarely generates longer texts
            return len(some.inputs) / min(MAX_FINAL, number)

        return predict_seconds(evaluate_likelihood, GENERATION_BATCH) + predict_seconds(generate, GENERATION_BATCH)

    def report(self, X: Any, y: Any = None, *, search: Search | None = None) -> Report:  # noqa: N803
        """Evaluate the model; return the figures, and the signatures that say how they were computed.

        Args:
            X: as for ``evaluate``.
            y: as for ``evaluate``.
            search: options of the beam search or the sampling; the model's settings by default.

        Raises:
            UsageError: the model is not fitted, or an argument is of the wrong type or outside its limits.
            DataError: the data cannot be read.
        """
        self._check_fitted()
        if search is not None:
            search.check()
        examples = self._read_test(X, y)
        report = self._evaluate(examples, search)
        report.metrics["left_out"] = examples.num_skipped
        return report

    def _evaluate(self, examples: Examples, search: Search | None = None) -> Report:
        report = self._compare_texts(examples, search)
        report.metrics.update(self._evaluate_likelihood(self._batches(examples)), examples=len(examples.inputs))
        return report

    @abstractmethod
    def _compare_texts(self, examples: Examples, search: Search | None = None) -> Report:
        """Generate a text for each input and compare it with the true texts."""

    @abstractmethod
    def _sample(self, examples: Examples) -> str:
        """Generate a text for the first example, to show during training."""

    def _evaluate_likelihood(self, batches: TargetBatches) -> dict[str, float | int]:
        """Evaluate the likelihood of the true texts, with teacher forcing."""
        network = self.network_.eval()
        device = next(network.parameters()).device
        nats, tokens = 0.0, 0
        for step in range(len(batches)):
            batch = batches.batch(step)
            with torch.inference_mode():
                hidden = network(batch.to(device))  # (N, H)
                targets = batch.targets[batch.targets != IGNORED].to(device)  # (N,)
                nats += network.head.losses(hidden, targets).double().sum().item()
            tokens += len(targets)
        figures = language_metrics(nats, tokens, 0, batches.targets.num_unknown)
        kept = {name: figures[name] for name in ("nats_per_token", "perplexity", "tokens", "unknown")}
        return {**kept, "cut": sum(batches.num_cut.values())}


@dataclass(frozen=True, kw_only=True, eq=False)
class UnrolledEncoder:
    """The part of the network before the decoder, for one input."""

    inputs: Tensor
    """The vectors that the network reads."""
    start: Callable[[Tensor], DecoderState]
    """Takes R such inputs and returns the decoder's first state."""
    stacks: dict[str, Stack] = field(default_factory=dict)
    """The recurrent layers that read the input, if any."""
    places: Sequence[str] = ()
    """The positions that attention covers, if no recurrent layers read the input."""


class TargetBatches(Protocol):
    """Examples with texts as targets, in batches; see :class:`elman.training.task.Batches`."""

    targets: Targets
    """The texts that the model learns to generate."""
    num_cut: dict[str, int]
    """How many texts are cut, by the name of the setting that limits their length."""
    buckets: LengthBuckets
    """Their grouping into batches."""

    def __len__(self) -> int:
        """Return the number of batches in one pass."""
        ...

    def batch(self, step: int) -> Any:
        """Return the batch of a step."""
        ...


class EncoderDecoderTask:
    """Train an encoder-decoder model: the task that the training loop runs."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.network: Any = model.network_

    def objective(self, metrics: dict[str, Any]) -> tuple[float, ...]:
        """Return the figures to minimize."""
        return (metrics["nats_per_token"],)

    def plan(self, passes: float) -> None:
        """Do nothing: no option depends on the number of passes."""

    def training_step(self, batch: Any, carry: Any) -> tuple[Tensor, int, Any]:
        """Return the summed loss in nats, the number of targets, and None: nothing is carried to the next step."""
        hidden = self.network(batch)  # (N, H)
        targets = batch.targets[batch.targets != IGNORED]
        return self.network.head.loss_sum(hidden, targets, self._model.label_smoothing), len(targets), None

    def validate(self) -> dict[str, float | int]:
        """Return the validation figures."""
        figures: dict[str, float | int] = self._model._evaluate_likelihood(self._model._valid_batches)
        return figures

    def sample(self) -> str:
        """Return the text generated for the first validation example."""
        text: str = self._model._sample(self._model._valid)
        return text
