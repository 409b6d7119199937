"""Probes against scikit-learn by hand, on states that are known to say something, and on random labels."""

import builtins
import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from elman.errors import DataError, UsageError
from elman.inspection import probe, trace


def test_what_is_in_the_states_is_read_off_and_random_labels_are_not(made):
    """A label that is a linear function of the states, and one that follows nothing."""
    model, text, _ = made("lm")
    text = text * 20
    states = trace(model, text)["layer0.forward.hidden"]
    direction = states @ np.random.default_rng(1).normal(size=12)
    sides = np.where(direction > np.median(direction), "left", "right").tolist()
    found = probe(model, text, labels=sides)
    assert found["layer0.forward.hidden"].accuracy > 0.9
    assert found.labels == ["left", "right"]
    split = round(0.7 * len(text))
    scaler = StandardScaler().fit(states[:split])
    by_hand = LogisticRegression(max_iter=300, tol=1e-3).fit(scaler.transform(states[:split]), sides[:split])
    expected = by_hand.score(scaler.transform(states[split:]), sides[split:])
    assert found["layer0.forward.hidden"].accuracy == pytest.approx(expected, abs=0.01)
    assert found.majority == pytest.approx(0.5, abs=0.1)
    noise = np.random.default_rng(0).choice(["a", "b"], len(text))
    assert abs(probe(model, text, labels=noise)["layer0.forward.hidden"].accuracy - 0.5) < 0.15


def test_what_depends_on_the_token_alone_is_not_selective(made):
    """A probe that can learn tokens by heart is as good at any labels of tokens; the control task shows that."""
    model, text, _ = made("lm")
    found = probe(model, text * 20, labels="word_boundary")["layer0.forward.hidden"]
    assert found.control_accuracy > 0.9
    assert found.selectivity == found.accuracy - found.control_accuracy
    assert abs(found.selectivity) < 0.1


def test_the_labels_of_a_tagger_and_a_classifier(made):
    model, sentences, tags = made("tagger")
    found = probe(model, sentences * 10, tags * 10)
    names = [f"layer{layer}.{direction}.hidden" for layer in (0, 1) for direction in ("forward", "reverse")]
    assert [own.array for own in found.layers] == names
    assert max(own.accuracy for own in found.layers) == 1.0
    assert found.num_train + found.num_test == 70
    model, texts, labels = made("classifier")
    found = probe(model, texts * 10, labels * 10)
    assert found.num_train + found.num_test == 20
    assert found["layer0.reverse.hidden"].accuracy == 1.0  # read off after the first word: good or bad
    assert probe(model, texts * 10, labels=["x", "y"] * 10).labels == ["x", "y"]


def test_forms(made):
    model, sentences, tags = made("tagger")
    found = probe(model, sentences * 10, tags * 10)
    read = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert read["layers"]["layer0.forward.hidden"]["accuracy"] == found.layers[0].accuracy
    assert f"{found.layers[0].accuracy:.3f}" in found._repr_html_()
    assert "most frequent label" in repr(found)


def test_what_is_refused(made, monkeypatch):
    model, text, _ = made("lm")
    with pytest.raises(UsageError, match="a LanguageModel has no labels of its own"):
        probe(model, text)
    with pytest.raises(UsageError, match="no feature 'x'; there are position"):
        probe(model, text, labels="x")
    with pytest.raises(UsageError, match="there are 3 labels; give one for each of 30 steps or 1 inputs"):
        probe(model, text, labels=[1, 2, 3])
    with pytest.raises(DataError, match="every label that the probe learns from is False"):
        probe(model, text, labels="quotes")
    with pytest.raises(UsageError, match="300 different labels"):
        probe(model, text * 10, labels=range(300))
    with pytest.raises(UsageError, match="no probe on 'layer9'"):
        probe(model, text, labels="word_boundary")["layer9"]
    plain = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"pip install elman\[sklearn\]"):
        probe(model, text, labels="word_boundary")
