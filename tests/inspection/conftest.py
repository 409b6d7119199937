"""A small trained model of every task, with something for it to read."""

import numpy as np
import pytest

import elman

TEXT = "the quick brown fox jumps over the lazy dog .\n" * 30
SENTENCES = [["Teddy", "Roosevelt", "spoke"], ["bears", "sleep", "well", "here"]]
TAGS = [["B-PER", "I-PER", "O"], ["O", "O", "O", "B-LOC"]]
TEXTS, LABELS = ["good, really good <b>", "bad, really bad"], ["praise", "complaint"]
SOURCES, TARGETS = ["one two one", "two one"], ["un deux un", "deux un"]
SCALE = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF GABc\n\n"


def lm(**settings):
    own = {"hidden_size": 12, "embedding_size": 5, "steps": 20, "batch_size": 2, "bptt_length": 16, "evaluations": 1}
    return elman.LanguageModel(**{**own, **settings}).fit(settings.pop("text", TEXT))


def tagger(**settings):
    return elman.Tagger(**{"hidden_size": 8, "steps": 20, **settings}).fit(SENTENCES * 10, TAGS * 10)


def classifier(**settings):
    return elman.Classifier(**{"hidden_size": 8, "steps": 20, **settings}).fit(TEXTS * 10, LABELS * 10)


def translator(**settings):
    own = {"level": "word", "hidden_size": 10, "embedding_size": 6, "dropout": 0, "steps": 30}
    return elman.Translator(**{**own, **settings}).fit(SOURCES * 10, TARGETS * 10)


def captioner(**settings):
    own = {"picture_size": 16, "channels": 8, "hidden_size": 8, "embedding_size": 6, "dropout": 0, "steps": 10}
    return elman.Captioner(**{**own, **settings}).fit(pictures() * 10, [["it is night"], ["it is day"]] * 10)


def pictures():
    return [np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)]


def composer(**settings):
    return elman.Composer(**{"hidden_size": 8, "embedding_size": 4, "steps": 5, "batch_size": 2, **settings}).fit(
        SCALE * 10
    )


BUILDERS = {
    "lm": (lm, TEXT[:30], None),
    "tagger": (tagger, SENTENCES, TAGS),
    "classifier": (classifier, TEXTS, LABELS),
    "translator": (translator, SOURCES, TARGETS),
    "captioner": (captioner, pictures(), [["it is night"], ["it is day"]]),
    "composer": (composer, SCALE * 2, None),
}


@pytest.fixture(scope="session")
def made():
    """Return a trained model of a task, what it reads, and the answers; each is trained once."""
    kept = {}

    def make(task, **settings):
        build, inputs, answers = BUILDERS[task]
        key = (task, *sorted(settings.items()))
        if key not in kept:
            kept[key] = build(**settings)
        return kept[key], inputs, answers

    return make
