"""Losses with little context, against the model itself reading only so much, and n-grams against themselves."""

import json

import numpy as np
import pytest
import torch
from tests.inspection.planted import TEXT_IN_BRACKETS, write_in_brackets

import elman
from elman.counting.ngrams import NgramModel
from elman.errors import DataError, UsageError
from elman.inspection import context_use, trace


def nats_after(model, context, token):
    """Let a language model read a text from its beginning, and return the loss of what comes next."""
    logits, _ = model.read(context)
    return -float(logits[-1].log_softmax(-1)[model.tokenizer_.encode(token)[0]])


@pytest.mark.parametrize("settings", [{}, {"cell": "gru", "num_layers": 2}, {"initial_state": "learned"}], ids=str)
def test_a_language_model_that_reads_only_the_last_tokens(made, settings):
    model, text, _ = made("lm", **settings)
    found = context_use(model, text, contexts=[1, 3, 8])
    for context, loss in zip(found.contexts, found.losses, strict=True):
        expected = [nats_after(model, text[max(end - context, 0) : end], text[end]) for end in range(1, len(text))]
        assert loss == pytest.approx(np.mean(expected), rel=1e-5)
    assert found.whole == pytest.approx(np.nanmean(trace(model, text).losses), rel=1e-6)
    assert found.num_targets == len(text) - 1


@pytest.mark.parametrize("settings", [{}, {"crf": True}, {"bidirectional": False}], ids=str)
def test_a_tagger_looks_to_either_side(made, settings):
    model, sentences, tags = made("tagger", **settings)
    for size in (1, 2):
        expected = []
        for words, own in zip(sentences, tags, strict=True):
            for place, _ in enumerate(words):
                first, last = (
                    max(place - size, 0),
                    place + size + 1 if settings.get("bidirectional", True) else place + 1,
                )
                found = trace(model, [words[first:last]], [own[first:last]])
                expected.append(found.losses[place - first])
        result = context_use(model, sentences, tags, contexts=[size])
        assert result.losses[0] == pytest.approx(np.mean(expected), rel=1e-5)


def test_a_classifier_reads_the_last_words(made):
    model, texts, labels = made("classifier")
    expected = [
        trace(model, [" ".join(model.inputs_.tokens(text)[-2:])], [label]).losses[0]
        for text, label in zip(texts, labels, strict=True)
    ]
    assert context_use(model, texts, labels, contexts=[2]).losses[0] == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("settings", [{}, {"attention": "none", "cell": "gru"}, {"input_feeding": True}], ids=str)
def test_a_decoder_reads_the_last_written_tokens(made, settings):
    model, sources, targets = made("translator", **settings)
    network, nats = model.network_, []
    for source, target in zip(sources, targets, strict=True):
        ids = [1, *model.target_tokenizer_.encode(target).tolist(), 2]
        for end in range(1, len(ids)):
            with torch.no_grad():
                read = torch.from_numpy(model.source_tokenizer_.encode(source).astype("int64"))[None]
                state = network.encode(read, torch.tensor([read.shape[1]]))
                vectors = network.embedding(torch.tensor([ids[max(end - 2, 0) : end]]))
                logits = network.head(network.decoder(vectors, state)[0])[0, -1]
            nats.append(-float(logits.log_softmax(-1)[ids[end]]))
    found = context_use(model, sources, targets, contexts=[2, 50], train=targets)
    assert found.losses[0] == pytest.approx(np.mean(nats), rel=1e-5)
    assert found.losses[1] == found.whole
    ngram = NgramModel(order=3)
    sequences = [[1, *model.target_tokenizer_.encode(target), 2] for target in targets]
    offsets = np.cumsum([0, *map(len, sequences)])
    ngram.fit(np.concatenate(sequences), offsets, model.target_tokenizer_.vocab_size)
    assert found.ngram[0] == pytest.approx(-ngram.log_probs(np.concatenate(sequences), offsets).mean())
    assert np.isnan(found.ngram[1])


def test_all_tasks(made):
    for task in ("captioner", "composer"):
        model, inputs, answers = made(task)
        train = answers if task == "captioner" else inputs
        found = context_use(model, inputs, answers, train=train)
        assert found.contexts[0] == 1
        assert np.isfinite(found.losses).all()
        assert np.isfinite(found.ngram[0])
        json.dumps(found.to_json(), allow_nan=False)


def test_an_ngram_beside_each_context():
    """A network that has learned which bracket comes next uses more than two characters; bigrams cannot."""
    settings = {"hidden_size": 24, "embedding_size": 8, "steps": 150, "batch_size": 16, "bptt_length": 32}
    model = elman.LanguageModel(evaluations=1, **settings).fit(TEXT_IN_BRACKETS)
    text = write_in_brackets(seed=9)
    found = context_use(model, text, train=TEXT_IN_BRACKETS, targets=400)
    tokens = [model.tokenizer_.encode(each) for each in (TEXT_IN_BRACKETS, text)]
    picked = np.unique(np.linspace(0, len(text) - 2, 400).round().astype(int))
    for context, loss in zip(found.contexts, found.ngram, strict=True):
        if context > 8:
            assert np.isnan(loss)
            continue
        ngram = NgramModel(order=int(context) + 1).fit(tokens[0], [0, len(tokens[0])], model.tokenizer_.vocab_size)
        assert loss == pytest.approx(-ngram.log_probs(tokens[1], [0, len(tokens[1])])[picked].mean())
    assert found.losses[0] > found.losses[3] > found.whole * 0.99
    assert found.used is not None
    assert found.losses[found.contexts.tolist().index(found.used)] <= 1.01 * found.whole


def test_forms(made):
    model, text, _ = made("lm")
    found = context_use(model, text, train=text, contexts=(4, 16, 4))
    assert found.contexts.tolist() == [4, 16]
    read = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert read["ngram"][1] is None
    assert f"{found.losses[0]:.3f}" in found._repr_html_()
    assert f"{found.whole:.3f} nats" in repr(found)
    assert context_use(model, text, targets=5).num_targets == 5


def test_what_is_refused(made):
    model, text, _ = made("lm")
    with pytest.raises(UsageError, match="targets is 0"):
        context_use(model, text, targets=0)
    with pytest.raises(UsageError, match=r"contexts is \[0\]"):
        context_use(model, text, contexts=[0])
    with pytest.raises(UsageError, match=r"contexts is \[\]"):
        context_use(model, text, contexts=[])
    with pytest.raises(UsageError, match="a Tagger does not predict tokens"):
        context_use(made("tagger")[0], [["a"]], train="x")
    with pytest.raises(DataError, match="no loss is known"):
        context_use(model, "t")
