"""From the hidden state to the output: y_t = softmax(V h_t + b2), kept as logits for the loss and for sampling."""

from __future__ import annotations

from torch import Tensor, nn

from elman.data.batching import IGNORED
from elman.nn.outputs.cross_entropy import linear_cross_entropy, linear_cross_entropy_sum


class SoftmaxHead(nn.Module):
    """The output layer: ``logits = V h + b2`` with V = ``weight`` (O x H) and b2 = ``bias`` (O).

    If tied, V is the matrix of an embedding; if the embedding size is not the hidden size, a projection comes first.
    Source: Press and Wolf 2017, "Using the output embedding to improve language models", section 3.

    Args:
        hidden_size: H.
        output_size: O, the number of labels or tokens.
        tied: the embedding to share the matrix with.

    Example:
        >>> import torch
        >>> SoftmaxHead(8, 5)(torch.zeros(2, 3, 8)).shape
        torch.Size([2, 3, 5])
    """

    def __init__(self, hidden_size: int, output_size: int, tied: nn.Embedding | None = None) -> None:
        super().__init__()
        width = hidden_size if tied is None else tied.embedding_dim
        self.projection = nn.Linear(hidden_size, width, bias=False) if width != hidden_size else None
        linear = nn.Linear(width, output_size)
        self.weight = linear.weight if tied is None else tied.weight
        self.bias = linear.bias

    @property
    def matrix(self) -> Tensor:
        """V (O, H), multiplied by the projection if there is one."""
        return self.weight if self.projection is None else self.weight @ self.projection.weight

    def forward(self, hidden: Tensor) -> Tensor:
        """Compute the logits: (..., H) -> (..., O)."""
        return nn.functional.linear(*self._terms(hidden))  # (..., O)

    def losses(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Compute the negative log-likelihood of each target, in nats, without keeping the logits; zero at padding.

        Args:
            hidden: (..., H).
            targets: (...) int64; :data:`~elman.data.batching.IGNORED` at padding.

        Returns:
            (...).
        """
        rows, weight, bias = self._terms(hidden)
        return linear_cross_entropy(rows.flatten(0, -2), weight, bias, targets.flatten()).view_as(targets)

    def loss_sum(self, hidden: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Sum the same for training; ``label_smoothing`` is as in :func:`torch.nn.functional.cross_entropy`."""
        known = targets != IGNORED
        rows = hidden.flatten(0, -2) if bool(known.all()) else hidden[known]  # (N, H)
        return linear_cross_entropy_sum(*self._terms(rows), targets[known], label_smoothing)

    def _terms(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the x (..., E), weight (O, E) and bias (O,) of which ``weight x + bias`` are the logits."""
        return hidden if self.projection is None else self.projection(hidden), self.weight, self.bias


class PartsHead(SoftmaxHead):
    """The output layer for labels that are made of parts: labels that share a part learn from each other.

    The score of a label is its own score plus the scores of its parts:

        logits = V h + b2 + M (F h + c)

    with F = ``parts.weight`` (P x H), c = ``parts.bias`` (P) and M (O x P), which says what each label is made of. A
    label that occurs once in training thus has the scores that its parts earn in others.

    Args:
        hidden_size: H.
        members: M, ones and zeros.

    Example:
        >>> import torch
        >>> PartsHead(8, torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))(torch.zeros(2, 3, 8)).shape
        torch.Size([2, 3, 3])
    """

    members: Tensor

    def __init__(self, hidden_size: int, members: Tensor) -> None:
        super().__init__(hidden_size, len(members))
        self.parts = nn.Linear(hidden_size, members.shape[1])
        self.register_buffer("members", members, persistent=False)

    @property
    def matrix(self) -> Tensor:
        """V + M F (O, H)."""
        return self.weight + self.members @ self.parts.weight

    def _terms(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return hidden, self.matrix, self.bias + self.members @ self.parts.bias


def cross_entropy_sum(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum the negative log-likelihood of the targets, in nats; padding does not count.

    Args:
        logits: (B, T, O).
        targets: (B, T) int64; :data:`~elman.data.batching.IGNORED` at padding.

    Returns:
        A scalar.
    """
    flat = logits.flatten(0, 1).float()
    return nn.functional.cross_entropy(flat, targets.flatten(), ignore_index=IGNORED, reduction="sum")
