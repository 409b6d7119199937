"""How a training ends: its baselines by hand, what is said of a model that falls short, and what is not changed."""

import json
import logging

import numpy as np
import pytest
import torch

import elman
from elman.families.endings import Ending
from elman.training.schedule import TrainingSettings

LM_TEXT = "abab" * 30 + "aabb" * 3


def ending(**changes):
    values = {"figures": {"accuracy": 0.7}, "compared": ("accuracy",), "baselines": {}, "passes": 5.0}
    return Ending(**{**values, **changes})


def test_a_good_ending_says_nothing():
    baselines = {"majority": {"accuracy": 0.5}, "word_counts": {"accuracy": 0.7}}
    assert ending(baselines=baselines).warning(TrainingSettings()) == ""


def test_a_better_baseline_is_named_with_both_figures():
    found = ending(baselines={"majority": {"accuracy": 0.5}, "word_counts": {"accuracy": 0.8}})
    warning = found.warning(TrainingSettings(minutes=2))
    assert "naive Bayes on word counts does better on the same data: accuracy 0.800 against the model's 0.700" in (
        warning[0].lower() + warning[1:]
    )
    assert found.remedy(TrainingSettings(minutes=2)) == {"minutes": 6}
    assert "set `minutes` to 6" in warning


def test_no_better_than_the_most_frequent_label_is_chance():
    baselines = {"majority": {"accuracy": 0.7, "macro_f1": 0.4}}
    at_chance = ending(
        figures={"accuracy": 0.7, "macro_f1": 0.4}, compared=("accuracy", "macro_f1"), baselines=baselines, passes=50.0
    )
    assert "still at chance" in at_chance.warning(TrainingSettings())
    assert at_chance.remedy(TrainingSettings(learning_rate=6e-3)) == {"learning_rate": 2e-3}
    uneven = ending(
        figures={"accuracy": 0.7, "macro_f1": 0.6}, compared=("accuracy", "macro_f1"), baselines=baselines, passes=50.0
    )
    assert uneven.warning(TrainingSettings()) == ""


def test_a_loss_is_better_when_it_is_lower():
    names = {"compared": ("nats_per_token",), "baselines": {"5-grams": {"nats_per_token": 1.5}}}
    assert ending(figures={"nats_per_token": 1.4}, **names).warning(TrainingSettings()) == ""
    assert "a 5-gram model" in ending(figures={"nats_per_token": 1.6}, **names).warning(TrainingSettings()).lower()


def test_less_than_one_pass():
    found = ending(passes=0.25)
    assert "saw only 25% of its data" in found.warning(TrainingSettings(steps=10))
    assert found.remedy(TrainingSettings(steps=10)) == {"steps": 120}
    assert found.remedy(TrainingSettings(epochs=0.25)) == {"epochs": 3}


def test_repeated_texts_are_counted_unless_the_true_ones_repeat():
    generated = ["the same\x1b[2J"] * 117 + [str(number) for number in range(501)]
    references = [f"text {number}" for number in range(618)]
    said = ending(generated=generated, references=references).warning(TrainingSettings())
    assert '117 of 618 generated texts are the same, "the same [2J"' in said
    assert ending(generated=generated, references=["the same"] * 618).warning(TrainingSettings()) == ""


def test_many_duplicates_are_said():
    said = ending(held_out=50, duplicates=6).warning(TrainingSettings())
    assert "6 of 50 held-out items are also in the training data" in said
    assert ending(held_out=50, duplicates=5).warning(TrainingSettings()) == ""


def test_a_classifier_is_compared_on_its_own_held_out_texts():
    texts, labels = ["good film", "good fun", "bad film", "bad luck"] * 5, ["+", "+", "-", "-"] * 5
    valid = (["good", "bad", "bad luck", "good luck"], ["+", "-", "-", "-"])
    model = elman.Classifier(hidden_size=4, steps=1).fit(texts, labels, valid=valid)
    baselines = model.metrics_["baseline"]
    assert baselines["majority"]["accuracy"] == pytest.approx(1 / 4)  # "+", the first of two equally frequent labels
    # "good luck": p(good | +) p(luck | +) = 11 · 1 against p(good | -) p(luck | -) = 1 · 6, with equal totals
    assert baselines["word_counts"]["accuracy"] == pytest.approx(3 / 4)
    assert model.metrics_["duplicates"] == 1  # "bad luck"
    assert not hasattr(model, "_train")


def test_the_5_grams_of_a_language_model_see_its_own_held_out_text():
    model = elman.LanguageModel(hidden_size=4, steps=1, batch_size=2, bptt_length=8).fit(LM_TEXT, valid="aaab")
    size, train = model.tokenizer_.vocab_size, LM_TEXT[1:]
    counts = {letter: train.count(letter) for letter in "ab"}
    # order 1 of interpolated Kneser-Ney: two letters, neither seen just once or twice, so the discount is 1/2
    probs = {letter: (count - 0.5 + 0.5 * 2 / size) / len(train) for letter, count in counts.items()}
    expected = -np.mean([np.log(probs[letter]) for letter in "aab"])
    assert model.metrics_["baseline"]["unigrams"]["nats_per_token"] == pytest.approx(expected)
    assert set(model.metrics_["baseline"]) == {"unigrams", "5-grams"}


def test_a_translator_is_compared_with_its_nearest_neighbour():
    sources = ["one cat sits on the mat", "two dogs run in the park", "three birds sing in a tree"] * 4
    targets = ["un chat est assis sur le tapis", "deux chiens courent dans le parc", "trois oiseaux chantent"] * 4
    valid = (["two dogs run", "one cat sits"], [targets[1], targets[0]])
    model = elman.Translator(level="word", hidden_size=4, embedding_size=4, steps=1).fit(sources, targets, valid=valid)
    assert model.metrics_["baseline"]["nearest_neighbour"]["bleu"] == pytest.approx(100)
    assert "opying the target of the most similar source does better" in model.metrics_["warning"]


def test_a_captioner_is_compared_with_one_caption():
    pictures = [np.full((16, 16, 3), shade, np.uint8) for shade in range(20)]
    captions = [["a dark picture"]] * 15 + [["a bright one here"]] * 5
    model = elman.Captioner(picture_size=16, hidden_size=4, embedding_size=4, feature_size=8, channels=8, steps=1)
    valid = (pictures[:4], [["a dark picture"], ["a dark picture"], ["so"], ["no"]])
    model.fit(pictures, captions, valid=valid)
    assert model.metrics_["baseline"]["constant_caption"]["exact"] == 0.5
    assert model.metrics_["duplicates"] == 4


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def test_the_baselines_do_not_change_the_training(monkeypatch):
    settings = {"hidden_size": 4, "steps": 3, "batch_size": 2, "bptt_length": 8}
    with_baselines = weights_of(elman.LanguageModel(**settings).fit(LM_TEXT))
    monkeypatch.setattr("elman.families.next_token.NextTokenModel._evaluate_baselines", lambda self, seconds: iter(()))
    monkeypatch.setattr("elman.families.next_token.NextTokenModel._count_duplicates", lambda self: (0, 0))
    without = weights_of(elman.LanguageModel(**settings).fit(LM_TEXT))
    assert all(torch.equal(with_baselines[name], without[name]) for name in without)


def test_a_baseline_that_fails_is_left_out(monkeypatch, caplog):
    def fail(self, seconds):
        yield "majority", {"accuracy": 0.25}
        raise MemoryError("too many words")

    monkeypatch.setattr("elman.models.classifier.Classifier._evaluate_baselines", fail)
    with caplog.at_level(logging.DEBUG, "elman"):
        model = elman.Classifier(hidden_size=4, steps=1).fit(["good", "bad"] * 5, ["+", "-"] * 5)
    assert model.metrics_["baseline"] == {"majority": {"accuracy": 0.25}}
    assert "the baselines are left out: MemoryError: too many words" in caplog.text


def test_the_warning_is_the_last_line_and_on_the_card(shell, tmp_path):
    table = tmp_path / "reviews.csv"
    rows = [f"{word} film number {number},{label}" for number in range(20) for word, label in (("good", 1), ("bad", 0))]
    table.write_text("text,label\n" + "\n".join(rows) + "\n")
    folder = tmp_path / "m"
    answer = shell("train", "classifier", table, "--hidden-size", "4", "--steps", "1", f"--out={folder}")
    assert answer.code == 0
    last = answer.out.splitlines()[-1]
    assert last.startswith("Warning: ")
    assert "set --steps to" in last
    again = f"elman train classifier {table} --hidden-size 4 --steps"
    assert again in last
    assert "--out" not in last.partition(again)[2]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["baseline"]["word_counts"]["accuracy"] == 1
    assert elman.load(folder).metrics_["warning"] == metrics["warning"]
    card = (folder / "README.md").read_text()
    assert metrics["warning"] in card
    assert "| word_counts | accuracy 1, macro_f1 1 |" in card
