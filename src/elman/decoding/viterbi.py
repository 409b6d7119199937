"""The Viterbi algorithm: the best sequence of labels, given logits and transition scores."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import IGNORED
from elman.errors import UsageError
from elman.kernels.chain import best_paths


def viterbi(
    logits: Tensor | NDArray[Any],
    lengths: Tensor | NDArray[Any] | None,
    transitions: Tensor | NDArray[Any],
    start: Tensor | NDArray[Any],
    end: Tensor | NDArray[Any],
) -> tuple[Tensor, Tensor]:
    """Find the labels y_1 … y_n of each row with the highest score; -inf or NaN forbids a label or transition.

        score = start[y_1] + Σ_t logits[t, y_t] + Σ_{t > 1} transitions[y_{t-1}, y_t] + end[y_n]

    Ties are broken by the lowest last label, then by the lowest label before it, and so on. Sums are in float64.

    Source: Viterbi 1967, "Error bounds for convolutional codes and an asymptotically optimum decoding algorithm";
    Forney 1973, "The Viterbi algorithm", section III.

    Args:
        logits: (B, T, K) float; padding is ignored.
        lengths: (B,) integers in 0 … T; None if every row has T steps.
        transitions: (K, K) float; at [i, j], from label i to label j.
        start: (K,) float.
        end: (K,) float.

    Returns:
        The labels (B, T) int64, :data:`~elman.data.batching.IGNORED` beyond a row's length, and their scores (B,)
        float64; 0 for a row of length 0. Both are on the CPU.

    Raises:
        UsageError: a shape or a length does not fit, or a row has no possible path.

    Example:
        >>> logits = torch.tensor([[[1.0, 0.0], [0.4, 0.0], [0.0, 1.0]]])
        >>> stay = torch.tensor([[0.0, -torch.inf], [0.0, 0.0]])  # label 1 cannot follow label 0
        >>> labels, scores = viterbi(logits, None, stay, torch.zeros(2), torch.zeros(2))
        >>> labels.tolist(), round(scores.item(), 3)
        ([[0, 0, 0]], 1.4)
    """
    scores = {"logits": logits, "transitions": transitions, "start": start, "end": end}
    logits, transitions, start, end = (_tensor(name, array) for name, array in scores.items())
    lengths = None if lengths is None else _tensor("lengths", lengths)
    return best_paths(logits, lengths, transitions, start, end, padding=IGNORED)


def _tensor(name: str, array: Tensor | NDArray[Any]) -> Tensor:
    try:
        return torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"{name}: a {type(array).__name__} with this content is not an array of numbers") from None
