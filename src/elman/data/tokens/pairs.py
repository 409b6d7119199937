"""Pairs of texts in batches: what an encoder reads, and what a decoder is to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import LengthBuckets
from elman.data.tokens.lexicon import pad_rows
from elman.data.tokens.targets import Targets


@dataclass(frozen=True, eq=False)
class PairBatch:
    """What one step reads, and what it is to write.

    Args:
        sources: (B, S) int64; beyond a row's length, 0.
        lengths: (B,) int64 of the sources.
        inputs: (B, T) int64, the targets behind <s>.
        targets: (B, T) int64, before </s>; -100 beyond a row's length.
    """

    sources: Tensor
    lengths: Tensor
    inputs: Tensor
    targets: Tensor
    first: bool = True

    def to(self, device: torch.device) -> PairBatch:
        """Return the batch on ``device``; the lengths stay on the CPU, where they are read."""
        return PairBatch(self.sources.to(device), self.lengths, self.inputs.to(device), self.targets.to(device))


class PairBatches:
    """Pairs in batches of about equal length.

    Args:
        sources: the ids of each source, all of them.
        targets: what is to be written about each.
        source_length: of longer sources only so many tokens are read.
        batch_tokens: tokens in a batch, of sources and targets, padding included.
        seed: of their order.
    """

    def __init__(
        self,
        sources: Sequence[NDArray[np.int64]],
        targets: Targets,
        *,
        source_length: int,
        batch_tokens: int,
        seed: int,
    ) -> None:
        self._sources = [ids[:source_length] for ids in sources]
        self.targets = targets
        num_long = sum(len(ids) > source_length for ids in sources)
        self.num_cut = {"source_length": num_long, "max_length": targets.num_cut}
        self._lengths = np.array([len(ids) for ids in self._sources], np.int64)
        self._buckets = LengthBuckets(self._lengths + targets.lengths, batch_tokens, seed)

    def __len__(self) -> int:
        """Return how many batches there are in one pass."""
        return len(self._buckets)

    def batch(self, step: int) -> PairBatch:
        """Return the batch of this step."""
        rows = self._buckets.rows(step)
        lengths = self._lengths[rows]
        sources = pad_rows(np.concatenate([self._sources[row] for row in rows]), lengths, 0)
        return PairBatch(sources, torch.from_numpy(lengths), *self.targets.gather(rows))
