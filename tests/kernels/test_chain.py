"""Sums over paths against a plain loop in torch and its autograd, best paths against a plain loop; any range, any K."""

import pytest
import torch

from elman.errors import UsageError
from elman.kernels.chain import Sums, best_paths, sum_over_paths

LENGTHS = torch.tensor([6, 3, 0, 1, 6])
SIZES = [1, 2, 3, 4, 5, 8, 11]  # multiples of four, and not
# both are float64; sums of a few dozen terms, of values up to some thousands in the extreme cases
SAME = {"rtol": 1e-11, "atol": 1e-11}


def chain(size, spread=1.0, steps=6, rows=5):
    torch.manual_seed(size)
    shapes = ((rows, steps, size), (size, size), (size,), (size,))
    return [spread * torch.randn(shape, dtype=torch.float64) for shape in shapes]


def loop(logits, lengths, transitions, start, end, targets):
    """The definition, row by row, with the whole matrix in logarithms at every step."""
    totals = []
    for row, length in enumerate(lengths.tolist()):
        if length == 0:
            totals.append(logits.new_zeros(()))
            continue
        scores = start + logits[row, 0]
        for t in range(1, length):
            scores = torch.logsumexp(scores[:, None] + transitions, 0) + logits[row, t]
        total = torch.logsumexp(scores + end, 0)
        if targets is not None:
            path = targets[row, :length]
            gold = logits[row, torch.arange(length), path].sum() + transitions[path[:-1], path[1:]].sum()
            total = total - start[path[0]] - gold - end[path[-1]]
        totals.append(total)
    return torch.stack(totals)


def expected_sums(arguments, lengths, targets):
    leaves = [argument.clone().requires_grad_() for argument in arguments]
    totals = loop(leaves[0], lengths, *leaves[1:], targets)
    return Sums(totals.detach(), *torch.autograd.grad(totals.sum(), leaves))


def assert_same_sums(arguments, lengths, targets):
    found = sum_over_paths(arguments[0], lengths, *arguments[1:], targets)
    for name, ours, theirs in zip(Sums._fields, found, expected_sums(arguments, lengths, targets), strict=True):
        torch.testing.assert_close(ours, theirs, **SAME, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("has_targets", [False, True])
@pytest.mark.parametrize("spread", [1.0, 30.0, 1000.0])  # at 1000, exp(transitions) underflows almost everywhere
@pytest.mark.parametrize("size", SIZES)
def test_sums_and_gradients_are_those_of_a_loop(size, spread, has_targets):
    arguments = chain(size, spread)
    targets = torch.randint(size, (5, 6)) if has_targets else None
    assert_same_sums(arguments, LENGTHS, targets)


@pytest.mark.parametrize("price", [740.0, 5000.0])  # exp(-740) is left with a bit or two
def test_underflow_of_the_scaled_sum_falls_back_to_logarithms(price):
    """Label 2 follows label 1, which has no weight, or others at a price that no factor holds; its logits pay it."""
    logits, transitions, start, end = chain(3)
    transitions[:, 2] = torch.tensor([-price, 0.0, -price])
    logits[:, 0, 1] -= 3000
    logits[:, 1, :2] -= 10_000
    assert_same_sums([logits, transitions, start, end], LENGTHS, None)


@pytest.mark.parametrize("low", [-1000.0, -1e6])
def test_a_price_on_every_transition_shifts_the_sums(low):
    logits, transitions, start, end = chain(5)
    ahead, dear = (sum_over_paths(logits, LENGTHS, matrix, start, end) for matrix in (transitions, transitions + low))
    # 1e-16 of 1e6 at each of five steps
    torch.testing.assert_close(dear.totals, ahead.totals + low * (LENGTHS - 1).clamp(min=0), rtol=0, atol=1e-8)
    torch.testing.assert_close(dear.d_logits, ahead.d_logits, rtol=0, atol=1e-8)


def test_unreachable_labels_have_probability_zero():
    logits, transitions, start, end = chain(5)
    transitions[:, 3], start[3], logits[0, 2, 1] = -torch.inf, -torch.inf, -torch.inf
    found = sum_over_paths(logits, LENGTHS, transitions, start, end)
    assert (found.d_logits[..., 3] == 0).all()
    assert found.d_logits[0, 2, 1] == 0
    kept = [0, 1, 2, 4]
    smaller = (logits[..., kept], LENGTHS, transitions[kept][:, kept], start[kept], end[kept])
    torch.testing.assert_close(found.totals, sum_over_paths(*smaller).totals, **SAME)


def test_sums_do_not_depend_on_the_number_of_threads(num_threads):
    arguments = chain(6)
    one = sum_over_paths(arguments[0], LENGTHS, *arguments[1:])
    num_threads(3)
    for ours, theirs in zip(sum_over_paths(arguments[0], LENGTHS, *arguments[1:]), one, strict=True):
        torch.testing.assert_close(ours, theirs, **SAME)


def test_nan_within_a_row_stays_nan_and_in_that_row():
    logits, transitions, start, end = chain(3)
    clean = sum_over_paths(logits, LENGTHS, transitions, start, end)
    logits[0, 2, 1] = torch.nan
    found = sum_over_paths(logits, LENGTHS, transitions, start, end)
    assert found.totals.isnan().tolist() == [True, False, False, False, False]
    torch.testing.assert_close(found.d_logits[1:], clean.d_logits[1:], rtol=0, atol=0)
    transitions[0, 0] = torch.nan
    assert sum_over_paths(logits, LENGTHS, transitions, start, end).totals.isnan().tolist() == (LENGTHS > 1).tolist()


def test_without_gradients_the_totals_are_the_same():
    arguments = chain(4)
    both = [
        sum_over_paths(arguments[0], LENGTHS, *arguments[1:], needs_gradients=needs_gradients)
        for needs_gradients in (True, False)
    ]
    assert torch.equal(both[0].totals, both[1].totals)
    assert [gradient.shape for gradient in both[1][1:]] == [gradient.shape for gradient in both[0][1:]]
    assert not any(gradient.any() for gradient in both[1][1:])


# ---------------------------------------------------------------- the best path


def best_by_loop(logits, length, transitions, start, end):
    """The textbook definition, with a table of previous labels."""
    scores, before = start + logits[0], []
    for t in range(1, length):
        best = (scores[:, None] + transitions).max(0)
        before.append(best.indices)
        scores = best.values + logits[t]
    best = (scores + end).max(0)
    path = [int(best.indices)]
    for table in reversed(before):
        path.append(int(table[path[-1]]))
    return path[::-1], float(best.values)


@pytest.mark.parametrize("spread", [1.0, 1000.0])
@pytest.mark.parametrize("size", [*SIZES, 50])
def test_best_paths_are_those_of_a_loop(size, spread):
    logits, *scores = chain(size, spread)
    labels, totals = best_paths(logits, LENGTHS, *scores, padding=-7)
    for row, length in enumerate(LENGTHS.tolist()):
        path, total = best_by_loop(logits[row], length, *scores) if length else ([], 0.0)
        assert labels[row].tolist() == path + [-7] * (6 - length)
        assert totals[row].item() == pytest.approx(total, rel=1e-12)


def test_arguments_of_any_layout_are_not_modified():
    logits, transitions, start, end = (argument.float() for argument in chain(5))
    time_first, columns_first = logits.transpose(0, 1).contiguous().transpose(0, 1), transitions.T.contiguous().T
    results = []
    for x, matrix, lengths in ((logits, transitions, LENGTHS), (time_first, columns_first, LENGTHS.int())):
        best = best_paths(x, lengths, matrix, start, end, padding=0)
        results.append((*best, *sum_over_paths(x, lengths, matrix, start, end)))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    assert torch.equal(time_first, chain(5)[0].float())


def test_a_row_without_a_path_is_refused():
    logits, *scores = chain(3)
    logits[1, 2] = -torch.inf
    with pytest.raises(UsageError, match=r"row 1 has no path with a score above -inf; allow more transitions"):
        best_paths(logits, LENGTHS, *scores, padding=0)
