"""The base of the language model and the composer: a network that predicts the next token of a sequence.

Corpus ──StreamBatches | LineBatches──▶ Batch(inputs (B,T), lengths, targets) ──LanguageNetwork──▶ hidden (B,T,H), state
    ──head──┬── loss_sum(hidden, targets) ──▶ nats per token
            └── logits (B,T,V) ──decoding.streams.Writing──▶ ids
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.counting.copies import count_copied, count_duplicates
from elman.counting.ngrams import NgramModel
from elman.data.batching import Batch, LineBatches, StreamBatches, line_chunks, stream_chunks
from elman.data.corpus import Corpus
from elman.decoding.streams import Compiled, Stepwise, StreamNetwork
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.endings import affordable_seconds
from elman.families.unrolled import Stack, Unrolled, check_no_targets, choose_evenly, require_recurrent, shift
from elman.kernels.generate import Writer
from elman.metrics.likelihood import language_metrics
from elman.nn.cells import CELLS
from elman.nn.dropout import LockedDropout
from elman.nn.outputs.heads import SoftmaxHead
from elman.nn.stack import Recurrent
from elman.nn.state import State
from elman.nn.window import Window
from elman.settings.next_token import NextTokenSettings
from elman.training.clock import predict_seconds
from elman.training.schedule import check_positive

TOKENS_PER_SECOND = 600_000  # that the n-grams count
COPIED_TOKENS = 50  # a run of so many held-out tokens that is also in the training data is a duplicate
VALIDATION_STREAMS = 32  # parallel streams of a validation during training; the final one uses a single stream


@dataclass(kw_only=True, eq=False)
class NextTokenModel(NextTokenSettings, Model):
    """A model that predicts the next token of a sequence and can thus generate sequences."""

    def check(self) -> None:
        """Raise UsageError if a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("hidden_size", "num_layers", "window", "batch_size", "bptt_length"):
            check_positive(name, getattr(self, name))
        if self.embedding_size is not None:
            check_positive("embedding_size", self.embedding_size)
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; it must be at least 0 and below 1")
        if not math.isfinite(self.forget_bias):
            raise UsageError(f"forget_bias is {self.forget_bias}; it must be a finite number")
        if self.forget_bias and not self._has_forget_gate:
            known = [cell.layer.__name__ for cell in CELLS.values() if "forget" in cell.gates]
            raise UsageError(
                f"forget_bias is {self.forget_bias}, but only an {' or '.join(known)} has forget gates; "
                f'cell is "{self.cell}"'
            )
        if self.cell not in CELLS and self.backend != "auto":
            raise UsageError(f'backend is "{self.backend}", but cell is "{self.cell}", which has no recurrent layer')

    @property
    def _has_forget_gate(self) -> bool:
        return self.cell in CELLS and "forget" in CELLS[self.cell].gates

    # What each task implements.

    @property
    @abstractmethod
    def _vocab_size(self) -> int:
        """The size of the vocabulary."""

    @property
    @abstractmethod
    def _default_embedding_size(self) -> int:
        """The length of a token's vector, unless a setting gives it."""

    @property
    @abstractmethod
    def _independent(self) -> bool:
        """Whether the sequences of a corpus are independent, not parts of one stream."""

    @abstractmethod
    def _evaluate(self, corpus: Corpus, num_streams: int = 1) -> dict[str, float | int]:
        """Evaluate the network on a corpus."""

    @abstractmethod
    def _sample(self) -> str:
        """Generate a sample to show during training."""

    @abstractmethod
    def _read_ids(self, X: Any, most: int | None) -> Iterator[NDArray[np.int64]]:  # noqa: N803
        """Yield the ids of each sequence, with its begin and end tokens if any; it may stop after ``most`` ids."""

    @property
    @abstractmethod
    def _token_names(self) -> Sequence[str]:
        """The names of all tokens, by id."""

    # Looking inside.

    def unroll(self, X: Any, y: Any = None, *, steps: int | None = None) -> Iterator[Unrolled]:  # noqa: N803
        """Unroll the network over each sequence; see :meth:`elman.families.base.Model.unroll`."""
        self._check_fitted()
        check_no_targets(y, self)
        return self._unroll_ids(self._read_ids(X, None if steps is None else steps + 2), steps)

    def _unroll_held_out(self, number: int, steps: int) -> Iterator[Unrolled]:
        def read(sequence: int) -> NDArray[Any]:
            start, stop = map(int, self._valid.offsets[sequence : sequence + 2])
            return self._valid.ids[start : min(stop, start + steps + 2)]

        return self._unroll_ids(map(read, choose_evenly(self._valid.num_sequences, number)), steps)

    def _unroll_ids(self, sequences: Iterable[NDArray[Any]], steps: int | None) -> Iterator[Unrolled]:
        network, names = self.network_.eval(), self._token_names
        layer, device = require_recurrent(network.rnn, self), network.head.weight.device

        def run(inputs: Tensor) -> tuple[Tensor, None]:
            return network.read_vectors(inputs)[0], None

        for found in sequences:
            ids = torch.from_numpy(found.astype(np.int64))
            inputs, targets = shift(ids, self._independent)
            is_cut = steps is not None and len(inputs) > steps
            inputs, targets = inputs[:steps], targets[:steps]
            tokens = [names[number] for number in inputs.tolist()]
            yield Unrolled(
                stacks={"rnn": Stack(layer=layer, tokens=tokens, is_aligned=True)},
                inputs=network.embedding(inputs.to(device)).detach(),
                run=run,
                run_from=lambda inputs, state: network.read_vectors(inputs, state)[0],
                names=names,
                targets=targets,
                is_cut=is_cut,
            )

    # Training and evaluating on ids.

    def _batches(self, corpus: Corpus, valid: Corpus, max_length: int = 4096) -> LineBatches | StreamBatches:
        """Return the training batches; keep the validation corpus, which must have at least one target."""
        batches: LineBatches | StreamBatches
        if self._independent:
            batches = LineBatches(corpus, self.batch_size * self.bptt_length, self.seed, max_length)
            length = corpus.num_targets // corpus.num_sequences
            size = max(self.batch_size * self.bptt_length // max(length, 1), 1)
            self._summary = f"{corpus.num_sequences:,} sequences of about {length:,} tokens: batches of {size:,}"
        else:
            batches = StreamBatches(corpus, self.batch_size, self.bptt_length, self.seed)
            size = batches.batch_size
            self._summary = f"{corpus.num_tokens:,} tokens: {size:,} streams in chunks of {self.bptt_length:,}"
        self._train, self._valid = corpus, valid
        if valid.num_targets < 1:
            raise DataError(
                f"the validation data has {len(valid.ids)} tokens and needs at least 2; "
                "raise `valid_fraction` or give other data as `valid`"
            )
        return batches

    def _build(self) -> LanguageNetwork:
        names = ("cell", "window", "tie_weights", "initial_state", "forget_bias", "backend")
        return LanguageNetwork(
            self._vocab_size,
            embedding_size=self.embedding_size or self._default_embedding_size,
            hidden_size=int(self.hidden_size),  # a search over settings may give a NumPy integer
            num_layers=int(self.num_layers),
            dropout=0.1 if self.dropout is None else self.dropout,
            **{name: getattr(self, name) for name in names},
        )

    def _evaluate_baselines(self, seconds: float) -> Iterator[tuple[str, dict[str, float | int]]]:
        limit, valid = int(TOKENS_PER_SECOND * seconds), self._valid
        if valid.num_tokens > limit:
            return
        ids, offsets = _take_last(self._train, limit)
        for name, order in (("unigrams", 1), ("5-grams", 5)):
            ngrams = NgramModel(order=order).fit(ids, offsets, self._vocab_size)
            log_probs = ngrams.log_probs(np.asarray(valid.ids[:]), np.asarray(valid.offsets[:]))
            figures = language_metrics(-float(log_probs.sum()), valid.num_targets, 0, 0)
            yield name, {self.compared[0]: figures["nats_per_token"], "perplexity": figures["perplexity"]}

    def _count_duplicates(self) -> tuple[int, int]:
        limit = int(TOKENS_PER_SECOND * affordable_seconds(self))
        ids, offsets = _take_last(self._train, limit)
        valid, borders = np.asarray(self._valid.ids[:]), np.asarray(self._valid.offsets[:])
        if len(valid) > limit:
            return 0, 0
        if self._independent:
            held_out = [one.tobytes() for one in np.split(valid, borders[1:-1])]
            return count_duplicates((one.tobytes() for one in np.split(ids, offsets[1:-1])), held_out), len(held_out)
        return count_copied(ids, valid, COPIED_TOKENS), len(valid)

    @property
    def held_out_noun(self) -> str:
        """What duplicates are counted in: independent sequences, or tokens of one stream."""
        return "sequences" if self._independent else f"tokens, in runs of {COPIED_TOKENS} or more,"

    def _final_metrics(self) -> dict[str, float | int]:
        return self._evaluate(self._valid)

    def _final_seconds(self) -> float:
        def evaluate_batch(size: int) -> float:  # always one batch, whatever the size
            batch, _ = next(self._losses(self._valid, num_streams=1))
            return batch.num_targets / self._valid.num_targets

        return predict_seconds(evaluate_batch, 1)

    def _losses(self, corpus: Corpus, num_streams: int) -> Iterator[tuple[Batch, Tensor]]:
        """Yield each batch of a corpus, in order, with the losses (B, T) of its targets in nats, zero at padding."""
        state = None
        for batch in _iterate_batches(corpus, self._independent, num_streams):
            losses, state = self._nats(batch, None if batch.first else state)
            yield batch, losses

    def _nats(self, batch: Batch, state: State | None) -> tuple[Tensor, State]:
        """Return the losses (B, T) of the targets of a batch in nats, zero at padding, and the state after it."""
        network = self.network_.eval()
        with torch.inference_mode():
            moved = batch.to(next(network.parameters()).device)
            hidden, state = network.read(moved.inputs, state, moved.lengths)  # (B, T, H)
            losses = network.head.losses(hidden, moved.targets)
        assert state is not None
        return losses.cpu(), state


class LanguageNetwork(nn.Module):
    """An embedding, recurrent layers and an output layer, from ids (B, T) to logits (B, T, V).

    In the equations W is ``rnn.weight_ih_l0``, U is ``rnn.weight_hh_l0`` and V is ``head.weight``. The arguments are
    the settings of :class:`NextTokenModel`.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        cell: str,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        window: int = 5,
        dropout: float = 0.0,
        tie_weights: bool = False,
        initial_state: str = "zeros",
        forget_bias: float = 0.0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        if tie_weights:
            nn.init.normal_(
                self.embedding.weight, std=embedding_size**-0.5
            )  # the scale of V, so that the first logits are small
        self.dropout = LockedDropout(dropout)
        sizes: dict[str, Any] = {"input_size": embedding_size, "hidden_size": hidden_size, "num_layers": num_layers}
        self.rnn: Recurrent | Window
        if cell in CELLS:
            options: dict[str, Any] = {"initial_state": initial_state, "backend": backend}
            recurrent: Recurrent = CELLS[cell].layer(**sizes, batch_first=True, **options)
            if forget_bias:
                recurrent.shift_gate("forget", forget_bias)
            self.rnn = recurrent
        else:
            self.rnn = Window(**sizes, window=window)
        self.head = SoftmaxHead(hidden_size, vocab_size, self.embedding if tie_weights else None)

    def forward(self, inputs: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Return the logits (B, T, V) of ids (B, T), read from a state, and the state after the last id of each row."""
        return self.read_vectors(self.embedding(inputs), state, lengths)

    def read_vectors(self, embedded: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Do as :meth:`forward` for ids given as vectors (B, T, E)."""
        hidden, after = self._run(embedded, state, lengths)
        logits: Tensor = self.head(hidden)  # (B, T, V)
        return logits, after

    def read(self, inputs: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Return the inputs (B, T, H) of the output layer in place of its logits; otherwise as :meth:`forward`."""
        return self._run(self.embedding(inputs), state, lengths)

    def _run(self, embedded: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, State]:
        hidden, after = self.rnn.run(embedded, state, lengths)
        return self.dropout(hidden), after

    def set_dropout(self, share: float) -> None:
        """Set the share of hidden values, between layers and before the output layer, that training drops."""
        self.dropout.p = share
        self.rnn.dropout = share if self.rnn.num_layers > 1 else 0.0

    @property
    def is_fused(self) -> bool:
        """Whether the compiled kernels can generate with this network."""
        weight = self.head.weight
        can = isinstance(self.rnn, Recurrent) and self.rnn.cell.kernels is not None and not self.rnn.interventions
        can = can and weight.device.type == "cpu" and weight.dtype == torch.float32
        return can and self.rnn.backend in ("auto", "fused")

    def writing(self) -> StreamNetwork[State]:
        """Return a generator with the current weights: compiled kernels if they support this network, else torch."""
        if not self.is_fused:
            return Stepwise(self.next_logits, self._read, State.select_rows)
        rnn: Any = self.rnn
        with torch.autocast("cpu", enabled=False):  # it would compute the products in half precision
            matrix = self.head.matrix
        return Compiled(Writer(rnn.cell.kernels, self.embedding.weight, rnn.all_weights, matrix, self.head.bias))

    def _read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one token per stream (N,); return the logits (N, V) of the next token, and the new state."""
        logits, after = self(ids[:, None].to(self.head.weight.device), state)  # (N, 1, V)
        return logits[:, 0], after

    def next_logits(self, state: State) -> Tensor:
        """Return the logits (B, V) of the token that follows a state.

        Raises:
            UsageError: the state does not fit this network.
        """
        logits: Tensor = self.head(self.rnn.newest(self.rnn.check_state(state)))  # of (B, H)
        return logits


def _take_last(corpus: Corpus, limit: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the ids and the offsets of the last sequences of a corpus, with at most ``limit`` ids."""
    if corpus.num_sequences == 1:
        ids = np.asarray(corpus.ids[-limit:])
        return ids, np.array([0, len(ids)])
    offsets = np.asarray(corpus.offsets[:])
    offsets = offsets[np.searchsorted(offsets, offsets[-1] - limit) :]
    return np.asarray(corpus.ids[int(offsets[0]) :]), offsets - offsets[0]


class NextTokenTask:
    """Train a next-token model: the task that the training loop runs."""

    def __init__(self, model: NextTokenModel) -> None:
        self._model = model
        self.network: Any = model.network_

    def objective(self, metrics: dict[str, Any]) -> tuple[float, ...]:
        """Return the figures to minimize, the most important first."""
        return tuple(figure for name, figure in metrics.items() if name.startswith("nats_per_"))

    def plan(self, passes: float) -> None:
        """Set the dropout for this number of passes over the data, unless a setting gives it."""
        share = self._model.dropout
        if share is None:
            share = min(max(0.1 * math.log2(passes), 0.0), 0.5)
        self._model.network_.set_dropout(share)

    def training_step(self, batch: Batch, carry: Any) -> tuple[Tensor, int, Any]:
        """Return the summed loss in nats, the number of targets, and the state for the next chunk."""
        hidden, state = self.network.read(batch.inputs, carry, batch.lengths)  # (B, T, H)
        loss_sum = self.network.head.loss_sum(hidden, batch.targets)
        targets = batch.targets.numel() if batch.lengths is None else int(batch.lengths.sum())
        return loss_sum, targets, None if self._model._independent else state.detach()

    def validate(self) -> dict[str, float | int]:
        """Return the validation figures."""
        return self._model._evaluate(self._model._valid, VALIDATION_STREAMS)

    def sample(self) -> str:
        """Return a sample of the current network."""
        return self._model._sample()


def _iterate_batches(corpus: Corpus, independent: bool, num_streams: int) -> Iterator[Batch]:
    if independent:
        return line_chunks(corpus, 4096)
    return stream_chunks(corpus, num_streams=num_streams, chunk_length=max(4096 // num_streams, 128))
