"""The taggers against counts by hand, and the hidden Markov model against its definition over all paths."""

from itertools import pairwise, product
from math import log

import numpy as np
import pytest

from elman.counting.tag_counts import HiddenMarkovModel, MajorityTagger, MostFrequentTagger
from elman.errors import DataError, UsageError

TAGGERS = [MajorityTagger, MostFrequentTagger, HiddenMarkovModel]
SENTENCES = [["the", "can", "rusts"], ["I", "can", "fish"], ["the", "fish", "can"], []]
TAGS = [["DET", "NOUN", "VERB"], ["PRON", "AUX", "NOUN"], ["DET", "NOUN", "AUX"], []]
VOCABULARY = ["the", "fish", "fished", "Fish", "3rd", "1990", "...", "antidisestablishment", "establishment", "shed"]


class Definition:
    """A hidden Markov model by its equations, with every count taken from the training sentences each time."""

    def __init__(self, sentences, tags, smoothing):
        self.smoothing = smoothing
        self.pairs = [pair for words, own in zip(sentences, tags, strict=True) for pair in zip(words, own, strict=True)]
        self.steps = [step for own in tags for step in pairwise(["<>", *own, "<>"])]
        self.tags = sorted({tag for _, tag in self.pairs})
        words = [word for word, _ in self.pairs]
        self.rare = [(word, tag) for word, tag in self.pairs if words.count(word) <= 10]

    def score(self, words, tags):
        """Return the log probability of the words with these tags, without the probabilities of the words."""
        transitions = sum(log(self.transition(*step)) for step in pairwise(["<>", *tags, "<>"]))
        return transitions + sum(log(self.emission(*pair)) for pair in zip(words, tags, strict=True))

    def transition(self, before, after):
        followers = [step[1] for step in self.steps if step[0] == before]
        return (followers.count(after) + self.smoothing) / (len(followers) + self.smoothing * (len(self.tags) + 1))

    def emission(self, word, tag):
        prior = self.share(self.pairs, tag, 0, 0.0)
        prob = self.share(self.rare, tag, self.smoothing, prior)
        alike = [pair for pair in self.rare if self.shape(pair[0]) == self.shape(word)]
        for length in range(min(len(word), 10) + 1):
            alike = [pair for pair in alike if length == 0 or pair[0].endswith(word[-length:])]
            prob = self.share(alike, tag, self.smoothing, prob)
        return self.share([pair for pair in self.pairs if pair[0] == word], tag, self.smoothing, prob) / prior

    @staticmethod
    def shape(word):
        return word[0].isupper(), any(letter in "0123456789" for letter in word), word.upper() != word.lower()

    @staticmethod
    def share(pairs, tag, smoothing, prob):
        if not pairs:
            return prob
        return (sum(own == tag for _, own in pairs) + smoothing * prob) / (len(pairs) + smoothing)


def corpus(seed, num_sentences=25):
    """Return sentences in which a tag mostly depends on the previous one, and a word on its tag."""
    generator = np.random.default_rng(seed)
    sentences, tags = [], []
    for _ in range(num_sentences):
        own = np.cumsum(generator.choice([1, 1, 2, 3], size=generator.integers(1, 6))) % 3
        words = (3 * own + generator.geometric(0.5, len(own))) % (len(VOCABULARY) - 1)
        sentences.append([VOCABULARY[word] for word in words])
        tags.append([f"T{tag}" for tag in own])
    return sentences, tags


@pytest.mark.parametrize("smoothing", [0.01, 1.0, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_viterbi_finds_the_best_of_all_paths(seed, smoothing):
    sentences, tags = corpus(seed)
    definition = Definition(sentences, tags, smoothing)
    assert 0 < len(definition.rare) < len(definition.pairs)  # both kinds of words occur
    generator = np.random.default_rng(seed)
    tests = [generator.choice([*VOCABULARY, "Xerxes", "!", "42"], size=size).tolist() for size in (1, 1, 2, 3, 4, 5)]
    for words, path in zip(tests, HiddenMarkovModel(smoothing).fit(sentences, tags).predict(tests), strict=True):
        scores = {other: definition.score(words, other) for other in product(definition.tags, repeat=len(words))}
        assert scores[tuple(path)] == pytest.approx(max(scores.values()), abs=1e-9)  # sums of 11 logarithms


def test_what_the_hidden_markov_model_counts():
    model = HiddenMarkovModel().fit([["ab", "b"], ["b"]], [["X", "Y"], ["Y"]])
    steps = 4  # border X, X Y, Y border, border Y
    words = 1 + 1  # "ab" as X, "b" as Y
    wider = 2 + 2 + 2 + 1  # as X and Y: any rare word, any of that shape, any in "b"; as X alone: any in "ab"
    assert model.num_parameters == steps + words + wider


def test_the_previous_tag_decides_between_the_tags_of_a_word():
    tagger = HiddenMarkovModel(0.1).fit(SENTENCES * 5, TAGS * 5)
    assert tagger.predict([["I", "can"], ["the", "can"]]) == [["PRON", "AUX"], ["DET", "NOUN"]]


def test_the_most_frequent_tags():
    assert MajorityTagger().fit(SENTENCES, TAGS).predict([["I", "swim"], []]) == [["NOUN", "NOUN"], []]
    tagger = MostFrequentTagger().fit(SENTENCES, TAGS)
    assert tagger.predict([["the", "can", "fish"]]) == [["DET", "AUX", "NOUN"]]
    assert tagger.predict([["swims"]]) == [["VERB"]]  # only "rusts" and then "I" are seen once
    assert tagger.num_parameters == 6
    assert MostFrequentTagger().fit([["a", "b", "a", "b"]], [["X", "Y", "X", "X"]]).predict([["c"]]) == [["X"]]


@pytest.mark.parametrize("tagger", TAGGERS)
def test_one_protocol(tagger):
    sentences, tags = corpus(0)
    model = tagger()
    assert model.fit(sentences, tags) is model
    predicted = model.predict([*sentences, [], ["", "\N{SNOWMAN}", "x" * 99]])
    assert [len(own) for own in predicted] == [*map(len, sentences), 0, 3]
    assert {tag for own in predicted for tag in own} <= {"T0", "T1", "T2"}
    assert type(model.num_parameters) is int


@pytest.mark.parametrize("tagger", TAGGERS)
def test_wrong_data_is_refused(tagger):
    with pytest.raises(UsageError, match=r"2 sentences, but tags for 1"):
        tagger().fit([["a"], ["b"]], [["X"]])
    with pytest.raises(UsageError, match=r"sentence 2: 1 words, but 2 tags"):
        tagger().fit([["a"], ["b"]], [["X"], ["X", "Y"]])
    with pytest.raises(DataError, match=r"no words in the 2 sentences"):
        tagger().fit([[], []], [[], []])
    with pytest.raises(UsageError, match=r"is not fitted yet; call fit"):
        tagger().predict([["a"]])
    with pytest.raises(UsageError, match=r"is not fitted yet; call fit"):
        _ = tagger().num_parameters


@pytest.mark.parametrize("smoothing", [0, -1, float("nan"), float("inf")])
def test_smoothing_that_would_divide_by_zero(smoothing):
    with pytest.raises(UsageError, match="above 0"):
        HiddenMarkovModel(smoothing)
