"""Gradients by lag of whole models against one call of autograd for each pair of a loss and a lag, in float64."""

import copy
import json
import math

import numpy as np
import pytest
import torch

import elman
from elman.errors import DataError, UsageError
from elman.families.gradients import summarise
from elman.families.missed import Missed
from elman.families.verdicts import diagnose, find_reach
from elman.inspection import gradient_by_lag
from elman.models.tasks import TASKS
from elman.nn.cells import CELLS

CLOSE = 1e-4  # of the largest at its lag


def double(model):
    return copy.deepcopy(model.network_).double().eval()


def run_in_pieces(run, state, cut):
    """Cut run(state, first, last) -> (outputs, state) after some steps; return all outputs, and the state there."""
    first, middle = run(state, 0, cut)
    middle = middle.map(lambda part: part.detach().requires_grad_())
    second, _ = run(middle, cut, None)
    return torch.cat((first, second), dim=1), middle


def slopes(loss, state):
    """Of each layer and part the norm of the gradient of a loss of one row."""
    found = torch.autograd.grad(loss, list(state.values()), allow_unused=True)
    return {
        f"layer{layer}.forward.{name}": 0.0 if slope is None else float(slope[layer].norm())
        for name, slope in zip(state, found, strict=True)
        for layer in range(len(state[name]))
    }


def assert_pairs(found, expected):
    """Compare every pair: ``expected`` has the norms by (loss, lag) for each name."""
    compared = 0
    for name, pairs in expected.items():
        norms = found.norms[name]
        largest = {}
        for (_, lag), value in pairs.items():
            largest[lag] = max(largest.get(lag, 0), value)
        for row, (record, step) in enumerate(zip(found.records, found.steps, strict=True)):
            for lag in found.lags:
                value = pairs.get((record, step, lag), pairs.get((step, lag)))
                if value is None:
                    assert math.isnan(norms[row, lag - 1])
                    continue
                assert abs(norms[row, lag - 1] - value) <= CLOSE * largest[lag]
                compared += value > 0
    assert compared > 20


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_a_language_model(made, cell, num_layers):
    model, text, _ = made("lm", cell=cell, num_layers=num_layers)
    text = text[:12]
    network = double(model)
    ids = torch.from_numpy(model.tokenizer_.encode(text).astype("int64"))
    expected = {}
    for cut in range(1, len(text)):
        logits, state = run_in_pieces(lambda state, first, last: network(ids[None, first:last], state), None, cut)
        losses = torch.nn.functional.cross_entropy(logits[0, :-1], ids[1:], reduction="none")
        for t in range(cut, len(text) - 1):
            (retained,) = [losses[t]]
            grads = torch.autograd.grad(retained, list(state.values()), retain_graph=True)
            for name, grad in zip(state, grads, strict=True):
                for layer in range(num_layers):
                    expected.setdefault(f"layer{layer}.forward.{name}", {})[t, t - cut + 1] = float(grad[layer].norm())
    assert_pairs(gradient_by_lag(model, text), expected)
    windows = gradient_by_lag(model, text, lags=3)
    short = {name: {pair: value for pair, value in pairs.items() if pair[1] <= 3} for name, pairs in expected.items()}
    assert_pairs(windows, short)
    assert windows.lags.tolist() == [1, 2, 3]
    some = gradient_by_lag(model, text, losses=4)
    assert some.steps.tolist() == [0, 3, 7, 10]


def test_a_bidirectional_tagger(made):
    """Every edge of both directions of both layers, cut by hand: one direction at a time."""
    model, sentences, tags = made("tagger", cell="gru", num_layers=2, merge="sum")
    words, own = sentences[1], tags[1]
    network = double(model)
    table = model.inputs_.table(network.words)
    with torch.no_grad():
        vectors, _ = table.gather([words])
    layer, steps = network.encoder.rnn, len(words)
    targets = [model.labels_.index(tag) for tag in model._to_bio(own)]
    zeros, inputs = {}, vectors[0][:, None]
    for number in range(2):
        outputs = []
        for direction in range(2):
            w, u, b, d = (getattr(layer, f"{n}_l{number}{'_reverse' * direction}") for n in layer_names())
            h, rows = torch.zeros(1, layer.hidden_size).double(), [None] * steps
            for step in reversed(range(steps)) if direction else range(steps):
                (x_r, x_z, x_n), (h_r, h_z, h_n) = (inputs[step] @ w.T + b).chunk(3, 1), (h @ u.T + d).chunk(3, 1)
                r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
                rows[step] = (1 - z) * (x_n + r * h_n).tanh() + z * h
                zero = torch.zeros_like(h).requires_grad_()
                zeros[number, direction, step] = zero
                h = rows[step] + zero
            outputs.append(torch.stack(rows))
        inputs = outputs[0] + outputs[1]
    losses = torch.nn.functional.cross_entropy(network.head(inputs[:, 0]), torch.tensor(targets), reduction="none")
    expected = {}
    for (number, direction, step), zero in zeros.items():
        for t in range(steps):
            lag = step - t if direction else t - step
            if lag >= 1:
                (slope,) = torch.autograd.grad(losses[t], zero, retain_graph=True, allow_unused=True)
                name = f"layer{number}.{'reverse' if direction else 'forward'}.hidden"
                expected.setdefault(name, {})[t, lag] = float(slope.norm())
    assert_pairs(gradient_by_lag(model, [words], [own]), expected)


def layer_names():
    return "weight_ih", "weight_hh", "bias_ih", "bias_hh"


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_classifier(made, pooling):
    model, texts, labels = made("classifier", pooling=pooling, bidirectional=False, num_layers=2)
    network, expected = double(model), {}
    for record, (text, label) in enumerate(zip(texts, labels, strict=True), start=1):
        with torch.no_grad():
            vectors, _ = model.inputs_.table(network.front).gather([model.inputs_.tokens(text)])
        for cut in range(1, vectors.shape[1]):
            outputs, state = run_in_pieces(
                lambda state, first, last, vectors=vectors: network.encoder.rnn.run(vectors[:, first:last], state),
                None,
                cut,
            )
            pooled = outputs[:, -1] if pooling == "last" else outputs.mean(1)
            target = torch.tensor([model.labels_.index(label)])
            for name, value in slopes(torch.nn.functional.cross_entropy(network.head(pooled), target), state).items():
                expected.setdefault(name, {})[record, 0, vectors.shape[1] - cut] = value
    found = gradient_by_lag(model, texts, labels)
    assert found.records.tolist() == [1, 2]
    for name, pairs in expected.items():
        for (record, _, lag), value in pairs.items():
            assert found.norms[name][record - 1, lag - 1] == pytest.approx(value, rel=CLOSE)


@pytest.mark.parametrize(
    "settings", [{"attention": "none"}, {}, {"attention": "bahdanau"}, {"input_feeding": True}], ids=str
)
def test_a_translator(made, settings):
    """Cut the encoder, and the decoder, after every step."""
    model, sources, targets = made("translator", bidirectional=False, cell="gru", num_layers=2, **settings)
    source, target = sources[0], targets[0]
    network = double(model)
    ids = torch.from_numpy(model.source_tokenizer_.encode(source).astype("int64"))[None]
    wanted = torch.from_numpy(model.target_tokenizer_.encode(target).astype("int64"))
    read, wanted = torch.cat((torch.tensor([1]), wanted))[None], torch.cat((wanted, torch.tensor([2])))
    vectors, spoken = network.source_embedding(ids).detach(), network.embedding(read).detach()

    def decode(start):
        outputs, _, _ = network.decoder(spoken, start)
        return torch.nn.functional.cross_entropy(network.head(outputs)[0], wanted, reduction="none")

    expected = {}
    plain = network.encoder.run
    for cut in range(1, ids.shape[1]):
        _, middle = plain(vectors[:, :cut])
        middle = middle.map(lambda part: part.detach().requires_grad_())

        def in_pieces(inputs, state=None, lengths=None, cut=cut, middle=middle):
            with torch.no_grad():
                first, _ = plain(inputs[:, :cut])
            second, end = plain(inputs[:, cut:], middle)
            return torch.cat((first, second), dim=1), end

        network.encoder.run = in_pieces
        losses = decode(network.encode_vectors(vectors, torch.tensor([ids.shape[1]])))
        del network.encoder.run
        for t in range(len(wanted)):
            for layer in range(2):
                (slope,) = torch.autograd.grad(losses[t], middle["hidden"], retain_graph=True)
                pairs = expected.setdefault(f"encoder.layer{layer}.forward.hidden", {})
                pairs[t, ids.shape[1] - cut] = float(slope[layer].norm())
    start = network.encode_vectors(vectors, torch.tensor([ids.shape[1]]))
    for cut in range(1, len(wanted)):
        with torch.no_grad():
            _, state, _ = network.decoder(spoken[:, :cut], start)
        hidden = state.hidden.map(lambda part: part.detach().requires_grad_())
        outputs, _, _ = network.decoder(spoken[:, cut:], state._replace(hidden=hidden))
        losses = torch.nn.functional.cross_entropy(network.head(outputs)[0], wanted[cut:], reduction="none")
        for t in range(cut, len(wanted)):
            (slope,) = torch.autograd.grad(losses[t - cut], hidden["hidden"], retain_graph=True)
            for layer in range(2):
                pairs = expected.setdefault(f"decoder.layer{layer}.forward.hidden", {})
                pairs[t, t - cut + 1] = float(slope[layer].norm())
    assert_pairs(gradient_by_lag(model, [source], [target]), expected)


def test_a_crfs_losses_add_up_to_that_of_the_path(made):
    """The gradients of the steps' losses by the logits are those of -log p(path)."""
    model, sentences, tags = made("tagger", crf=True)
    network = double(model)
    with torch.no_grad():
        vectors, lengths = model.inputs_.table(network.words).gather([sentences[0]])
        logits = network.compute_logits(vectors, lengths)
    logits.requires_grad_()
    targets = torch.tensor([[model.labels_.index(tag) for tag in tags[0]]])
    (slope,) = torch.autograd.grad(network.crf.loss_sum(logits, targets, None), logits)
    errors = network.log_probabilities(logits.detach()).exp() - torch.nn.functional.one_hot(targets, logits.shape[-1])
    torch.testing.assert_close(errors, slope)
    assert len(gradient_by_lag(model, sentences, tags).steps) == 7


# ---------------------------------------------------------------- what is made of them


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_figures(made, task):
    model, inputs, answers = made(task)
    before = {name: weight.clone() for name, weight in model.network_.state_dict().items()}
    grads = [None if weight.grad is None else weight.grad.clone() for weight in model.network_.parameters()]
    found = gradient_by_lag(model, inputs, answers, lags=4, losses=6)
    read = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(read) == {"gradient_by_lag", "reach", "verdict"}
    for name, norms in found.norms.items():
        assert norms.shape == (len(found.steps), len(found.lags))
        for column, values in enumerate(norms.T):
            known = values[~np.isnan(values)]
            if not len(known):
                assert np.isnan(found.mean[name][column])
                continue
            assert found.mean[name][column] == pytest.approx(known.mean())
            assert found.median[name][column] == pytest.approx(np.median(known))
            assert found.quartiles[name][:, column] == pytest.approx(np.quantile(known, (0.25, 0.75)))
    directions = [name for name in found.norms if "layer" not in name]
    for direction in directions:
        prefix, _, way = direction.rpartition(".")
        own = [norms for name, norms in found.norms.items() if name.startswith(prefix) and f".{way}." in name]
        np.testing.assert_allclose(found.norms[direction], np.sqrt(sum(norms**2 for norms in own)))
    assert found.verdict.kind in repr(found) or found.verdict.text in repr(found)
    for name, weight in model.network_.state_dict().items():
        assert torch.equal(weight, before[name])
    for weight, grad in zip(model.network_.parameters(), grads, strict=True):
        assert weight.grad is None if grad is None else torch.equal(weight.grad, grad)
    assert found.named_arrays()["gradient_by_lag.lags"].tolist() == found.lags.tolist()


def test_without_answers_the_losses_are_those_of_the_models_own(made):
    model, texts, _ = made("classifier")
    own = model.predict(texts)
    plain, told = gradient_by_lag(model, texts), gradient_by_lag(model, texts, own)
    for name, norms in plain.norms.items():
        np.testing.assert_allclose(norms, told.norms[name], rtol=1e-9)


def test_many_losses_go_in_several_batches(made, monkeypatch):
    model, text, _ = made("lm")
    whole = gradient_by_lag(model, text, lags=4)
    monkeypatch.setattr("elman.families.gradients.MOST_NUMBERS", 2000)
    parts = gradient_by_lag(model, text, lags=4)
    for name, norms in whole.norms.items():
        np.testing.assert_allclose(parts.norms[name], norms, rtol=1e-9)


def test_figures_of_some_numbers():
    norms = np.array([[8.0, 4.0, 1.0], [4.0, np.nan, np.nan], [0.0, 2.0, np.nan]])
    assert summarise(norms, "mean").tolist() == [4, 3, 1]
    assert summarise(norms, 50).tolist() == [4, 3, 1]
    assert np.isnan(summarise(np.full((2, 1), np.nan), "mean")).all()
    assert find_reach(np.array([1.0, 0.5, 0.2]), 0.5) == 3
    assert find_reach(np.array([1.0, 0.5, 0.2]), 0.1) is None


def test_what_is_refused(made):
    model, text, _ = made("lm")
    for call, kind, message in [
        (lambda: gradient_by_lag(model, text, lags=0), UsageError, "lags is 0, expected at least 1"),
        (lambda: gradient_by_lag(model, text, losses=0), UsageError, "losses is 0, expected at least 1"),
        (lambda: gradient_by_lag(model, "t"), DataError, "no loss is known"),
        (lambda: gradient_by_lag(made("tagger")[0], [["bears"]]), DataError, "no loss has a step before it"),
        (lambda: gradient_by_lag(elman.LanguageModel(), text), UsageError, "is not fitted"),
        (lambda: gradient_by_lag(made("tagger")[0], [["a", "b"]], [["?", "?"]]), DataError, "no loss is known"),
    ]:
        with pytest.raises(kind, match=message):
            call()


# ---------------------------------------------------------------- the verdict


@pytest.mark.parametrize("missed", [None, Missed({20: 9.0}), Missed({0: 9.0})])
def test_remedies_are_settings_of_the_model(made, missed):
    for task in TASKS:
        model, _, _ = made(task)
        for by in (0.5, 1.5, 0.99):
            curve = by ** np.arange(100.0)
            for remedy in diagnose(model, curve, length=30, missed=missed).remedies:
                model.set_params(**model.get_params()).check()
                type(model)(**{**model.get_params(), remedy.setting: remedy.value}).check()
