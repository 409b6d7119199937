"""Attention against float64 loops over single numbers."""

import math

import pytest
import torch

from elman.errors import UsageError
from elman.nn.attention import Attention


def by_hand(attention, query, outputs):
    """Compute the context and the weights of one query over one sentence's outputs, number by number."""
    keys = attention.keys.weight.double().tolist()

    def product(matrix, vector):
        return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]

    scores = []
    for output in outputs:
        key = product(keys, output)
        if attention.kind == "luong":
            scores.append(sum(q * k for q, k in zip(query, key, strict=True)))
        else:
            asked = product(attention.queries.weight.double().tolist(), query)
            (v,) = attention.score.weight.double().tolist()
            scores.append(sum(w * math.tanh(q + k) for w, q, k in zip(v, asked, key, strict=True)))
    powers = [math.exp(score) for score in scores]
    weights = [power / sum(powers) for power in powers]
    context = [sum(w * output[i] for w, output in zip(weights, outputs, strict=True)) for i in range(len(outputs[0]))]
    return context, weights


@pytest.mark.parametrize("kind", ["bahdanau", "luong"])
def test_every_query_gets_the_mean_that_loops_compute(kind):
    torch.manual_seed(1)
    attention = Attention(kind, 4, 6).double()
    outputs, queries = torch.randn(3, 5, 6).double(), torch.randn(3, 2, 4).double()
    lengths = torch.tensor([5, 1, 3])
    contexts, weights = attention(queries, attention.remember(outputs, lengths))
    for row, length in enumerate(lengths.tolist()):
        for step in range(2):
            context, shares = by_hand(attention, queries[row, step].tolist(), outputs[row, :length].tolist())
            torch.testing.assert_close(contexts[row, step], torch.tensor(context).double())
            torch.testing.assert_close(weights[row, step, :length], torch.tensor(shares).double())
            assert not weights[row, step, length:].any()


@pytest.mark.parametrize("kind", ["bahdanau", "luong"])
def test_padding_changes_nothing_and_gets_no_gradient(kind):
    torch.manual_seed(2)
    attention = Attention(kind, 3, 3)
    outputs, queries = torch.randn(2, 4, 3), torch.randn(2, 3, 3)
    lengths = torch.tensor([4, 2])
    wild = outputs.clone()
    wild[1, 2:] = 1e9
    wild.requires_grad_()
    contexts, _ = attention(queries, attention.remember(wild, lengths))
    alone, _ = attention(queries[1:], attention.remember(outputs[1:, :2]))
    torch.testing.assert_close(contexts[1:], alone)
    contexts.sum().backward()
    assert not wild.grad[1, 2:].any()


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match='did you mean "luong"'):
        Attention("luon", 3, 3)
