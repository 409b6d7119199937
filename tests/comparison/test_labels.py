"""Comparisons evaluate every model on the same examples with the same figures."""

import json
from itertools import chain

import pytest
from sklearn.metrics import accuracy_score, f1_score

from elman.comparison.labels import compare_classifiers, compare_taggers
from elman.counting.tag_counts import HiddenMarkovModel, MostFrequentTagger
from elman.errors import DataError, UsageError
from elman.models.classifier import Classifier
from elman.models.tagger import Tagger

SENTENCES = [["the", "saw", "works"], ["I", "saw", "it"]] * 10
TAGS = [["DET", "NOUN", "VERB"], ["PRON", "VERB", "PRON"]] * 10
TEXTS, LABELS = ["good good", "bad thing", "fine day"] * 8, ["yes", "no", "yes"] * 8
VALID = ([["the", "zebra", "saw"], ["I", "works"]], [["DET", "NOUN", "VERB"], ["PRON", "VERB"]])


def test_taggers():
    settings = Tagger(hidden_size=4, embedding_size=4, character_size=2, steps=3)
    train = "".join(
        "".join(f"{word}\t{tag}\n" for word, tag in zip(*pair, strict=True)) + "\n"
        for pair in zip(SENTENCES, TAGS, strict=True)
    )
    rows = list(compare_taggers(train, ["frequent", "hmm", "bigru:1x3"], settings, valid=VALID))
    assert [row.model for row in rows] == ["frequent", "hmm", "bigru:1x3"]
    for row, baseline in zip(rows, (MostFrequentTagger(), HiddenMarkovModel()), strict=False):
        predicted = list(chain(*baseline.fit(SENTENCES, TAGS).predict(VALID[0])))
        true = list(chain(*VALID[1]))
        assert row.accuracy == pytest.approx(accuracy_score(true, predicted))
        assert row.macro_f1 == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))
        assert row.accuracy_unseen == float(predicted[1] == "NOUN")
        assert row.span_f1 is None
    assert rows[2].parameters > 0


def test_classifiers():
    settings = Classifier(hidden_size=4, embedding_size=4, steps=3)
    table = "".join(json.dumps({"text": t, "label": n}) + "\n" for t, n in zip(TEXTS, LABELS, strict=True))
    rows = list(compare_classifiers(table, ["majority", "logreg", "rnn:2x3"], settings, valid=(TEXTS, LABELS)))
    assert rows[0].accuracy == pytest.approx(2 / 3)
    assert rows[0].macro_f1 == pytest.approx(f1_score(LABELS, ["yes"] * 24, average="macro", zero_division=0))
    assert rows[1].accuracy == 1
    assert all(row.seconds >= 0 and row.targets_per_second > 0 for row in rows)
    letters = "text,label\na,yes\nb,no\n"
    with pytest.raises(DataError, match="logreg cannot be trained on these texts"):
        list(compare_classifiers(letters, ["logreg"], settings, valid=(["a"], ["no"])))


@pytest.mark.parametrize("name", ["hmn", "bilstm:0x4", "lstm:axb", "ngram:5"])
def test_names_that_are_not_valid(name):
    with pytest.raises(UsageError):
        list(compare_taggers("a\tb\n", [name], Tagger(steps=1)))
