"""Texts that a decoder is to write: what it reads at each step, and what it is to say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import IGNORED
from elman.data.files import join_lines
from elman.data.tokens.lexicon import pad_rows
from elman.data.tokens.tokenizer import Tokenizer


class Targets:
    """The texts to be written, as ids between <s> and </s>.

    Args:
        texts: N of them.
        tokenizer: what they are written with.
        max_length: of longer ones only the first so many tokens are to be written, and not that they end there.

    Example:
        >>> from elman.data.tokens.characters import CharacterTokenizer
        >>> targets = Targets(["ab", "b"], CharacterTokenizer.train(["ab"]), max_length=9)
        >>> inputs, wanted = targets.gather(np.array([1, 0]))
        >>> inputs.tolist(), wanted.tolist()
        ([[1, 4, 0], [1, 3, 4]], [[4, 2, -100], [3, 4, 2]])
    """

    def __init__(self, texts: Sequence[str], tokenizer: Tokenizer, max_length: int) -> None:
        whole = encode_texts(texts, tokenizer)
        begun = [np.concatenate(([tokenizer.begin_id], ids, [tokenizer.end_id])) for ids in whole]
        self._ids = [ids if len(ids) <= max_length + 2 else ids[: max_length + 1] for ids in begun]
        self.lengths = np.array([len(ids) - 1 for ids in self._ids], np.int64)  # (N,), </s> counted
        self.num_unknown = sum(int((ids == tokenizer.unknown_id).sum()) for ids in self._ids)
        self.num_cut = sum(len(ids) > max_length for ids in whole)
        """How many texts are longer."""

    def gather(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return what the decoder reads (B, T), and what it is to say (B, T)."""
        lengths = self.lengths[rows]
        inputs = np.concatenate([self._ids[row][:-1] for row in rows]).astype(np.int64)
        wanted = np.concatenate([self._ids[row][1:] for row in rows]).astype(np.int64)
        return pad_rows(inputs, lengths, 0), pad_rows(wanted, lengths, IGNORED)


def encode_texts(texts: Sequence[str], tokenizer: Tokenizer) -> list[NDArray[np.int64]]:
    """Turn texts into ids; line breaks count as blanks."""
    if not len(texts):
        return []
    flat, lengths = tokenizer.encode_lines("\n".join(map(join_lines, texts)))
    return [ids.astype(np.int64) for ids in np.split(flat, np.cumsum(lengths)[:-1])]
