"""What the tagger and the classifier share: tokens in, hidden states out, read from either side.

items ──Inputs.batches──▶ SequenceBatch ──front──▶ (B, T, E) ──Encoder──▶ outputs (B, T, N), last (B, N)
when predicting:       ──Inputs.table, each distinct token encoded once──▶ (B, T, E) ──Encoder──▶ the same
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from elman.data.examples import Examples
from elman.data.tokens.lexicon import Words
from elman.documents import write_json
from elman.errors import DataError, ModelError, UsageError
from elman.families.base import Model
from elman.families.inputs import Inputs
from elman.families.reports import Report
from elman.families.saved.folder import Texts
from elman.families.supervised import Supervised
from elman.nn.cells import CELLS, CellName
from elman.nn.dropout import LockedDropout
from elman.training.schedule import positive

logger = logging.getLogger(__name__)

PREDICTION_TOKENS = 8192  # in a batch when predicting, padding included
MOST_LABELS = 10_000


@dataclass(kw_only=True, eq=False)
class LabellingModel(Supervised, Model):
    """A model that reads whole sequences: the settings of its encoder, and how it is fed."""

    patience: int = 0
    """Stop early after so many validations in a row without a new best; 0: never, since it is the last steps, at a low
    learning rate, that make the best model."""
    cell: CellName = "lstm"
    """The cell of the recurrent layers that read; rnn is the simple, Elman's network."""
    hidden_size: int = 200
    """Units of each layer and direction."""
    num_layers: int = 1
    """Stacked layers: each reads the outputs of the one below."""
    bidirectional: bool = True
    """Read from both sides, so that a token is seen with what follows it too."""
    merge: Literal["concat", "sum", "product"] = "concat"
    """How the outputs of the two directions become one."""
    embedding_size: int | None = None
    """Length of a token's vector; as long as the pretrained ones, or 100, where not given."""
    vectors: Path | None = None
    """Add these pretrained vectors to the words' own (GloVe, word2vec text or binary, fastText; also .gz and .zip)."""
    vector_words: int = 100_000
    """Besides the vectors of the words in the data, keep those of so many of the file's first words: they stand for
    words that training never sees."""
    lowercase: bool = True
    """Give words that differ in capitals only one vector; their characters are read as they are."""
    min_count: int = 1
    """Words rarer than this are <unk>."""
    characters: Literal["lstm", "none"] = "none"
    """What reads the words' characters: a small LSTM from either side, or nothing."""
    character_size: int = 100
    """Length of what the characters give, half of it from each side."""
    dropout: float = 0.5
    """Share of the values, below and above the recurrent layers, set to zero while training, for a whole sequence."""
    word_dropout: float = 1.0
    """While training, a word that occurs n times is <unk> with probability word_dropout / (word_dropout + n)."""
    batch_tokens: int = 1000
    """Tokens in a batch of sequences of about equal length, padding included."""
    learning_rate: float = 4e-3
    """Peak learning rate of AdamW: reached after the warm-up, then brought down to zero linearly."""
    backend: Literal["auto", "fused", "torch", "reference"] = "auto"
    """What computes the recurrent layers: Elman's fused kernels (float32 on a CPU), torch.nn, the slow float64
    reference, or the fastest."""

    def check(self) -> None:
        """Raise UsageError where a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("hidden_size", "num_layers", "min_count", "batch_tokens"):
            positive(name, getattr(self, name))
        for name in ("vector_words", "word_dropout"):
            positive(name, getattr(self, name), or_zero=True)
        if self.embedding_size is not None:
            positive("embedding_size", self.embedding_size)
        if self.character_size < 2 or self.character_size % 2:
            raise UsageError(f"character_size is {self.character_size}; it must be even and above zero")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; it is a share: at least 0 and below 1")

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """Return the share of labels that are right."""
        return float(self.evaluate(X, y)["accuracy"])

    def report(self, X: Any, y: Any = None) -> Report:  # noqa: N803
        """Judge the model as ``evaluate`` does, and tell each label's figures and which was taken for which."""
        report = super().report(X, y)
        metrics = report.metrics
        if metrics["unknown_labels"] == metrics.get("tokens", metrics.get("examples")):
            found = [label for label, rates in report.labels.items() if rates["support"]]
            logger.warning("%s; so every answer counts as wrong", self._unknown("the data", found))
        return report

    def _check_known(self, part: str, labels: Iterable[Hashable]) -> None:
        """Raise DataError where a part of the data has no label that the model knows: it would be of no use."""
        found = set(labels)
        if found.isdisjoint(self.labels_):
            raise DataError(self._unknown(part, sorted(map(str, found))))

    def _unknown(self, part: str, found: Sequence[str]) -> str:
        known = [str(label) for label in self.labels_]
        shown, learned = (", ".join(some[:5]) + (" ..." if len(some) > 5 else "") for some in (found, known))
        return f"no label in {part} ({shown}) is one that the model knows ({learned}); is it the right column?"

    def _pictures(self) -> dict[str, str]:
        return {"confusion.svg": self._report.picture()} if hasattr(self, "_report") else {}

    # What it reads.

    @abstractmethod
    def _inputs(self) -> Inputs:
        """Return the kind of inputs that the settings name, of which nothing has been learned."""

    def _encoder(self, input_size: int) -> Encoder:
        """Return recurrent layers with fresh weights."""
        return Encoder(
            self.cell,
            input_size,
            int(self.hidden_size),  # it may be NumPy's, from a search over settings
            int(self.num_layers),
            bidirectional=self.bidirectional,
            merge=self.merge,
            dropout=self.dropout,
            backend=self.backend,
        )

    def _learn(self, train: Examples, judged_on: Examples) -> None:
        """Learn what the network reads with, before it is built."""
        self.inputs_: Any = self._inputs()  # what has been learned of the inputs, and how they become batches
        self.inputs_.learn(train.inputs, judged_on.inputs)
        self.data_.update(self.inputs_.facts)

    # What a folder keeps.

    def _texts(self) -> dict[str, str]:
        return {**self.inputs_.texts(), "labels.json": write_json(self.labels_)}

    def _restore_texts(self, texts: Texts) -> None:
        self.inputs_ = self._inputs()
        self.inputs_.restore(texts)
        self.labels_ = tuple(texts.read("labels.json", [(str, int, float, bool)]))
        if not 1 <= len(self.labels_) <= MOST_LABELS:
            raise ModelError(f"labels.json: {len(self.labels_):,} labels; a model has 1 to {MOST_LABELS:,}")


@dataclass(eq=False)  # not frozen: mixed precision rebuilds what it is handed
class SequenceBatch:
    """What one step reads, and what it is to predict.

    Args:
        words: the distinct tokens of the batch; None where the sequences are of numbers.
        inputs: (B, T) int64, which of them stands where; or (B, T, F) float32.
        lengths: (B,) int64.
        targets: (B, T) or (B,) int64 labels; -100 beyond a row's length and where there is none.
    """

    words: Words | None
    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    first: bool = True

    def to(self, device: torch.device) -> SequenceBatch:
        """Return the batch on ``device``; the lengths stay on the CPU, where they are read."""
        words = None if self.words is None else self.words.to(device)
        return SequenceBatch(words, self.inputs.to(device), self.lengths, self.targets.to(device))


class Encoder(nn.Module):
    """Recurrent layers with dropout below and above.

    Args:
        cell: one of the table of cells.
        input_size: E.
        hidden_size: H, of each layer and direction.
        num_layers: L.
        bidirectional: whether to read from both sides.
        merge: how the outputs of the two directions become one.
        dropout: share of the values that are set to zero while training.
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
        """Read (B, T, E) -> outputs (B, T, N), and the top layer's last state, both directions merged, (B, N)."""
        outputs, state = self.rnn.run(self.dropout(inputs), lengths=lengths)  # (B, T, N)
        return self.dropout(outputs), self.rnn.newest(state)


def by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield batches of rows of about equal length, for prediction.

    Example:
        >>> list(by_length([5000, 2, 4000, 3]))
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
