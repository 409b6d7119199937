"""The report of every task shows what the model computes, and terms that add up to its states."""

import math

import numpy as np
import pytest

from elman.drawing.report import html
from elman.errors import DataError, UsageError
from elman.inspection import attribute, context_use, gradient_by_lag, rank_units, trace
from elman.inspection.holding import measure_holding
from elman.inspection.reports import model_report, save_report
from elman.models.tasks import TASKS
from elman.nn import reference


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_shown_with_its_states(made, task):
    model, inputs, answers = made(task)
    shown, traced = model_report(model, inputs, answers, record=1), trace(model, inputs, answers, record=1)
    names = {"encoder", "decoder"} if task == "translator" else {"decoder"} if task == "captioner" else {"rnn"}
    assert set(shown.runs) == names
    for name, run in shown.runs.items():
        for states in run.layers:
            prefix = f"{name}." if len(names) > 1 else ""
            place = f"{prefix}layer{states.layer}.{'reverse' if states.is_reverse else 'forward'}"
            np.testing.assert_array_equal(states.hidden, traced[f"{place}.hidden"])
            assert len(run.tokens) == len(states.hidden)
    assert shown.outputs.targets == traced.targets
    assert sum(row.count for row in shown.network.parameters) == sum(p.numel() for p in model.network_.parameters())
    page = html(shown)
    assert f"<title>Inside {type(model).__name__}</title>" in page


def test_the_parts_around_the_layers_are_drawn(made):
    plans = {task: model_report(*made(task)).network for task in TASKS}
    assert not plans["tagger"].crf
    assert model_report(*made("tagger", crf=True)).network.crf
    assert plans["tagger"].stacks[0].directions == 2
    assert plans["classifier"].pooling == made("classifier")[0].setting("pooling")
    assert plans["translator"].attention == made("translator")[0].attention
    assert plans["captioner"].regions == (2, 2)  # of 16 pixels, halved three times
    assert plans["captioner"].features == 32  # 8 channels, doubled twice
    assert [plan.vocabulary for task, plan in plans.items() if task == "lm"] == [made("lm")[0].tokenizer_.vocab_size]
    assert plans["composer"].reads == "token"
    assert plans["lm"].reads == "character"


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "mingru"])
def test_the_terms_of_a_small_cell_add_up_to_its_states(made, cell):
    model, text, _ = made("lm", cell=cell, num_layers=2)
    for states in model_report(model, text).runs["rnn"].layers:
        terms, past = states.terms, np.concatenate([np.zeros((1, 12)), states.hidden[:-1]])
        inside = terms.from_input + terms.from_hidden + terms.bias_input + terms.bias_hidden  # (T, G·H)
        parts = np.split(inside, inside.shape[1] // 12, axis=1)
        if cell == "rnn":
            expected = np.tanh(inside)
        elif cell == "lstm":
            i, f, g, o = (np.tanh(part) if place == 2 else reference.sigmoid(part) for place, part in enumerate(parts))
            cells = np.concatenate([np.zeros((1, 12)), states.cell[:-1]])
            expected = o * np.tanh(f * cells + i * g)
        elif cell == "gru":
            r, z = reference.sigmoid(parts[0]), reference.sigmoid(parts[1])
            from_input = (terms.from_input + terms.bias_input)[:, 24:]
            n = np.tanh(from_input + r * (terms.from_hidden + terms.bias_hidden)[:, 24:])
            expected = (1 - z) * n + z * past
        else:
            z, n = reference.sigmoid(parts[0]), parts[1]
            expected = (1 - z) * past + z * n
        np.testing.assert_allclose(states.hidden, expected, rtol=1e-4, atol=1e-5)  # float32, summed in another order
        sizes = np.stack([np.linalg.norm(terms.from_input, axis=1), np.linalg.norm(terms.from_hidden, axis=1)], axis=1)
        np.testing.assert_allclose(states.sizes, sizes, rtol=1e-4, atol=1e-6)


def test_a_decoder_starts_from_the_final_states_of_the_encoder(made):
    model, sources, targets = made("translator")
    (states,) = model_report(model, sources, targets).runs["decoder"].layers
    layer, terms = model.network_.decoder.rnn, states.terms
    u = layer.weight_hh_l0.detach().numpy()
    assert np.abs(states.start["hidden"]).max() > 0
    np.testing.assert_allclose(terms.from_hidden[0], u @ states.start["hidden"], rtol=1e-4, atol=1e-6)
    i, f, g, _ = np.split((terms.from_input + terms.from_hidden + terms.bias_input + terms.bias_hidden)[0], 4)
    cell = reference.sigmoid(f) * states.start["cell"] + reference.sigmoid(i) * np.tanh(g)
    np.testing.assert_allclose(states.cell[0], cell, rtol=1e-4, atol=1e-5)  # float32, summed in another order


def test_a_models_own_predictions_are_not_called_targets(made):
    model, texts, labels = made("classifier")
    given, own = model_report(model, texts, labels), model_report(model, texts)
    assert given.outputs.targets == [labels[0]]
    assert own.outputs.targets == [None]
    assert own.outputs.losses == [None]
    assert own.outputs.names == given.outputs.names
    model, sources, _ = made("translator")
    assert set(model_report(model, sources).outputs.targets) == {None}


def test_outputs_are_those_that_the_model_gives(made):
    model, text, _ = made("lm")
    shown = model_report(model, text).outputs
    surprisals = [nats for _, nats in model.predict(text)][1:]
    np.testing.assert_allclose(shown.losses[:-1], surprisals, rtol=1e-4)
    assert shown.losses[-1] is shown.targets[-1] is None
    for row, target in enumerate(shown.targets[:-1]):
        assert math.isclose(shown.target_probabilities[row], math.exp(-surprisals[row]), rel_tol=1e-4)
        if target in shown.names[row]:
            found = shown.probabilities[row][shown.names[row].index(target)]
            assert math.isclose(found, shown.target_probabilities[row], rel_tol=1e-4)


def test_gradients_are_those_by_lag_with_their_verdict(made):
    model, text, _ = made("lm", num_layers=2)
    shown, found = model_report(model, text).gradients, gradient_by_lag(model, text, record=1, losses=32)
    names = ["forward", *(f"layer{layer}.forward.{part}" for part in ("hidden", "cell") for layer in (0, 1))]
    titles = ["all layers", "layer 1 · h", "layer 2 · h", "layer 1 · c", "layer 2 · c"]
    assert [curve.name for curve in shown.curves] == titles
    for curve, name in zip(shown.curves, names, strict=True):
        np.testing.assert_array_equal(curve.norms, found.norms[name])
        np.testing.assert_array_equal(curve.mean, found.mean[name])
        assert (curve.reach, curve.reach_percent) == tuple(found.reach[name].values())
        assert curve.origins == shown.targets == found.steps.tolist()
    assert shown.verdict == found.verdict.kind
    assert shown.explanation.lower() == f"{found.verdict.text.lower()}."
    assert shown.truncated_at == 16


def test_lags_count_from_the_last_step_of_each_direction(made):
    model, texts, labels = made("classifier")
    shown = model_report(model, texts, labels)
    steps = len(shown.runs["rnn"].tokens)
    for curve in shown.gradients.curves:
        assert curve.origins == [0 if curve.is_reverse else steps - 1]
    assert {curve.is_reverse for curve in shown.gradients.curves} == {False, True}
    assert shown.gradients.truncated_at is None


def test_an_input_of_one_step_has_no_gradients(made):
    model, _, _ = made("lm")
    shown = model_report(model, "t")
    assert shown.gradients is None
    assert 'id="bptt"' not in html(shown)


def test_units_are_those_that_rank_first(made):
    model, _, _ = made("lm")
    text = "the (quick brown fox) jumps over\nthe lazy (dog) .\n" * 6
    shown, ranking = model_report(model, text).units, rank_units(model, text, record=1, steps=500).models[0]
    assert {unit.feature for unit in shown} == {name.replace("_", " ") for name in ranking}
    gates = dict(zip("ifgo", ("input", "forget", "candidate", "output"), strict=True))
    for unit in shown:
        own = ranking[unit.feature.replace(" ", "_")]
        part = own.best.array.split(".")[-1]
        assert (unit.layer, unit.unit, unit.part) == (0, own.best.unit, gates.get(part, part))
        assert (unit.score, unit.bound, unit.measure) == (own.strength, own.bound, own.measure)
    beyond = [unit.score > unit.bound for unit in shown]
    assert beyond == sorted(beyond, reverse=True)


def test_steps_limits_what_is_shown(made):
    model, text, _ = made("lm")
    shown = model_report(model, text, steps=7, source="text.txt")
    assert len(shown.runs["rnn"].tokens) == len(shown.runs["rnn"].layers[0].hidden) == 7
    assert shown.source == "text.txt: the first 7 steps"
    assert model_report(model, text[:7], source="text.txt").source == "text.txt: 7 steps"


def test_record_selects_an_input(made):
    model, sentences, tags = made("tagger")
    assert list(model_report(model, sentences, tags, record=2).runs["rnn"].tokens) == sentences[1]
    with pytest.raises(DataError, match="record 3"):
        model_report(model, sentences, tags, record=3)
    with pytest.raises(UsageError, match="give a fitted model"):
        model_report("model", sentences)


def test_what_the_last_states_hold_follows_the_equations(made):
    model, texts, _ = made("classifier", cell="rnn", bidirectional=True, num_layers=1)
    (unrolled,) = list(model.unroll(texts))[:1]
    layer, inputs = unrolled.last.layer, unrolled.inputs.double().numpy()  # (T, E)
    for direction, held in enumerate(measure_holding(model, unrolled)):
        suffix = "_l0" + "_reverse" * direction
        w, u, b1, b2 = (
            getattr(layer, name + suffix).detach().double().numpy()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )

        def last(inputs, w=w, u=u, b=b1 + b2, direction=direction):
            state = np.zeros(8)
            for x in inputs[::-1] if direction else inputs:
                state = np.tanh(w @ x + u @ state + b)
            return state

        moved = []
        for step in range(len(inputs)):
            without = inputs.copy()
            without[step] = 0
            moved.append(np.linalg.norm(last(without) - last(inputs)))
        np.testing.assert_allclose(held.shares, np.array(moved) / sum(moved), rtol=1e-3, atol=1e-5)  # of float32


def test_a_page_is_written_atomically(made, tmp_path):
    model, text, _ = made("lm")
    shown = model_report(model, text)
    save_report(tmp_path / "report.html", shown, shown)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.endswith("</html>\n")
    assert "2 models, side by side" in page
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_text_of_any_kind_reaches_the_page_as_text(made):
    model, _, _ = made("lm")
    assert "<script>alert" not in html(model_report(model, "fox <script>alert(1)</script>"))


def test_context_and_attribution_are_those_of_their_measures(made):
    model, text, _ = made("lm")
    shown = model_report(model, text)
    use = context_use(model, text, record=1, targets=64)
    assert (shown.context.lags, shown.context.losses, shown.context.whole) == (
        use.contexts.tolist(), use.losses.tolist(), use.whole,
    )  # fmt: skip
    expected = attribute(model, text, outputs=[14, 29])[0]
    assert [one.target for one in shown.attributions] == [
        f"“{expected.outputs[0]}” at step 15", f"“{expected.outputs[1]}” at step 30",
    ]  # fmt: skip
    np.testing.assert_allclose([one.scores for one in shown.attributions], expected.integrated, atol=1e-9)
    model, texts, labels = made("classifier")
    (one,) = model_report(model, texts, labels).attributions
    assert one.target == f"“{labels[0]}”"
    assert one.tokens == list(model_report(model, texts, labels).runs["rnn"].tokens)
    model, pictures, captions = made("captioner")
    for one in model_report(model, pictures, captions).attributions:
        assert one.regions == (2, 2)
        assert len(one.scores) == 4
