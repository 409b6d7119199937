"""Units ranked by features, against naive loops, scikit-learn, brute force over shifts, and a unit planted by hand."""

import copy
import html
import json
import logging

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.inspection.planted import TEXT_IN_BRACKETS, plant_bracket_unit, write_in_brackets

import elman
from elman.errors import DataError, UsageError
from elman.inspection import ablate, ablation_effect, rank_units, trace
from elman.inspection.units import features
from elman.inspection.units.addresses import find_units
from elman.inspection.units.ranking import centred_ranks


@pytest.fixture(scope="module")
def planted():
    """Return a trained network of 128 units one of which is set by hand, and that unit."""
    settings = {"cell": "rnn", "hidden_size": 128, "steps": 60, "batch_size": 8, "bptt_length": 32}
    model = elman.LanguageModel(embedding_size=16, seed=3, evaluations=1, **settings).fit(TEXT_IN_BRACKETS)
    return model, plant_bracket_unit(model)


@pytest.fixture(scope="module")
def plain():
    """Return a small network trained on the same text."""
    settings = {"hidden_size": 12, "embedding_size": 5, "steps": 20, "batch_size": 2, "bptt_length": 16}
    return elman.LanguageModel(evaluations=1, **settings).fit(TEXT_IN_BRACKETS)


def test_a_planted_unit_is_ranked_first(planted):
    model, unit = planted
    ranking = rank_units(model, write_in_brackets(seed=5))
    best = ranking["brackets"].best
    assert (best.name, best.address) == (f"layer0.forward.hidden[{unit}]", f"0:{unit}")
    assert best.score > 0.999
    assert ranking["brackets"].is_beyond_chance
    assert ranking["brackets"].units[1].score < best.score


def test_ablating_the_planted_unit_hurts_more_than_all_controls(planted):
    model, unit = planted
    text = write_in_brackets(seed=6)
    best = rank_units(model, text, ["brackets"])["brackets"].best
    effect = ablation_effect(model, best.address, text[:600])
    assert len(effect.controls) == 100
    assert effect.rank == 0
    assert effect.interval[0] > 0
    assert effect.interval[0] < effect.difference < effect.interval[1]
    plain, without = (float(one.evaluate(text[:600])["nats_per_token"]) for one in (model, ablate(model, f"0:{unit}")))
    assert effect.difference == pytest.approx(without - plain, abs=1e-4)


# ---------------------------------------------------------------- figures


def test_scores_against_scikit_learn_and_numpy(plain):
    """AUC and correlation of every unit, on the second half; the winner is the best of the first."""
    model = plain
    text = write_in_brackets(seed=1)[:400]
    found, traced = rank_units(model, text, ["brackets", "position"]), trace(model, text)
    inside, place = features.brackets(list(text)), features.position(list(text))
    chosen = {"brackets": {}, "position": {}}
    for name, array in traced.arrays.items():
        for unit, values in enumerate(array.T):
            expected = roc_auc_score(inside[200:], values[200:])
            assert found["brackets"].scores[name][unit] == pytest.approx(expected, abs=1e-6)
            chosen["brackets"][name, unit] = abs(roc_auc_score(inside[:200], values[:200]) - 0.5)
            expected = np.corrcoef(place[200:], values[200:])[0, 1]
            assert found["position"].scores[name][unit] == pytest.approx(expected, abs=1e-5)
            chosen["position"][name, unit] = abs(np.corrcoef(place[:200], values[:200])[0, 1])
    for feature, own in chosen.items():
        best = found[feature].best
        assert own[best.array, best.unit] == pytest.approx(max(own.values()), abs=1e-6)
        assert best.score == found[feature].scores[best.array][best.unit]


def count_pairs(holds, values):
    """Return the share of all pairs of steps that are in the right order: the AUC by its definition."""
    high, low = values[holds][:, None], values[~holds]
    return ((high > low) + 0.5 * (high == low)).mean()


def test_the_bound_against_a_loop_over_shifts(plain):
    """Of every possible shift the best unit counts; the bound is what 95 of 100 stay below."""
    model = plain
    text = write_in_brackets(seed=2)[:300]
    found, traced = rank_units(model, text, ["brackets"]), trace(model, text)
    inside = features.brackets(list(text))[150:]
    best = [
        max(
            abs(count_pairs(np.roll(inside, shift), values[150:]) - 0.5)
            for array in traced.arrays.values()
            for values in array.T
        )
        for shift in range(7, 144)
    ]
    assert found["brackets"].bound == pytest.approx(0.5 + np.quantile(best, 0.95), abs=1e-6)


def test_a_feature_that_no_unit_can_know_is_not_beyond_chance(plain):
    """Slow noise follows slow units by chance: shuffled steps would call it a find, shifted ones do not."""
    text, beyond = write_in_brackets(seed=3, words=600), 0
    for seed in range(10):
        walk = np.cumsum(np.random.default_rng(seed).normal(size=len(text)))
        noise = walk - np.linspace(walk[0], walk[-1], len(text))
        beyond += rank_units(plain, text, {"noise": noise})["noise"].is_beyond_chance
    assert beyond <= 2


def test_a_unit_that_turns_round_is_no_find(plain):
    """In the second half the feature is the opposite of what it was in the first."""
    text = write_in_brackets(seed=4)
    values = trace(plain, text)["layer0.forward.hidden"][:, 5]
    high = values > np.median(values)
    turned = high ^ (np.arange(len(text)) >= len(text) // 2)
    ranking = rank_units(plain, text, {"steady": high, "turned": turned})
    assert ranking["steady"].best.name == ranking["turned"].best.name
    assert ranking["steady"].is_beyond_chance
    assert not ranking["turned"].is_beyond_chance
    assert ranking["turned"].strength == pytest.approx(1 - ranking["steady"].strength, abs=1e-6)


def test_ranks_of_equal_values():
    values = np.random.default_rng(0).integers(0, 5, (3, 40)).astype(np.float32)
    for row, own in zip(values, centred_ranks(values), strict=True):
        expected = [(row < value).sum() + ((row == value).sum() - 1) / 2 - 19.5 for value in row]
        assert own.tolist() == expected


def test_a_constant_unit_scores_nothing(made):
    model, text, _ = made("lm")
    twin = elman.LanguageModel(**model.get_params()).fit(text * 20)
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            getattr(twin.network_.rnn, name)[2::12] = 0.0  # all four gates of unit 2
    ranking = rank_units(twin, text * 3, ["position", "word_boundary"])
    assert ranking["position"].scores["layer0.forward.hidden"][2] == 0
    assert ranking["word_boundary"].scores["layer0.forward.hidden"][2] == 0.5


# ---------------------------------------------------------------- features


def test_features_of_characters():
    text = "He said: \"Go (now)!\"\n    x[3] = 'a b'  # don't\n"
    marks = {
        "quotes": " " * 9 + "┃" * 10 + " " * 13 + "┃" * 4,
        "brackets": " " * 13 + "┃" * 4 + " " * 9 + "┃" * 2,
        "capital": "┃" + " " * 9 + "┃",
    }
    for name, expected in marks.items():
        found = features.FEATURES[name](list(text))
        shown = "".join("┃" if one else " " for one in found)
        assert shown.rstrip() == expected, name
    assert features.position(list(text)).tolist() == [*range(21), *range(len(text) - 21)]
    assert features.indentation(list(text)).tolist() == [0] * 21 + [1, 2, 3] + [4] * 22 + [0]
    assert [t for t, one in zip(text, features.digit(list(text)), strict=True) if one] == ["3"]
    assert not any(t.isalnum() for t, one in zip(text, features.word_boundary(list(text)), strict=True) if one)


def test_features_of_words_and_pieces():
    assert features.depth(["f", " (", "((", "x", ")", "))"]).tolist() == [0, 1, 3, 3, 2, 0]
    assert features.quotes(['"', "dogs", "'", "tails"]).tolist() == [True, True, True, True]
    assert features.quotes(["“Go”", "now", "“", "x"]).tolist() == [False, False, True, True]
    assert features.quotes(['"a', "\n\n", "b"]).tolist() == [True, False, False]
    assert features.word_boundary([" the", "re", ".", "</s>"]).tolist() == [True, False, True, False]
    assert features.indentation(["  a", "\n \t", "b", "\n"]).tolist() == [2, 2, 2, 0]
    assert features.depth([*"((\n\n)"]).tolist() == [1, 2, 2, 0, 0]


def test_labels_of_a_tagger(made):
    model, sentences, tags = made("tagger")
    ranking = rank_units(model, sentences * 4, ["label"], y=tags * 4)
    assert set(ranking.models[0]) == {"label:B-LOC", "label:B-PER", "label:I-PER", "label:O"}
    own = [tag for row in tags * 4 for tag in row]
    traced = trace(model, sentences * 4)
    for name, array in traced.arrays.items():  # the second half begins with a sentence
        expected = roc_auc_score(np.array(own[14:]) == "O", array[14:, 3])
        assert ranking["label:O"].scores[name][3] == pytest.approx(expected, abs=1e-6)
    assert "reverse" in "".join(ranking["label:O"].scores)


def test_labels_of_a_classifier_hold_at_each_step(made):
    model, texts, labels = made("classifier")
    ranking = rank_units(model, texts * 4, ["label"], y=labels * 4)
    lengths = [len(model.inputs_.tokens(text)) for text in texts]
    share = lengths[1] / sum(lengths)
    assert ranking["label:complaint"].share == pytest.approx(share)


def test_an_encoders_units_follow_the_source(made):
    model, sources, targets = made("translator")
    own = {"one": lambda tokens: [token == "one" for token in tokens]}
    encoder = rank_units(model, sources * 5, own, y=targets * 5, stack="encoder")
    assert {name.split(".")[0] for name in encoder["one"].scores} == {"encoder"}
    for unit in encoder["one"].units:
        if unit.address is not None:
            assert find_units(model, unit.address)[0].array == unit.array
    decoder = rank_units(model, sources * 5, {"un": lambda tokens: [t == "un" for t in tokens]}, y=targets * 5)
    assert {name.split(".")[0] for name in decoder["un"].scores} == {"decoder"}
    with pytest.raises(UsageError, match="no stack 'encodr'"):
        rank_units(model, sources, own, stack="encodr")


def test_functions_and_columns_are_the_same(made):
    model, text, _ = made("lm")
    by_function = rank_units(model, text, {"o": lambda tokens: [token == "o" for token in tokens]})
    by_column = rank_units(model, text, {"o": [int(token == "o") for token in text]})
    assert by_function["o"].to_json() == by_column["o"].to_json()
    assert by_function["o"].measure == "AUC"
    assert rank_units(model, text, {"n": np.arange(len(text))})["n"].measure == "correlation"


# ---------------------------------------------------------------- several models


def test_several_models_and_how_far_they_agree(made):
    models = [made("lm", seed=seed)[0] for seed in (1, 2)]
    text = made("lm")[1] * 4
    ranking = rank_units(models, text, ["word_boundary"])
    assert (
        ranking.models[0]["word_boundary"].to_json()
        == rank_units(models[0], text, ["word_boundary"])["word_boundary"].to_json()
    )
    columns = []
    for model, own in zip(models, ranking.models, strict=True):
        best = own["word_boundary"].best
        columns.append(trace(model, text)[best.array][:, best.unit])
    found = ranking.agreement["word_boundary"]
    assert found.correlation == pytest.approx(abs(np.corrcoef(*columns)[0, 1]), abs=1e-6)
    assert found.strengths.tolist() == [own["word_boundary"].strength for own in ranking.models]
    read_once = rank_units(models, iter([text]), ["word_boundary"])
    assert read_once.to_json() == ranking.to_json()
    still = copy.deepcopy(models[0])  # its units are constant, so they correlate with none
    with torch.no_grad():
        for weight in still.network_.rnn.parameters():
            weight.zero_()
    three = rank_units([*models, still], text, ["word_boundary"]).agreement["word_boundary"]
    assert three.correlation == pytest.approx(found.correlation / 3, abs=1e-6)
    other = made("lm", level="word", hidden_size=8)[0]
    with pytest.raises(UsageError, match="model 2 reads other tokens"):
        rank_units([models[0], other], text)


# ---------------------------------------------------------------- forms and refusals


def test_json_and_html(made):
    model, text, _ = made("lm")
    ranking = rank_units([model, model], text, {"<b>": np.arange(len(text))})
    read = json.loads(json.dumps(ranking.to_json(), allow_nan=False))
    assert read["features"]["<b>"]["units"][0]["unit"] == ranking["<b>"].best.name
    assert read["agreement"]["<b>"]["correlation"] == pytest.approx(1)
    shown = ranking._repr_html_()
    assert "<b>" not in shown
    assert html.escape("<b>") in shown
    assert ranking["<b>"].best.name in shown
    assert ranking["<b>"].best.name in repr(ranking)


def test_a_text_without_quotes_says_so(made, caplog):
    model, text, _ = made("lm")
    with caplog.at_level(logging.WARNING):
        ranking = rank_units(model, text, ["quotes", "word_boundary"])
    assert "quotes: it is False at every step of the text" in caplog.text
    with pytest.raises(UsageError, match="no ranking for 'quotes': it is False at every step"):
        ranking["quotes"]
    with pytest.raises(DataError, match="no feature varies in the text: quotes: it is False"):
        rank_units(model, text, ["quotes"])
    with pytest.raises(DataError, match=r"x: it is 1\.5 at every step of its second half"):
        rank_units(model, text, {"x": [0.5, *[1.5] * (len(text) - 1)]})


def test_what_is_refused(made):
    model, text, _ = made("lm")
    with pytest.raises(UsageError, match=r"no feature 'quote'; did you mean .?quotes"):
        rank_units(model, text, ["quote"])
    with pytest.raises(UsageError, match="features is 'quotes'; give names in a list"):
        rank_units(model, text, "quotes")
    with pytest.raises(UsageError, match="a LanguageModel has no labels"):
        rank_units(model, text, ["label"])
    with pytest.raises(UsageError, match=r"'x' has the shape \(2,\), expected \(30,\)"):
        rank_units(model, text, {"x": [1, 2]})
    with pytest.raises(UsageError, match=r"returns the shape \(1,\) for 30 tokens"):
        rank_units(model, text, {"x": lambda tokens: [1]})
    with pytest.raises(UsageError, match="'x' is of type <U1"):
        rank_units(model, text, {"x": list(text)})
    with pytest.raises(UsageError, match="'x' is nan at step 1"):
        rank_units(model, text, {"x": [0, np.nan, *range(28)]})
    with pytest.raises(DataError, match="the text has 3 steps"):
        rank_units(model, text[:3])
    with pytest.raises(UsageError, match="top is 0"):
        rank_units(model, text, top=0)
    with pytest.raises(UsageError, match="no model"):
        rank_units([], text)
    with pytest.raises(UsageError, match="no feature 'depth'; there are digit"):
        rank_units(model, text, {"digit": np.arange(30)})["depth"]
