"""What the tagger and the classifier share: tokens in, hidden states out, read from either side.

tokens ──WordSequences──▶ SequenceBatch ──WordEncoder──▶ (B, T, E) ──Encoder──▶ outputs (B, T, N), last (B, N)
when predicting:      ──WordTable, each distinct token encoded once──▶ (B, T, E) ──Encoder──▶ the same
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.series import NumberSequences
from elman.data.tokens.lexicon import Lexicon, Words, padded
from elman.data.tokens.vectors import read_vectors
from elman.documents import write_json
from elman.errors import DataError, ModelError, UsageError
from elman.families.folder import Texts
from elman.families.reports import Report
from elman.families.supervised import SupervisedModel
from elman.nn.dropout import LockedDropout
from elman.nn.inputs.numbers import Standardised
from elman.nn.inputs.words import WordEncoder
from elman.nn.recurrent import GRU, LSTM, MERGES, RNN
from elman.training.schedule import positive

logger = logging.getLogger(__name__)

PREDICTION_TOKENS = 8192  # in a batch when predicting, padding included
MOST_LABELS = 10_000
KEPT_TOKENS = 100_000  # distinct tokens whose vectors are kept while predicting


@dataclass(kw_only=True, eq=False)
class LabellingModel(SupervisedModel):
    """A model that reads whole sequences: the settings of its encoder, and how it is fed."""

    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    """The network that reads: simple (Elman) RNN, GRU or LSTM."""
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

    # The tokens.

    @property
    def _ignores_case(self) -> bool:
        """Whether tokens that differ in capitals only are one: when the lexicon is learned and when it is read back."""
        return self.lowercase

    def _learn_words(self, counts: Mapping[str, int], others: Iterable[str]) -> NDArray[np.float32] | None:
        """Build the lexicon: of the training's words and, with pretrained vectors, of those that they know.

        Returns:
            The vectors, in the order of their words; None where there are none.
        """
        matrix = None
        names: list[str] = []
        size = 0
        if self.vectors is not None:
            rows, matrix = read_vectors(self.vectors, {*counts, *others}, first=self.vector_words)
            names, size = sorted(rows, key=rows.__getitem__), matrix.shape[1]
            if self.embedding_size not in (None, size):
                raise UsageError(
                    f"{self.vectors}: vectors of {size} numbers, but embedding_size is {self.embedding_size}; "
                    "leave it out"
                )
            self._tell_coverage(counts, rows)
        self.lexicon_ = Lexicon(counts, self._ignores_case, self.min_count, names, size)
        return matrix

    def _tell_coverage(self, counts: Mapping[str, int], rows: Mapping[str, int]) -> None:
        missing = [word for word in counts if word not in rows and word.lower() not in rows]
        coverage = 1 - sum(counts[word] for word in missing) / max(sum(counts.values()), 1)
        shown = ", ".join(sorted(missing, key=lambda word: -counts[word])[:8])
        logger.warning(
            "%s knows %.1f %% of the training's words; %s distinct ones are not in it: %s ...",
            *(self.vectors, 100 * coverage, f"{len(missing):,}", shown),
        )
        self.data_["vectors"] = {
            "file": str(self.vectors),
            "kept": len(rows),
            "distinct_words_without": len(missing),
            "coverage": round(coverage, 4),
        }

    def _word_encoder(self) -> WordEncoder:
        return WordEncoder(
            self.lexicon_.counts,
            self.lexicon_.vector_size or self.embedding_size or 100,
            num_characters=0 if self.characters == "none" else len(self.lexicon_.characters),
            character_size=self.character_size,
            num_vectors=len(self.lexicon_.vector_words),
            word_dropout=self.word_dropout,
            backend=self.backend,
        )

    # What a folder keeps.

    def _texts(self) -> dict[str, str]:
        return {"words.json": self.lexicon_.to_json(), "labels.json": write_json(self.labels_)}

    def _restore_texts(self, texts: Texts) -> None:
        self.lexicon_ = Lexicon.from_json(texts["words.json"], self._ignores_case, self.min_count)
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
        settings: see :class:`LabellingModel`.
        input_size: E.
    """

    def __init__(self, settings: LabellingModel, input_size: int) -> None:
        super().__init__()
        recurrent: Any = {"rnn": RNN, "gru": GRU, "lstm": LSTM}[settings.cell]
        self.dropout = LockedDropout(settings.dropout)
        self.rnn = recurrent(
            input_size,
            int(settings.hidden_size),  # it may be NumPy's, from a search over settings
            int(settings.num_layers),
            batch_first=True,
            dropout=settings.dropout if settings.num_layers > 1 else 0.0,
            bidirectional=settings.bidirectional,
            merge=settings.merge,
            backend=settings.backend,
        )
        self.output_size: int = self.rnn.output_size

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read (B, T, E) -> outputs (B, T, N), and the top layer's last state, both directions merged, (B, N)."""
        outputs, state = self.rnn(self.dropout(inputs), lengths=lengths)  # (B, T, N)
        hidden = state[0] if isinstance(state, tuple) else state  # (L·D, B, H)
        last = MERGES[self.rnn.merge](hidden[-2], hidden[-1]) if self.rnn.bidirectional else hidden[-1]  # (B, N)
        return self.dropout(outputs), last


class Table(Protocol):
    """What turns sequences into what the recurrent layers read, when predicting."""

    def gather(self, sequences: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Return (B, T, E) and the lengths (B,)."""
        ...


class WordTable:
    """The vectors of the tokens that prediction has met: each is computed once.

    Args:
        encoder: what computes them.
        lexicon: what turns tokens into numbers.
    """

    def __init__(self, encoder: WordEncoder, lexicon: Lexicon) -> None:
        self._encoder = encoder
        self._lexicon = lexicon
        self._numbers: dict[str, int] = {}
        self._table = encoder.embedding.weight.new_empty(0, encoder.output_size)

    def gather(self, sequences: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Return the vectors (B, T, E) of the tokens of some sequences, and the lengths (B,)."""
        if len(self._numbers) > KEPT_TOKENS:
            self._numbers, self._table = {}, self._table[:0]
        numbers = self._numbers
        new = list(dict.fromkeys(token for sequence in sequences for token in sequence if token not in numbers))
        for start in range(0, len(new), 4096):
            words = self._lexicon.look_up(new[start : start + 4096]).to(self._table.device)
            self._table = torch.cat((self._table, self._encoder(words)))
        for token in new:
            numbers[token] = len(numbers)
        lengths = np.array([len(sequence) for sequence in sequences], np.int64)
        flat = np.array([numbers[token] for sequence in sequences for token in sequence], np.int64)
        return self._table[padded(flat, lengths, 0).to(self._table.device)], torch.from_numpy(lengths)


class NumberTable:
    """Arrays of numbers, standardised; see :class:`Table`."""

    def __init__(self, front: Standardised) -> None:
        self._front = front

    def gather(self, sequences: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Return (B, T, F) and the lengths (B,)."""
        _, inputs, lengths = NumberSequences(sequences).gather(np.arange(len(sequences)))
        return self._front(inputs.to(self._front.mean.device)), lengths


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
