"""Naive Bayes on words, against its equation by hand and against a plain loop over random texts."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from elman.counting.naive_bayes import NaiveBayes
from elman.errors import DataError, UsageError

WORDS = ["film", "story", "good", "bad", "actor"]


def terms_of(text):
    words = text.split()
    return {*words, *pairwise(words)}


def loop_scores(texts, labels, text):
    """The joint log probability of a text's known terms and each label, term by term."""
    vocabulary = set().union(*map(terms_of, texts))
    scores = []
    for label in sorted(set(labels)):
        own = [terms_of(one) for one, other in zip(texts, labels, strict=True) if other == label]
        counts = Counter(term for terms in own for term in terms)
        score = math.log(len(own) / len(texts))
        for term in terms_of(text) & vocabulary:
            score += math.log((counts[term] + 1) / (counts.total() + len(vocabulary)))
        scores.append(score)
    return scores


def test_the_scores_of_two_texts_by_hand():
    model = NaiveBayes().fit(["good good", "bad"], ["+", "-"])  # terms: good, good good, bad
    scores = model.log_scores(["good", "unknown"])
    half = math.log(1 / 2)
    np.testing.assert_allclose(scores[0], [half + math.log(2 / 5), half + math.log(1 / 4)])
    np.testing.assert_allclose(scores[1], [half, half])


@pytest.mark.parametrize("seed", range(3))
def test_the_scores_equal_a_plain_loop(seed):
    generator = np.random.default_rng(seed)
    texts = [" ".join(generator.choice(WORDS, size=generator.integers(0, 6))) for _ in range(40)]
    labels = generator.choice(["a", "b", "c"], size=40).tolist()
    model = NaiveBayes().fit(texts, labels)
    tests = [*texts[:10], "good new film", "", "new", "film good bad film good bad"]
    np.testing.assert_allclose(model.log_scores(tests), [loop_scores(texts, labels, one) for one in tests], atol=1e-9)


def test_texts_without_a_word_get_the_most_frequent_label():
    assert NaiveBayes().fit(["", " ", ""], ["b", "a", "b"]).predict(["so", ""]) == ["b", "b"]


def test_errors():
    with pytest.raises(UsageError, match="1 texts, but 2 labels"):
        NaiveBayes().fit(["so"], ["a", "b"])
    with pytest.raises(DataError, match="no texts"):
        NaiveBayes().fit([], [])
    with pytest.raises(UsageError, match="not fitted"):
        NaiveBayes().predict(["so"])
