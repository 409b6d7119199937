"""The minimal GRU: its gates read only the input, so all time steps can be computed together."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from elman.nn.backends import LayerWeights
from elman.nn.stack import Recurrent
from elman.nn.state import State


class MinGRU(Recurrent):
    """The minimal gated recurrent unit: no gate reads the state, so there is no U. Gate order z, n.

        z = sigmoid(W_z x_t + b_z)
        n = W_n x_t + b_n
        h_t = (1 - z) * h_{t-1} + z * n

    Given the gates, h_t is linear in h_{t-1}, so all steps are computed together (``scan``). Elman has no kernels for
    it; ``backend="torch"`` and ``"auto"`` both use torch's operations.

    Source: Feng et al. (2024), "Were RNNs all we needed?", arXiv:2410.01201, section 3.1. Their scan works in log
    space, which needs a positive n; the scan here does not.

    Args and Raises: those of :class:`~elman.nn.recurrent.RNN`, less ``nonlinearity``. W = ``weight_ih_l0`` (2H, I),
    b = ``bias_ih_l0`` (2H,).

    Example:
        >>> layer = MinGRU(3, 5, num_layers=2, bidirectional=True)
        >>> outputs, state = layer(torch.zeros(4, 2, 3))
        >>> outputs.shape, state.shape
        (torch.Size([4, 2, 10]), torch.Size([4, 2, 5]))
    """

    cell_name: ClassVar[str] = "mingru"

    def weight_shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        """Return the weights of one layer and direction."""
        rows = 2 * self.hidden_size
        return {"weight_ih": (rows, input_size), **({"bias_ih": (rows,)} if self.bias else {})}

    def unroll(self, inputs: Tensor, state: State, weights: LayerWeights) -> State:
        """Compute all steps from the inputs (T, B, I) and h (B, H): every h, (T, B, H)."""
        w = weights["weight_ih"]
        gates = functional.linear(inputs, w, weights.get("bias_ih")).to(w.dtype)  # (T, B, 2H); autocast gave bfloat16
        z, n = gates.chunk(2, dim=-1)  # (T, B, H) each
        return State(hidden=scan(torch.sigmoid(-z), torch.sigmoid(z) * n, state["hidden"].to(w.dtype)))


def scan(keep: Tensor, add: Tensor, start: Tensor) -> Tensor:
    """Compute h_t = keep_t * h_{t-1} + add_t for all t in about 2 √T steps instead of T.

    The sequence is cut into chunks of about √T steps. First all chunks run side by side, each from zero, which gives
    ``added`` and ``kept``, the running product of keep. Then h is carried from chunk to chunk. Finally each step of a
    chunk is h_t = kept_t * h_before_the_chunk + added_t. There are no divisions and no logarithms, so the rounding
    error is that of the plain loop.

    Args:
        keep: (T, B, H).
        add: (T, B, H).
        start: (B, H), h before the first step.

    Returns:
        (T, B, H).

    Example:
        >>> halves, ones = torch.full((3, 1, 1), 0.5), torch.ones(3, 1, 1)
        >>> scan(halves, ones, torch.zeros(1, 1)).flatten().tolist()
        [1.0, 1.5, 1.75]
    """
    num_steps = len(keep)
    length = math.isqrt(num_steps)
    padding = -num_steps % length
    if padding:  # beyond the last step; cut off below
        keep, add = (functional.pad(each, (0, 0, 0, 0, 0, padding)) for each in (keep, add))
    keeps, adds = (
        each.reshape(-1, length, *each.shape[1:]).unbind(1) for each in (keep, add)
    )  # of each (chunks, B, H)
    kept, added = [keeps[0]], [adds[0]]
    for keep_t, add_t in zip(keeps[1:], adds[1:], strict=True):
        kept.append(keep_t * kept[-1])
        added.append(torch.addcmul(add_t, keep_t, added[-1]))
    before = [start]  # of each chunk, (B, H)
    for chunk_kept, chunk_added in zip(kept[-1].unbind(0)[:-1], added[-1].unbind(0)[:-1], strict=True):
        before.append(torch.addcmul(chunk_added, chunk_kept, before[-1]))
    states = torch.addcmul(torch.stack(added, 1), torch.stack(kept, 1), torch.stack(before)[:, None])
    return states.flatten(0, 1)[:num_steps]  # (chunks, length, B, H) to (T, B, H)
