"""The base of the models that read a whole sequence before they answer, in one or both directions.

items ──Inputs.batches──▶ SequenceBatch ──front──▶ (B, T, E) ──Encoder──▶ outputs (B, T, N), last (B, N)
when predicting:       ──Inputs.table, each distinct token encoded once──▶ (B, T, E) ──Encoder──▶ the same
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.batching import LengthBuckets
from elman.data.examples import Examples
from elman.data.tokens.lexicon import Words, WordSequences
from elman.data.values.numbers import NumberSequences
from elman.errors import UsageError
from elman.families.base import Model
from elman.families.inputs import Inputs, Table
from elman.families.saved.folder import Texts
from elman.families.supervised import Supervised
from elman.nn.cells import CELLS
from elman.nn.dropout import LockedDropout
from elman.nn.outputs.heads import SoftmaxHead
from elman.nn.outputs.pooling import Pooling
from elman.settings.labelling import LabellingSettings
from elman.training.schedule import check_positive

logger = logging.getLogger(__name__)

PREDICTION_TOKENS = 8192  # in a batch of predictions, padding included


@dataclass(kw_only=True, eq=False)
class SequenceModel(LabellingSettings, Supervised, Model):
    """A model that reads whole sequences with recurrent layers and predicts something for each."""

    def check(self) -> None:
        """Raise UsageError if a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("hidden_size", "num_layers", "batch_tokens"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; it must be at least 0 and below 1")

    # Reading.

    @abstractmethod
    def _inputs(self) -> Inputs:
        """Return the kind of inputs that the settings name, before anything is learned from data."""

    def _encoder(self, input_size: int) -> Encoder:
        """Return the recurrent layers, newly initialized."""
        return Encoder(
            self.cell,
            input_size,
            int(self.setting("hidden_size")),  # a search over settings may give a NumPy integer
            int(self.num_layers),
            bidirectional=self.bidirectional,
            merge=self.merge,
            dropout=self.dropout,
            backend=self.backend,
        )

    def _learn(self, train: Examples, held_out: Examples) -> None:
        """Learn the vocabulary, or the spread of the numbers, before the network is built."""
        self.inputs_: Any = self._inputs()
        self.inputs_.learn(train.inputs, held_out.inputs)
        self.data_.update(self.inputs_.facts)

    def _hidden(self, items: Sequence[Any], table: Table) -> Tensor:
        """Return the inputs (N, features) of the output layer of a :class:`PooledNetwork` for some items."""
        self.inputs_.check(items)
        sequences = list(map(self.inputs_.tokens, items))
        network = self.network_.eval()
        hidden = torch.empty(len(sequences), network.encoder.output_size)
        for rows in batch_by_length([len(sequence) for sequence in sequences]):
            with torch.inference_mode():
                hidden[rows] = network.pool(*table.gather([sequences[row] for row in rows])).float().cpu()
        return hidden

    def _table(self) -> Table:
        """Return the table that encodes items for prediction, with the current weights of the first layer."""
        table: Table = self.inputs_.table(self.network_.eval().front)
        return table

    # Saving.

    def _texts(self) -> dict[str, str]:
        texts: dict[str, str] = self.inputs_.texts()
        return texts

    def _restore_texts(self, texts: Texts) -> None:
        self.inputs_ = self._inputs()
        self.inputs_.restore(texts)


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """The inputs and targets of one training step.

    Args:
        words: the distinct tokens of the batch; None for sequences of numbers.
        inputs: (B, T) int64, indices into ``words``; or numbers (B, T, F) float32.
        lengths: (B,) int64, the lengths without padding.
        targets: (B, T) or (B,) int64 labels; -100 for padding and for unknown labels.
    """

    words: Words | None
    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    first: bool = True

    def to(self, device: torch.device) -> SequenceBatch:
        """Return the batch on ``device``; the lengths stay on the CPU, where they are needed."""
        words = None if self.words is None else self.words.to(device)
        return SequenceBatch(words, self.inputs.to(device), self.lengths, self.targets.to(device))


class Encoder(nn.Module):
    """Recurrent layers, with dropout before and after.

    Args:
        cell: a name in the table of cells.
        input_size: E.
        hidden_size: H, of each layer and direction.
        num_layers: L.
        bidirectional: whether to read in both directions.
        merge: how to combine the outputs of the two directions.
        dropout: share of values set to zero during training.
        backend: see :class:`~elman.nn.recurrent.RNN`.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        bidirectional: bool,
        merge: str,
        dropout: float,
        backend: str,
    ) -> None:
        super().__init__()
        self.dropout = LockedDropout(dropout)
        self.rnn = CELLS[cell].layer(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            merge=merge,
            backend=backend,
        )
        self.output_size: int = self.rnn.output_size

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs (B, T, N) for inputs (B, T, E), and the merged last state of the top layer (B, N)."""
        outputs, state = self.rnn.run(self.dropout(inputs), lengths=lengths)  # (B, T, N)
        return self.dropout(outputs), self.rnn.newest(state)


class PooledNetwork(nn.Module):
    """A first layer, recurrent layers, pooling and an output layer, from sequences to outputs (B, O).

    Args:
        front: the first layer, which turns tokens or numbers into inputs of the recurrent layers.
        encoder: the recurrent layers.
        pooling: how to pool their outputs over time; see :class:`~elman.nn.outputs.pooling.Pooling`.
        output_size: O.
    """

    def __init__(self, front: nn.Module, encoder: Encoder, pooling: str, output_size: int) -> None:
        super().__init__()
        self.front = front
        self.encoder = encoder
        self.pooling = Pooling(pooling, encoder.output_size)
        self.head = SoftmaxHead(encoder.output_size, output_size)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Return the outputs (B, O) for a training batch."""
        front: Any = self.front
        inputs = front(batch.inputs) if batch.words is None else front(batch.words)[batch.inputs]  # (B, T, E)
        logits: Tensor = self.head(self.pool(inputs, batch.lengths))
        return logits

    def pool(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the pooled outputs (B, N) of the recurrent layers for inputs (B, T, E)."""
        outputs, last = self.encoder(inputs, lengths)  # (B, T, N), (B, N)
        pooled: Tensor = self.pooling(outputs, last, lengths)
        return pooled

    def classify(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits (B, 1, K) for vectors (B, T, E) and, with attention, the weights (B, 1, T) of the steps."""
        outputs, last = self.encoder(inputs, lengths)  # (B, T, N), (B, N)
        logits: Tensor = self.head(self.pooling(outputs, last, lengths))
        weights = self.pooling.weights(outputs, lengths)[:, None] if self.pooling.kind == "attention" else None
        return logits[:, None], weights


class SequenceBatches:
    """Training examples, with a target for each, in batches of similar length; call ``buckets.group`` first.

    Args:
        sequences: the N inputs.
        targets: (N,) or (N, ...), their targets.
        seed: the seed of the order.
    """

    def __init__(self, sequences: WordSequences | NumberSequences, targets: NDArray[Any], seed: int) -> None:
        self._sequences, self._targets, self._seed = sequences, targets, seed
        self._crop_length = 0
        self.buckets = LengthBuckets(sequences.lengths, seed)

    def crop(self, length: int) -> None:
        """Take only a random stretch of ``length`` steps of each longer sequence, a new one in each pass; 0: all."""
        self._crop_length = length
        if length:
            self.buckets = LengthBuckets(np.minimum(self._sequences.lengths, length), self._seed)

    def __len__(self) -> int:
        """Return the number of batches in one pass."""
        return len(self.buckets)

    def batch(self, step: int) -> SequenceBatch:
        """Return the batch of a step."""
        rows = self.buckets.rows(step)
        words, inputs, lengths = self._sequences.gather(rows)
        if 0 < self._crop_length < inputs.shape[1]:
            generator = np.random.default_rng((self._seed, step))
            inputs, lengths = _crop(inputs, lengths, self._crop_length, generator)
        return SequenceBatch(words, inputs, lengths, torch.from_numpy(self._targets[rows]))


def _crop(inputs: Tensor, lengths: Tensor, length: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return a random stretch of at most ``length`` steps of each row of (B, T, ...), and the lengths (B,) of them."""
    starts = torch.from_numpy(generator.integers(0, (lengths - length).clamp(min=0).numpy() + 1))  # (B,)
    steps = starts[:, None] + torch.arange(length)  # (B, length)
    return inputs[torch.arange(len(inputs))[:, None], steps], lengths.clamp(max=length)


def batch_by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield batches of row numbers whose sequences have similar lengths, for prediction.

    Example:
        >>> list(batch_by_length([5000, 2, 4000, 3]))
        [[1, 3], [2], [0]]
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and lengths[order[stop]] * (stop + 1 - start) <= PREDICTION_TOKENS:
            stop += 1
        yield order[start:stop]
        start = stop
