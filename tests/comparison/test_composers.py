"""Composers beside n-grams, on the same held-out events."""

import math

import pytest

from elman.comparison.composers import compare_composers
from elman.errors import UsageError
from elman.models.composer import Composer

SCALE = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF GABc\n\n"


def test_composers():
    settings = Composer(hidden_size=4, steps=1, batch_size=2)
    rows = list(compare_composers(SCALE * 12, ["ngram:3", "gru:1x4"], settings, valid=SCALE))
    assert [row.model for row in rows] == ["ngram:3", "gru:1x4"]
    assert [row.is_network for row in rows] == [False, True]
    assert rows[0].unseen_contexts == 0  # the held-out tune is one of the training tunes
    assert rows[0].nats_per_event < math.log(2) < rows[1].nats_per_event  # nearly known by heart against one step
    for row in rows:
        assert row.perplexity == pytest.approx(math.exp(row.nats_per_event))


@pytest.mark.parametrize("name", ["ngram:x", "ngram:0", "hmm", "gru:0x4"])
def test_names_that_are_not_valid(name):
    with pytest.raises(UsageError):
        list(compare_composers(SCALE * 12, [name], Composer(steps=1)))
