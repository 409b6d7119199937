"""Sequences of numbers from Python values, and their batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elman.data.values.columns import take_rows
from elman.errors import UsageError

Array = NDArray[np.float32]


def take_series(inputs: Any) -> list[Array]:
    """Check and convert sequences of numbers, (N, T), (N, T, F), or a list of (T, F), to arrays (T, F).

    Raises:
        UsageError: one is not an array of finite numbers, or their numbers of features differ.

    Example:
        >>> [sequence.shape for sequence in take_series([[1, 2, 3], [4, 5]])]
        [(3, 1), (2, 1)]
    """
    sequences: list[Array] = []
    for row, values in enumerate(take_rows(inputs)):
        try:
            if isinstance(values, np.ndarray) and values.dtype.kind in "cmM":  # NumPy would drop a part of each
                raise TypeError(f"its dtype is {values.dtype}")
            array = to_float32(values)
        except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor that requires gradients
            raise UsageError(f"X[{row}] is not an array of numbers: {error}") from None
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or not len(array):
            raise UsageError(f"X[{row}] has shape {np.shape(values)}, expected (T, F) with at least one time step")
        if not np.isfinite(array).all():
            raise UsageError(
                f"X[{row}] contains NaN or infinity (or a number too large); fill in or drop missing values"
            )
        if sequences and array.shape[1] != sequences[0].shape[1]:
            raise UsageError(f"X[{row}] has {array.shape[1]} features, but X[0] has {sequences[0].shape[1]}")
        sequences.append(array)
    return sequences


class NumberSequences:
    """Sequences of numbers, and batches of them.

    Args:
        sequences: (T, F) each.

    Example:
        >>> sequences = NumberSequences(take_series([[1, 2], [3]]))
        >>> _, inputs, lengths = sequences.gather(np.array([1, 0]))
        >>> inputs.squeeze(-1).tolist(), lengths.tolist()
        ([[3.0, 0.0], [1.0, 2.0]], [1, 2])
    """

    def __init__(self, sequences: Sequence[Array]) -> None:
        self._sequences = sequences
        self.lengths = np.array([len(sequence) for sequence in sequences], np.int64)  # (N,)

    def gather(self, rows: NDArray[np.int64]) -> tuple[None, torch.Tensor, torch.Tensor]:
        """Gather sequences into a batch: no words, the numbers (B, T, F) padded with zeros, and the lengths (B,)."""
        lengths = self.lengths[rows]
        inputs = np.zeros((len(rows), int(lengths.max()), self._sequences[0].shape[1]), np.float32)  # (B, T, F)
        for row, which in enumerate(rows.tolist()):
            inputs[row, : lengths[row]] = self._sequences[which]
        return None, torch.from_numpy(inputs), torch.from_numpy(lengths)


def to_float32(values: Any) -> Array:
    """Convert numbers to float32; a number that is too large becomes infinity."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32)
