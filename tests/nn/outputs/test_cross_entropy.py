"""The chunked output layer and loss against torch's, with the whole logits: values and every gradient."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear

from elman.errors import UsageError
from elman.nn.outputs import cross_entropy as chunked
from elman.nn.outputs.heads import PartsHead, SoftmaxHead

SAME = {"rtol": 1e-12, "atol": 1e-12}  # float64 on both sides, sums of a few dozen terms


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Several chunks, the last one smaller, of a few rows."""
    monkeypatch.setattr(chunked, "CHUNK", 20)
    monkeypatch.setattr(chunked, "FEWEST_ROWS", 4)


def rows(number=10, size=3, outputs=7, dtype=torch.float64):
    """Return hidden (N, H), V (O, H), b2 (O,), all requiring gradients, and targets (N,)."""
    draw = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=draw, dtype=dtype) for shape in ((number, size), (outputs, size), (outputs,))]
    return [one.requires_grad_() for one in made], torch.randint(outputs, (number,), generator=draw)


@pytest.mark.parametrize("number", [1, 4, 5, 10, 12])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_sum_and_its_gradients_are_torchs(number, smoothing):
    tensors, targets = rows(number)
    ours = chunked.linear_cross_entropy_sum(*tensors, targets, smoothing)
    torchs = cross_entropy(linear(*tensors), targets, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(ours, torchs, **SAME)
    for factor in (1.0, 0.37):  # training divides the sum by the number of targets
        ours = chunked.linear_cross_entropy_sum(*tensors, targets, smoothing)
        expected = torch.autograd.grad(factor * torchs, tensors, retain_graph=True)
        torch.testing.assert_close(torch.autograd.grad(factor * ours, tensors), expected, **SAME)


def test_no_rows_give_zero():
    tensors, targets = rows(0)
    ours = chunked.linear_cross_entropy_sum(*tensors, targets)
    ours.backward()
    assert ours.item() == 0
    assert all(not tensor.grad.any() for tensor in tensors)
    assert chunked.linear_cross_entropy(*tensors, targets).shape == (0,)


def test_large_logits_neither_overflow_nor_lose_the_loss():
    """The probability of the target is below the smallest float32; its logarithm must not be."""
    tensors = [torch.tensor([[300.0]]), torch.tensor([[1.0], [-1.0]]), torch.zeros(2)]
    tensors = [tensor.requires_grad_() for tensor in tensors]
    ours = chunked.linear_cross_entropy_sum(*tensors, torch.tensor([1]))
    ours.backward()
    assert ours.item() == 600
    assert tensors[2].grad.tolist() == [1, -1]


def test_the_losses_of_all_targets_are_the_bits_of_the_whole_logits():
    """Chunks of at least 64 rows: matrix products of a few rows may round differently."""
    (hidden, weight, bias), targets = rows(300, 24, 50, torch.float32)
    targets[::7] = -100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunked, "FEWEST_ROWS", 128)
        ours = chunked.linear_cross_entropy(hidden, weight, bias, targets)
    expected = cross_entropy(linear(hidden, weight, bias), targets, reduction="none")
    assert torch.equal(ours, expected)
    assert not ours[::7].any()


def test_a_head_of_labels_with_parts_has_the_loss_of_its_logits():
    head = PartsHead(6, torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    hidden, targets = torch.randn(9, 6), torch.randint(3, (9,))
    expected = cross_entropy(head(hidden), targets, reduction="none")
    torch.testing.assert_close(head.losses(hidden, targets), expected)
    torch.testing.assert_close(head.loss_sum(hidden, targets), expected.sum())


@pytest.mark.parametrize("width", [None, 6, 4])  # V of its own; tied; tied, with a projection
def test_a_head_skips_padding_and_reaches_shared_weights(width):
    torch.manual_seed(0)
    embedding = None if width is None else nn.Embedding(9, width).double()
    head = SoftmaxHead(6, 9, embedding).double()
    hidden = torch.randn(3, 5, 6, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(9, (3, 5))
    targets[1, 2:] = targets[2, 4:] = -100
    looked_up = 0 if embedding is None else embedding(targets.clamp(min=0)).sin().sum()
    learned = [hidden, *head.parameters()]
    ours = torch.autograd.grad(head.loss_sum(hidden, targets, 0.2) + looked_up, learned, retain_graph=True)
    whole = cross_entropy(head(hidden).flatten(0, 1), targets.flatten(), reduction="sum", label_smoothing=0.2)
    torch.testing.assert_close(ours, torch.autograd.grad(whole + looked_up, learned), **SAME)
    separate = cross_entropy(head(hidden).flatten(0, 1), targets.flatten(), reduction="none").view(3, 5)
    torch.testing.assert_close(head.losses(hidden, targets), separate, **SAME)


def test_mixed_precision_is_as_exact_as_torchs():
    """Both compute products in bfloat16, of 8 bits, and the loss in float32."""
    tensors, targets = rows(60, 16, 30, torch.float32)
    exact = torch.autograd.grad(cross_entropy(linear(*tensors), targets, reduction="sum"), tensors)
    with torch.autocast("cpu", torch.bfloat16):
        torchs = cross_entropy(linear(*tensors).float(), targets, reduction="sum")
        ours = chunked.linear_cross_entropy_sum(*tensors, targets)
    assert ours.dtype == torch.float32
    assert ours.item() == pytest.approx(torchs.item(), rel=1e-5)
    theirs = torch.autograd.grad(torchs, tensors)
    for mine, other, right in zip(torch.autograd.grad(ours, tensors), theirs, exact, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - right).norm() < 1.1 * (other - right).norm()


def test_gradients_are_computed_once():
    tensors, targets = rows()
    loss = chunked.linear_cross_entropy_sum(*tensors, targets)
    with pytest.raises(UsageError, match="no second derivatives"):
        torch.autograd.grad(loss, tensors, create_graph=True)
    loss = chunked.linear_cross_entropy_sum(*tensors, targets)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_chunks_cover_all_rows_evenly():
    slices = list(chunked._chunks(10, 5))
    assert [(one.start, one.stop) for one in slices] == [(0, 4), (4, 8), (8, 10)]
    assert list(chunked._chunks(8, 1000)) == [slice(0, 4), slice(4, 8)]  # however many outputs there are
