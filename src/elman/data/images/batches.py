"""Batches of pictures and their captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import LengthBuckets
from elman.data.tokens.targets import Targets
from elman.data.tokens.tokenizer import Tokenizer
from elman.data.values.numbers import NumberSequences


@dataclass(frozen=True, eq=False)
class PictureBatch:
    """The pictures and captions of one step.

    Args:
        pictures: (P, S, S, 3) uint8, or features (P, R, F) float32, padded with zeros.
        lengths: (P,) int64, the number of regions of each; None for pictures.
        rows: (B,) int64, the picture of each caption.
        inputs: (B, T) int64, <s> and the caption, padded with 0.
        targets: (B, T) int64, the caption and </s>, padded with -100.
    """

    pictures: Tensor
    lengths: Tensor | None
    rows: Tensor
    inputs: Tensor
    targets: Tensor
    first: bool = True

    def to(self, device: torch.device) -> PictureBatch:
        """Move the batch to ``device``."""
        pictures, rows = self.pictures.to(device), self.rows.to(device)
        return PictureBatch(pictures, self.lengths, rows, self.inputs.to(device), self.targets.to(device))


class PictureBatches:
    """Pictures with all their captions, in batches of captions of similar length; call ``buckets.group`` first.

    Args:
        pictures: pictures (S, S, 3), or features (R, F).
        captions: the captions of each picture.
        tokenizer: the tokenizer of the captions.
        max_length: the number of tokens at which longer captions are cut off.
        seed: the seed of the order.
    """

    def __init__(
        self,
        pictures: Sequence[NDArray[Any]],
        captions: Sequence[Sequence[str]],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        seed: int,
    ) -> None:
        self._pictures = pictures
        counts = np.array([len(some) for some in captions])  # (pictures,)
        self._ends = np.cumsum(counts)
        texts = [caption for some in captions for caption in some]
        self.targets = Targets(texts, tokenizer, max_length)
        self.num_cut = {"max_length": self.targets.num_cut}
        longest = np.maximum.reduceat(self.targets.lengths, self._ends - counts)
        self._counts = counts
        self.buckets = LengthBuckets(longest * counts, seed)

    def __len__(self) -> int:
        """Return the number of batches in one pass."""
        return len(self.buckets)

    def batch(self, step: int) -> PictureBatch:
        """Return the batch of a step."""
        numbers = self.buckets.rows(step)
        rows = np.concatenate([np.arange(self._ends[n] - self._counts[n], self._ends[n]) for n in numbers])
        owners = np.repeat(np.arange(len(numbers)), self._counts[numbers])
        pictures, lengths = stack_pictures([self._pictures[number] for number in numbers])
        return PictureBatch(pictures, lengths, torch.from_numpy(owners), *self.targets.gather(rows))


def stack_pictures(inputs: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor | None]:
    """Stack pictures into (P, S, S, 3), or features into (P, R, F), with the numbers of their regions (P,)."""
    if inputs[0].ndim == 3:
        return torch.from_numpy(np.stack(inputs)), None
    _, features, lengths = NumberSequences(inputs).gather(np.arange(len(inputs)))
    return features, lengths
