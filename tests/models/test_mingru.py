"""Every task with a cell that has no kernels: it trains, is saved and loaded, and then predicts the same."""

from itertools import chain

import numpy as np
import pytest
import torch

import elman
from elman.data.samples import sample_text
from elman.errors import UsageError

TINY = {"cell": "mingru", "hidden_size": 8, "embedding_size": 8, "steps": 3, "evaluations": 1}
DOG = [["the", "dog", "runs"], ["so"]]
PAIRS = [("a dog runs", "ein Hund rennt"), ("a cat", "eine Katze"), ("so so", "so la la")] * 8


def fit_tagger():
    tagger = elman.Tagger(**TINY, characters="none").fit([*DOG, *DOG], [["D", "N", "V"], ["A"]] * 2)
    return tagger, lambda model: model.predict(DOG)


def fit_classifier():
    texts = ["good", "not good", "bad", "so bad"] * 4
    return elman.Classifier(**TINY).fit(texts, ["+", "-", "-", "-"] * 4), lambda model: model.predict_proba(
        texts
    ).tolist()


def fit_translator():
    sources, targets = zip(*PAIRS, strict=True)
    translator = elman.Translator(**TINY, level="word", min_count=1, max_length=4, beam_size=2, num_layers=2)
    return translator.fit(list(sources), list(targets)), lambda model: model.predict(list(sources)[:3])


def fit_captioner():
    features = {f"{row}.png": np.full((2, 3), row, np.float32) for row in range(6)}
    captions = {name: [f"a picture of {name[0]}"] for name in features}
    captioner = elman.Captioner(**TINY, feature_size=4, level="char", max_length=5, beam_size=2)
    return captioner.fit(features, captions), lambda model: model.predict(features)


def fit_composer():
    tunes = "\n\n".join(sample_text("tunes").split("\n\n")[:6]) + "\n\n"
    composer = elman.Composer(**TINY, batch_size=1).fit(tunes)
    return composer, lambda model: model.compose(max_events=20, seed=1).notes.tolist()


@pytest.mark.parametrize("fit", [fit_tagger, fit_classifier, fit_translator, fit_captioner, fit_composer])
def test_a_loaded_model_predicts_the_same(fit, tmp_path):
    model, answer = fit()
    model.save(tmp_path / "model")
    loaded = elman.load(tmp_path / "model")
    assert loaded.cell == "mingru"
    names = [name for name, _ in chain(loaded.network_.named_parameters())]
    assert not any("weight_hh" in name and "characters" not in name for name in names)
    assert answer(loaded) == answer(model)


def test_generation_needs_no_kernels():
    lm = elman.LanguageModel(**TINY, batch_size=2, bptt_length=8).fit("the quick brown fox\n" * 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elman.kernels.generate.Writer.write", None)
        text, state = lm.generate("the", max_tokens=5, seed=1, return_state=True)
    assert len(text) == 5
    assert isinstance(state, torch.Tensor)
    assert state.shape == (1, 1, 8)


@pytest.mark.parametrize("cell", ["lstm", "mingru"])
def test_a_state_continues_from_torchs_form_too(cell):
    """Checkpoints of earlier versions hold a tensor or a pair; those of this version hold the parts by name."""
    lm = elman.LanguageModel(**{**TINY, "cell": cell}, batch_size=2, bptt_length=8).fit("the quick brown fox\n" * 20)
    with torch.no_grad():
        _, state = lm.network_(torch.tensor([[5, 6, 7]]))
        expected, _ = lm.network_(torch.tensor([[8]]), state)
        for carried in (state.public(), dict(state)):
            assert torch.equal(lm.network_(torch.tensor([[8]]), carried)[0], expected)


def test_forget_gates_are_those_of_the_table():
    with pytest.raises(UsageError, match='only an LSTM has forget gates; cell is "mingru"'):
        elman.LanguageModel(cell="mingru", forget_bias=1.0).check()


def test_for_an_unknown_cell_the_nearest_is_suggested():
    with pytest.raises(
        UsageError, match='cell is "mingur"; it is one of rnn, gru, lstm, mingru; did you mean "mingru"'
    ):
        elman.Tagger(cell="mingur").check()
