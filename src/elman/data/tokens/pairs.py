"""Batches of pairs of texts: the input of an encoder and the targets of a decoder."""

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
    """The sources and targets of one step.

    Args:
        sources: (B, S) int64, padded with 0.
        lengths: (B,) int64, the lengths of the sources.
        inputs: (B, T) int64, <s> and the target, padded with 0.
        targets: (B, T) int64, the target and </s>, padded with -100.
    """

    sources: Tensor
    lengths: Tensor
    inputs: Tensor
    targets: Tensor
    first: bool = True

    def to(self, device: torch.device) -> PairBatch:
        """Move the batch to ``device``; the lengths stay on the CPU, where they are needed."""
        return PairBatch(self.sources.to(device), self.lengths, self.inputs.to(device), self.targets.to(device))


class PairBatches:
    """Batches of pairs of similar length, sources and targets together; call ``buckets.group`` first.

    Args:
        sources: the ids of each source.
        targets: the target of each source.
        source_length: the number of tokens at which longer sources are cut off.
        seed: the seed of the order.
    """

    def __init__(
        self,
        sources: Sequence[NDArray[np.int64]],
        targets: Targets,
        *,
        source_length: int,
        seed: int,
    ) -> None:
        self._sources = [ids[:source_length] for ids in sources]
        self.targets = targets
        num_long = sum(len(ids) > source_length for ids in sources)
        self.num_cut = {"source_length": num_long, "max_length": targets.num_cut}
        self._lengths = np.array([len(ids) for ids in self._sources], np.int64)
        self.buckets = LengthBuckets(self._lengths + targets.lengths, seed)

    def __len__(self) -> int:
        """Return the number of batches in one pass."""
        return len(self.buckets)

    def batch(self, step: int) -> PairBatch:
        """Return the batch of a step."""
        rows = self.buckets.rows(step)
        lengths = self._lengths[rows]
        sources = pad_rows(np.concatenate([self._sources[row] for row in rows]), lengths, 0)
        return PairBatch(sources, torch.from_numpy(lengths), *self.targets.gather(rows))
