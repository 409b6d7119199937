"""The surprisal of each token of a text, -log p(token | all tokens before it), in nats, while the text arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import IGNORED, Batch, line_chunks
from elman.data.corpus import Corpus
from elman.data.records import Passage
from elman.data.tokens.tokenizer import Tokenizer
from elman.errors import DataError
from elman.nn.state import State

CHUNK_TOKENS = 4096  # tokens that are read at once, if that many have arrived

Nats = Callable[[Batch, State | None], tuple[Tensor, State]]
"""Reads a batch from a state; returns the losses (B, T) of its targets in nats, zero at padding, and the new state."""


def stream_surprisals(
    passages: Iterable[Passage], tokenizer: Tokenizer, nats_of: Nats
) -> Iterator[tuple[NDArray[Any], list[float | None]]]:
    """Yield ids of a text with their surprisals, carrying the state through the text; the first token has none.

    Raises:
        DataError: the text has only one token.
    """
    ids = np.zeros(0, np.int64)  # the last token read, then those not read yet
    pending: list[float | None] = [None]  # the first token has no surprisal; it is yielded with the next tokens
    state: State | None = None
    for text, more in chain(passages, [Passage("", more=False)]):
        ids = np.concatenate((ids, tokenizer.encode(text)))
        while len(ids) > (CHUNK_TOKENS if more else 1):
            piece = torch.from_numpy(ids[None, : CHUNK_TOKENS + 1])
            losses, state = nats_of(Batch(piece[:, :-1], None, piece[:, 1:], first=state is None), state)
            yield ids[1 - len(pending) : piece.shape[1]], pending + losses[0].tolist()
            ids, pending = ids[piece.shape[1] - 1 :], []
    if len(ids) and pending:
        raise DataError(f"the text has only one token, {tokenizer.tokens(ids)[0]!r}; surprisals need at least 2")


def line_surprisals(
    passages: Iterable[Passage], tokenizer: Tokenizer, nats_of: Nats
) -> Iterator[tuple[NDArray[Any], list[float | None]]]:
    """Yield ids of lines with their surprisals; lines are independent sequences."""
    held: list[NDArray[np.int64]] = []  # lines not read yet, from <s> to </s>
    for text, more in chain(passages, [Passage("", more=False)]):
        ids, lengths = tokenizer.encode_lines(text.removesuffix("\n"))
        begin, end = [tokenizer.begin_id], [tokenizer.end_id]
        lines = np.split(ids, np.cumsum(lengths)[:-1])
        held += [np.concatenate((begin, line, end)) for line in lines if len(line)]
        if not held:
            continue
        offsets = np.cumsum([0, *map(len, held)])
        num_read = 0
        for batch in line_chunks(Corpus(np.concatenate(held), offsets, 0, 0), CHUNK_TOKENS):
            if more and num_read + len(batch.inputs) == len(held):
                break  # wait: more lines may fit into this batch
            losses, _ = nats_of(batch, None)
            mask = batch.targets != IGNORED
            yield batch.targets[mask].numpy(), losses[mask].tolist()
            num_read += len(batch.inputs)
        held = held[num_read:]
