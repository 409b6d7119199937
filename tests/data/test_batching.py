from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.batching import Batch, LengthBuckets, LineBatches, StreamBatches, line_chunks, stream_chunks
from elman.data.corpus import Corpus
from elman.errors import DataError


def stream(num_tokens: int, hint: str = "") -> Corpus:
    """Return a text in which each id is its position."""
    return Corpus(np.arange(num_tokens, dtype=np.uint16), np.array([0, num_tokens]), num_tokens, 0, hint)


def lines(lengths: list[int]) -> Corpus:
    """Return sequences of these lengths, including <s> and </s>; each id is its position."""
    offsets = np.cumsum([0, *lengths])
    return Corpus(np.arange(offsets[-1], dtype=np.uint32), offsets, 0, 0)


def rows(batch: Batch) -> list[tuple[list[int], list[int]]]:
    """Check the form of a batch and return its rows without padding."""
    num_rows, width = batch.inputs.shape
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    assert batch.targets.shape == (num_rows, width)
    assert batch.inputs.is_contiguous()
    assert batch.targets.is_contiguous()
    lengths = [width] * num_rows if batch.lengths is None else batch.lengths.tolist()
    if batch.lengths is not None:
        assert batch.lengths.dtype == torch.int64
        assert 1 <= min(lengths) < max(lengths) == width
    assert batch.num_targets == sum(lengths)
    for row, length in enumerate(lengths):
        assert set(batch.inputs[row, length:].tolist()) <= {0}
        assert set(batch.targets[row, length:].tolist()) <= {-100}
    return [
        (batch.inputs[row, :length].tolist(), batch.targets[row, :length].tolist())
        for row, length in enumerate(lengths)
    ]


def same(left: Batch, right: Batch) -> bool:
    return torch.equal(left.inputs, right.inputs) and torch.equal(left.targets, right.targets)


@given(st.integers(10, 400), st.integers(1, 9), st.integers(1, 5), st.integers(0, 3), st.integers(0, 4))
def test_streams_are_contiguous_parts_of_the_text(
    num_tokens: int, batch_size: int, bptt_length: int, seed: int, epoch: int
) -> None:
    batches = StreamBatches(stream(num_tokens), batch_size, bptt_length, seed)
    assert 1 <= batches.batch_size <= batch_size
    streams: list[list[int]] = [[] for _ in range(batches.batch_size)]
    for index in range(len(batches)):
        batch = batches.batch(epoch * len(batches) + index)
        assert batch.first == (index == 0)
        assert batch.lengths is None
        assert batch.inputs.shape == (batches.batch_size, bptt_length)
        for row, (inputs, targets) in enumerate(rows(batch)):
            assert targets == [token + 1 for token in inputs]
            assert not streams[row] or inputs[0] == streams[row][-1]
            streams[row] += targets
    offset = streams[0][0] - 1
    assert 0 <= offset < bptt_length
    seen = [target for targets in streams for target in targets]
    assert len(set(seen)) == len(seen)  # no duplicates
    assert seen == sorted(seen)
    assert seen[-1] < num_tokens
    gaps = set(range(offset + 1, seen[-1] + 1)) - set(seen)
    assert len(gaps) <= (batches.batch_size - 1) * (bptt_length - 1)  # less than a chunk between streams
    assert num_tokens - seen[-1] <= 2 * bptt_length + batches.batch_size


def test_without_leftover_tokens_the_targets_are_the_text() -> None:
    batches = StreamBatches(stream(4 * 3 * 5 + 5), batch_size=4, bptt_length=5, seed=1)
    assert len(batches) == 3
    targets = torch.cat([batches.batch(step).targets for step in range(3)], dim=1)  # (B, L)
    offset = int(targets[0, 0]) - 1
    assert targets.flatten().tolist() == list(range(offset + 1, offset + 61))


def test_every_token_is_used_in_some_pass() -> None:
    batches = StreamBatches(stream(100), batch_size=3, bptt_length=7, seed=0)
    seen = {int(token) for step in range(60 * len(batches)) for token in batches.batch(step).targets.flatten()}
    assert seen == set(range(1, max(seen) + 1))
    assert max(seen) > 93


def test_batches_depend_only_on_seed_and_step() -> None:
    def make(seed: int) -> StreamBatches:
        return StreamBatches(stream(1000), 4, 16, seed)

    batches = make(3)
    steps = [40, 3, 0, 17, 3]
    assert all(same(batches.batch(step), make(3).batch(step)) for step in steps)
    assert any(not same(make(3).batch(step), make(4).batch(step)) for step in (0, 15, 30, 45))
    offsets = {int(batches.batch(epoch * len(batches)).inputs[0, 0]) for epoch in range(200)}
    assert offsets == set(range(16))


def test_a_short_text_has_fewer_streams_or_is_refused() -> None:
    assert StreamBatches(stream(100), 64, 10, 0).batch_size == 9
    assert StreamBatches(stream(20), 64, 10, 0).batch_size == 1
    expected = (
        r"^the text has 19 tokens and at least 20 are needed: give a smaller `bptt_length` than 10, or more text; hint$"
    )
    with pytest.raises(DataError, match=expected):
        StreamBatches(stream(19, "; hint"), 64, 10, 0)


@given(
    st.lists(st.integers(2, 30), min_size=1, max_size=60), st.integers(1, 100), st.integers(1, 40), st.integers(1, 70)
)
def test_each_sequence_is_used_once_in_every_pass(
    lengths: list[int], batch_tokens: int, max_length: int, block_size: int
) -> None:
    corpus = lines(lengths)
    batches = LineBatches(corpus, batch_tokens, seed=5, max_length=max_length, block_size=block_size)
    expected = Counter()
    for start, end in zip(corpus.offsets.tolist(), corpus.offsets[1:].tolist(), strict=False):
        for begin in range(start, end - 1, max_length):
            expected[tuple(range(begin, min(begin + max_length, end - 1)))] += 1
    assert batches.num_cut == sum(length - 1 > max_length for length in lengths)
    for epoch in range(2):
        seen: Counter[tuple[int, ...]] = Counter()
        for index in range(len(batches)):
            batch = batches.batch(epoch * len(batches) + index)
            assert batch.first
            assert batch.inputs.numel() <= batch_tokens or len(batch.inputs) == 1
            for inputs, targets in rows(batch):
                assert targets == [token + 1 for token in inputs]
                seen[tuple(inputs)] += 1
        assert seen == expected


def test_padding_is_low() -> None:
    generator = np.random.default_rng(0)
    batches = LineBatches(lines(generator.integers(2, 80, 5000).tolist()), 2048)
    sizes = [(batch.num_targets, batch.targets.numel()) for batch in map(batches.batch, range(len(batches)))]
    used, padded = map(sum, zip(*sizes, strict=True))
    assert used > 0.97 * padded
    assert padded > 0.95 * 2048 * len(batches)


def test_passes_differ_and_can_be_repeated() -> None:
    corpus = lines([5] * 40 + [9] * 40)
    batches = LineBatches(corpus, 32, seed=1)
    first, second = ([batches.batch(epoch * len(batches) + step) for step in range(len(batches))] for epoch in range(2))
    assert any(not same(left, right) for left, right in zip(first, second, strict=True))
    again = LineBatches(corpus, 32, seed=1)
    assert all(same(again.batch(len(again) + step), second[step]) for step in reversed(range(len(again))))
    assert any(not same(LineBatches(corpus, 32, seed=2).batch(step), first[step]) for step in range(len(first)))


@given(st.lists(st.integers(2, 30), min_size=1, max_size=60), st.integers(1, 100))
def test_evaluation_reads_whole_lines_once_and_in_order(lengths: list[int], batch_tokens: int) -> None:
    corpus = lines(lengths)
    read = []
    for batch in line_chunks(corpus, batch_tokens):
        assert batch.first
        assert batch.inputs.numel() <= batch_tokens or len(batch.inputs) == 1
        read += [targets for _, targets in rows(batch)]
    ends = zip(corpus.offsets.tolist(), corpus.offsets[1:].tolist(), strict=False)
    assert read == [list(range(start + 1, end)) for start, end in ends]


def test_a_text_without_lines_is_refused() -> None:
    with pytest.raises(DataError, match=r"every line of the text is empty, so there is nothing to learn from; hint"):
        LineBatches(Corpus(np.zeros(0, np.uint16), np.array([0]), 0, 0, "; hint"), 100)


@given(st.integers(2, 200), st.integers(1, 9), st.integers(1, 12))
def test_evaluation_predicts_every_token_once(num_tokens: int, num_streams: int, chunk_length: int) -> None:
    batches = list(stream_chunks(stream(num_tokens), num_streams, chunk_length))
    streams: dict[int, list[int]] = {}
    for index, batch in enumerate(batches):
        assert batch.first == (index == 0)
        assert batch.inputs.shape[1] <= chunk_length + (index == len(batches) - 1)
        for row, (inputs, targets) in enumerate(rows(batch)):
            assert targets == [token + 1 for token in inputs]
            assert row not in streams or inputs[0] == streams[row][-1]
            streams.setdefault(row, []).extend(targets)
    assert [target for row in sorted(streams) for target in streams[row]] == list(range(1, num_tokens))
    assert len(streams) == min(num_streams, num_tokens - 1)
    if num_streams == 1:
        assert all(batch.inputs.shape[1] <= chunk_length for batch in batches)


def test_nothing_to_predict() -> None:
    with pytest.raises(DataError, match=r"the text has 1 tokens and at least 2 are needed: give more; hint"):
        next(stream_chunks(stream(1, "; hint"), 1, 8))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 90), st.integers(0, 3))
def test_length_buckets_use_every_sequence_once_within_the_budget(lengths, budget, seed):
    lengths = np.array(lengths)
    buckets = LengthBuckets(lengths, seed)
    buckets.group(budget)
    for epoch in range(2):
        rows = [buckets.rows(epoch * len(buckets) + step) for step in range(len(buckets))]
        assert sorted(np.concatenate(rows).tolist()) == list(range(len(lengths)))
        for own in rows:
            assert len(own) == 1 or len(own) * lengths[own].max() <= budget
        again = LengthBuckets(lengths, seed)
        again.group(budget)
        assert all((again.rows(epoch * len(rows) + step) == own).all() for step, own in enumerate(rows))
