"""What the translator and the captioner share: a decoder that writes about what an encoder has read.

inputs ──Network.read──▶ DecoderState ─┬─ Network.forward, told the targets ──▶ logits ──cross entropy──▶ nats per token
                                       └─ Network.step, beam_search ──▶ ids ──Tokenizer.decode──▶ text
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.batching import IGNORED
from elman.data.examples import Examples
from elman.data.tokens.levels import learn_tokenizer
from elman.data.tokens.targets import Targets
from elman.data.tokens.tokenizer import Tokenizer
from elman.decoding.beam import Hypothesis, beam_search
from elman.decoding.drawing import draw_sequences
from elman.decoding.options import Search
from elman.errors import UsageError
from elman.families.base import Model
from elman.families.reports import Report
from elman.families.saved.folder import Texts
from elman.families.supervised import Supervised
from elman.families.unrolled import Stack, Unrolled
from elman.metrics.likelihood import language_metrics
from elman.nn.decoder import DecoderState
from elman.settings.encoder_decoder import EncoderDecoderSettings
from elman.training.clock import predict_seconds
from elman.training.schedule import check_positive
from elman.training.task import Batches

logger = logging.getLogger(__name__)

JUDGED = 500  # held-out examples that fit writes about at its end; evaluate judges all that it is given
SENTENCES = 64  # that are written about together
ENDS = {"begin_id": Tokenizer.begin_id, "end_id": Tokenizer.end_id}


@dataclass(kw_only=True, eq=False)
class EncoderDecoderModel(EncoderDecoderSettings, Supervised, Model):
    """A model that writes a text about each input: the settings of its decoder, and how it searches."""

    def check(self) -> None:
        """Raise UsageError where a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("hidden_size", "num_layers", "embedding_size", "vocab_size", "min_count", "max_length"):
            check_positive(name, getattr(self, name))
        check_positive("batch_tokens", self.batch_tokens)
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it is a share: at least 0 and below 1")
        self.search.check()

    @property
    def _sizes(self) -> dict[str, Any]:
        """What the decoder and the layers around it are made of."""
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
        return {name: getattr(self, name) for name in (*names, "backend")}

    @property
    def search(self) -> Search:
        """How the model writes where a call does not say it."""
        return Search(
            beam_size=self.beam_size,
            length_penalty=self.length_penalty,
            n_best=self.n_best,
            temperature=self.temperature,
        )

    def _strata(self, examples: Examples) -> Sequence[Hashable]:
        return [0] * len(examples.inputs)

    # Learning.

    def _prepare(self, X: Any, y: Any, valid: Any, previous: Model | None) -> tuple[EncoderDecoderTask, Batches]:  # noqa: N803
        train, held_out = self.read(X, y, valid=valid)
        if isinstance(previous, type(self)):
            self._restore_texts(Texts(previous._texts()))
        else:
            self._learn_texts(train)
        batches = self._batches(train)
        for setting, number in batches.num_cut.items():
            if number:
                logger.warning(
                    "%s of %s examples have a text of more than %s %d tokens: only its beginning counts; raise `%s`",
                    *(f"{number:,}", f"{len(train.inputs):,}", setting, getattr(self, setting)),
                    setting,
                )
        self._valid_batches = self._batches(held_out)
        self.network_ = self._build()
        return EncoderDecoderTask(self), batches

    @abstractmethod
    def _learn_texts(self, train: Examples) -> None:
        """Learn what the network reads and writes with, before it is built."""

    @abstractmethod
    def _batches(self, examples: Examples) -> TargetBatches:
        """Put examples into batches."""

    # The texts that are written.

    def _learn_tokenizer(self, texts: Sequence[str]) -> Tokenizer:
        """Learn what texts are written with."""
        return learn_tokenizer(self.level, texts, self.vocab_size, self.min_count)

    @abstractmethod
    def _encode_inputs(self, inputs: Sequence[Any]) -> DecoderState:
        """Let the network read some inputs, of about equal length."""

    @abstractmethod
    def _lengths(self, inputs: Sequence[Any]) -> NDArray[np.int64]:
        """Return how long each input is (N,), so that those of about equal length go together."""

    @property
    @abstractmethod
    def _writes_unknown(self) -> bool:
        """Whether <unk> may be written, since something takes its place afterwards."""

    def _generate(
        self, inputs: Sequence[Any], first: int = 0, max_length: int | None = None, search: Search | None = None
    ) -> Iterator[list[Hypothesis]]:
        """Write about each input: yield the ``n_best`` token sequences, the best first, in the inputs' order.

        Args:
            inputs: what to write about.
            first: the number of the first one, from which what is drawn about it depends.
            max_length: the most tokens to write; as the setting says where not given.
            search: how to write; as the settings say where not given.
        """
        max_length, search = max_length or self.max_length, search or self.search
        results: list[list[Hypothesis]] = [[] for _ in inputs]
        order = np.argsort(self._lengths(inputs), kind="stable").tolist()
        together = max(SENTENCES * 5 // max(search.beam_size, search.n_best, 5), 1)  # a large beam takes their memory
        for start in range(0, len(order), together):
            rows = order[start : start + together]
            with torch.inference_mode():
                state = self._encode_inputs([inputs[row] for row in rows])
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
        """Read one token a row (R,); return the logits (R, V) of what may follow, and the state after it."""
        logits, state = self.network_.step(ids.to(self.network_.head.weight.device), state)
        logits[:, Tokenizer.begin_id] = -torch.inf
        if not self._writes_unknown:
            logits[:, Tokenizer.unknown_id] = -torch.inf
        return logits, state

    # Looking inside.

    @property
    @abstractmethod
    def _target_tokenizer(self) -> Tokenizer:
        """What texts are written with."""

    @abstractmethod
    def _take_inputs(self, X: Any) -> Sequence[Any]:  # noqa: N803
        """Take what is to be written about, as ``predict`` does."""

    @abstractmethod
    def _take_answers(self, y: Any, number: int) -> Sequence[str]:
        """Take the text that is to be written about each of so many inputs."""

    @abstractmethod
    def _lay_out(self, item: Any) -> Layout:
        """Lay out what comes before the decoder, for one input."""

    def unroll(self, X: Any, y: Any = None, *, steps: int | None = None) -> Iterator[Unrolled]:  # noqa: N803
        """Lay the network out over each input; see :meth:`elman.families.base.Model.unroll`."""
        self._check_fitted()
        items, tokenizer = self._take_inputs(X), self._target_tokenizer
        answers = None if y is None else self._take_answers(y, len(items))
        network, names = self.network_.eval(), tokenizer.tokens(range(tokenizer.vocab_size))
        for row, item in enumerate(items):
            if answers is not None:
                pair = Targets([answers[row]], tokenizer, self.max_length).gather(np.array([0]))
                read, targets = (part[0] for part in pair)
            else:
                ids = list(next(self._generate([item]))[0].ids)
                ends = [tokenizer.end_id] * (len(ids) < self.max_length)
                whole = torch.tensor([tokenizer.begin_id, *ids, *ends])
                read, targets = whole[:-1], whole[1:]
            layout = self._lay_out(item)
            with torch.no_grad():
                embedded = network.embedding(read.to(network.head.weight.device))  # (T, E)

            def run(rows: Tensor, layout: Layout = layout, embedded: Tensor = embedded) -> tuple[Tensor, Tensor | None]:
                state = layout.start(rows)
                outputs, _, weights = network.decoder(embedded.expand(len(rows), -1, -1), state)
                return network.head(outputs), weights

            decoder = Stack(
                layer=network.decoder.rnn, tokens=[names[number] for number in read.tolist()], is_aligned=True
            )
            yield Unrolled(
                stacks={**layout.stacks, "decoder": decoder},
                inputs=layout.inputs,
                run=run,
                names=names,
                targets=targets,
                places=layout.places,
            )

    # Judging.

    def _final_metrics(self) -> dict[str, float | int]:
        number = len(self._valid.inputs)
        self._report = self._compare_texts(self._valid.select(range(min(JUDGED, number))))
        self._report.metrics.update(self._evaluate_likelihood(self._valid_batches), examples=number)
        if number > JUDGED:
            self._report.metrics["written_examples"] = JUDGED
        return self._report.metrics

    def _final_seconds(self) -> float:
        number = len(self._valid.inputs)

        def tell(size: int) -> float:
            some = self._valid.select(range(min(size, number)))
            self._evaluate_likelihood(self._batches(some))
            return len(some.inputs) / number

        def write(size: int) -> float:
            some = self._valid.select(range(min(size, number)))
            longest = int(self._batches(some).targets.lengths.max())
            list(self._generate(some.inputs, max_length=longest))  # once it has learned, it writes no more than that
            return len(some.inputs) / min(JUDGED, number)

        return predict_seconds(tell, SENTENCES) + predict_seconds(write, SENTENCES)

    def report(self, X: Any, y: Any = None, *, search: Search | None = None) -> Report:  # noqa: N803
        """Evaluate the model as ``evaluate`` does; ``search`` says how it writes, as the settings do elsewhere."""
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
        """Write about each example's input and compare that with the true texts."""

    @abstractmethod
    def _sample(self, examples: Examples) -> str:
        """Write about the first example, to be shown while training."""

    def _evaluate_likelihood(self, batches: TargetBatches) -> dict[str, float | int]:
        """Judge how likely the true texts are, each token's predecessors told."""
        network = self.network_.eval()
        device = next(network.parameters()).device
        nats, tokens = 0.0, 0
        for step in range(len(batches)):
            batch = batches.batch(step)
            with torch.inference_mode():
                logits = network(batch.to(device)).float()  # (N, V)
            wanted = batch.targets[batch.targets != IGNORED].to(device)
            nats += float(nn.functional.cross_entropy(logits, wanted, reduction="sum"))
            tokens += len(wanted)
        figures = language_metrics(nats, tokens, 0, batches.targets.num_unknown)
        told = {name: figures[name] for name in ("nats_per_token", "perplexity", "tokens", "unknown")}
        return {**told, "cut": sum(batches.num_cut.values())}


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """What comes before a decoder, for one input."""

    inputs: Tensor
    """What the network computes with."""
    start: Callable[[Tensor], DecoderState]
    """Takes R such inputs; returns what the decoder begins from."""
    stacks: dict[str, Stack] = field(default_factory=dict)
    """The recurrent layers that read it, if any."""
    places: Sequence[str] = ()
    """What attention looks at, where no recurrent layers read it."""


class TargetBatches(Protocol):
    """Examples in batches: see :class:`elman.training.task.Batches`."""

    targets: Targets
    """What is to be written."""
    num_cut: dict[str, int]
    """How many texts are longer than a setting allows, by the setting."""

    def __len__(self) -> int:
        """Batches in one pass."""
        ...

    def batch(self, step: int) -> Any:
        """Return the batch of this step."""
        ...


class EncoderDecoderTask:
    """A model that writes, as the training loop sees it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.network: nn.Module = model.network_

    def objective(self, metrics: dict[str, Any]) -> tuple[float, ...]:
        """Say what is to become small."""
        return (metrics["nats_per_token"],)

    def plan(self, passes: float) -> None:
        """Nothing depends on the number of passes."""

    def training_step(self, batch: Any, carry: Any) -> tuple[Tensor, int, Any]:
        """Return the summed loss in nats, and the number of targets."""
        logits = self.network(batch).float()  # (N, V)
        targets = batch.targets[batch.targets != IGNORED]
        smoothing = self._model.label_smoothing
        losses = nn.functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)
        return losses, len(targets), None

    def validate(self) -> dict[str, float | int]:
        """Return the validation figures."""
        figures: dict[str, float | int] = self._model._evaluate_likelihood(self._model._valid_batches)
        return figures

    def sample(self) -> str:
        """Show what is written of the first validation example."""
        text: str = self._model._sample(self._model._valid)
        return text
