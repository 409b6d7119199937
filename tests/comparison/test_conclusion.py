"""The sentence at the end of a comparison, and the mean and the spread over seeds, by hand."""

import math

import pytest

from elman.comparison.conclusion import Outcome, conclude, gather
from elman.comparison.labels import LabelRow
from elman.comparison.language_models import LanguageModelRow


def row(model, accuracy, seconds=1.0, **changes):
    values = {"accuracy_unseen": None, "macro_f1": 0.5, "span_f1": None, "parameters": 7, "targets_per_second": 10.0}
    return LabelRow(model=model, accuracy=accuracy, seconds=seconds, **{**values, **changes})


def say(*rows, held_out=0):
    return conclude(gather([rows]), "accuracy", [one.is_network for one in rows], held_out)


def test_mean_and_standard_deviation():
    outcome = Outcome([row("rnn", 0.7), row("rnn", 0.8), row("rnn", 0.9)])
    assert outcome.mean == row("rnn", pytest.approx(0.8))
    assert outcome.spread["accuracy"] == pytest.approx(0.1)  # sqrt((0.01 + 0 + 0.01) / 2)
    assert outcome.spread["seconds"] == 0
    assert Outcome([row("rnn", 0.7)]).spread["accuracy"] == 0


def test_gather_keeps_the_order_of_the_models():
    first, second = [row("rnn", 0.1), row("hmm", 0.2)], [row("rnn", 0.3), row("hmm", 0.4)]
    found = gather([first, second])
    assert [outcome.mean.model for outcome in found] == ["rnn", "hmm"]
    assert [one.accuracy for one in found[1].rows] == [0.2, 0.4]


def test_a_difference_within_the_noise_of_the_seeds_is_a_tie():
    by_seed = [
        [row("logreg", 0.792), row("bilstm", 0.793, 60.0)],
        [row("logreg", 0.796), row("bilstm", 0.799, 60.0)],
        [row("logreg", 0.800), row("bilstm", 0.805, 60.0)],
    ]
    assert conclude(gather(by_seed), "accuracy", [False, True]) == (
        "On these data word counts with logistic regression is as good: accuracy 79.6 ± 0.4 against 79.9 ± 0.6 of "
        "bilstm; it costs a second."
    )


def test_the_winner_is_named():
    assert "bilstm is best: accuracy 90.0 against 80.0 of word counts" in say(row("logreg", 0.8), row("bilstm", 0.9))
    assert "logistic regression is better: accuracy 80.0 against 70.0 of bilstm" in say(
        row("majority", 0.5), row("logreg", 0.8), row("rnn", 0.6), row("bilstm", 0.7)
    )


def test_the_noise_of_a_sample_of_rates():
    number = 100
    limit = 2 * math.sqrt((0.8 * 0.2 + 0.9 * 0.1) / number)  # 0.1 exactly
    assert limit == pytest.approx(0.1)
    rows = row("logreg", 0.8), row("rnn", 0.9)
    assert "is as good" in say(*rows, held_out=number - 1)
    assert "rnn is best" in say(*rows, held_out=number + 1)


def test_a_loss_is_better_when_it_is_lower():
    figures = {
        "bits_per_character": 1.0,
        "perplexity": 2.0,
        "perplexity_per_word": 3.0,
        "parameters": 1,
        "memory_bytes": 1,
        "seconds": 200.0,
    }
    ngram = LanguageModelRow(model="ngram:5", nats_per_token=1.5, unseen_contexts=0.5, sample="", **figures)
    lstm = LanguageModelRow(model="lstm", nats_per_token=1.4, unseen_contexts=None, sample="", **figures)
    sentence = conclude(gather([[ngram, lstm]]), "nats_per_token", [False, True])
    costs = "it costs 3 minutes against 3 minutes."
    assert sentence == f"On these data lstm is best: nats_per_token 1.400 against 1.500 of ngram:5; {costs}"


def test_nothing_is_said_of_networks_alone():
    assert say(row("rnn", 0.5), row("lstm", 0.6)) == ""
