"""Data augmentation for tunes: random transposition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from elman.data.batching import IGNORED, Batch, LineBatches, StreamBatches
from elman.data.music.events import EventTokenizer


class Transposed:
    """Batches in which each row is transposed by a random number of semitones, drawn from the seed and the step.

    A row that would leave the range of pitches is not changed.
    """

    def __init__(self, batches: LineBatches | StreamBatches, tokenizer: EventTokenizer, most: int, seed: int) -> None:
        self._batches = batches
        self._most = most
        self._seed = seed
        self._tables = torch.from_numpy(np.stack([tokenizer.transposed_ids(by) for by in range(-most, most + 1)]))

    def __len__(self) -> int:
        """Return the number of batches in one pass."""
        return len(self._batches)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        batch = self._batches.batch(step)
        if self._most == 0:
            return batch
        generator = np.random.default_rng((self._seed, step))
        by = torch.from_numpy(generator.integers(2 * self._most + 1, size=len(batch.inputs)))  # (B,)
        inputs = self._tables[by[:, None], batch.inputs]  # (B, T)
        targets = self._tables[by[:, None], batch.targets.clamp(min=0)]
        stays = (inputs < 0).any(dim=1, keepdim=True) | (targets < 0).any(dim=1, keepdim=True)
        targets = torch.where(stays | (batch.targets == IGNORED), batch.targets, targets)
        return replace(batch, inputs=torch.where(stays, batch.inputs, inputs), targets=targets)
