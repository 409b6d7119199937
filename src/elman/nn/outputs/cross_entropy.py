"""The output layer and its cross-entropy in one, a chunk of rows at a time.

    hidden (N,H), V (O,H), b2 (O) ──▶ chunk of logits (C,O) ──┬──▶ nats
                                                              └──▶ d_logits (C,O) ──▶ d_hidden, d_V, d_b2

The logits of a batch, all N rows of them, are often the largest array of a training step, and softmax and gradients
need as much again. So they never exist as a whole: the gradients are computed in the forward pass, chunk by chunk,
while the logits are in the cache. ``torch.nn.functional.linear_cross_entropy``, new in torch 2.12, does the same, but
without label smoothing.

Source: Wijmans et al. (2024), "Cut your losses in large-vocabulary language models", arXiv:2411.09009; Hsu et al.
(2024), "Liger kernel: efficient Triton kernels for LLM training", arXiv:2410.10989, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from elman.data.batching import IGNORED
from elman.errors import UsageError

CHUNK = 1 << 21  # logits in a chunk: 8 MB
FEWEST_ROWS = 128  # in a chunk: each one reads V twice and adds to its gradient


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Return the negative log-likelihood of each target in nats, zero at padding, for evaluation.

    Args:
        hidden: (N, H).
        weight: V (O, H).
        bias: b2 (O,).
        targets: (N,) int64; :data:`~elman.data.batching.IGNORED` at padding.

    Returns:
        (N,), at least float32.
    """
    losses = [
        cross_entropy(_widen(linear(hidden[rows], weight, bias)), targets[rows], ignore_index=IGNORED, reduction="none")
        for rows in _chunks(len(hidden), len(weight))
    ]
    return torch.cat(losses)


def linear_cross_entropy_sum(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Sum the negative log-likelihood of the targets in nats, for training.

    If the logits are more than a chunk, gradients are computed here, not in the backward pass, which only scales them.
    Then there can be one backward pass, and no second derivatives.

    Args:
        hidden: (N, H).
        weight: V (O, H).
        bias: b2 (O,).
        targets: (N,) int64.
        label_smoothing: share of each target's probability that is spread over all outputs.

    Returns:
        A scalar, at least float32.

    Raises:
        UsageError: second derivatives are asked for (``create_graph=True``).

    Example:
        >>> hidden = torch.zeros(3, 2, requires_grad=True)
        >>> loss = linear_cross_entropy_sum(hidden, torch.zeros(4, 2), torch.zeros(4), torch.tensor([3, 0, 0]))
        >>> print(f"{loss.item():.4f} = 3 log 4")
        4.1589 = 3 log 4
    """
    if len(hidden) * len(weight) <= CHUNK:
        logits = _widen(linear(hidden, weight, bias))  # (N, O)
        return cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)
    compute: Any = _LinearCrossEntropySum
    loss: Tensor = compute.apply(hidden, weight, bias, targets, label_smoothing)
    return loss


class _LinearCrossEntropySum(torch.autograd.Function):
    """Compute the sum and, in the same pass, its gradients."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float
    ) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        hidden, weight, bias = hidden.to(dtype), weight.to(dtype), bias.to(dtype)
        d_hidden = torch.empty_like(hidden)
        d_weight, d_bias = torch.zeros_like(_widen(weight)), torch.zeros_like(_widen(bias))
        total = d_bias.new_zeros(())
        for rows in _chunks(len(hidden), len(weight)):
            chosen = targets[rows, None]  # (C, 1)
            log_probs = _widen(linear(hidden[rows], weight, bias)).log_softmax(dim=-1)  # (C, O)
            total -= (1 - label_smoothing) * log_probs.gather(1, chosen).sum()
            if label_smoothing:
                total -= label_smoothing * log_probs.mean(dim=1).sum()
            d_logits = log_probs.exp_()  # softmax - (1 - smoothing) * one-hot - smoothing / O
            d_logits.scatter_add_(1, chosen, d_logits.new_full((1, 1), label_smoothing - 1).expand_as(chosen))
            if label_smoothing:
                d_logits -= label_smoothing / len(weight)
            d_bias += d_logits.sum(dim=0)
            d_logits = d_logits.to(dtype)
            torch.mm(d_logits, weight, out=d_hidden[rows])
            if d_weight.dtype == dtype:
                d_weight.addmm_(d_logits.T, hidden[rows])
            else:
                d_weight += d_logits.T @ hidden[rows]
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *d_total: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise UsageError("this loss has no second derivatives; use cross_entropy(head(hidden), targets) for them")
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        return d_hidden.mul_(d_total[0]), d_weight.mul_(d_total[0]), d_bias.mul_(d_total[0]), None, None


def _chunks(num_rows: int, num_outputs: int) -> Iterator[slice]:
    """Divide rows into chunks of about equal size; one, empty, if there are none."""
    most = max(CHUNK // num_outputs, FEWEST_ROWS)
    count = max(-(-num_rows // most), 1)
    size = -(-num_rows // count)
    for chunk in range(count):
        yield slice(chunk * size, min((chunk + 1) * size, num_rows))


def _widen(numbers: Tensor) -> Tensor:
    """Return numbers as float32, or float64 if they are."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))
