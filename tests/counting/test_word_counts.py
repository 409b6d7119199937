"""The baselines for texts: their settings, what they can and cannot distinguish, and their errors."""

import sys

import numpy as np
import pytest
from scipy.sparse import hstack
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from elman.counting.word_counts import TEXT_BASELINES, MajorityClassifier, text_baseline
from elman.errors import DataError, UsageError

BAGS = [name for name in TEXT_BASELINES if name != "majority"]


def one_word_texts(size=1000):
    """Return texts of filler words in which one word decides the label; every tenth text has no words."""
    generator = np.random.default_rng(0)
    fillers = ["film", "story", "actor", "scene", "music", "plot"]
    labels = generator.choice(["bad", "fine", "good"], size=size).tolist()
    texts = [
        " ".join([*generator.choice(fillers, size=4), {"bad": "awful", "fine": "fair"}.get(y, "great")]) for y in labels
    ]
    return [text if number % 10 else "" for number, text in enumerate(texts)], labels


@pytest.mark.parametrize("name", BAGS)
def test_bags_of_words_find_the_decisive_word(name):
    model = text_baseline(name, seed=0).fit(*one_word_texts())
    tests = ["an awful story", "GREAT music!", "fair, the plot"]
    assert model.predict(tests).tolist() == ["bad", "good", "fine"]
    probabilities = model.predict_proba(tests)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)  # in float32
    assert model.classes_[probabilities.argmax(axis=1)].tolist() == ["bad", "good", "fine"]


@pytest.mark.parametrize("name", TEXT_BASELINES)
def test_a_text_without_a_word_gets_a_label_too(name):
    model = text_baseline(name, seed=0).fit(*one_word_texts())
    assert set(model.predict(["", "!", "a b c", "unheardof"]).tolist()) <= {"bad", "fine", "good"}
    assert list(model.classes_) == ["bad", "fine", "good"]


@pytest.mark.parametrize(("name", "expected"), [("logreg", 0.5), ("mlp", 0.5), ("logreg2", 1.0), ("mlp2", 1.0)])
def test_only_bigrams_see_the_order_of_two_words(name, expected):
    texts, labels = ["dog bites man", "man bites dog"] * 500, ["usual", "news"] * 500
    predicted = text_baseline(name, seed=1).fit(texts, labels).predict(texts)
    assert np.mean(predicted == labels) == expected


@pytest.mark.parametrize("name", [name for name in BAGS if name != "tfidf"])
def test_settings(name):
    model = text_baseline(name, seed=7)
    assert isinstance(model, Pipeline)
    vectorizer, classifier = model
    assert vectorizer.ngram_range == ((1, 2) if "2" in name else (1, 1))
    if "mlp" in name:
        assert (classifier.random_state, classifier.early_stopping) == (7, True)


def test_tfidf_equals_its_parts():
    texts, labels = one_word_texts(200)
    model = text_baseline("tfidf", seed=7).fit(texts, labels)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    features = hstack([words.fit_transform(texts), letters.fit_transform(texts)]).tocsr()
    expected = LogisticRegression(C=3, max_iter=2000).fit(features, labels).predict_proba(features)
    np.testing.assert_allclose(model.predict_proba(texts), expected, atol=1e-3)  # in float32, two optimizer runs


def test_majority_agrees_with_scikit_learn():
    texts, labels = one_word_texts()
    model, dummy = MajorityClassifier().fit(texts, labels), DummyClassifier(strategy="prior").fit(texts, labels)
    np.testing.assert_array_equal(model.predict(texts), dummy.predict(texts))
    np.testing.assert_allclose(model.predict_proba(texts), dummy.predict_proba(texts), rtol=1e-12)
    np.testing.assert_array_equal(model.classes_, dummy.classes_)


def test_the_majority_classifier_refuses_wrong_data():
    with pytest.raises(UsageError, match="2 texts, but 1 labels"):
        MajorityClassifier().fit(["one", "two"], ["a"])
    with pytest.raises(DataError, match="no text"):
        MajorityClassifier().fit([], [])
    with pytest.raises(UsageError, match="call fit"):
        MajorityClassifier().predict(["one"])


def test_an_unknown_name():
    with pytest.raises(UsageError, match=r'no baseline "logref"; did you mean "logreg"\? there are majority, logreg'):
        text_baseline("logref", seed=0)
    with pytest.raises(UsageError, match=r'no baseline "forest"; there are majority'):
        text_baseline("forest", seed=0)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    assert isinstance(text_baseline("majority", seed=0), MajorityClassifier)
    with pytest.raises(UsageError, match=r"\"mlp2\" needs scikit-learn: .*pip install -e '\.\[sklearn\]'"):
        text_baseline("mlp2", seed=0)
