"""Translators and captioners beside copies of the training data, on the same held-out part."""

import numpy as np
import pytest
from sacrebleu import corpus_bleu

from elman.comparison.texts import compare_captioners, compare_translators
from elman.errors import UsageError
from elman.models.captioner import Captioner
from elman.models.translator import Translator

SOURCES = ["one cat sits on the mat. It is red.", "two dogs run in the park. They are old."] * 6
TARGETS = ["un chat est assis sur le tapis", "deux chiens courent dans le parc"] * 6
VALID = (["two dogs run. So.", "one cat sits. So."], ["deux chiens courent dans un parc", TARGETS[0]])


def test_translators():
    settings = Translator(level="word", hidden_size=4, embedding_size=4, steps=1)
    rows = list(compare_translators(SOURCES, ["nearest", "first", "gru:1x5"], settings, y=TARGETS, valid=VALID))
    assert [row.model for row in rows] == ["nearest", "first", "gru:1x5"]
    assert [row.is_network for row in rows] == [False, False, True]
    assert rows[0].bleu == pytest.approx(corpus_bleu([TARGETS[1], TARGETS[0]], [VALID[1]]).score)
    assert rows[0].sample == TARGETS[1]
    assert rows[1].bleu == pytest.approx(corpus_bleu(["two dogs run.", "one cat sits."], [VALID[1]]).score)
    assert rows[2].memory_bytes == 4 * rows[2].parameters
    assert {row.figure for row in rows} == {"bleu"}


def test_captioners():
    pictures = [np.full((16, 16, 3), shade, np.uint8) for shade in range(12)]
    captions = [["a dark picture"], ["a dark picture"], ["a bright one"]] * 4
    settings = Captioner(picture_size=16, hidden_size=4, embedding_size=4, feature_size=8, channels=8, steps=1)
    valid = (pictures[:3], captions[:3])
    rows = list(compare_captioners(pictures, ["constant", "lstm"], settings, y=captions, valid=valid))
    assert rows[0].sample == "a dark picture"
    assert (rows[0].parameters, rows[0].figure) == (None, "cider")
    assert rows[1].is_network


@pytest.mark.parametrize("name", ["constant", "bigru", "gru:axb"])
def test_names_that_are_not_valid(name):
    with pytest.raises(UsageError, match=f"model {name}"):
        list(compare_translators(SOURCES, [name], Translator(steps=1), y=TARGETS))
