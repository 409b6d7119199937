"""Sampling of whole sequences, each with its log-probability, as an alternative to beam search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple

import torch
from torch import Tensor

from elman.decoding.beam import Hypothesis, RowState, StepFunction
from elman.decoding.options import Sampling, Search
from elman.decoding.sampling import draw_key
from elman.decoding.streams import Stepwise, Stream, Writing, stop_at


class Drawn(NamedTuple, Generic[RowState]):
    """The progress of R sequences that are being drawn."""

    state: RowState
    """The network's state, with one sentence for each row."""
    logits: Tensor
    """The logits of the next token, (R, V)."""
    nats: Tensor
    """The log-probability of the tokens drawn so far, (R,)."""

    def select(self, rows: Tensor) -> Drawn[RowState]:
        """Select rows."""
        return Drawn(self.state.select(rows, rows), self.logits[rows], self.nats[rows])


def draw_sequences(
    step: StepFunction[RowState],
    state: RowState,
    seeds: Sequence[tuple[int, ...]],
    search: Search,
    *,
    begin_id: int,
    end_id: int,
    max_length: int,
) -> list[list[Hypothesis]]:
    """Draw sequences for each of several sentences, token by token, from the network's distribution.

    Args:
        step: reads one token per row (R,) and returns the logits (R, V) of the next token, and the new state.
        state: the state with one row per sentence.
        seeds: the seed of each sentence; draws depend on it and on the number of the sequence.
        search: how many sequences to draw, at which temperature, and the length penalty of their scores.
        begin_id: the token that every sequence starts with; not returned.
        end_id: the token that ends a sequence.
        max_length: the most tokens of a sequence, including the end token.

    Returns:
        ``n_best`` sequences for each sentence, best first.
    """

    def read(ids: Tensor, drawn: Drawn[RowState]) -> tuple[Tensor, Drawn[RowState]]:
        log_probs = drawn.logits.float().cpu().log_softmax(dim=-1).gather(1, ids[:, None])[:, 0]  # (R,)
        logits, after = step(ids, drawn.state)
        return logits, Drawn(after, logits, drawn.nats + log_probs)

    number = search.n_best
    rows = torch.arange(len(seeds)).repeat_interleave(number)
    logits, state = step(torch.full((len(rows),), begin_id), state.select(rows, rows))
    options: dict[str, Any] = {
        "sampling": Sampling(temperature=search.temperature),
        "max_tokens": max_length,
        "stop": stop_at(end_id),
    }
    streams = [Stream(key=draw_key(*seed, index), **options) for seed in seeds for index in range(number)]
    network = Stepwise[Drawn[RowState]](lambda drawn: drawn.logits, read, Drawn.select)
    writing = Writing(network, Drawn(state, logits, torch.zeros(len(rows))), streams)
    written: list[list[int]] = [[] for _ in streams]
    for pieces in writing:
        for ids, new in zip(written, pieces, strict=True):
            ids += new
    found = []
    for ids, drawn in zip(written, writing.states(), strict=True):
        sequence = tuple(token for token in ids if token != end_id)
        found.append(Hypothesis(sequence, float(drawn.nats) / len(ids) ** search.length_penalty))
    groups = [found[start : start + number] for start in range(0, len(found), number)]
    return [sorted(group, key=lambda hypothesis: -hypothesis.score) for group in groups]
