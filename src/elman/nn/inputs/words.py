"""From words to vectors: what is learned of a word, what pretrained vectors know of it, and how it is spelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.tokens.lexicon import Lexicon, Words
from elman.data.tokens.vectors import read_vectors_for
from elman.draws import is_drawing, uniform
from elman.errors import UsageError
from elman.nn.recurrent import LSTM


class WordEncoder(nn.Module):
    """One vector for each distinct word: ``[embedding + pretrained vector ; characters, read both ways]``.

    The pretrained vectors stay as they are; what training adds to them stands in the embedding, and so a word that
    training never saw, but the vectors know, lies where its neighbours lie. While training, a word gives way to <unk>
    now and then, the rarer the more often, so that <unk> is learned and the spelling is listened to.

    Source: Ling et al. (2015), "Finding function in form", section 2 (characters); Kiperwasser and Goldberg (2016),
    "Simple and accurate dependency parsing", section 4.1 (word dropout: probability a / (a + count)).

    Args:
        counts: (V,) how often training saw each word of the embedding; row 0 is <unk>.
        embedding_size: E.
        num_characters: characters there are; 0 leaves the spelling out.
        character_size: K, the length of what the characters give.
        num_vectors: pretrained vectors; 0 where there are none.
        word_dropout: a.
        backend: see :class:`~elman.nn.recurrent.RNN`.

    Example:
        >>> from elman.data.tokens.lexicon import Lexicon
        >>> lexicon = Lexicon({"Teddy": 2, "bears": 1})
        >>> encoder = WordEncoder(lexicon.counts, 16, len(lexicon.characters), 8)
        >>> encoder(lexicon.look_up(["Teddy", "bear"])).shape, encoder.output_size
        (torch.Size([2, 24]), 24)
    """

    def __init__(
        self,
        counts: Tensor,
        embedding_size: int,
        num_characters: int = 0,
        character_size: int = 0,
        num_vectors: int = 0,
        word_dropout: float = 0.25,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(counts), embedding_size)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.vectors: Tensor | None
        self.register_buffer("vectors", torch.zeros(num_vectors + 1, embedding_size) if num_vectors else None)
        self.register_buffer("dropped", word_dropout / (word_dropout + counts), persistent=False)
        self.characters = None
        if num_characters:
            self.characters = CharacterEncoder(num_characters, character_size, backend)
        self.output_size = embedding_size + (character_size if num_characters else 0)

    @torch.no_grad()
    def take(self, vectors: NDArray[np.float32], lexicon: Lexicon) -> None:
        """Begin from pretrained vectors (num_vectors, E), in the order of the lexicon's.

        What training adds to a word that has one, and to <unk>, begins at zero.
        """
        assert self.vectors is not None
        self.vectors[1:] = torch.from_numpy(vectors)
        seen = lexicon.look_up(lexicon.words)
        self.embedding.weight[seen.ids[seen.rows > 0]] = 0.0
        self.embedding.weight[0] = 0.0

    def forward(self, words: Words) -> Tensor:
        """Encode distinct words: U of them -> (U, E + K)."""
        ids = words.ids
        if self.training:
            dropped: Any = self.dropped
            # in training, one number for each known word: which words are beside it makes no difference
            numbers = uniform(dropped.shape, dropped)[ids] if is_drawing() else torch.rand(ids.shape, device=ids.device)
            ids = ids.masked_fill(numbers < dropped[ids], 0)
        encoded: Tensor = self.embedding(ids)  # (U, E)
        if self.vectors is not None:
            encoded = encoded + self.vectors[words.rows]
        if self.characters is None:
            return encoded
        return torch.cat((encoded, self.characters(words.characters, words.lengths)), dim=-1)


class CharacterEncoder(nn.Module):
    """A word's spelling as one vector: the last state of an LSTM from either side.

    Args:
        num_characters: characters there are.
        size: K, an even number: half of it for each direction.
        backend: see :class:`~elman.nn.recurrent.RNN`.
    """

    def __init__(self, num_characters: int, size: int, backend: str = "auto") -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_characters, 32)
        self.rnn = LSTM(32, size // 2, bidirectional=True, batch_first=True, backend=backend)

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Read the characters (U, C) of words of these lengths (U,) -> (U, K)."""
        _, state = self.rnn.run(self.embedding(characters), lengths=lengths)
        return self.rnn.newest(state)


@torch.no_grad()
def load_embedding(embedding: nn.Embedding, path: Path, tokens: Sequence[str]) -> int:
    """Begin an embedding from pretrained vectors, for the tokens that have one; return how many have.

    Raises:
        UsageError: the vectors have another length.
        DataError: the file cannot be read.
    """
    numbers, matrix = read_vectors_for(path, tokens)
    if matrix.shape[1] != embedding.embedding_dim:
        raise UsageError(
            f"{path}: vectors of {matrix.shape[1]} numbers, but embedding_size is {embedding.embedding_dim}; "
            f"set `embedding_size` {matrix.shape[1]}"
        )
    embedding.weight[numbers] = torch.from_numpy(matrix)
    return len(numbers)
