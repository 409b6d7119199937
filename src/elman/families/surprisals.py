"""How surprising each token of a text is, piece by piece, as the text comes: -log p(token | all before it), in nats."""

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

READ_TOGETHER = 4096  # tokens that are read together, where so many are at hand

Nats = Callable[[Batch, State | None], tuple[Tensor, State]]
"""Reads a batch from a state; returns the nats (B, T) of its targets, zero at padding, and the state after it."""


def stream_surprisals(
    passages: Iterable[Passage], tokenizer: Tokenizer, nats_of: Nats
) -> Iterator[tuple[NDArray[Any], list[float | None]]]:
    """Yield ids of a text and the nats of each, the state carried through all of it; the first token has none.

    Raises:
        DataError: the text has one token.
    """
    ids = np.zeros(0, np.int64)  # the last that was a target, then those that are not read yet
    untold: list[float | None] = [None]  # of the first token, which is handed out with those after it
    state: State | None = None
    for text, more in chain(passages, [Passage("", more=False)]):
        ids = np.concatenate((ids, tokenizer.encode(text)))
        while len(ids) > (READ_TOGETHER if more else 1):
            piece = torch.from_numpy(ids[None, : READ_TOGETHER + 1])
            losses, state = nats_of(Batch(piece[:, :-1], None, piece[:, 1:], first=state is None), state)
            yield ids[1 - len(untold) : piece.shape[1]], untold + losses[0].tolist()
            ids, untold = ids[piece.shape[1] - 1 :], []
    if len(ids) and untold:
        raise DataError(f"the text has one token, {tokenizer.tokens(ids)[0]!r}, and a surprisal needs one before")


def line_surprisals(
    passages: Iterable[Passage], tokenizer: Tokenizer, nats_of: Nats
) -> Iterator[tuple[NDArray[Any], list[float | None]]]:
    """Yield ids of lines and the nats of each; every line is read by itself."""
    held: list[NDArray[np.int64]] = []  # lines that are not read yet, from <s> to </s>
    for text, more in chain(passages, [Passage("", more=False)]):
        ids, lengths = tokenizer.encode_lines(text.removesuffix("\n"))
        begin, end = [tokenizer.begin_id], [tokenizer.end_id]
        lines = np.split(ids, np.cumsum(lengths)[:-1])
        held += [np.concatenate((begin, line, end)) for line in lines if len(line)]
        if not held:
            continue
        offsets = np.cumsum([0, *map(len, held)])
        num_read = 0
        for batch in line_chunks(Corpus(np.concatenate(held), offsets, 0, 0), READ_TOGETHER):
            if more and num_read + len(batch.inputs) == len(held):
                break  # others may be read along with these
            losses, _ = nats_of(batch, None)
            mask = batch.targets != IGNORED
            yield batch.targets[mask].numpy(), losses[mask].tolist()
            num_read += len(batch.inputs)
        held = held[num_read:]
