"""LockedDropout: one mask for all time steps, none in evaluation, the mean preserved."""

import torch

from elman.nn.dropout import LockedDropout


def test_there_is_one_mask_for_all_steps_and_a_new_one_for_each_row_and_call():
    torch.manual_seed(0)
    layer = LockedDropout(0.5)
    first, second = layer(torch.ones(4, 7, 50)), layer(torch.ones(4, 7, 50))
    assert torch.equal(first, first[:, :1].expand(-1, 7, -1))
    assert set(first.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


def test_the_mean_and_its_gradient_are_preserved():
    torch.manual_seed(0)
    inputs = torch.ones(200, 2, 500, requires_grad=True)
    outputs = LockedDropout(0.3)(inputs)
    outputs.sum().backward()
    # 100,000 draws of variance 0.3 / 0.7: the mean is within 0.01 of 1 for all but one in a million seeds
    assert abs(outputs.mean().item() - 1) < 0.01
    assert torch.equal(inputs.grad, outputs)  # of ones: both are the mask


def test_nothing_is_dropped_in_evaluation_or_at_zero():
    inputs = torch.randn(2, 3, 5)
    assert LockedDropout(0.5).eval()(inputs) is inputs
    assert LockedDropout(0.0)(inputs) is inputs
    assert repr(LockedDropout(0.25)) == "LockedDropout(p=0.25)"
