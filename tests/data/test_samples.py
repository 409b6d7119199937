"""The samples: always the same, well formed, and suitable for their purpose.

`studies` is out of an n-gram's reach and within a memory's; in `sentences` a word alone does not tell its tag.
"""

import csv
import io
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from elman.counting.ngrams import NgramModel
from elman.data.samples import SAMPLES, STUDIES, sample_names, sample_text
from elman.errors import UsageError

UPOS = {"ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ"}
UPOS |= {"SYM", "VERB", "X"}

AMBIGUOUS = ["back", "bear", "book", "light", "like", "park", "rose", "run", "saw", "so", "that", "watch", "will"]


@pytest.fixture(scope="module")
def lines():
    return sample_text("studies").splitlines()


def cause_of(line):
    (cause,) = (word for word in line.split() if word in STUDIES)
    return cause


@pytest.fixture(scope="module")
def sentences():
    """Parse each sentence into its comments by name and its (form, tag) pairs; a malformed line fails."""
    found = []
    for block in sample_text("sentences").removesuffix("\n\n").split("\n\n"):
        comments, rows = {}, []
        for line in block.split("\n"):
            if line.startswith("# "):
                name, _, value = line.removeprefix("# ").partition(" = ")
                comments[name] = value
            else:
                rows.append(line.split("\t"))
        for number, row in enumerate(rows, start=1):
            assert len(row) == 10, row
            assert row[0] == str(number), row
            assert all(cell == cell.strip() != "" for cell in row), row
            assert row[3] in UPOS, row
            assert [*row[4:9], row[9].removeprefix("SpaceAfter=No")] in ([*"_____", "_"], [*"_____", ""]), row
        spaced = "".join(row[1] + " " * (row[9] == "_") for row in rows)
        assert comments["text"] == spaced.rstrip(" ")
        found.append((comments, [(row[1], row[3]) for row in rows]))
    return found


@pytest.fixture(scope="module")
def messages():
    header, *rows = csv.reader(io.StringIO(sample_text("messages"), newline=""))
    assert header == ["text", "label"]
    return rows


@pytest.mark.parametrize("name", sample_names())
def test_a_sample_is_plain_text_and_always_the_same(name):
    text = sample_text(name)
    assert text == sample_text(name)
    assert text.endswith("\n")
    assert "\r" not in text
    assert SAMPLES[name].description


def test_an_unknown_name_suggests_the_closest():
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


def test_a_5gram_can_only_guess_the_profession(lines):
    vocabulary = {
        word: number for number, word in enumerate(["<s>", *sorted({w for line in lines for w in line.split()})])
    }
    encoded = [[vocabulary[word] for word in ["<s>", *line.split()]] for line in lines]
    train, held_out = encoded[:2700], encoded[2700:]
    model = NgramModel(order=5).fit(np.concatenate(train), np.cumsum([0, *map(len, train)]), len(vocabulary))
    guesses = [np.argmax(model.next_probs(np.array(sentence[:-2]))) for sentence in held_out]
    accuracy = np.mean([guess == sentence[-2] for guess, sentence in zip(guesses, held_out, strict=True)])
    assert accuracy < 2.5 / len(STUDIES)
    # It can predict that a profession comes next, but not which one.
    professions = {vocabulary[word] for word in STUDIES.values()}
    assert np.mean([guess in professions for guess in guesses]) > 0.9

    learned = {cause_of(line): line.split()[-2] for line in lines[:2700]}
    assert all(learned[cause_of(line)] == line.split()[-2] for line in lines[2700:])


# ---------------------------------------------------------------- sentences


def test_sentences_have_the_stated_number_and_are_distinct(sentences):
    assert SAMPLES["sentences"].size == f"{len(sentences)} sentences"
    assert len({comments["sent_id"] for comments, _ in sentences}) == len(sentences)
    assert len({comments["text"] for comments, _ in sentences}) == len(sentences)
    lengths = [len(words) for _, words in sentences]
    assert min(lengths) >= 3
    assert max(lengths) <= 16
    assert 7 < np.mean(lengths) < 9


def test_sentences_have_all_seventeen_tags(sentences):
    counts = Counter(tag for _, words in sentences for _, tag in words)
    assert counts.keys() == UPOS
    assert min(counts.values()) >= 10


def test_teddy_is_a_man_and_a_toy(sentences):
    tags = {comments["text"]: [tag for _, tag in words] for comments, words in sentences}
    assert tags["Teddy Roosevelt was a great president"] == ["PROPN", "PROPN", "AUX", "DET", "ADJ", "NOUN"]
    assert tags["Teddy bears are on sale"] == ["NOUN", "NOUN", "AUX", "ADP", "NOUN"]


@pytest.mark.parametrize("word", AMBIGUOUS)
def test_a_word_has_several_tags_and_each_several_times(sentences, word):
    counts = Counter(tag for _, words in sentences for form, tag in words if form.lower() == word)
    assert sum(count >= 3 for count in counts.values()) >= 2, counts


def test_the_most_frequent_tag_of_a_word_is_not_enough(sentences):
    right = total = 0
    for fold in range(10):
        order = sentences[:]
        random.Random(fold).shuffle(order)
        counts = defaultdict(Counter)
        for _, words in order[len(order) // 10 :]:
            for form, tag in words:
                counts[form.lower()][tag] += 1
        for _, words in order[: len(order) // 10]:
            for form, tag in words:
                known = counts.get(form.lower(), Counter(["NOUN"]))
                right += known.most_common(1)[0][0] == tag
                total += 1
    assert 0.7 < right / total < 0.9  # it learns something, but at least one word in ten needs its context


# ---------------------------------------------------------------- messages


def test_messages_have_the_stated_number_and_are_balanced_and_distinct(messages):
    assert all(len(row) == 2 for row in messages)
    assert SAMPLES["messages"].size == f"{len(messages)} messages"
    assert Counter(label for _, label in messages) == {"complaint": 100, "question": 100, "praise": 100}
    assert len({text.casefold() for text, _ in messages}) == len(messages)
    lengths = [len(text.split()) for text, _ in messages]
    assert min(lengths) >= 4
    assert max(lengths) <= 35


def test_messages_are_quoted_like_real_exports(messages):
    texts = [text for text, _ in messages]
    for mark in (",", '"', "\n"):
        assert sum(mark in text for text in texts) >= 5, mark
    assert sum(text.count("\n") for text in texts) + len(texts) + 1 == sample_text("messages").count("\n")


def test_every_tenth_of_the_messages_has_all_labels(messages):
    for start in range(0, len(messages), len(messages) // 10):
        assert len({label for _, label in messages[start : start + len(messages) // 10]}) == 3
