"""The texts that a decoder learns to write: its inputs and targets under teacher forcing."""

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
    """Target texts, as ids between <s> and </s>.

    Args:
        texts: N texts.
        tokenizer: their tokenizer.
        max_length: the number of tokens at which longer texts are cut off, without </s>.

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
        self.lengths = np.array([len(ids) - 1 for ids in self._ids], np.int64)  # (N,), including </s>
        self.num_unknown = sum(int((ids == tokenizer.unknown_id).sum()) for ids in self._ids)
        self.num_cut = sum(len(ids) > max_length for ids in whole)
        """The number of texts that are cut off."""

    def gather(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the inputs of the decoder (B, T) and its targets (B, T)."""
        lengths = self.lengths[rows]
        inputs = np.concatenate([self._ids[row][:-1] for row in rows]).astype(np.int64)
        wanted = np.concatenate([self._ids[row][1:] for row in rows]).astype(np.int64)
        return pad_rows(inputs, lengths, 0), pad_rows(wanted, lengths, IGNORED)


def encode_texts(texts: Sequence[str], tokenizer: Tokenizer) -> list[NDArray[np.int64]]:
    """Convert texts to ids; line breaks count as spaces."""
    if not len(texts):
        return []
    flat, lengths = tokenizer.encode_lines("\n".join(map(join_lines, texts)))
    return [ids.astype(np.int64) for ids in np.split(flat, np.cumsum(lengths)[:-1])]
