"""Output layers against loops in float64."""

import numpy as np
import torch

from elman.nn.outputs.heads import PartsHead


def test_the_score_of_a_label_is_its_own_and_those_of_its_parts():
    generator = torch.Generator().manual_seed(1)
    members = torch.rand(7, 4, generator=generator).round()
    head = PartsHead(5, members).double()
    hidden = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64)
    logits = head(hidden)
    own, parts = head.weight.detach().numpy(), head.parts.weight.detach().numpy()
    for place in np.ndindex(2, 3):
        for label in range(7):
            score = own[label] @ hidden[place].numpy() + head.bias[label].item()
            for part in range(4):
                if members[label, part]:
                    score += parts[part] @ hidden[place].numpy() + head.parts.bias[part].item()
            assert abs(logits[place][label].item() - score) < 1e-13


def test_every_parameter_has_a_gradient():
    head = PartsHead(5, torch.eye(3))
    head(torch.ones(1, 5)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())
    assert set(head.state_dict()) == {"weight", "bias", "parts.weight", "parts.bias"}
