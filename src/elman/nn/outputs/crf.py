"""A conditional random field: predicts the labels of a sequence jointly instead of one by one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from elman.data.batching import IGNORED
from elman.errors import UsageError
from elman.kernels.chain import best_paths, sum_over_paths
from elman.kernels.checks import check


class LinearChainCRF(nn.Module):
    """Score a whole sequence of labels by their logits and by the transitions between them.

        score(y) = start[y_1] + Σ_t logits[t, y_t] + Σ_{t > 1} transitions[y_{t-1}, y_t] + end[y_n]
        p(y) = exp(score(y)) / Z,   Z = Σ exp(score) over all sequences of n labels

    The three parameters start at zero, where p(y) is the product of the softmax of each step.

    Constraints say which label may follow which (no I-LOC after B-PER) and apply to decoding only. Training ignores
    them: Z runs over all sequences, so targets that violate a constraint have a large loss, but never an infinite one.

    Source: Lafferty, McCallum, Pereira (2001), "Conditional random fields: probabilistic models for segmenting and
    labeling sequence data", section 3; over an LSTM's logits: Lample et al. (2016), "Neural architectures for named
    entity recognition", section 2.2.

    Args:
        num_labels: K.
        allowed: (K, K) booleans: at [i, j], whether label j may follow label i; None allows all transitions.
        allowed_start: (K,) booleans: which labels may come first; None allows all.

    Attributes:
        transitions: (K, K), trained; at [i, j], the score of label j after label i.
        start: (K,), trained.
        end: (K,), trained.
        allowed: (K, K) booleans, saved with the weights.
        allowed_start: (K,) booleans, likewise.

    Raises:
        UsageError: K is below 1, a mask has the wrong shape, or the constraints allow no sequence of some length.

    Example:
        >>> crf = LinearChainCRF(3)
        >>> logits, lengths = torch.randn(2, 4, 3), torch.tensor([4, 2])
        >>> targets = torch.tensor([[0, 1, 1, 2], [2, 0, -100, -100]])
        >>> crf.loss_sum(logits, targets, lengths).backward()
        >>> crf.transitions.grad.shape
        torch.Size([3, 3])
        >>> labels, scores = crf.decode(logits, lengths)
        >>> bool((labels[1, 2:] == -100).all())
        True
    """

    allowed: Tensor
    allowed_start: Tensor

    def __init__(self, num_labels: int, allowed: Tensor | None = None, allowed_start: Tensor | None = None) -> None:
        super().__init__()
        if num_labels < 1:
            raise UsageError(f"num_labels={num_labels}, expected at least 1")
        self.transitions = nn.Parameter(torch.zeros(num_labels, num_labels))
        self.start = nn.Parameter(torch.zeros(num_labels))
        self.end = nn.Parameter(torch.zeros(num_labels))
        for name, mask, like in (
            ("allowed", allowed, self.transitions),
            ("allowed_start", allowed_start, self.start),
        ):
            mask = torch.ones_like(like, dtype=torch.bool) if mask is None else torch.as_tensor(mask).bool()
            if mask.shape != like.shape:
                raise UsageError(f"{name} has shape {tuple(mask.shape)}, expected {tuple(like.shape)}")
            self.register_buffer(name, mask)
        if not self.allowed.is_meta:
            self._check_constraints()

    def _check_constraints(self) -> None:
        reached = self.allowed_start
        for length in range(1, len(reached) + 2):  # K + 1 labels repeat one, so there is a cycle to continue with
            if not reached.any():
                raise UsageError(f"the constraints allow no sequence of {length} labels; allow more transitions")
            reached = self.allowed[reached].any(0)

    def loss_sum(self, logits: Tensor, targets: Tensor, lengths: Tensor | None) -> Tensor:
        """Sum -log p(targets) over the rows, in nats, ignoring the constraints.

        The gradient is exact (forward-backward algorithm). There are no second derivatives.

        Args:
            logits: (B, T, K) float, on any device; padding is ignored.
            targets: (B, T) int64; :data:`~elman.data.batching.IGNORED` beyond a row's length, and nowhere else.
            lengths: (B,) integers in 0 … T; None if every row has T steps. A row of length 0 adds nothing.

        Returns:
            A scalar: float64 for float64 logits, otherwise float32.

        Raises:
            UsageError: a shape, a length or a target does not fit.
        """
        self._check(logits)
        check("the targets", targets, tuple(logits.shape[:2]), torch.int64, layout="(B, T)")
        parameters = (self.transitions, self.start, self.end)
        needs_gradients = torch.is_grad_enabled() and any(x.requires_grad for x in (logits, *parameters))
        loss: Tensor = _LossSum.apply(logits, *parameters, lengths, targets, needs_gradients)  # type: ignore[no-untyped-call]
        return loss

    def decode(self, logits: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Find the best sequence of labels that the constraints allow; see :func:`~elman.decoding.viterbi.viterbi`.

        Args:
            logits: (B, T, K) float.
            lengths: (B,) integers in 0 … T; None if every row has T steps.

        Returns:
            The labels (B, T) int64, IGNORED beyond a row's length, and their scores (B,); log p is score - log Z.

        Raises:
            UsageError: a shape or a length does not fit, or all logits of a step are -inf or NaN.
        """
        self._check(logits)
        transitions = self.transitions.masked_fill(~self.allowed, -math.inf)
        start = self.start.masked_fill(~self.allowed_start, -math.inf)
        labels, scores = best_paths(logits, lengths, transitions, start, self.end, padding=IGNORED)
        return labels.to(logits.device), _like(scores, logits)

    def marginals(self, logits: Tensor, lengths: Tensor | None) -> Tensor:
        """Compute the probability of each label at each step given the whole sequence, ignoring the constraints.

        Args:
            logits: (B, T, K) float.
            lengths: (B,) integers in 0 … T; None if every row has T steps.

        Returns:
            (B, T, K), without a gradient; each step within a row's length sums to 1, padding is 0.

        Raises:
            UsageError: a shape or a length does not fit.
        """
        self._check(logits)
        return _like(sum_over_paths(logits, lengths, self.transitions, self.start, self.end).d_logits, logits)

    def log_marginals(self, logits: Tensor) -> Tensor:
        """Compute the logarithm of :meth:`marginals` for rows of T steps each, with a gradient.

        Args:
            logits: (B, T, K) float.

        Returns:
            (B, T, K).

        Raises:
            UsageError: a shape does not fit.
        """
        self._check(logits)
        num_steps = logits.shape[1]
        before = [self.start.expand_as(logits[:, 0])]  # sums over all paths to each label, its own logit left out
        after = [self.end.expand_as(logits[:, 0])]  # and over all paths from it on
        for step in range(1, num_steps):
            reached = before[-1] + logits[:, step - 1]  # (B, K)
            before.append((reached[:, :, None] + self.transitions).logsumexp(dim=1))
            onward = after[-1] + logits[:, num_steps - step]
            after.append((onward[:, None] + self.transitions).logsumexp(dim=2))
        scores = torch.stack(before, dim=1) + logits + torch.stack(after[::-1], dim=1)  # (B, T, K)
        return scores.log_softmax(dim=-1)

    def extra_repr(self) -> str:
        """Show K in ``repr``."""
        return f"num_labels={len(self.start)}"

    def _check(self, logits: Tensor) -> None:
        """Check the shape of the logits; the kernels check the rest."""
        size = len(self.start)
        check("the logits", logits, ("B", "T", size), None)
        if logits.shape[1] == 0:
            raise UsageError(f"the logits have shape {tuple(logits.shape)}, expected (B, T, {size}) with T at least 1")


class _LossSum(torch.autograd.Function):
    """The summed loss. Its gradient is computed along with it, so backward only scales it."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        transitions: Tensor,
        start: Tensor,
        end: Tensor,
        lengths: Tensor | None,
        targets: Tensor,
        needs_gradients: bool,
    ) -> Tensor:
        inputs = (logits, transitions, start, end)
        totals, *gradients = sum_over_paths(
            logits, lengths, transitions, start, end, targets, needs_gradients=needs_gradients
        )
        if needs_gradients:
            pairs = zip(gradients, inputs, strict=True)
            ctx.save_for_backward(*(gradient.to(x.dtype).to(x.device) for gradient, x in pairs))
        return _like(totals.sum(), logits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        return *(d_loss * gradient for gradient in ctx.saved_tensors), None, None, None


def _like(result: Tensor, logits: Tensor) -> Tensor:
    """Move a result to the device and dtype of the logits, but at least float32."""
    return result.to(torch.promote_types(logits.dtype, torch.float32)).to(logits.device)
