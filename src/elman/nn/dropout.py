"""Dropout for sequences: one mask for all time steps."""

from __future__ import annotations

from torch import Tensor, nn

from elman.draws import bernoulli


class LockedDropout(nn.Module):
    """Zero the same random entries of a row at every time step, and scale up the others.

    One mask for the whole sequence disturbs the recurrent state less than a new one at each step, and costs almost
    nothing to draw.

    Source: Gal and Ghahramani (2016), "A theoretically grounded application of dropout in recurrent neural networks",
    arXiv:1512.05287, section 4.

    Args:
        p: probability of zeroing an entry while training.

    Example:
        >>> import torch
        >>> dropped = LockedDropout(0.5)(torch.ones(1, 3, 8))
        >>> bool((dropped[:, 0] == dropped[:, 2]).all())
        True
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Apply dropout to (B, T, N) while training; return it unchanged otherwise."""
        if not self.training or self.p == 0:
            return x
        kept = bernoulli((x.shape[0], 1, x.shape[2]), 1 - self.p, x)  # (B, 1, N)
        return x * (kept / (1 - self.p))

    def extra_repr(self) -> str:
        """Show the probability in ``repr``."""
        return f"p={self.p}"
