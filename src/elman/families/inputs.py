"""The inputs of the tagger and the classifier: sentences of words, texts, or sequences of numbers.

Python values ──take──▶ items ──learn──▶ vocabulary or spread ──front──▶ the first layer of the network
                        items ──batches──▶ distinct tokens and their indices | numbers     (training)
                        items ──tokens, Table.gather──▶ (B, T, E)                          (prediction)
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.tokens.byte_pairs import BytePairTokenizer
from elman.data.tokens.casing import has_dotless_i, lower_case
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

MAX_CACHED = 100_000  # distinct tokens whose vectors are cached during prediction


class Table(Protocol):
    """Turns sequences into inputs of the recurrent layers, during prediction."""

    def gather(self, sequences: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Return (B, T, E) and the lengths (B,)."""
        ...


class Inputs(Protocol):
    """One kind of inputs, with what was learned from the training data."""

    facts: dict[str, Any]
    """Facts about the data for the model card, by name."""

    def take(self, given: Any) -> list[Any]:
        """Check items given as Python values; return them in a list.

        Raises:
            UsageError: an item is of the wrong type.
            DataError: an item is missing.
        """
        ...

    def learn(self, items: Sequence[Any], others: Sequence[Any]) -> None:
        """Learn the vocabulary, or the spread of the numbers.

        Args:
            items: the training data.
            others: the validation data; only used to select words from pretrained vectors.
        """
        ...

    def check(self, items: Sequence[Any]) -> None:
        """Raise DataError if an item does not fit the training data."""
        ...

    def front(self) -> nn.Module:
        """Return the network's first layer, newly initialized; its ``output_size`` is E."""
        ...

    def initialize(self, front: Any) -> None:
        """Initialize a first layer from pretrained vectors, if there are any."""
        ...

    def tokens(self, item: Any) -> Sequence[Any]:
        """Return the time steps of an item."""
        ...

    def batches(self, items: Sequence[Any]) -> WordSequences | NumberSequences:
        """Return the items, ready to be gathered into training batches."""
        ...

    def table(self, front: Any) -> Table:
        """Return the table that encodes items for prediction, with the current weights of a first layer."""
        ...

    def texts(self) -> dict[str, str]:
        """Return the contents of the text files that a saved model needs, by name."""
        ...

    def restore(self, texts: Texts) -> None:
        """Restore what :meth:`texts` returned.

        Raises:
            ModelError: a file is missing or not valid.
        """
        ...

    def preview(self, item: Any) -> str:
        """Return the beginning of an item, to show it to a person."""
        ...


class SentenceInputs:
    """Sentences, given as lists of words.

    Args:
        settings: the settings of the model; see :class:`~elman.families.labelling.LabellingModel`.
        ignores_case: whether words that differ only in case share a row of the embedding.
    """

    def __init__(self, settings: Any, ignores_case: bool) -> None:
        self._settings = settings
        self._ignores_case = ignores_case
        self._vectors: NDArray[np.float32] | None = None
        self.lexicon = Lexicon({})
        self.facts: dict[str, Any] = {}

    def take(self, given: Any) -> list[Any]:
        """Check sentences given as lists of words; see :class:`Inputs`."""
        return take_sentences(given)

    def tokens(self, item: Any) -> Sequence[str]:
        """Return the words of a sentence: the sentence itself."""
        words: Sequence[str] = item
        return words

    def learn(self, items: Sequence[Any], others: Sequence[Any]) -> None:
        """Build the lexicon from the words of the training data and, if there are any, of the pretrained vectors."""
        counts = Counter(chain.from_iterable(map(self.tokens, items)))
        dotless_i = has_dotless_i(counts)
        names: list[str] = []
        size = 0
        path, settings = self._settings.vectors, self._settings
        if path is not None:
            known: Iterable[str] = chain.from_iterable(map(self.tokens, others))
            rows, self._vectors = read_vectors(path, {*counts, *known}, settings.vector_words, lower_case(dotless_i))
            names, size = sorted(rows, key=rows.__getitem__), self._vectors.shape[1]
            if settings.embedding_size not in (None, size):
                raise UsageError(
                    f"{path}: vectors of {size} numbers, but embedding_size is {settings.embedding_size}; leave it out"
                )
        self.lexicon = Lexicon(counts, self._ignores_case, settings.min_count, names, size, dotless_i)
        if path is not None:
            self._report_coverage(counts, set(names))

    def _report_coverage(self, counts: Mapping[str, int], rows: Set[str]) -> None:
        path = self._settings.vectors
        missing = [word for word in counts if word not in rows and self.lexicon.lower(word) not in rows]
        coverage = 1 - sum(counts[word] for word in missing) / max(sum(counts.values()), 1)
        if missing:
            frequent = ", ".join(sorted(missing, key=lambda word: -counts[word])[:8])
            logger.warning(
                "%s covers %.1f %% of the words in the training data; it lacks %s distinct words: %s%s",
                *(path, 100 * coverage, f"{len(missing):,}", frequent, " ..." if len(missing) > 8 else ""),
            )
        self.facts["vectors"] = {
            "file": str(path),
            "kept": len(rows),
            "distinct_words_without": len(missing),
            "coverage": round(coverage, 4),
        }

    def check(self, items: Sequence[Any]) -> None:
        """Accept all words: those that are not in the training data become <unk>."""

    def front(self) -> WordEncoder:
        """Return the word encoder, newly initialized."""
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
        """Initialize the encoder from the pretrained vectors, if there are any, and drop them from here."""
        if self._vectors is not None:
            front.load_vectors(self._vectors, self.lexicon)
            self._vectors = None

    def batches(self, items: Sequence[Any]) -> WordSequences:
        """Return the sentences, ready to be gathered into training batches."""
        return WordSequences([self.tokens(item) for item in items], self.lexicon)

    def table(self, front: WordEncoder) -> WordTable:
        """Return the table that encodes words for prediction."""
        return WordTable(front, self.lexicon)

    def texts(self) -> dict[str, str]:
        """Return the lexicon as a file to save."""
        return {"words.json": self.lexicon.to_json()}

    def restore(self, texts: Texts) -> None:
        """Restore the lexicon."""
        self.lexicon = Lexicon.from_json(texts["words.json"], self._ignores_case, self._settings.min_count)

    def preview(self, item: Any) -> str:
        """Return the beginning of a sentence, its words joined by spaces."""
        return " ".join(item)[:100]


class TextInputs(SentenceInputs):
    """Texts, split into words, characters or BPE tokens.

    Args:
        settings: the settings of the classifier; besides those of :class:`SentenceInputs`, ``level``, ``vocab_size``
            and ``max_length``.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__(settings, settings.lowercase and settings.level == "word")
        self.tokenizer: Tokenizer | None = None

    def take(self, given: Any) -> list[Any]:
        """Check texts; see :class:`Inputs`."""
        return take_texts(given, hint='; for sequences of numbers set level "numbers"')

    def tokens(self, item: str) -> Sequence[str]:
        """Split a text into at most ``max_length`` tokens; an empty text becomes one unknown token."""
        if self._settings.level == "word":
            tokens = split_words(item)
        elif self.tokenizer is None:
            tokens = list(item)
        else:
            tokens = self.tokenizer.tokens(self.tokenizer.encode(item))
        return tokens[: self._settings.max_length] or [""]

    def learn(self, items: Sequence[Any], others: Sequence[Any]) -> None:
        """Learn the tokenizer, for level "bpe", and the lexicon."""
        if self._settings.level == "bpe":
            self.tokenizer = BytePairTokenizer.train(items, vocab_size=self._settings.vocab_size)
        super().learn(items, others)

    def texts(self) -> dict[str, str]:
        """Return the lexicon and the tokenizer as files to save."""
        pieces = {} if self.tokenizer is None else {"tokenizer.json": self.tokenizer.to_json()}
        return {**super().texts(), **pieces}

    def restore(self, texts: Texts) -> None:
        """Restore the lexicon and the tokenizer."""
        super().restore(texts)
        if self._settings.level == "bpe":
            self.tokenizer = Tokenizer.from_json(texts["tokenizer.json"], "bpe")

    def preview(self, item: Any) -> str:
        """Return the beginning of a text, on one line."""
        return " ".join(item.split())[:100]


class NumberInputs:
    """Sequences of numbers (T, F), standardized with the mean and deviation of the training data."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self._spread = torch.zeros(0), torch.zeros(0)  # mean and deviation of each feature, (F,) each

    @property
    def _width(self) -> int:
        return len(self._spread[0])

    def take(self, given: Any) -> list[Any]:
        """Check arrays of numbers; see :class:`Inputs`."""
        return list(take_series(given))

    def learn(self, items: Sequence[Any], others: Sequence[Any]) -> None:
        """Learn the mean and standard deviation of each feature."""
        self._spread = torch.zeros(items[0].shape[1]), torch.ones(items[0].shape[1])
        self.check(items)
        self._spread = mean_and_deviation(items)

    def check(self, items: Sequence[Any]) -> None:
        """Raise DataError if an item has another number of features than the training data."""
        other = next((item.shape[1] for item in items if item.shape[1] != self._width), None)
        if other is not None:
            raise DataError(
                f"a sequence has {other} features per time step, but the model was trained on {self._width}"
            )

    def front(self) -> Standardize:
        """Return the layer that standardizes numbers."""
        return Standardize(*self._spread)

    def initialize(self, front: Standardize) -> None:
        """Do nothing: the layer was built with the mean and deviation."""

    def tokens(self, item: Any) -> Sequence[Any]:
        """Return the rows of an array: the array itself."""
        rows: Sequence[Any] = item
        return rows

    def batches(self, items: Sequence[Any]) -> NumberSequences:
        """Return the arrays, ready to be gathered into training batches."""
        return NumberSequences(items)

    def table(self, front: Standardize) -> NumberTable:
        """Return the table that standardizes arrays for prediction."""
        return NumberTable(front)

    def texts(self) -> dict[str, str]:
        """Return the number of features as a file to save; the weights hold the mean and deviation."""
        return {"features.json": write_json({"number": self._width})}

    def restore(self, texts: Texts) -> None:
        """Restore the number of features."""
        size = check_width(texts.parse("features.json", {"number": int})["number"])
        self._spread = torch.zeros(size), torch.ones(size)

    def preview(self, item: Any) -> str:
        """Return the length of a sequence."""
        return f"{len(item)} steps"


class WordTable:
    """A cache of token vectors for prediction: the vector of each distinct token is computed once.

    Args:
        encoder: computes the vectors.
        lexicon: looks up the tokens.
    """

    def __init__(self, encoder: WordEncoder, lexicon: Lexicon) -> None:
        self._encoder = encoder
        self._lexicon = lexicon
        self._numbers: dict[str, int] = {}
        self._table = encoder.embedding.weight.new_empty(0, encoder.output_size)

    def gather(self, sequences: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Return the vectors (B, T, E) of the tokens of sequences, and the lengths (B,)."""
        if len(self._numbers) > MAX_CACHED:
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
    """Standardizes arrays of numbers for prediction; see :class:`Table`."""

    def __init__(self, front: Standardize) -> None:
        self._front = front

    def gather(self, sequences: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Return (B, T, F) and the lengths (B,)."""
        _, inputs, lengths = NumberSequences(sequences).gather(np.arange(len(sequences)))
        return self._front(inputs.to(self._front.mean.device)), lengths
