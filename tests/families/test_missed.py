"""The token that errors depend on, against loops over all pairs and against data whose dependency is known."""

import math

import numpy as np
import pytest
import torch

import elman
from elman.families import missed
from elman.families.gradients import find_missed_token
from elman.families.missed import Outputs, find_missed


def draw(seed, lengths=(30, 25), letters="abc", num_outputs=4):
    """Return outputs whose errors are noise."""
    generator = np.random.default_rng(seed)
    return [
        Outputs(
            generator.normal(size=(length, num_outputs)),
            np.arange(length),
            generator.choice(list(letters), size=length).tolist(),
            [0] * length,
        )
        for length in lengths
    ]


def loop_over_pairs(inputs, lag):
    """Return S and z as the module defines them."""
    rows = [
        (error, kind, own.tokens[step - lag] if 0 <= step - lag < len(own.tokens) else None)
        for own in inputs
        for error, step, kind in zip(own.errors, own.steps.tolist(), own.kinds, strict=True)
    ]
    mean = sum(error for error, _, _ in rows) / len(rows)
    total = spread = pairs = 0
    for one, (error, kind, token) in enumerate(rows):
        for two, (other, other_kind, other_token) in enumerate(rows):
            if one != two and token is not None and (kind, token) == (other_kind, other_token):
                product = float((error - mean) @ (other - mean))
                total, spread, pairs = total + product, spread + product**2, pairs + 1
    return total / pairs, total / math.sqrt(2 * spread)


@pytest.mark.parametrize("sees_ahead", [False, True])
def test_against_loops(sees_ahead, monkeypatch):
    inputs = draw(0)
    inputs[1] = inputs[1]._replace(kinds=[step % 2 for step in range(25)])
    lags = range(-4 if sees_ahead else 0, 5)
    expected = {lag: loop_over_pairs(inputs, lag) for lag in lags}
    order = sorted(expected, key=lambda lag: -expected[lag][1])
    for limit in (expected[order[0]][1], expected[order[2]][1]):  # the best lag, whatever else counts
        monkeypatch.setattr(missed, "SIGNIFICANT", limit - 1e-9)
        monkeypatch.setattr(missed, "LARGE", -math.inf)
        found = find_missed(inputs, 4, sees_ahead)
        assert found.sizes == pytest.approx({lag: z for lag, (_, z) in expected.items() if z >= limit - 1e-9})
        assert (found.lag, found.distance) == (order[0], abs(order[0]))
    monkeypatch.setattr(missed, "SIGNIFICANT", expected[order[0]][1] + 1e-9)
    assert find_missed(inputs, 4, sees_ahead) is None
    monkeypatch.setattr(missed, "SIGNIFICANT", -math.inf)
    largest = max(expected, key=lambda lag: expected[lag][0])
    monkeypatch.setattr(missed, "LARGE", expected[largest][0] - 1e-9)
    assert list(find_missed(inputs, 4, sees_ahead).sizes) == [largest]


def test_noise_is_not_taken_for_a_dependency():
    """Of 100 texts of noise with 33 lags each, 3300 comparisons."""
    assert sum(find_missed(draw(seed, (100, 100)), 32, sees_ahead=False) is not None for seed in range(100)) <= 2


@pytest.mark.parametrize("lag", [0, 3, 7, -2])
def test_a_known_dependency(lag):
    """Errors that follow the letter ``lag`` steps before, in noise as large."""
    inputs = []
    for own in draw(1, (200, 200)):
        follows = np.array([0 <= step - lag < 200 and own.tokens[step - lag] == "a" for step in range(200)])
        inputs.append(own._replace(errors=own.errors + 2 * follows[:, None]))
    found = find_missed(inputs, 10, sees_ahead=True)
    assert list(found.sizes) == [found.lag] == [lag]
    names = {0: "the newest token", 3: "the token 3 steps before", 7: "the token 7 steps before"}
    assert str(found) == {**names, -2: "the token 2 steps after"}[lag]


def test_small_errors_do_not_count():
    """Errors of a model that has learned its task follow something too."""
    inputs = draw(2, (200,))
    errors = np.array([[1.0, -1.0] if token == "a" else [-1.0, 1.0] for token in inputs[0].tokens])
    assert find_missed([inputs[0]._replace(errors=errors)], 4, sees_ahead=False).lag == 0
    assert find_missed([inputs[0]._replace(errors=0.01 * errors)], 4, sees_ahead=False) is None


# ---------------------------------------------------------------- of models


def write(number, seed):
    """Write letters each of which is, three times in four, the one five steps before."""
    generator = np.random.default_rng(seed)
    text = list("abcde")
    for _ in range(number):
        text.append(text[-5] if generator.random() < 0.75 else generator.choice(list("abcdefgh")))
    return "".join(text)


def find(model, inputs, targets=None):
    return find_missed_token(model, list(model.unroll(inputs, targets)), 12)


def test_a_language_model_without_memory():
    """A network that sees one letter misses what stands four before it: five before the next one."""
    settings = {"cell": "rnn", "hidden_size": 12, "batch_size": 8, "bptt_length": 16, "learning_rate": 0.02}
    model = elman.LanguageModel(steps=60, evaluations=1, threads=1, **settings).fit(write(4000, 1))
    with torch.no_grad():
        model.network_.rnn.weight_hh_l0.zero_()
    assert find(model, write(600, 2)).lag == 4


def test_a_classifier_misses_the_word_that_decides():
    generator = np.random.default_rng(0)
    words = generator.choice(["x", "y"], size=(300, 6))
    texts, labels = [" ".join(row) for row in words], [str(row[1]) for row in words]
    options = {"bidirectional": False, "pooling": "last", "hidden_size": 8, "steps": 1, "evaluations": 1}
    model = elman.Classifier(**options).fit(texts, labels)
    assert find(model, texts, labels).lag == 4
    assert find(model, texts) is None  # the targets are unknown
    model = elman.Classifier(**{**options, "bidirectional": True}).fit(texts, labels)
    assert find(model, texts, labels) is None  # it is near the end for one direction, far for the other


def test_a_translator_misses_a_word_of_the_source():
    """The first word of each target is the second one of its source, which has five."""
    generator = np.random.default_rng(0)
    words = generator.choice([*"abcd"], size=(200, 5))
    sources, targets = [" ".join(row) for row in words], [f"{row[1]} x" for row in words]
    options = {"level": "word", "bidirectional": False, "hidden_size": 8, "embedding_size": 8, "min_count": 1}
    options |= {"steps": 1, "evaluations": 1, "attention": "none"}
    model = elman.Translator(**options).fit(sources, targets)
    assert find(model, sources, targets).lag == 3
    model = elman.Translator(**{**options, "attention": "luong"}).fit(sources, targets)
    assert find(model, sources, targets) is None  # by attention each word is near
