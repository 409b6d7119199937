"""Word vectors: a learned embedding, pretrained vectors, and an encoding of the characters."""

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
    """Encode each distinct word as ``[embedding + pretrained vector ; characters, read in both directions]``.

    The pretrained vectors are frozen, and the embedding learns an offset to them. So a word that only the vectors know
    stays close to its neighbors. While training, words are replaced by <unk> at random, rare ones more often, so that
    the network learns <unk> and relies on the spelling.

    Source: Ling et al. (2015), "Finding function in form", section 2 (characters); Kiperwasser and Goldberg (2016),
    "Simple and accurate dependency parsing", section 4.1 (word dropout: probability a / (a + count)).

    Args:
        counts: (V,) how often each word of the embedding occurs in the training data; row 0 is <unk>.
        embedding_size: E.
        num_characters: the number of characters; 0 for no character encoder.
        character_size: K, the size of the character encoding.
        num_vectors: the number of pretrained vectors; 0 for none.
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
    def load_vectors(self, vectors: NDArray[np.float32], lexicon: Lexicon) -> None:
        """Load pretrained vectors (num_vectors, E), in the order of the lexicon.

        The learned offset starts at zero for every word that has a vector, and for <unk>.
        """
        assert self.vectors is not None
        self.vectors[1:] = torch.from_numpy(vectors)
        seen = lexicon.look_up(lexicon.words)
        self.embedding.weight[seen.ids[seen.rows > 0]] = 0.0
        self.embedding.weight[0] = 0.0

    def forward(self, words: Words) -> Tensor:
        """Encode U distinct words: (U, E + K)."""
        ids = words.ids
        if self.training:
            dropped: Any = self.dropped
            # in training, one number for each known word: independent of the other words in the batch
            numbers = uniform(dropped.shape, dropped)[ids] if is_drawing() else torch.rand(ids.shape, device=ids.device)
            ids = ids.masked_fill(numbers < dropped[ids], 0)
        encoded: Tensor = self.embedding(ids)  # (U, E)
        if self.vectors is not None:
            encoded = encoded + self.vectors[words.rows]
        if self.characters is None:
            return encoded
        return torch.cat((encoded, self.characters(words.characters, words.lengths)), dim=-1)


class CharacterEncoder(nn.Module):
    """Encode a word's spelling as the final states of a bidirectional LSTM.

    Args:
        num_characters: the number of characters.
        size: K, an even number: half of it for each direction.
        backend: see :class:`~elman.nn.recurrent.RNN`.
    """

    def __init__(self, num_characters: int, size: int, backend: str = "auto") -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_characters, 32)
        self.rnn = LSTM(32, size // 2, bidirectional=True, batch_first=True, backend=backend)

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Encode the characters (U, C) of words of the given lengths (U,): (U, K)."""
        _, state = self.rnn.run(self.embedding(characters), lengths=lengths)
        return self.rnn.newest(state)


@torch.no_grad()
def load_embedding(embedding: nn.Embedding, path: Path, tokens: Sequence[str]) -> int:
    """Load pretrained vectors into an embedding, and return how many of the tokens have one.

    Raises:
        UsageError: the vectors have a different size.
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
