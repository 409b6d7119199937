"""Ids to batches, each a pure function of the seed and the step number.

The position in the data *is* the step number, so training resumes from it with nothing else to restore.

    StreamBatches   one long text as parallel streams, for truncated backpropagation through time: row b of chunk k + 1
                    continues where row b of chunk k ended, so the state is carried from one chunk to the next
    LineBatches     independent sequences, grouped by length to keep padding low
    LengthBuckets   the grouping by length alone, for data other than text
    line_chunks     independent sequences, once and in order, for evaluation
    stream_chunks   one long text, once and in order, for evaluation: every token but the first is predicted once
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elman.data.corpus import Corpus, IdArray
from elman.errors import DataError

IGNORED = -100
"""The target of padding; torch's losses ignore it."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The inputs of one step and its targets: at each position, the next token.

    Args:
        inputs: (B, T) int64, padded with 0.
        lengths: (B,) int64, at least 1; None if every row has length T.
        targets: (B, T) int64, padded with -100.
        first: whether the rows start new sequences, so that a state from the previous batch must be dropped.
    """

    inputs: torch.Tensor
    lengths: torch.Tensor | None
    targets: torch.Tensor
    first: bool

    @property
    def num_targets(self) -> int:
        """The number of tokens to predict."""
        return self.targets.numel() if self.lengths is None else int(self.lengths.sum())

    def to(self, device: torch.device) -> Batch:
        """Move the tokens to ``device``; the lengths stay on the CPU, where they are needed."""
        return Batch(self.inputs.to(device), self.lengths, self.targets.to(device), self.first)


class StreamBatches:
    """A text as ``batch_size`` contiguous streams, read in parallel in chunks of ``bptt_length`` tokens.

    Each pass starts at a random offset of up to ``bptt_length - 1`` tokens. So the chunks are cut at other positions in
    every pass, and the tokens left over at the end of a stream (less than a chunk) are used in other passes.

    Args:
        corpus: the text; its sequences are joined into one.
        batch_size: the number of streams; it is reduced if the text is too short.
        bptt_length: the number of tokens in a chunk, through which gradients flow.
        seed: the seed of the offsets.

    Raises:
        DataError: the text is too short for a single stream.

    Example:
        >>> corpus = Corpus(np.arange(20, dtype=np.uint16), np.array([0, 20]), 20, 0)
        >>> batches = StreamBatches(corpus, batch_size=2, bptt_length=4, seed=0)
        >>> len(batches), batches.batch(0).inputs.tolist(), batches.batch(1).inputs.tolist()
        (2, [[3, 4, 5, 6], [11, 12, 13, 14]], [[7, 8, 9, 10], [15, 16, 17, 18]])
    """

    def __init__(self, corpus: Corpus, batch_size: int, bptt_length: int, seed: int) -> None:
        room = corpus.num_tokens - bptt_length  # the number of targets at any offset
        if room < bptt_length:
            raise DataError(
                f"the text has {corpus.num_tokens} tokens and at least {2 * bptt_length} are needed: "
                f"give a smaller `bptt_length` than {bptt_length}, or more text{corpus.hint}"
            )
        self.batch_size = min(batch_size, room // bptt_length)
        self.bptt_length = bptt_length
        self._ids = corpus.ids
        self._seed = seed
        self._stream_length = room // self.batch_size

    def __len__(self) -> int:
        """Return the number of batches in one pass over the text."""
        return self._stream_length // self.bptt_length

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; steps are numbered from 0 through all passes."""
        epoch, index = divmod(step, len(self))
        offset = int(np.random.default_rng((self._seed, epoch)).integers(self.bptt_length))
        starts = offset + index * self.bptt_length + np.arange(self.batch_size) * self._stream_length  # (B,)
        return _gather(self._ids, starts, np.full(self.batch_size, self.bptt_length), first=index == 0)


BLOCK_SIZE = 1 << 20
"""The number of sequences that are shuffled and sorted at a time, which bounds the memory."""


class LineBatches:
    """Batches of sequences of similar length, as many as fit into ``batch_tokens`` when padded.

    Each pass uses every sequence exactly once, and shuffles anew which sequences of one length share a batch and the
    order of the batches. A sequence longer than ``max_length`` is split: all its tokens are predicted, but the later
    pieces start without a state. `num_cut` counts such sequences.

    Args:
        corpus: the sequences.
        batch_tokens: the maximum number of tokens in a batch, padding included (a single sequence may be longer).
        seed: the seed of the order.
        max_length: the maximum number of tokens in a row.
        block_size: see `BLOCK_SIZE`.

    Raises:
        DataError: there are no sequences.

    Example:
        >>> corpus = Corpus(np.array([1, 7, 2, 1, 8, 9, 2], np.uint16), np.array([0, 3, 7]), 5, 0)
        >>> batch = LineBatches(corpus, batch_tokens=6).batch(0)
        >>> batch.inputs.tolist(), batch.lengths.tolist(), batch.targets.tolist()
        ([[1, 7, 0], [1, 8, 9]], [2, 3], [[7, 2, -100], [8, 9, 2]])
    """

    def __init__(
        self, corpus: Corpus, batch_tokens: int, seed: int = 0, max_length: int = 4096, block_size: int = BLOCK_SIZE
    ) -> None:
        if not corpus.num_targets:
            raise DataError(f"every line of the text is empty, so there is nothing to learn from{corpus.hint}")
        self._corpus = corpus
        self._batch_tokens = batch_tokens
        self._max_length = max_length
        self._block_size = block_size
        self._seed = seed
        num_blocks = -(-corpus.num_sequences // block_size)
        counts = [self._block(number).counts() for number in range(num_blocks)]  # one block in memory at a time
        self._num_batches = np.array([num_batches for num_batches, _ in counts])  # (blocks,)
        self.num_cut = sum(num_cut for _, num_cut in counts)
        self._drawn: tuple[int, int, _Block] | None = None  # the pass, the block's number, and the block itself

    def __len__(self) -> int:
        """Return the number of batches in one pass over the sequences."""
        return int(self._num_batches.sum())

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; steps are numbered from 0 through all passes."""
        epoch, index = divmod(step, len(self))
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._num_batches))  # of the blocks
        ends = np.cumsum(self._num_batches[order])
        place = int(np.searchsorted(ends, index, side="right"))
        number = int(order[place])
        if self._drawn is None or self._drawn[:2] != (epoch, number):
            self._drawn = (epoch, number, self._block(number))
            self._drawn[2].shuffle(np.random.default_rng((self._seed, epoch, number)))
        starts, lengths = self._drawn[2].rows(index - int(ends[place] - self._num_batches[number]))
        return _gather(self._corpus.ids, starts, lengths, first=True)

    def _block(self, number: int) -> _Block:
        first = number * self._block_size
        offsets = self._corpus.offsets[first : first + self._block_size + 1]
        return _Block(offsets, self._batch_tokens, self._max_length)


class _Block:
    """Sequences split into pieces of at most ``max_length`` tokens, and the pieces grouped by length into batches."""

    def __init__(self, offsets: NDArray[np.int64], batch_tokens: int, max_length: int) -> None:
        starts, lengths = offsets[:-1], np.diff(offsets) - 1  # (sequences,), lengths in targets
        num_pieces = -(-lengths // max_length)
        self.num_cut = int(np.count_nonzero(num_pieces > 1))
        if self.num_cut:
            rank = np.arange(num_pieces.sum()) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
            starts = np.repeat(starts, num_pieces) + rank * max_length  # (pieces,)
            lengths = np.minimum(np.repeat(lengths, num_pieces) - rank * max_length, max_length)
        self._starts = starts
        self._lengths = lengths.astype(np.min_scalar_type(max_length))  # a small type sorts faster
        self.cuts = _cut_into_batches(self._lengths, batch_tokens)

    def counts(self) -> tuple[int, int]:
        """Return the number of batches and the number of split sequences."""
        return len(self.cuts) - 1, self.num_cut

    def shuffle(self, generator: np.random.Generator) -> None:
        """Order the pieces by length (ties at random) and the batches at random."""
        self._pieces = _order_by_length(self._lengths, generator)
        self._batches = generator.permutation(len(self.cuts) - 1)

    def rows(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the start and the length of each row of a batch."""
        bucket = self._batches[index]
        rows = self._pieces[self.cuts[bucket] : self.cuts[bucket + 1]]
        return self._starts[rows], self._lengths[rows].astype(np.int64)


class LengthBuckets:
    """A grouping of sequences of similar length, as many as fit into ``batch_tokens`` when padded.

    Each pass uses every sequence exactly once, and shuffles anew which sequences of one length share a batch and the
    order of the batches.

    Args:
        lengths: (N,) the length of each sequence.
        seed: the seed of the order.

    Example:
        >>> buckets = LengthBuckets(np.array([3, 9, 3]), seed=0)
        >>> buckets.group(batch_tokens=8)
        >>> sorted(sorted(buckets.rows(step).tolist()) for step in range(len(buckets)))
        [[0, 2], [1]]
    """

    def __init__(self, lengths: NDArray[np.int64], seed: int) -> None:
        self.lengths = lengths
        self._seed = seed
        self._cuts: list[int] = []
        self._drawn: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None  # the pass, its rows, its batches

    def group(self, batch_tokens: int) -> None:
        """Group the sequences; called once, before the first batch.

        Args:
            batch_tokens: the maximum number of tokens in a batch, padding included (a single sequence may be longer).
        """
        self._cuts = _cut_into_batches(self.lengths, batch_tokens)

    def __len__(self) -> int:
        """Return the number of batches in one pass over the sequences."""
        return len(self._cuts) - 1

    def rows(self, step: int) -> NDArray[np.int64]:
        """Return the indices of the sequences in a step's batch; steps are numbered from 0 through all passes."""
        epoch, index = divmod(step, len(self))
        if self._drawn is None or self._drawn[0] != epoch:
            generator = np.random.default_rng((self._seed, epoch))
            self._drawn = (epoch, _order_by_length(self.lengths, generator), generator.permutation(len(self)))
        _, rows, batches = self._drawn
        first, last = self._cuts[batches[index]], self._cuts[batches[index] + 1]
        return rows[first:last]


def _cut_into_batches(lengths: NDArray[Any], batch_tokens: int) -> list[int]:
    """Return where each batch starts among the sequences sorted by length, and where the last batch ends."""
    ascending = np.sort(lengths)
    cuts = [len(ascending)]  # from the end
    while stop := cuts[-1]:
        cuts.append(max(stop - max(batch_tokens // max(int(ascending[stop - 1]), 1), 1), 0))
    return cuts[::-1]


def _order_by_length(lengths: NDArray[Any], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of sequences in order of length, ties at random."""
    shuffled = generator.permutation(len(lengths))
    return shuffled[np.argsort(lengths[shuffled], kind="stable")]


def stream_chunks(corpus: Corpus, num_streams: int, chunk_length: int) -> Iterator[Batch]:
    """Read a text once and in order; every token but the first is a target exactly once.

    Args:
        corpus: the text; its sequences are joined into one.
        num_streams: the number of contiguous parts to read in parallel (fewer if the text has fewer tokens), whose
            lengths differ by at most one. 1 keeps the exact order; otherwise each part but the first starts without a
            state.
        chunk_length: the number of tokens in a chunk; the last chunk may be shorter, or longer by one.

    Returns:
        Batches, between which the state is carried on.

    Raises:
        DataError: there is nothing to predict.

    Example:
        >>> corpus = Corpus(np.arange(8, dtype=np.uint16), np.array([0, 8]), 8, 0)
        >>> [batch.targets.tolist() for batch in stream_chunks(corpus, num_streams=2, chunk_length=2)]
        [[[1, 2], [5, 6]], [[3, 4], [7, -100]]]
    """
    num_targets = corpus.num_tokens - 1
    if num_targets < 1:
        raise DataError(f"the text has {corpus.num_tokens} tokens and at least 2 are needed: give more{corpus.hint}")
    num_streams = min(num_streams, num_targets)
    bounds = -(-num_targets * np.arange(num_streams + 1) // num_streams)  # (streams + 1,) where each stream starts
    lengths = np.diff(bounds)
    num_chunks = -(-int(lengths.min()) // chunk_length)
    for index in range(num_chunks):
        done = index * chunk_length
        left = lengths - done if index == num_chunks - 1 else np.full(num_streams, chunk_length)
        yield _gather(corpus.ids, bounds[:-1] + done, left, first=index == 0)


def line_chunks(corpus: Corpus, batch_tokens: int) -> Iterator[Batch]:
    """Read whole sequences once and in order, as many at a time as fit into ``batch_tokens`` when padded.

    Args:
        corpus: the sequences.
        batch_tokens: the maximum number of tokens in a batch, padding included (a single sequence may be longer).

    Returns:
        Batches, each of which starts without a state.

    Example:
        >>> corpus = Corpus(np.array([1, 5, 2, 1, 6, 7, 2], dtype=np.uint16), np.array([0, 3, 7]), 5, 0)
        >>> [batch.targets.tolist() for batch in line_chunks(corpus, batch_tokens=8)]
        [[[5, 2, -100], [6, 7, 2]]]
    """
    for first in range(0, corpus.num_sequences, BLOCK_SIZE):
        offsets = corpus.offsets[first : first + BLOCK_SIZE + 1]
        lengths = np.diff(offsets) - 1  # (sequences of the block,)
        start = 0
        while start < len(lengths):
            stop, width = start, 0
            while stop < len(lengths) and max(width, lengths[stop]) * (stop + 1 - start) <= batch_tokens:
                width = max(width, lengths[stop])
                stop += 1
            stop = max(stop, start + 1)  # a single sequence may be longer than batch_tokens
            yield _gather(corpus.ids, offsets[start:stop], lengths[start:stop], first=True)
            start = stop


def _gather(ids: IdArray, starts: NDArray[np.int64], lengths: NDArray[np.int64], first: bool) -> Batch:
    """Gather ``ids[start : start + length + 1]`` as the rows of a batch; the targets are shifted by one."""
    width = int(lengths.max())
    is_ragged = int(lengths.min()) < width
    inputs = np.zeros((len(starts), width), np.int64)  # (B, T)
    targets = np.full((len(starts), width), IGNORED, np.int64)  # (B, T)
    rows: Iterable[tuple[int, int]] = zip(starts.tolist(), lengths.tolist(), strict=True)
    for row, (start, length) in enumerate(rows):
        sequence = ids[start : start + length + 1]
        inputs[row, :length] = sequence[:-1]
        targets[row, :length] = sequence[1:]
    return Batch(
        torch.from_numpy(inputs), torch.from_numpy(lengths) if is_ragged else None, torch.from_numpy(targets), first
    )
