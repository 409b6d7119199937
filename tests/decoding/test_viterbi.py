"""The best path against the scores of all paths, including ties; forbidden transitions; padding; errors."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.decoding.viterbi import viterbi
from elman.errors import UsageError

NEVER = -torch.inf


def best_of_all(logits, transitions, start, end):
    """Score every path; of the best, take the lowest, compared from the end."""
    scores = {}
    for path in itertools.product(range(len(start)), repeat=len(logits)):
        steps = sum(row[label] for row, label in zip(logits, path, strict=True))
        scores[path] = (
            start[path[0]] + steps + sum(transitions[i][j] for i, j in itertools.pairwise(path)) + end[path[-1]]
        )
    best = min(scores, key=lambda path: (-scores[path], path[::-1]))
    return (list(best), scores[best]) if scores[best] > NEVER else None


# whole numbers: their sums are exact, and ties are frequent
scores = st.one_of(st.integers(-3, 3).map(float), st.just(NEVER))


@settings(max_examples=200)
@given(size=st.integers(1, 4), lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3), data=st.data())
def test_the_path_is_the_best_of_all(size, lengths, data):
    def draw(*shape):
        numbers = data.draw(st.lists(scores, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        return np.array(numbers).reshape(shape)

    logits, transitions, start, end = draw(len(lengths), max(lengths), size), draw(size, size), draw(size), draw(size)
    expected = [
        best_of_all(row[:length].tolist(), transitions.tolist(), start.tolist(), end.tolist())
        for row, length in zip(logits, lengths, strict=True)
    ]
    if None in expected:
        with pytest.raises(UsageError, match=f"row {expected.index(None)} has no path"):
            viterbi(logits, np.array(lengths), transitions, start, end)
        return
    labels, totals = viterbi(logits, np.array(lengths), transitions, start, end)
    assert labels.tolist() == [path + [-100] * (max(lengths) - len(path)) for path, _ in expected]
    assert totals.tolist() == [total for _, total in expected]


def test_without_scores_between_labels_each_step_has_its_own_best():
    logits = torch.randn(7, 9, 50, generator=torch.Generator().manual_seed(1))
    labels, totals = viterbi(logits, None, torch.zeros(50, 50), torch.zeros(50), torch.zeros(50))
    assert torch.equal(labels, logits.argmax(2))
    assert totals.tolist() == pytest.approx(logits.double().amax(2).sum(1).tolist(), rel=1e-12)


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, 1e30])
def test_padding_is_ignored(garbage):
    logits, lengths = torch.randn(3, 6, 4), torch.tensor([2, 6, 0])
    chain = torch.randn(4, 4), torch.randn(4), torch.randn(4)
    expected = viterbi(logits, lengths, *chain)
    logits[0, 2:] = logits[2] = garbage
    for ours, theirs in zip(viterbi(logits, lengths, *chain), expected, strict=True):
        assert torch.equal(ours, theirs)
    assert (expected[0] == -100).tolist() == [[False] * 2 + [True] * 4, [False] * 6, [True] * 6]
    assert expected[1][2] == 0
    alone = viterbi(logits[:1, :2], None, *chain)
    assert torch.equal(alone[0], expected[0][:1, :2])
    assert torch.equal(alone[1], expected[1][:1])


def test_nan_forbids():
    logits = torch.tensor([[[0.0, torch.nan], [0.0, 5.0], [torch.nan, 0.0]]])
    transitions = torch.tensor([[0.0, -9.0], [0.0, torch.nan]])
    labels, totals = viterbi(logits, None, transitions, torch.zeros(2), torch.zeros(2))
    assert (labels.tolist(), totals.tolist()) == ([[0, 0, 1]], [-9.0])
    with pytest.raises(UsageError, match="check for NaN"):
        viterbi(torch.full_like(logits, torch.nan), None, transitions, torch.zeros(2), torch.zeros(2))


@pytest.mark.parametrize(("rows", "steps", "size"), [(0, 3, 2), (2, 1, 1), (2, 3, 1), (2, 0, 3)])
def test_the_smallest_batches(rows, steps, size):
    labels, totals = viterbi(
        torch.ones(rows, steps, size), None, torch.ones(size, size), torch.ones(size), torch.ones(size)
    )
    assert labels.tolist() == [[0] * steps] * rows
    assert totals.tolist() == [2 * steps + 1.0 if steps else 0.0] * rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.zeros(4, 3)}, r"logits have shape \(4, 3\), expected \(B, T, K\)"),
        ({"logits": torch.zeros(2, 4, 0)}, "K at least 1"),
        ({"transitions": torch.zeros(3, 2)}, r"transitions has shape \(3, 2\), expected \(3, 3\)"),
        ({"start": torch.zeros(4)}, r"start has shape \(4,\), expected \(3,\)"),
        ({"end": torch.zeros(())}, r"end has shape \(\), expected \(3,\)"),
        ({"lengths": torch.tensor([5, 1])}, r"lengths are \[5, 1\], expected 0 … 4"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    arguments = {"logits": torch.zeros(2, 4, 3), "lengths": None, "transitions": torch.zeros(3, 3)}
    arguments |= {"start": torch.zeros(3), "end": torch.zeros(3)}
    with pytest.raises(UsageError, match=message):
        viterbi(**{**arguments, **change})
