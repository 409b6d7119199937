"""Standardization of numeric features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Standardize(nn.Module):
    """Scale features with the mean and standard deviation of the training data.

    Args:
        mean: (F,).
        deviation: (F,), above zero.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.output_size = len(mean)

    def forward(self, inputs: Tensor) -> Tensor:
        """Standardize (B, T, F)."""
        return (inputs - self.mean) / self.deviation


def mean_and_deviation(sequences: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Return each feature's mean and standard deviation over all time steps; a constant feature gets a deviation of 1.

    Example:
        >>> mean, deviation = mean_and_deviation([np.float32([[1, 5], [3, 5]])])
        >>> mean.tolist(), deviation.tolist()
        ([2.0, 5.0], [1.0, 1.0])
    """
    number = sum(map(len, sequences))  # one sequence at a time: a copy of all of them may not fit in memory
    mean = sum(sequence.sum(axis=0, dtype=np.float64) for sequence in sequences) / number  # (F,)
    variance = sum(((sequence - mean) ** 2).sum(axis=0) for sequence in sequences) / number
    deviation = np.sqrt(variance)
    deviation[deviation < 1e-12] = 1.0
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()
