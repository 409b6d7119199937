"""What a labelling model reads: sentences of words, texts, or sequences of numbers. Each kind is an object of its own.

what the user gives ──take──▶ items ──learn──▶ words, pieces or spread ──front──▶ the network's first layer
                              items ──batches──▶ distinct words, and where they stand  | numbers     (training)
                              items ──tokens, Table.gather──▶ (B, T, E)                              (prediction)
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.tokens.byte_pairs import BytePairTokenizer
from elman.data.tokens.lexicon import Lexicon, WordSequences, pad_rows
from elman.data.tokens.tokenizer import Tokenizer
from elman.data.tokens.vectors import read_vectors
from elman.data.tokens.words import split_words
from elman.data.values.numbers import NumberSequences, take_series
from elman.data.values.texts import take_sentences, take_texts
from elman.documents import write_json
from elman.errors import DataError, UsageError
from elman.families.saved.folder import Texts, check_width
from elman.nn.inputs.numbers import Standardize, mean_and_deviation
from elman.nn.inputs.words import WordEncoder

logger = logging.getLogger(__name__)

KEPT_TOKENS = 100_000  # distinct tokens whose vectors are kept while predicting


class Table(Protocol):
    """What turns sequences into what the recurrent layers read, when predicting."""

    def gather(self, sequences: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Return (B, T, E) and the lengths (B,)."""
        ...


class Inputs(Protocol):
    """One kind of inputs, and what has been learned of them."""

    facts: dict[str, Any]
    """What there is to say of the data: by name, for the model card."""

    def take(self, given: Any) -> list[Any]:
        """Take items as Python has them.

        Raises:
            UsageError: they are of another kind.
            DataError: one is missing.
        """
        ...

    def learn(self, items: Sequence[Any], others: Sequence[Any]) -> None:
        """Learn what the network begins with.

        Args:
            items: of the training data.
            others: of the validation data: no more of them than which words pretrained vectors are needed for.
        """
        ...

    def check(self, items: Sequence[Any]) -> None:
        """Raise DataError for items that do not fit what has been learned."""
        ...

    def front(self) -> nn.Module:
        """Return the network's first layer, with fresh weights; its ``output_size`` is E."""
        ...

    def initialize(self, front: Any) -> None:
        """Write what has been learned into a first layer, before training."""
        ...

    def tokens(self, item: Any) -> Sequence[Any]:
        """Return the time steps of an item."""
        ...

    def batches(self, items: Sequence[Any]) -> WordSequences | NumberSequences:
        """Put items into batches for training."""
        ...

    def table(self, front: Any) -> Table:
        """Return what looks items up for prediction, with a first layer as it is now."""
        ...

    def texts(self) -> dict[str, str]:
        """Return what a folder keeps of what has been learned, by file name."""
        ...

    def restore(self, texts: Texts) -> None:
        """Take back what :meth:`texts` returned.

        Raises:
            ModelError: it is something else.
        """
        ...

    def preview(self, item: Any) -> str:
        """Return the beginning of an item for people to see."""
        ...


class SentenceInputs:
    """Sentences, whose words are given.

    Args:
        settings: of the model; see :class:`~elman.families.labelling.LabellingModel`.
        ignores_case: give words that differ in capitals only one row of the embedding.
    """

    def __init__(self, settings: Any, ignores_case: bool) -> None:
        self._settings = settings
        self._ignores_case = ignores_case
        self._vectors: NDArray[np.float32] | None = None
        self.lexicon = Lexicon({})
        self.facts: dict[str, Any] = {}

    def take(self, given: Any) -> list[Any]:
        """Take the words of each sentence; see :class:`Inputs`."""
        return take_sentences(given)

    def tokens(self, item: Any) -> Sequence[str]:
        """Return the words of a sentence: they are the sentence."""
        words: Sequence[str] = item
        return words

    def learn(self, items: Sequence[Any], others: Sequence[Any]) -> None:
        """Build the lexicon: of the training's words and, with pretrained vectors, of those that they know."""
        counts = Counter(chain.from_iterable(map(self.tokens, items)))
        names: list[str] = []
        size = 0
        path, settings = self._settings.vectors, self._settings
        if path is not None:
            known: Iterable[str] = chain.from_iterable(map(self.tokens, others))
            rows, self._vectors = read_vectors(path, {*counts, *known}, first=settings.vector_words)
            names, size = sorted(rows, key=rows.__getitem__), self._vectors.shape[1]
            if settings.embedding_size not in (None, size):
                raise UsageError(
                    f"{path}: vectors of {size} numbers, but embedding_size is {settings.embedding_size}; leave it out"
                )
            self._report_coverage(counts, rows)
        self.lexicon = Lexicon(counts, self._ignores_case, settings.min_count, names, size)

    def _report_coverage(self, counts: Mapping[str, int], rows: Mapping[str, int]) -> None:
        path = self._settings.vectors
        missing = [word for word in counts if word not in rows and word.lower() not in rows]
        coverage = 1 - sum(counts[word] for word in missing) / max(sum(counts.values()), 1)
        shown = ", ".join(sorted(missing, key=lambda word: -counts[word])[:8])
        logger.warning(
            "%s knows %.1f %% of the training's words; %s distinct ones are not in it: %s ...",
            *(path, 100 * coverage, f"{len(missing):,}", shown),
        )
        self.facts["vectors"] = {
            "file": str(path),
            "kept": len(rows),
            "distinct_words_without": len(missing),
            "coverage": round(coverage, 4),
        }

    def check(self, items: Sequence[Any]) -> None:
        """Words fit in any case: those that training has not seen are <unk>."""

    def front(self) -> WordEncoder:
        """Return what encodes words."""
        settings = self._settings
        return WordEncoder(
            self.lexicon.counts,
            self.lexicon.vector_size or settings.embedding_size or 100,
            num_characters=0 if settings.characters == "none" else len(self.lexicon.characters),
            character_size=settings.character_size,
            num_vectors=len(self.lexicon.vector_words),
            word_dropout=settings.word_dropout,
            backend=settings.backend,
        )

    def initialize(self, front: WordEncoder) -> None:
        """Begin from the pretrained vectors, where there are any; they are not kept here beyond that."""
        if self._vectors is not None:
            front.load_vectors(self._vectors, self.lexicon)
            self._vectors = None

    def batches(self, items: Sequence[Any]) -> WordSequences:
        """Put items into batches for training."""
        return WordSequences([self.tokens(item) for item in items], self.lexicon)

    def table(self, front: WordEncoder) -> WordTable:
        """Return what looks words up for prediction."""
        return WordTable(front, self.lexicon)

    def texts(self) -> dict[str, str]:
        """Return the words, for a folder."""
        return {"words.json": self.lexicon.to_json()}

    def restore(self, texts: Texts) -> None:
        """Take the words back."""
        self.lexicon = Lexicon.from_json(texts["words.json"], self._ignores_case, self._settings.min_count)

    def preview(self, item: Any) -> str:
        """Return the words of a sentence, with blanks between them."""
        return " ".join(item)[:100]


class TextInputs(SentenceInputs):
    """Texts, which are cut into words, characters or byte pairs.

    Args:
        settings: of the classifier: besides those of :class:`SentenceInputs` level, vocab_size and max_length.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__(settings, settings.lowercase and settings.level == "word")
        self.tokenizer: Tokenizer | None = None

    def take(self, given: Any) -> list[Any]:
        """Take texts; see :class:`Inputs`."""
        return take_texts(given, hint='; for sequences of numbers set level "numbers"')

    def tokens(self, item: str) -> Sequence[str]:
        """Split a text into what the network reads; a text without any is one unknown token."""
        if self._settings.level == "word":
            tokens = split_words(item)
        elif self.tokenizer is None:
            tokens = list(item)
        else:
            tokens = self.tokenizer.tokens(self.tokenizer.encode(item))
        return tokens[: self._settings.max_length] or [""]

    def learn(self, items: Sequence[Any], others: Sequence[Any]) -> None:
        """Learn the byte pairs, where texts are cut into these, and the words."""
        if self._settings.level == "bpe":
            self.tokenizer = BytePairTokenizer.train(items, vocab_size=self._settings.vocab_size)
        super().learn(items, others)

    def texts(self) -> dict[str, str]:
        """Return the words, and the byte pairs, for a folder."""
        pieces = {} if self.tokenizer is None else {"tokenizer.json": self.tokenizer.to_json()}
        return {**super().texts(), **pieces}

    def restore(self, texts: Texts) -> None:
        """Take the words, and the byte pairs, back."""
        super().restore(texts)
        if self._settings.level == "bpe":
            self.tokenizer = Tokenizer.from_json(texts["tokenizer.json"], "bpe")

    def preview(self, item: Any) -> str:
        """Return the beginning of a text, on one line."""
        return " ".join(item.split())[:100]


class NumberInputs:
    """Sequences of numbers (T, F): standardised as the training data say."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self._spread = torch.zeros(0), torch.zeros(0)  # mean and deviation of each feature, (F,) each

    @property
    def _width(self) -> int:
        return len(self._spread[0])

    def take(self, given: Any) -> list[Any]:
        """Take arrays of numbers; see :class:`Inputs`."""
        return list(take_series(given))

    def learn(self, items: Sequence[Any], others: Sequence[Any]) -> None:
        """Learn the mean and the deviation of each feature."""
        self._spread = torch.zeros(items[0].shape[1]), torch.ones(items[0].shape[1])
        self.check(items)
        self._spread = mean_and_deviation(items)

    def check(self, items: Sequence[Any]) -> None:
        """Raise DataError where items have other features than those that were learned from."""
        other = next((item.shape[1] for item in items if item.shape[1] != self._width), None)
        if other is not None:
            raise DataError(
                f"a sequence has {other} features a time step, but the model has learned from {self._width}"
            )

    def front(self) -> Standardize:
        """Return what standardises numbers."""
        return Standardize(*self._spread)

    def initialize(self, front: Standardize) -> None:
        """Nothing is missing: the spread is in the layer since it was built."""

    def tokens(self, item: Any) -> Sequence[Any]:
        """Return the rows of an array: they are the array."""
        rows: Sequence[Any] = item
        return rows

    def batches(self, items: Sequence[Any]) -> NumberSequences:
        """Put items into batches for training."""
        return NumberSequences(items)

    def table(self, front: Standardize) -> NumberTable:
        """Return what standardises items for prediction."""
        return NumberTable(front)

    def texts(self) -> dict[str, str]:
        """Return how many features there are, for a folder; the weights hold the spread."""
        return {"features.json": write_json({"number": self._width})}

    def restore(self, texts: Texts) -> None:
        """Take back how many features there are."""
        size = check_width(texts.parse("features.json", {"number": int})["number"])
        self._spread = torch.zeros(size), torch.ones(size)

    def preview(self, item: Any) -> str:
        """Say how long a sequence is."""
        return f"{len(item)} steps"


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
        return self._table[pad_rows(flat, lengths, 0).to(self._table.device)], torch.from_numpy(lengths)


class NumberTable:
    """Arrays of numbers, standardised; see :class:`Table`."""

    def __init__(self, front: Standardize) -> None:
        self._front = front

    def gather(self, sequences: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Return (B, T, F) and the lengths (B,)."""
        _, inputs, lengths = NumberSequences(sequences).gather(np.arange(len(sequences)))
        return self._front(inputs.to(self._front.mean.device)), lengths
