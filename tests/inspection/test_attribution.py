"""Attributions against Captum's on torch's own layers, against a loop over the path, and against their sum."""

import json
import logging

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients
from torch import nn

import elman
from elman.errors import DataError, UsageError
from elman.inspection import attribute, attribution
from elman.models.tasks import TASKS

TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class OfTorch(nn.Module):
    """Word vectors (B, T, E) to the log-probabilities of a classifier (B, K), with torch's own layer."""

    def __init__(self, network):
        super().__init__()
        own = network.encoder.rnn
        sizes = (own.input_size, own.hidden_size, own.num_layers)
        self.rnn = TORCH[own.cell_name](*sizes, batch_first=True, bidirectional=own.bidirectional)
        self.rnn.load_state_dict(own.state_dict())
        self.head = nn.Linear(network.head.weight.shape[1], network.head.weight.shape[0])
        self.head.load_state_dict({"weight": network.head.weight, "bias": network.head.bias})

    def forward(self, vectors):
        outputs, _ = self.rnn(vectors)
        size = self.rnn.hidden_size
        ends = [outputs[:, -1, :size]] + [outputs[:, 0, size:]] * self.rnn.bidirectional
        return self.head(torch.cat(ends, dim=1)).log_softmax(dim=1)


@pytest.mark.parametrize("settings", [{}, {"cell": "gru"}, {"cell": "rnn", "bidirectional": False}], ids=str)
def test_a_classifier_against_captum(made, settings):
    model, texts, labels = made("classifier", pooling="last", **settings)
    other = OfTorch(model.network_)
    for text, label in zip(texts, labels, strict=True):
        found = attribute(model, [text], [label])[0]
        vectors, _ = model._table().gather([model.inputs_.tokens(text)])
        goal = list(model.labels_).index(label)
        inputs = vectors.detach().requires_grad_()
        expected = IntegratedGradients(other).attribute(inputs, target=goal, n_steps=200).sum(dim=-1)
        np.testing.assert_allclose(found.integrated, expected.detach(), atol=1e-3)
        expected = InputXGradient(other).attribute(inputs, target=goal).sum(dim=-1)
        np.testing.assert_allclose(found.gradient_times_input, expected.detach(), atol=1e-3)
        assert np.abs(found.integrated).max() > 0.01
        assert found.outputs == [label]
        assert found.places == model.inputs_.tokens(text)


def test_a_language_model_against_captum(made):
    model, text, _ = made("lm")
    network, own = model.network_, model.network_.rnn
    rnn = nn.LSTM(own.input_size, own.hidden_size, batch_first=True)
    rnn.load_state_dict(own.state_dict())
    found = attribute(model, text, outputs=[4, -1])[0]
    ids = torch.from_numpy(model.tokenizer_.encode(text).astype("int64"))
    names = model.tokenizer_.tokens(range(model.tokenizer_.vocab_size))
    assert found.outputs[0] == text[5]
    assert found.steps.tolist() == [4, len(text) - 1]
    for row, step in enumerate(found.steps):

        def forward(vectors, step=step):
            return network.head(rnn(vectors)[0])[:, step].log_softmax(dim=-1)

        vectors = network.embedding(ids)[None].detach().requires_grad_()
        goal = names.index(found.outputs[row])
        expected = IntegratedGradients(forward).attribute(vectors, target=goal, n_steps=200).sum(dim=-1)[0]
        np.testing.assert_allclose(found.integrated[row], expected.detach(), atol=1e-3)
    assert (found.integrated[0, 5:] == 0).all()  # what is read later decides nothing


@pytest.mark.parametrize("task", TASKS)
def test_the_sum_is_the_difference_of_outputs(made, task):
    model, inputs, answers = made(task)
    if task == "captioner":
        inputs = list(np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), np.uint8))
    found = attribute(model, inputs, answers, outputs=[1] if task == "captioner" else None)
    assert len(found) == (1 if task == "lm" else len(inputs) if task != "composer" else 2)
    for own in found:
        differences = own.values - own.baseline_values
        np.testing.assert_allclose(own.integrated.sum(axis=1), differences, rtol=0.01, atol=1e-9)
        assert own.integrated.shape == own.gradient_times_input.shape == (len(own.outputs), len(own.places))
        assert own.gaps.max() <= 0.01
    json.dumps(found.to_json(), allow_nan=False)
    assert "<script" not in found._repr_html_()
    assert found[0].outputs[0] in repr(found)


@pytest.mark.parametrize("settings", [{"crf": True}, {"cell": "mingru"}, {"merge": "sum", "num_layers": 2}], ids=str)
def test_the_sum_of_a_tagger(made, settings):
    model, sentences, tags = made("tagger", **settings)
    for own, words, wanted in zip(attribute(model, sentences, tags), sentences, tags, strict=True):
        np.testing.assert_allclose(own.integrated.sum(axis=1), own.values - own.baseline_values, rtol=0.01)
        assert (own.places, own.outputs) == (words, wanted)


@pytest.mark.parametrize("initial_state", ["random", "learned"])
def test_the_sum_with_another_initial_state(made, initial_state):
    model, text, _ = made("lm", initial_state=initial_state)
    own = attribute(model, text[:8])[0]
    np.testing.assert_allclose(own.integrated.sum(axis=1), own.values - own.baseline_values, rtol=0.01)


def test_the_regions_of_a_picture_against_a_loop(made):
    """Walk along the path in small steps, and add up the pixels of each region by slices."""
    model, _, captions = made("captioner")
    noise = [np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)]
    found = attribute(model, noise, captions[1:], outputs=[2])[0]
    assert found.places == ["row 1, column 1", "row 1, column 2", "row 2, column 1", "row 2, column 2"]
    (unrolled,) = model.unroll(noise, captions[1:])
    total = torch.zeros_like(unrolled.inputs)
    for share in (np.arange(400) + 0.5) / 400:
        inputs = (unrolled.inputs * share)[None].requires_grad_()
        log_probabilities = unrolled.run(inputs)[0].log_softmax(-1)
        log_probabilities[0, 2, unrolled.targets[2]].backward()
        total += inputs.grad[0] / 400
    pixels = (total * unrolled.inputs).sum(-1)
    expected = [float(pixels[top : top + 8, left : left + 8].sum()) for top in (0, 8) for left in (0, 8)]
    np.testing.assert_allclose(found.integrated[0], expected, atol=1e-3)


def test_numbers_have_an_attribution_each():
    """A label that depends on the first number at the last step, and on nothing else."""
    generator = np.random.default_rng(0)
    series = [generator.normal(size=(5, 2)) for _ in range(200)]
    labels = ["high" if one[-1, 0] > 0 else "low" for one in series]
    settings = {"pooling": "last", "bidirectional": False, "learning_rate": 0.02}
    model = elman.Classifier(level="numbers", hidden_size=12, steps=100, **settings).fit(series, labels)
    assert model.score(series, labels) > 0.95
    found = attribute(model, series[:20], labels[:20])
    share = np.mean([np.abs(own.numbers[0, -1, 0]) / np.abs(own.numbers[0]).sum() for own in found])
    assert share > 0.6
    np.testing.assert_allclose(found[0].numbers.sum(axis=2), found[0].integrated)


def test_a_translators_source_decides(made):
    model, sources, targets = made("translator")
    found = attribute(model, sources, targets, outputs=0)[0]
    assert found.places == ["one", "two", "one"]
    assert found.outputs == ["un"]
    assert attribute(model, sources)[0].steps.tolist() == list(range(len(attribute(model, sources)[0].outputs)))


def test_a_baseline_of_ones_own(made):
    model, texts, labels = made("classifier")
    vectors, _ = model._table().gather([model.inputs_.tokens(texts[0])])
    own = attribute(model, texts[:1], labels[:1], baseline=vectors[0].detach())[0]
    assert not own.integrated.any()
    assert own.gaps.tolist() == [0.0]
    with pytest.raises(UsageError, match=r"the baseline has the shape \(3, 7\)"):
        attribute(model, texts, baseline=np.zeros((3, 7)))


def test_an_incomplete_sum_is_said(made, monkeypatch, caplog):
    """A network that normalises jumps where a white picture on its way from black is grey."""
    monkeypatch.setattr(attribution, "MOST_POINTS", 64)
    model, pictures, captions = made("captioner")
    with caplog.at_level(logging.WARNING):
        attribute(model, pictures[1:], captions[1:])
    assert "the integrated gradients lack" in caplog.text


def test_what_is_refused(made):
    model, text, _ = made("lm")
    with pytest.raises(UsageError, match="there is no output 30: an input has 30"):
        attribute(model, text, outputs=30)
    with pytest.raises(UsageError, match="outputs is empty"):
        attribute(model, text, outputs=[])
    with pytest.raises(DataError, match="X is empty"):
        attribute(made("classifier")[0], [])
