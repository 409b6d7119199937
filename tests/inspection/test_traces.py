"""A trace against the model's own answers, and its states against the equations over the model's weights."""

import builtins
import json
import logging
from itertools import pairwise, product

import numpy as np
import pytest
import torch

import elman
from elman.data.records import Sentence
from elman.errors import DataError, StorageError, UsageError
from elman.inspection import trace, tracing
from elman.models.tasks import TASKS
from elman.nn import reference
from elman.nn.cells import CELLS

CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32 through a few layers; torch and the kernels sum in another order


def weights_of(layer, suffix):
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w, u, b, d = (getattr(layer, name + suffix, torch.zeros(0)).detach().double().numpy() for name in names)
    u = u if u.size else np.zeros((0, layer.hidden_size))
    return reference.Weights(w, u, b if b.size else np.zeros(len(w)), d if d.size else np.zeros(len(u)))


def assert_equations(found, prefix, layer, inputs):
    """Run the equations in float64 over the network's weights, and compare every state and every gate."""
    inputs, cell = inputs.detach().double().numpy()[:, None], layer.cell.reference
    for number in range(layer.num_layers):
        outputs = []
        for direction in range(layer.num_directions):
            x = inputs[::-1] if direction else inputs
            weights = weights_of(layer, f"_l{number}" + "_reverse" * direction)
            state = reference.zero_state(cell, 1, layer.hidden_size)
            place = f"{prefix}layer{number}.{'reverse' if direction else 'forward'}"
            rows = {}
            for x_t in x:
                state, done = reference.step(cell, x_t, state, weights)
                for part, value in zip(layer.cell.state, state, strict=True):
                    rows.setdefault(f"{place}.{part}", []).append(value[0])
                for symbol, gate in zip(layer.cell.symbols, done.saved, strict=False):
                    rows.setdefault(f"{place}.gate.{symbol}", []).append(gate[0])
            for name, values in rows.items():
                expected = np.stack(values[::-1] if direction else values)
                np.testing.assert_allclose(found[name], expected, **CLOSE)
            hidden = rows[f"{place}.hidden"]
            outputs.append(np.stack(hidden[::-1] if direction else hidden))
        merged = np.concatenate(outputs, axis=1) if layer.merge == "concat" else sum(outputs)
        inputs = merged[:, None]


# ---------------------------------------------------------------- every task


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_states_and_gates_of_a_language_model(made, cell, num_layers):
    model, text, _ = made("lm", cell=cell, num_layers=num_layers)
    found = trace(model, text)
    network = model.network_
    ids = torch.from_numpy(model.tokenizer_.encode(text).astype("int64"))
    assert_equations(found, "", network.rnn, network.embedding(ids))
    assert found.states.shape == (num_layers, len(text), 12)
    assert found.tokens == list(text)
    parts = {"lstm": ["hidden", "cell", "gate.i", "gate.f", "gate.g", "gate.o"], "rnn": ["hidden"]}
    parts |= {"gru": ["hidden", "gate.r", "gate.z", "gate.n"], "mingru": ["hidden", "gate.z", "gate.n"]}
    assert list(found.arrays) == [
        f"layer{number}.forward.{part}" for number in range(num_layers) for part in parts[cell]
    ]


def test_losses_and_outputs_of_a_language_model(made):
    model, text, _ = made("lm")
    found = trace(model, text)
    surprisals = [nats for _, nats in model.predict(text)]
    np.testing.assert_allclose(found.losses[:-1], surprisals[1:], **CLOSE)
    assert np.isnan(found.losses[-1])
    assert found.targets == [*text[1:], None]
    logits, state = model.read(text)
    np.testing.assert_allclose(found.states[:, -1], state[0][:, 0], **CLOSE)
    probabilities = logits.softmax(-1).numpy()
    np.testing.assert_allclose(found.top_probabilities, np.sort(probabilities)[:, ::-1][:, :10], **CLOSE)
    names = np.array(model.tokenizer_.tokens(range(model.tokenizer_.vocab_size)))
    assert found.top_tokens[:, 0].tolist() == names[probabilities.argmax(1)].tolist()


def test_lines_are_inputs_of_their_own(made):
    model, _, _ = made("lm", lines=True)
    found = trace(model, "the fox\nthe dog")
    expected = list(model.predict("the fox\nthe dog"))
    assert len(found) == 2
    assert found.targets == [token for token, _ in expected]
    np.testing.assert_allclose(found.losses, [nats for _, nats in expected], **CLOSE)
    assert found[1].tokens == ["<s>", *"the dog"]
    assert np.array_equal(found[1].states, trace(model, "the dog").states)


@pytest.mark.parametrize("settings", [{}, {"crf": True}, {"cell": "gru", "num_layers": 2, "merge": "sum"}], ids=str)
def test_a_tagger(made, settings):
    model, sentences, tags = made("tagger", **settings)
    found = trace(model, sentences, tags)
    assert found.tokens == [word for words in sentences for word in words]
    assert found.targets == [tag for own in tags for tag in own]
    encoder = model.network_.encoder.rnn
    for number, words in enumerate(sentences):
        vectors, _ = model._table().gather([words])
        assert_equations(found[number], "", encoder, vectors[0])
    answers = list(model.answer([[Sentence(words, None, 1) for words in sentences]]))
    shares = [pair for one in answers for pair in zip(one.tags, one.probabilities, strict=True)]
    assert len(shares) == len(found.tokens)
    for row, (tag, share) in enumerate(shares):
        place = found.top_tokens[row].tolist().index(tag)
        assert found.top_probabilities[row, place] == pytest.approx(share, abs=1e-5)
    if not settings.get("crf"):
        assert found.losses.mean() == pytest.approx(model.evaluate(sentences, tags)["nats_per_target"], rel=1e-4)


def test_a_crfs_losses_are_those_of_the_paths_by_hand(made):
    """Sum over all sequences of labels by brute force."""
    model, sentences, tags = made("tagger", crf=True)
    words, own = sentences[0], tags[0]
    (unrolled,) = model.unroll([words])
    with torch.no_grad():
        logits = unrolled.run(unrolled.inputs[None])[0][0].double().numpy()
    crf = model.network_.crf
    start, between, end = (part.detach().double().numpy() for part in (crf.start, crf.transitions, crf.end))
    labels = len(model.labels_)
    weights = {}
    for path in product(range(labels), repeat=len(words)):
        score = start[path[0]] + end[path[-1]] + sum(logits[step, label] for step, label in enumerate(path))
        weights[path] = np.exp(score + sum(between[a, b] for a, b in pairwise(path)))
    total = sum(weights.values())
    expected = [
        -np.log(sum(w for path, w in weights.items() if model.labels_[path[step]] == own[step]) / total)
        for step in range(len(words))
    ]
    np.testing.assert_allclose(trace(model, [words], [own]).losses, expected, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["last", "attention"])
def test_a_classifier(made, pooling):
    model, texts, labels = made("classifier", pooling=pooling)
    found = trace(model, texts, labels)
    assert len(found) == 2
    assert found.targets == labels
    shares = model.predict_proba(texts)
    np.testing.assert_allclose(found.top_probabilities, np.sort(shares)[:, ::-1], **CLOSE)
    assert found.top_tokens[:, 0].tolist() == model.predict(texts).tolist()
    assert found.losses.mean() == pytest.approx(model.evaluate(texts, labels)["nats_per_target"], rel=1e-4)
    for number, text in enumerate(texts):
        own = found[number]
        assert own.tokens == model.inputs_.tokens(text)
        vectors, _ = model._table().gather([own.tokens])
        assert_equations(own, "", model.network_.encoder.rnn, vectors[0])
        assert len(own.attention) == (pooling == "attention")
        for weights in own.attention:
            assert weights.shape == (1, len(own.tokens))
            assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert trace(model, texts).targets == model.predict(texts).tolist()


def test_a_classifier_of_numbers():
    series = [np.linspace(0, 1, 6 + row % 3)[:, None] * [1, -1] * (1 if row % 2 else -1) for row in range(20)]
    model = elman.Classifier(level="numbers", hidden_size=6, steps=5).fit(series, ["up", "down"] * 10)
    found = trace(model, series[:2])
    assert found[0].tokens[1] == "-0.2 0.2"
    front = model.network_.front
    for number in range(2):
        inputs = (torch.from_numpy(series[number]).float() - front.mean) / front.deviation
        assert_equations(found[number], "", model.network_.encoder.rnn, inputs)


@pytest.mark.parametrize(
    "settings", [{}, {"attention": "none", "cell": "gru"}, {"attention": "bahdanau"}, {"input_feeding": True}], ids=str
)
def test_a_translator(made, settings):
    model, sources, targets = made("translator", **settings)
    found = trace(model, sources, targets)
    assert found.losses.mean() == pytest.approx(model.evaluate(sources, targets)["nats_per_token"], rel=1e-4)
    assert found[0].tokens == ["<s>", "un", "deux", "un"]
    assert found[0].targets == ["un", "deux", "un", "</s>"]
    assert found[0].source_tokens == ["one", "two", "one"]
    network = model.network_
    ids = torch.from_numpy(model.source_tokenizer_.encode(sources[0]).astype("int64"))
    assert_equations(found[0], "encoder.", network.encoder, network.source_embedding(ids))
    assert found[0].source_states.shape == (2, 3, 10)
    assert found[0].states.shape == (1, 4, 10)
    written = trace(model, sources[:1])
    if settings.get("attention") == "none":
        assert found.attention == []
        with torch.no_grad():
            start = network.encode(ids[None], torch.tensor([3])).hidden["hidden"][0, 0]
        first = reference.step(
            network.decoder.rnn.cell.reference,
            network.embedding.weight[[1]].detach().double().numpy(),
            (start.double().numpy()[None],),
            weights_of(network.decoder.rnn, "_l0"),
        )[0][0]
        np.testing.assert_allclose(found[0]["decoder.layer0.forward.hidden"][:1], first, **CLOSE)
    else:
        read, spoken, weights = model.attention_of(sources[0])
        num_steps = len(written.tokens)  # at max_length it ends without </s>
        assert (written.source_tokens, written.targets) == (read, spoken[:num_steps])
        np.testing.assert_allclose(written.attention[0], weights[:num_steps], **CLOSE)


def test_a_captioner(made):
    model, pictures, captions = made("captioner")
    found = trace(model, pictures, captions)
    assert found.losses.mean() == pytest.approx(model.evaluate(pictures, captions)["nats_per_token"], rel=1e-4)
    assert found.tokens[0] == "<s>"
    assert found.targets[len(found[0].tokens) - 1] == "</s>"
    assert found.states.shape == (1, len(found.tokens), 8)
    assert found.places == [f"row {row}, column {column}" for row in (1, 2) for column in (1, 2)]
    assert [weights.shape for weights in found.attention] == [(len(one.tokens), 4) for one in found]


def test_a_captioner_of_features():
    features = [np.eye(3, 4, dtype=np.float32) * (row % 2 + 1) for row in range(20)]
    captions = [["one thing"], ["two things"]] * 10
    model = elman.Captioner(hidden_size=8, embedding_size=6, dropout=0, steps=5).fit(features, captions)
    found = trace(model, features[:2], captions[:2])
    assert found.places == ["region 1", "region 2", "region 3"]
    assert found.losses.mean() == pytest.approx(model.evaluate(features[:2], captions[:2])["nats_per_token"], rel=1e-4)


def test_a_composer(made):
    model, scale, _ = made("composer")
    found = trace(model, scale)
    expected = model.predict(scale)
    assert len(found) == len(expected) == 2
    assert found.targets == [event for tune in expected for event, _ in tune]
    np.testing.assert_allclose(found.losses, [nats for tune in expected for _, nats in tune], **CLOSE)
    ids = torch.tensor([model.tokenizer_.names.index(token) for token in found[0].tokens])
    assert_equations(found[0], "", model.network_.rnn, model.network_.embedding(ids))


# ---------------------------------------------------------------- other forms


@pytest.mark.parametrize("task", TASKS)
def test_everything_can_be_saved_and_shown(made, task, tmp_path):
    model, inputs, answers = made(task)
    found = trace(model, inputs, answers)
    found.save(tmp_path / "trace.npz")
    with np.load(tmp_path / "trace.npz") as saved:
        assert set(found.arrays) < set(saved.files)
        for name in saved.files:
            assert saved[name].dtype.kind in "fiU"
            assert np.array_equal(saved[name], found.named_arrays()[name], equal_nan=saved[name].dtype.kind == "f")
    read = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert read["tokens"] == found.tokens
    name = next(iter(found.arrays))
    np.testing.assert_array_equal(np.array(read["states"][name], np.float32), found[name])
    frame = found.to_frame()
    assert len(frame) == len(found.tokens)
    last = list(found.arrays)[-1]
    np.testing.assert_array_equal(frame[f"{last}[1]"], found[last][:, 1])
    shown = found._repr_html_()
    assert last in shown
    assert len(shown) < 100_000


def test_a_frame_of_the_encoder(made):
    model, sources, targets = made("translator")
    found = trace(model, sources, targets)
    frame = found.to_frame("encoder")
    assert frame["token"].tolist() == found.source_tokens
    assert frame["input"].tolist() == [0, 0, 0, 1, 1]
    assert "encoder.layer0.reverse.cell[9]" in frame
    with pytest.raises(UsageError, match="no stack 'encodr'"):
        found.to_frame("encodr")


def test_html_from_a_text_is_shown_and_not_run(made):
    model, _, _ = made("classifier")
    found = trace(model, ["<script>alert('x')</script> \"good\""])
    shown = found._repr_html_()
    assert "<script" not in shown
    assert "&lt;" in shown
    assert 'good"' not in shown.replace('good&quot;"', "")


def test_without_pandas_a_frame_says_what_to_install(made, monkeypatch):
    model, text, _ = made("lm")
    plain = builtins.__import__
    monkeypatch.setattr(
        builtins, "__import__", lambda name, *rest: _refuse() if name == "pandas" else plain(name, *rest)
    )
    with pytest.raises(UsageError, match="pip install pandas"):
        trace(model, text).to_frame()


def _refuse():
    raise ImportError("none")


# ---------------------------------------------------------------- parts of it, and what is refused


def test_the_first_steps_are_those_of_the_whole(made):
    for task in TASKS:
        model, inputs, answers = made(task)
        whole, found = trace(model, inputs, answers, record=1), trace(model, inputs, answers, record=1, steps=2)
        assert found.tokens == whole.tokens[:2]
        np.testing.assert_allclose(found.states, whole.states[:, :2], **CLOSE)
        outputs = slice(None) if task == "classifier" else slice(2)
        np.testing.assert_allclose(found.losses, whole.losses[outputs], **CLOSE)
        assert trace(model, inputs, answers, top=1).top_tokens.shape[1] == 1


def test_one_record_is_that_of_all(made):
    model, sentences, tags = made("tagger")
    found = trace(model, sentences, tags)
    assert np.array_equal(trace(model, sentences, tags, record=2).states, found[1].states)
    assert np.array_equal(found[-1].states, found[1].states)
    assert [len(one.tokens) for one in found] == [3, 4]


def test_a_text_longer_than_memory_is_cut_and_said(made, monkeypatch, caplog):
    model, text, _ = made("lm")
    monkeypatch.setattr(tracing, "_read_free_memory", lambda: 2 * 10 * tracing._estimate_bytes_per_step(model))
    with caplog.at_level(logging.WARNING):
        found = trace(model, text)
    assert found.tokens == list(text[:10])
    assert "longer than memory allows: its first 10 steps" in caplog.text
    monkeypatch.setattr(
        tracing, "_read_free_memory", lambda: 2 * 5 * tracing._estimate_bytes_per_step(made("tagger")[0])
    )
    with caplog.at_level(logging.WARNING):
        assert len(trace(*made("tagger"))) == 1
    assert "first 1 inputs only" in caplog.text


def test_what_is_refused(made, tmp_path):
    model, text, _ = made("lm")
    for call, kind, message in [
        (lambda: trace("runs/mine", text), UsageError, "of type str; give a fitted model"),
        (lambda: trace(elman.LanguageModel(), text), UsageError, "is not fitted"),
        (lambda: trace(made("lm", cell="window")[0], text), UsageError, 'cell is "window".*no recurrent state'),
        (lambda: trace(model, "漢字漢字"), DataError, "none of the input's 4 tokens is one that the model knows"),
        (lambda: trace(model, "漢"), DataError, "the token of the input is not one that the model knows"),
        (lambda: trace(model, ""), DataError, "empty"),
        (lambda: trace(model, 3), UsageError, "int"),
        (lambda: trace(model, text, ["x"]), UsageError, "leave y out"),
        (lambda: trace(model, text, record=2), DataError, "no record 2: the input has 1"),
        (lambda: trace(model, text, record=0), UsageError, "record is 0, expected at least 1"),
        (lambda: trace(model, text, steps=0), UsageError, "steps is 0, expected at least 1"),
        (lambda: trace(model, text, top=0), UsageError, "top is 0, expected at least 1"),
        (lambda: trace(model, text)["layer1.forward.hidden"], UsageError, "there are layer0.forward.hidden"),
        (lambda: trace(made("lm", cell="gru")[0], text).cells, UsageError, "state has no cell"),
        (lambda: trace(model, text).source_states, UsageError, "has no encoder"),
        (lambda: trace(made("tagger")[0], "one line"), UsageError, "single line"),
        (lambda: trace(made("tagger")[0], []), DataError, "X is empty"),
        (lambda: trace(made("tagger")[0], [["a"]], [["O", "O"]]), UsageError, "1 words, but 2 tags"),
        (lambda: trace(made("translator")[0], ["one"], ["a", "b"]), UsageError, "1 sources"),
        (lambda: trace(made("translator")[0], ["zzz"]), DataError, "is not one that the model knows"),
        (lambda: trace(made("captioner")[0], [np.zeros((2, 3))]), DataError, "features"),
        (lambda: trace(model, text).save(tmp_path / "none" / "x.npz"), StorageError, "name another file"),
    ]:
        with pytest.raises(kind, match=message):
            call()


def test_a_model_is_as_it_was_afterwards(made):
    model, text, _ = made("lm")
    before = model.generate("the ", max_tokens=20, seed=3)
    trace(model, text)
    assert model.generate("the ", max_tokens=20, seed=3) == before


def test_a_random_first_state_is_the_same_each_time(made):
    model, text, _ = made("lm", initial_state="random")
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert np.array_equal(trace(model, text).states, trace(model, text).states)
    assert torch.equal(torch.random.get_rng_state(), before)
