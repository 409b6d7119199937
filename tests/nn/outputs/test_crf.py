"""The CRF against the scores of all paths, its gradients against autograd's and finite differences; constraints."""

import itertools
import math

import pytest
import torch
from torch import nn

from elman.decoding.viterbi import viterbi
from elman.errors import UsageError
from elman.nn.outputs.crf import LinearChainCRF
from elman.nn.outputs.heads import cross_entropy_sum

LENGTHS = torch.tensor([4, 1, 0, 3])
# float64 on both sides, sums of a few hundred terms
SAME = {"rtol": 1e-11, "atol": 1e-11}


def crf_with_scores(size, seed=0, **constraints):
    torch.manual_seed(seed)
    crf = LinearChainCRF(size, **constraints).double()
    for parameter in crf.parameters():
        nn.init.normal_(parameter)
    return crf


def batch(size, lengths=LENGTHS, dtype=torch.float64):
    steps = int(lengths.max())
    targets = torch.randint(size, (len(lengths), steps))
    targets[torch.arange(steps) >= lengths[:, None]] = -100
    return torch.randn(len(lengths), steps, size, dtype=dtype), targets


def score(crf, logits, path):
    """One path through one row of logits, in torch, so that autograd can follow."""
    total = crf.start[path[0]] + crf.end[path[-1]] + sum(logits[t, label] for t, label in enumerate(path))
    return total + sum(crf.transitions[i, j] for i, j in itertools.pairwise(path))


def all_paths(crf, logits):
    paths = list(itertools.product(range(len(crf.start)), repeat=len(logits)))
    return paths, torch.stack([score(crf, logits, path) for path in paths])


def loss_of_all_paths(crf, logits, targets, lengths):
    total = logits.new_zeros(())
    for row, length in zip(range(len(logits)), lengths.tolist(), strict=True):
        if length:
            _, scores = all_paths(crf, logits[row, :length])
            total = total + scores.logsumexp(0) - score(crf, logits[row], targets[row, :length].tolist())
    return total


def values_and_gradients(crf, loss, logits, targets, lengths):
    logits = logits.clone().requires_grad_()
    total = loss(logits, targets, lengths)
    return [total.detach(), *torch.autograd.grad(total, [logits, *crf.parameters()])]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_loss_and_gradients_are_those_of_all_paths(size):
    crf = crf_with_scores(size)
    arguments = (*batch(size), LENGTHS)
    ours = values_and_gradients(crf, crf.loss_sum, *arguments)
    theirs = values_and_gradients(crf, lambda *x: loss_of_all_paths(crf, *x), *arguments)
    torch.testing.assert_close(ours, theirs, **SAME)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_marginals_are_shares_of_paths(size):
    crf = crf_with_scores(size)
    logits, _ = batch(size)
    found = crf.marginals(logits, LENGTHS)
    expected = torch.zeros_like(logits)
    for row, length in enumerate(LENGTHS.tolist()):
        if length:
            paths, scores = all_paths(crf, logits[row, :length])
            for path, prob in zip(paths, scores.softmax(0).tolist(), strict=True):
                expected[row, torch.arange(length), list(path)] += prob
    torch.testing.assert_close(found, expected, **SAME)
    assert not found.requires_grad


@pytest.mark.parametrize("size", [1, 3])
def test_logarithms_of_marginals_and_their_gradients(size):
    crf = crf_with_scores(size)
    logits = batch(size)[0].detach().double()
    torch.testing.assert_close(crf.log_marginals(logits).exp(), crf.marginals(logits, None), **SAME)
    torch.autograd.gradcheck(crf.log_marginals, logits.requires_grad_())


def test_gradients_are_those_of_finite_differences_under_any_scale_of_the_loss():
    crf = crf_with_scores(3)
    logits, targets = batch(3)

    def loss(logits, transitions, start, end):
        crf = LinearChainCRF(3).double()
        for name, value in {"transitions": transitions, "start": start, "end": end}.items():
            delattr(crf, name)
            setattr(crf, name, value)
        return crf.loss_sum(logits, targets, LENGTHS) ** 2

    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), *crf.parameters()))


def test_it_starts_as_a_softmax_at_each_step():
    logits, targets = batch(4, dtype=torch.float32)
    loss = LinearChainCRF(4).loss_sum(logits, targets, LENGTHS)
    assert loss.item() == pytest.approx(cross_entropy_sum(logits, targets).item(), rel=1e-6)  # float32


def test_the_loss_of_the_best_path_is_log_z_minus_its_score():
    crf = crf_with_scores(3)
    logits, _ = batch(3)
    labels, scores = crf.decode(logits, LENGTHS)
    log_z = sum(all_paths(crf, logits[row, :length])[1].logsumexp(0) for row, length in enumerate(LENGTHS) if length)
    torch.testing.assert_close(crf.loss_sum(logits, labels, LENGTHS), log_z - scores.sum(), **SAME)
    assert scores[2] == 0
    plain = viterbi(logits, LENGTHS, *(parameter.detach() for parameter in crf.parameters()))
    torch.testing.assert_close((labels, scores), plain, rtol=0, atol=0)


# ---------------------------------------------------------------- constraints


def test_forbidden_transitions_are_never_decoded_but_can_be_learned():
    allowed = torch.tensor([[True, True, False], [False, True, True], [True, False, False]])
    allowed_start = torch.tensor([True, False, True])
    crf = crf_with_scores(3, allowed=allowed, allowed_start=allowed_start)
    lengths = torch.randint(1, 6, (60,))
    logits, targets = batch(3, lengths)
    labels, scores = crf.decode(logits, lengths)
    for row, length in enumerate(lengths.tolist()):
        path = labels[row, :length].tolist()
        paths, all_scores = all_paths(crf, logits[row, :length])
        obeying = [allowed_start[path[0]] and all(allowed[i, j] for i, j in itertools.pairwise(path)) for path in paths]
        best = all_scores.masked_fill(~torch.tensor(obeying), -math.inf).argmax()
        assert tuple(path) == paths[int(best)]
        assert scores[row].item() == pytest.approx(all_scores[best].item())
    free = crf_with_scores(3)
    assert crf.loss_sum(logits, targets, lengths) == free.loss_sum(logits, targets, lengths)
    assert torch.equal(crf.marginals(logits, lengths), free.marginals(logits, lengths))


def test_constraints_are_saved_and_not_trained():
    allowed = torch.ones(2, 2).triu().bool()
    crf, other = LinearChainCRF(2, allowed, torch.tensor([True, False])), LinearChainCRF(2)
    assert {name for name, _ in crf.named_parameters()} == {"transitions", "start", "end"}
    other.load_state_dict(crf.state_dict())
    assert torch.equal(other.allowed, allowed)
    assert other.allowed_start.tolist() == [True, False]


@pytest.mark.parametrize(
    ("allowed", "allowed_start", "length"),
    [
        ([[1, 1], [1, 1]], [0, 0], 1),
        ([[0, 0], [1, 1]], [1, 0], 2),
        ([[0, 1], [0, 0]], [1, 1], 3),
        ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [1, 0, 0], 4),
    ],
)
def test_constraints_without_a_sequence_are_refused(allowed, allowed_start, length):
    with pytest.raises(UsageError, match=f"allow no sequence of {length} labels"):
        LinearChainCRF(len(allowed), torch.tensor(allowed), torch.tensor(allowed_start))


# ---------------------------------------------------------------- padding, types, the smallest, what is refused


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, 1e30])
def test_padding_changes_nothing(garbage):
    crf = crf_with_scores(3)
    logits, targets = batch(3)
    beyond = torch.arange(4) >= LENGTHS[:, None]
    dirty = logits.masked_fill(beyond[..., None], garbage)
    wide = torch.cat((dirty, torch.full((4, 2, 3), garbage, dtype=logits.dtype)), 1)
    for x, y in ((dirty, targets.masked_fill(beyond, 99)), (wide, nn.functional.pad(targets, (0, 2), value=7))):
        found = values_and_gradients(crf, crf.loss_sum, x, y, LENGTHS)
        expected = values_and_gradients(crf, crf.loss_sum, logits, targets, LENGTHS)
        assert not found[1][:, 4:].any()
        found[1] = found[1][:, :4]
        torch.testing.assert_close(found, expected, **SAME)
        for ours, theirs in zip(crf.decode(x, LENGTHS), crf.decode(logits, LENGTHS), strict=True):
            torch.testing.assert_close(ours[:, :4] if ours.dim() == 2 else ours, theirs, rtol=0, atol=0)
        torch.testing.assert_close(crf.marginals(x, LENGTHS)[:, :4], crf.marginals(logits, LENGTHS), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_dtype_of_the_result_follows_the_logits(dtype):
    crf, exact = crf_with_scores(3).to(dtype), crf_with_scores(3).to(dtype).double()
    logits, targets = batch(3, dtype=dtype)
    ours = values_and_gradients(crf, crf.loss_sum, logits, targets, LENGTHS)
    theirs = values_and_gradients(exact, exact.loss_sum, logits.double(), targets, LENGTHS)
    assert [x.dtype for x in ours] == [torch.float32] + [dtype] * 4
    # computed in float64, rounded once
    expected = [x.to(mine.dtype) for mine, x in zip(ours, theirs, strict=True)]
    torch.testing.assert_close(ours, expected)
    assert crf.marginals(logits, LENGTHS).dtype == crf.decode(logits, LENGTHS)[1].dtype == torch.float32


def test_only_tensors_that_require_a_gradient_get_one():
    crf = crf_with_scores(3)
    logits, targets = batch(3)
    with torch.no_grad():
        assert not crf.loss_sum(logits, targets, LENGTHS).requires_grad
    crf.requires_grad_(False)
    assert not crf.loss_sum(logits, targets, LENGTHS).requires_grad
    crf.end.requires_grad_()
    crf.loss_sum(logits, targets, LENGTHS).backward()
    assert crf.end.grad is not None
    assert crf.start.grad is logits.grad is None


def test_a_gradient_of_the_gradient_is_refused():
    crf = crf_with_scores(2)
    logits, targets = batch(2)
    (gradient,) = torch.autograd.grad(
        crf.loss_sum(logits.requires_grad_(), targets, LENGTHS) ** 2, logits, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(("rows", "steps", "size"), [(0, 3, 2), (2, 1, 1), (2, 3, 1), (3, 1, 4)])
def test_the_smallest_batches(rows, steps, size):
    crf = crf_with_scores(size)
    logits, targets = torch.randn(rows, steps, size, dtype=torch.float64), torch.randint(size, (rows, steps))
    ours = values_and_gradients(crf, crf.loss_sum, logits, targets, None)
    expected = loss_of_all_paths(crf, logits, targets, torch.full((rows,), steps)).detach()
    torch.testing.assert_close(ours[0], expected, **SAME)
    assert [gradient.shape for gradient in ours[1:]] == [x.shape for x in (logits, *crf.parameters())]
    assert crf.decode(logits, None)[0].shape == (rows, steps)
    torch.testing.assert_close(crf.marginals(logits, None).sum(2), torch.ones(rows, steps, dtype=torch.float64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.zeros(2, 4, 5)}, r"logits have shape \(2, 4, 5\), expected \(B, T, 3\)"),
        ({"logits": torch.zeros(2, 0, 3)}, "T at least 1"),
        ({"targets": torch.zeros(2, 3).long()}, r"targets have shape \(2, 3\), expected \(B, T\) = \(2, 4\)"),
        ({"targets": torch.tensor([[0, 1, 2, 0], [0, 3, 0, 0]])}, "row 1 at step 1 is 3, expected a label in 0 … 2"),
        ({"targets": torch.tensor([[0, 1, -100, 0]] * 2)}, "row 0 at step 2 is -100, expected"),
        ({"lengths": torch.tensor([5, 4])}, r"lengths are \[5, 4\], expected 0 … 4"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    arguments = {"logits": torch.zeros(2, 4, 3), "targets": torch.zeros(2, 4).long(), "lengths": None}
    with pytest.raises(UsageError, match=message):
        LinearChainCRF(3).loss_sum(**{**arguments, **change})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "num_labels=0, expected at least 1"),
        ((3, torch.ones(3, 2)), r"allowed has shape \(3, 2\), expected \(3, 3\)"),
        ((3, None, torch.ones(4)), r"allowed_start has shape \(4,\), expected \(3,\)"),
    ],
)
def test_arguments_of_the_layer_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        LinearChainCRF(*arguments)


def test_it_learns_to_count_the_label_before():
    """Logits that are all zero cannot predict alternating labels; the transitions learn to."""
    crf = LinearChainCRF(2)
    logits, targets = torch.zeros(1, 8, 2), torch.tensor([[0, 1] * 4])
    optimizer = torch.optim.Adam(crf.parameters(), lr=0.3)
    for _ in range(50):
        optimizer.zero_grad()
        crf.loss_sum(logits, targets, None).backward()
        optimizer.step()
    assert torch.equal(crf.decode(logits, None)[0], targets)
    assert crf.marginals(logits, None).argmax(2).tolist() == targets.tolist()
    assert repr(crf) == "LinearChainCRF(num_labels=2)"
