"""Pooling: one vector for a whole sequence, from which its label or value is predicted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from elman.errors import UsageError
from elman.kernels.checks import check, check_choice, check_lengths, dtype_beside

POOLING_KINDS = ("last", "mean", "max", "attention")


class Pooling(nn.Module):
    """Pool a sequence's outputs into one vector, ignoring padding.

        last        the final state
        mean        the mean over all steps
        max         the maximum over all steps, entry by entry
        attention   Σ_t a_t h_t,   a = softmax over t of v · tanh(W h_t + b)

    Source: attention: Yang et al. (2016), "Hierarchical attention networks for document classification", equations 5
    to 7, where v is the word context vector.

    Args:
        kind: ``last``, ``mean``, ``max`` or ``attention``.
        size: N, the size of one output.

    Raises:
        UsageError: the kind is unknown, or the size is below 1.

    Example:
        >>> outputs = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> Pooling("mean", 1)(outputs, final=outputs[:, -1], lengths=torch.tensor([2])).tolist()
        [[2.0]]
    """

    def __init__(self, kind: str, size: int) -> None:
        super().__init__()
        check_choice("kind", kind, POOLING_KINDS)
        if size < 1:
            raise UsageError(f"size={size}, expected at least 1")
        self.kind = kind
        self.size = size
        if kind == "attention":
            self.projection = nn.Linear(size, size)  # W and b
            self.context = nn.Linear(size, 1, bias=False)  # v

    def forward(self, outputs: Tensor, final: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool the outputs.

        Args:
            outputs: (B, T, N) float, T at least 1.
            final: (B, N), the last layer's hidden state at each row's end, directions merged.
            lengths: (B,) integers in 0 … T; None if every row has T steps.

        Returns:
            (B, N); zeros for a row of length 0, except that ``last`` always returns ``final``.

        Raises:
            UsageError: a shape, a dtype or a length does not fit.
        """
        self._check(outputs)
        check("final", final, (len(outputs), self.size), None)
        if self.kind == "last":
            return final
        is_padding = _is_padding(outputs, lengths)  # (B, T)
        if self.kind == "max":
            highest = outputs.masked_fill(is_padding[..., None], -torch.inf).amax(1)  # (B, N)
            return highest.masked_fill(is_padding.all(1, keepdim=True), 0.0)
        kept = outputs.masked_fill(is_padding[..., None], 0.0)  # (B, T, N); not a product: 0 times NaN is NaN
        if self.kind == "mean":
            return kept.sum(1) / (~is_padding).sum(1, keepdim=True).clamp(min=1)
        return (self.weights(outputs, lengths)[:, None] @ kept).squeeze(1)

    def weights(self, outputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the attention weight of each step; only for ``attention``.

        Args:
            outputs: (B, T, N) float.
            lengths: (B,) integers in 0 … T; None if every row has T steps.

        Returns:
            (B, T); each row sums to 1 and is 0 beyond its length.

        Raises:
            UsageError: the kind is not ``attention``, or a length does not fit.
        """
        if self.kind != "attention":
            raise UsageError(f'kind="{self.kind}" has no attention weights, expected kind="attention"')
        self._check(outputs)
        is_padding = _is_padding(outputs, lengths)  # (B, T)
        hidden = torch.tanh(self.projection(outputs.masked_fill(is_padding[..., None], 0.0)))  # (B, T, N)
        scores: Tensor = self.context(hidden).squeeze(2)  # (B, T)
        lowest = torch.finfo(scores.dtype).min  # not -inf, which gives NaN in a row of length 0
        return scores.masked_fill(is_padding, lowest).softmax(1).masked_fill(is_padding, 0.0)

    def _check(self, outputs: Tensor) -> None:
        weight = self.projection.weight if self.kind == "attention" else None
        dtype, device = (None, None) if weight is None else (dtype_beside(weight), weight.device)
        check("the outputs", outputs, ("B", "T", self.size), dtype, device)
        if outputs.shape[1] == 0 or not outputs.is_floating_point():
            found = f"{outputs.dtype} of shape {tuple(outputs.shape)}"
            raise UsageError(f"the outputs are {found}, expected floating-point numbers (B, T, N) with T at least 1")

    def extra_repr(self) -> str:
        """Show the kind in ``repr``."""
        return f"kind={self.kind}"


def _is_padding(outputs: Tensor, lengths: Tensor | None) -> Tensor:
    """Return which steps (B, T) are beyond their row's length."""
    rows, steps, _ = outputs.shape
    lengths = torch.full((rows,), steps) if lengths is None else check_lengths(lengths, rows, steps)
    return (torch.arange(steps) >= lengths[:, None]).to(outputs.device)
