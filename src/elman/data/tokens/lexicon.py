"""The features of a word that a network reads: its id, its row in the pretrained vectors, and its characters.

    sequences ──WordSequences──▶ distinct words ──Lexicon.look_up──▶ Words(ids (U,), rows (U,), characters (U, C), …)
                             └──gather──▶ places (B, T): the index of the distinct word at each position

Each distinct word of a batch is looked up and read by the network only once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from elman.data.tokens.casing import lower_case
from elman.data.tokens.tokenizer import UNKNOWN
from elman.data.tokens.vocabulary import Vocabulary
from elman.documents import read_json, write_json
from elman.errors import ModelError

MOST_DIMENSIONS = 16_384  # of a pretrained vector
LONGEST = 40  # characters of a word that are read: the first and the last ones of a longer word


class Words(NamedTuple):
    """Distinct words, as the input of a network."""

    ids: torch.Tensor
    """(U,) int64 rows of the learned embedding; 0 is <unk>."""
    rows: torch.Tensor
    """(U,) int64 rows of the pretrained vectors; 0 for a word without one."""
    characters: torch.Tensor
    """(U, C) int64, padded with 0."""
    lengths: torch.Tensor
    """(U,) int64, the number of characters of each word, on the CPU."""

    def select(self, which: torch.Tensor) -> Words:
        """Return the words with these indices (W,), with no more character columns than they need."""
        lengths = self.lengths[which]
        width = max(int(lengths.max()), 1)
        return Words(self.ids[which], self.rows[which], self.characters[which, :width], lengths)

    def to(self, device: torch.device) -> Words:
        """Move the words to ``device``; the lengths stay on the CPU, where they are needed."""
        return Words(self.ids.to(device), self.rows.to(device), self.characters.to(device), self.lengths)


class Lexicon:
    """The words and characters seen in training, and the words that have a pretrained vector.

    Args:
        counts: how often each word occurred in training, with its capitals.
        lowercase: share one row of the embedding between words that differ only in their capitals.
        min_count: words rarer than this are <unk>.
        vector_words: the word of each pretrained vector, in the order of the rows.
        vector_size: the length of the pretrained vectors; 0 if there are none.
        dotless_i: whether I is the capital of ı; see `elman.data.tokens.casing`.

    Example:
        >>> lexicon = Lexicon({"The": 2, "cat": 1})
        >>> lexicon.look_up(["the", "Cat", "cats"]).ids.tolist(), "The" in lexicon, "the" in lexicon
        ([1, 2, 0], True, False)
    """

    def __init__(
        self,
        counts: Mapping[str, int],
        lowercase: bool = True,
        min_count: int = 1,
        vector_words: Sequence[str] = (),
        vector_size: int = 0,
        dotless_i: bool = False,
    ) -> None:
        self._counts = dict(counts)
        self._dotless_i = dotless_i
        self.lower = lower_case(dotless_i)
        self._fold_case = self.lower if lowercase else str
        rows: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for word, count in self._counts.items():
            rows[self._fold_case(word)] += count
            characters.update(word)
        self.vocabulary = Vocabulary.learn(rows, min_count=min_count, specials=[UNKNOWN])
        self.counts = torch.tensor([float(rows[word]) for word in self.vocabulary.items])  # (rows,), 0 for <unk>
        self.characters = Vocabulary.learn(characters, specials=[UNKNOWN])
        self.vector_words = tuple(vector_words)
        self.vector_size = vector_size
        self._rows = {word: row for row, word in enumerate(self.vector_words, start=1)}  # row 0: no vector

    def __contains__(self, word: object) -> bool:
        """Tell whether a word occurred in training with exactly this spelling."""
        return word in self._counts

    @property
    def words(self) -> list[str]:
        """The words that occurred in training, with their capitals."""
        return list(self._counts)

    def look_up(self, words: Sequence[str]) -> Words:
        """Convert distinct words to ids, rows and characters."""
        ids = self.vocabulary.ids([self._fold_case(word) for word in words])
        rows = [self._rows.get(word) or self._rows.get(self.lower(word), 0) for word in words]
        spelled = [word if len(word) <= LONGEST else word[: LONGEST // 2] + word[-LONGEST // 2 :] for word in words]
        lengths = np.array([len(word) for word in spelled], np.int64)  # (U,)
        characters = pad_rows(self.characters.ids(list("".join(spelled))), lengths, 0)  # (U, C)
        rows_array = np.array(rows, np.int64)
        return Words(torch.from_numpy(ids), torch.from_numpy(rows_array), characters, torch.from_numpy(lengths))

    def to_json(self) -> str:
        """Return the lexicon as the content of a ``words.json``."""
        vectors = {"size": self.vector_size, "words": self.vector_words}
        return write_json({"counts": self._counts, "vectors": vectors, "dotless_i": self._dotless_i})

    @classmethod
    def from_json(cls, text: str, lowercase: bool = True, min_count: int = 1) -> Lexicon:
        """Make a lexicon from the output of :meth:`to_json`.

        Raises:
            ModelError: the content is damaged.
        """
        try:
            vectors = {"words": [str], "size": int}
            document = read_json(text, {"counts": {str: int}, "vectors": vectors, "dotless_i?": bool})
            if not 0 <= document["vectors"]["size"] <= MOST_DIMENSIONS:
                raise ValueError(f"vectors.size is {document['vectors']['size']}, expected 0 to {MOST_DIMENSIONS:,}")
        except ValueError as error:
            raise ModelError(f"words.json: not the words of a model ({error}); copy the folder again") from None
        vectors = document["vectors"]
        dotless_i = document.get("dotless_i", False)  # models of earlier versions lack it
        return cls(document["counts"], lowercase, min_count, vectors["words"], vectors["size"], dotless_i)


class WordSequences:
    """Sequences of words, each distinct word looked up once.

    Args:
        sequences: the words of each sequence.
        lexicon: the lexicon in which they are looked up.

    Example:
        >>> sequences = WordSequences([["a", "b", "a"], ["b"]], Lexicon({"a": 2, "b": 2}))
        >>> words, places, lengths = sequences.gather(np.array([1, 0]))
        >>> words.ids.tolist(), places.tolist(), lengths.tolist()
        ([1, 2], [[1, 0, 0], [0, 1, 0]], [1, 3])
    """

    def __init__(self, sequences: Sequence[Sequence[str]], lexicon: Lexicon) -> None:
        numbers: dict[str, int] = {}
        flat = [numbers.setdefault(word, len(numbers)) for sequence in sequences for word in sequence]
        self._flat = np.array(flat, np.int64)
        self.lengths = np.array([len(sequence) for sequence in sequences], np.int64)  # (N,)
        self._ends = np.cumsum(self.lengths)
        self._words = lexicon.look_up(list(numbers))

    def gather(self, rows: NDArray[np.int64]) -> tuple[Words, torch.Tensor, torch.Tensor]:
        """Gather sequences into a batch: distinct words, their indices (B, T), and the lengths (B,)."""
        lengths = self.lengths[rows]
        pieces = [self._flat[end - length : end] for end, length in zip(self._ends[rows], lengths, strict=True)]
        distinct, inverse = np.unique(np.concatenate(pieces), return_inverse=True)
        places = pad_rows(inverse, lengths, 0)
        return self._words.select(torch.from_numpy(distinct)), places, torch.from_numpy(lengths)


def pad_rows(flat: NDArray[np.int64], lengths: NDArray[np.int64], filling: int) -> torch.Tensor:
    """Arrange concatenated sequences (sum of lengths,) as padded rows (B, T)."""
    rows = np.full((len(lengths), max(int(lengths.max(initial=1)), 1)), filling, np.int64)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = flat
    return torch.from_numpy(rows)
