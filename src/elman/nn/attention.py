"""Attention: how strongly the decoder attends to each of the encoder's outputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from elman.errors import UsageError
from elman.kernels.checks import check, check_choice, check_lengths, dtype_beside

ATTENTION_KINDS = ("bahdanau", "luong")


class Memory(NamedTuple):
    """An encoder's outputs, prepared for attention."""

    outputs: Tensor
    """The encoder's outputs, (B, S, M)."""
    keys: Tensor
    """What queries are compared with, (B, S, Q)."""
    is_padding: Tensor
    """True beyond a row's length, (B, S) bool."""

    def select(self, rows: Tensor) -> Memory:
        """Return the given rows; nothing is copied if those are all rows in order."""
        if len(rows) == len(self.outputs) and torch.equal(rows.cpu(), torch.arange(len(rows))):
            return self
        return Memory(*(part[rows] for part in self))


class Attention(nn.Module):
    """Average the memory for each query, weighted by how well each position matches the query.

        bahdanau   score(q, m) = v · tanh(W q + U m)
        luong      score(q, m) = q · U m                      ("general")

        weights = softmax of the scores over each row's true length;   context = Σ weights · m

    Source: Bahdanau, Cho and Bengio (2015), "Neural machine translation by jointly learning to align and translate",
    appendix A.1.2; Luong, Pham and Manning (2015), "Effective approaches to attention-based neural machine
    translation", equation 8.

    Args:
        kind: ``bahdanau`` or ``luong``.
        query_size: Q, the size of a query, which is the decoder's hidden size.
        memory_size: M, the size of one encoder output.

    Raises:
        UsageError: the kind is unknown.

    Example:
        >>> attention = Attention("luong", 4, 6)
        >>> memory = attention.remember(torch.ones(2, 3, 6), torch.tensor([3, 2]))
        >>> context, weights = attention(torch.ones(2, 5, 4), memory)
        >>> context.shape, weights[1, 0].tolist()
        (torch.Size([2, 5, 6]), [0.5, 0.5, 0.0])
    """

    def __init__(self, kind: str, query_size: int, memory_size: int) -> None:
        super().__init__()
        check_choice("kind", kind, ATTENTION_KINDS)
        self.kind = kind
        self.keys = nn.Linear(memory_size, query_size, bias=False)  # U
        if kind == "bahdanau":
            self.queries = nn.Linear(query_size, query_size, bias=False)  # W
            self.score = nn.Linear(query_size, 1, bias=False)  # v

    def remember(self, outputs: Tensor, lengths: Tensor | None = None) -> Memory:
        """Prepare the encoder's outputs once for all queries.

        Args:
            outputs: (B, S, M) float.
            lengths: (B,) integers in 1 … S; None if every row has S positions.

        Raises:
            UsageError: a shape, a dtype or a length does not fit.
        """
        weight = self.keys.weight  # (Q, M)
        check("the outputs", outputs, ("B", "S", weight.shape[1]), dtype_beside(weight), weight.device)
        rows, steps, _ = outputs.shape
        lengths = torch.full((rows,), steps) if lengths is None else check_lengths(lengths, rows, steps)
        if (lengths < 1).any():
            raise UsageError(
                f"lengths are {lengths.tolist()}, expected 1 … {steps}: attention needs at least one position"
            )
        is_padding = (torch.arange(steps) >= lengths[:, None]).to(outputs.device)  # (B, S)
        return Memory(outputs, self.keys(outputs), is_padding)

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attend to the memory.

        Args:
            queries: (B, T, Q) float.
            memory: the result of :meth:`remember`.

        Returns:
            The contexts (B, T, M) and the weights (B, T, S). The weights of a query sum to 1 and are 0 at padding.

        Raises:
            UsageError: the queries do not fit the memory.
        """
        weight = self.keys.weight  # (Q, M)
        dtype, device = dtype_beside(weight), weight.device
        rows, steps = memory.outputs.shape[:2]
        check("the queries", queries, (rows, "T", weight.shape[0]), dtype, device, "(B, T, Q)")
        for name, part, sizes in (
            ("the outputs in memory", memory.outputs, (rows, steps, weight.shape[1])),
            ("the keys in memory", memory.keys, (rows, steps, weight.shape[0])),
        ):
            check(name, part, sizes, dtype, device)
        check("memory.is_padding", memory.is_padding, (rows, steps), torch.bool, device)
        if self.kind == "luong":
            scores = queries @ memory.keys.transpose(1, 2)  # (B, T, S)
        else:
            both = self.queries(queries)[:, :, None] + memory.keys[:, None]  # (B, T, S, Q)
            scores = self.score(torch.tanh(both)).squeeze(-1)  # (B, T, S)
        weights = scores.masked_fill(memory.is_padding[:, None], -torch.inf).softmax(dim=-1)
        return weights @ memory.outputs, weights  # (B, T, M), (B, T, S)

    def extra_repr(self) -> str:
        """Show the kind in ``repr``."""
        return f"kind={self.kind}"
