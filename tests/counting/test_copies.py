"""Copies of training texts, and what two parts of the data share, against brute force."""

import math
from collections import Counter

import numpy as np
import pytest

from elman.counting.copies import NearestNeighbour, count_copied, count_duplicates, pick_typical
from elman.errors import DataError, UsageError


def cosine(one, other, weights):
    shared = sum(weights[word] ** 2 for word in one & other)
    norms = math.sqrt(sum(weights[word] ** 2 for word in one) * sum(weights[word] ** 2 for word in other))
    return shared / norms if norms else 0.0


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_text_has_the_highest_cosine(seed):
    generator = np.random.default_rng(seed)
    words = list("abcdefghij")
    texts = [" ".join(generator.choice(words, size=generator.integers(1, 6))) for _ in range(30)]
    counts = Counter(word for text in texts for word in set(text.split()))
    weights = {word: math.log(30 / count) for word, count in counts.items()}
    queries = [" ".join(generator.choice(words, size=3)) for _ in range(20)]
    for query, row in zip(queries, NearestNeighbour().fit(texts).find(queries), strict=True):
        own = {word for word in query.split() if word in weights}
        scores = [cosine(own, set(text.split()), weights) for text in texts]
        assert scores[row] == pytest.approx(max(scores))


def test_a_text_of_unknown_words_gets_the_first_one():
    assert NearestNeighbour().fit(["a", "b"]).find(["z", ""]).tolist() == [0, 0]


def test_nearest_neighbour_errors():
    with pytest.raises(DataError, match="no texts"):
        NearestNeighbour().fit([])
    with pytest.raises(UsageError, match="not fitted"):
        NearestNeighbour().find(["a"])


def test_the_most_frequent_caption_is_the_most_typical():
    assert pick_typical(["a cat", "a dog", "a dog", "one bird"]) == "a dog"
    with pytest.raises(DataError, match="no texts"):
        pick_typical([])


def test_duplicates_of_texts_lists_and_arrays():
    assert count_duplicates(["a", "b"], ["b", "b", "c"]) == 2
    assert count_duplicates([["a", "b"]], [["a", "b"], ["ab"]]) == 1
    zeros = np.zeros((2, 3), np.float32)
    assert count_duplicates([zeros], [zeros.copy(), zeros.reshape(3, 2), zeros + 1]) == 1


@pytest.mark.parametrize("seed", range(3))
def test_copied_tokens_equal_brute_force(seed):
    generator = np.random.default_rng(seed)
    train, held_out = generator.integers(0, 3, 40), generator.integers(0, 3, 30)
    length = 4
    runs = {tuple(train[start : start + length]) for start in range(len(train) - length + 1)}
    copied = set()
    for start in range(len(held_out) - length + 1):
        if tuple(held_out[start : start + length]) in runs:
            copied.update(range(start, start + length))
    assert count_copied(train, held_out, length) == len(copied) > 0
    assert count_copied(train[:3], held_out, length) == 0
