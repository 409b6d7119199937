"""The samples: the same every time, and `studies` is what it is for: out of an n-gram's reach, within a memory's."""

from collections import Counter

import numpy as np
import pytest

from elman.data.samples import SAMPLES, STUDIES, sample_names, sample_text
from elman.errors import UsageError
from elman.models.baselines import NgramModel


@pytest.fixture(scope="module")
def lines():
    return sample_text("studies").splitlines()


def cause_of(line):
    (cause,) = (word for word in line.split() if word in STUDIES)
    return cause


@pytest.mark.parametrize("name", sample_names())
def test_a_sample_is_plain_text_and_the_same_every_time(name):
    text = sample_text(name)
    assert text == sample_text(name)
    assert text.endswith("\n")
    assert "\r" not in text
    assert SAMPLES[name].description


def test_an_unknown_name_says_the_nearest():
    with pytest.raises(UsageError, match=r'no sample is called "study".*did you mean "studies"'):
        sample_text("study")


def test_topics_is_about_half_a_megabyte():
    text = sample_text("topics")
    assert 300_000 < len(text.encode()) < 900_000
    assert "lambda" in text


def test_studies_ends_in_the_profession_of_its_field(lines):
    assert len(lines) == 3000
    for line in lines:
        *_, article, effect, period = line.split()
        assert effect == STUDIES[cause_of(line)]
        assert period == "."
        assert article in ("a", "good")
    assert len(set(STUDIES.values())) == len(STUDIES) == 12
    assert set(Counter(map(cause_of, lines)).values()) == {250}


def test_studies_keeps_more_than_five_words_between_cause_and_effect(lines):
    for line in lines:
        words = line.split()
        between = words[words.index(cause_of(line)) + 1 : -2]
        assert len(between) > 5
        assert not set(between) & (STUDIES.keys() | set(STUDIES.values()))


def test_studies_never_repeats_the_words_around_cause_and_effect(lines):
    frames = {line.replace(cause_of(line), "_").replace(line.split()[-2], "_") for line in lines}
    assert len(frames) == len(lines)


def test_a_5gram_is_at_chance_where_the_cause_tells_everything(lines):
    vocabulary = {
        word: number for number, word in enumerate(["<s>", *sorted({w for line in lines for w in line.split()})])
    }
    encoded = [[vocabulary[word] for word in ["<s>", *line.split()]] for line in lines]
    train, held_out = encoded[:2700], encoded[2700:]
    model = NgramModel(order=5).fit(np.concatenate(train), np.cumsum([0, *map(len, train)]), len(vocabulary))
    guesses = [np.argmax(model.next_probs(np.array(sentence[:-2]))) for sentence in held_out]
    accuracy = np.mean([guess == sentence[-2] for guess, sentence in zip(guesses, held_out, strict=True)])
    assert accuracy < 2.5 / len(STUDIES)
    # It does know that a profession comes: it is the choice among them that it cannot see.
    professions = {vocabulary[word] for word in STUDIES.values()}
    assert np.mean([guess in professions for guess in guesses]) > 0.9

    learned = {cause_of(line): line.split()[-2] for line in lines[:2700]}
    assert all(learned[cause_of(line)] == line.split()[-2] for line in lines[2700:])
