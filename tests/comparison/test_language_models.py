"""Comparisons of language models; and what recurrent networks are for: dependencies between distant words.

On `sample:studies` an n-gram model guesses at chance, one in twelve (`test_baselines.py`); an LSTM is nearly always
right.
"""

import math

import pytest

from elman.comparison.language_models import compare_language_models
from elman.data.samples import STUDIES, sample_text
from elman.errors import UsageError
from elman.models.language_model import LanguageModel


def test_an_lstm_remembers_what_was_studied(quick):
    """A slow test: about 20 s on one core.

    The forget gates start open (bias 2, sigmoid 0.88), so that the gradient reaches the field of study, some 17 words
    back; from torch's initial gates (0.5) the same training takes many times as long.
    """
    text = sample_text("studies")
    sizes = {"hidden_size": 64, "embedding_size": 32, "batch_size": 8, "forget_bias": 2.0, "dropout": 0.0}
    model = LanguageModel(lines=True, level="word", min_count=1, steps=4000, evaluations=4, **sizes).fit(text)
    held_out = text[model.data_["valid"]["characters"][0] :].splitlines()
    assert len(held_out) == 300
    right = 0
    for line in held_out:
        before, profession, stop = line.rsplit(" ", 2)
        assert profession in STUDIES.values()
        assert stop == "."
        logits, _ = model.read(before)
        right += model.tokenizer_.tokens([logits[-1].argmax().item()]) == [profession]
    assert right >= 0.95 * len(held_out)


def test_all_models_are_evaluated_on_the_same_tokens(quick, easy, tiny):
    settings = tiny(steps=2)
    rows = list(compare_language_models(easy, ["ngram:3", "window:2", "rnn:2x4", "gru"], settings))
    assert [row.model for row in rows] == ["ngram:3", "window:2", "rnn:2x4", "gru"]
    per_nat = [row.bits_per_character / row.nats_per_token for row in rows]
    assert per_nat == pytest.approx([per_nat[0]] * 4, rel=1e-12)  # float64; tokens over characters is one number
    alone = tiny(steps=2, cell="rnn", num_layers=2, hidden_size=4).fit(easy)
    assert rows[2].nats_per_token == alone.metrics_["valid"]["nats_per_token"]
    assert rows[2].parameters == alone.metrics_["parameters"]
    assert [row.unseen_contexts is None for row in rows] == [False, True, True, True]
    assert (settings.cell, settings.hidden_size) == ("lstm", 8)  # the caller's settings do not change


@pytest.mark.parametrize("level", ["char", "word", "space", "bpe"])
@pytest.mark.parametrize("lines", [False, True], ids=["stream", "lines"])
def test_perplexities_per_word_share_one_count(quick, easy, tiny, level, lines):
    held_out = "\na dog over\n\nthe <unk> (fox) ."  # 7 words, 3 line ends, the first of which is not predicted
    settings = tiny(steps=1, level=level, lines=lines, min_count=1)
    rows = list(compare_language_models(easy, ["ngram:2", "rnn:1x4"], settings, valid=held_out))
    words, characters = (9, 29) if not lines else (9, 28)
    for row in rows:
        nats = row.bits_per_character * math.log(2) * characters
        assert math.log(row.perplexity_per_word) == pytest.approx(nats / words, rel=1e-9)  # float64 sums
        assert math.log(row.perplexity) == pytest.approx(row.nats_per_token, rel=1e-9)


@pytest.mark.parametrize("name", ["lstmm", "", "lstm:axb", "ngram:x", "window:0", "lstm:0x3", "ngram:0"])
def test_a_wrong_name_is_refused_before_any_training(easy, tiny, name):
    with pytest.raises(UsageError):
        next(compare_language_models(easy, ["rnn", name], tiny()))
