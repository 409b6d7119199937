"""Models whose units are set, against loops by hand in float64 over the same weights."""

import json

import numpy as np
import pytest
import torch

import elman
from elman.errors import DataError, UsageError
from elman.inspection import Unit, ablate, ablation_effect, clamp, patch, trace
from elman.inspection.units.addresses import find_units
from elman.inspection.units.effects import unit_effects
from elman.inspection.units.interventions import list_set_units
from elman.nn.cells import CELLS
from elman.nn.recording import recording

CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32 through a few layers


def by_hand(model, text, changes):
    """A language model of one LSTM layer in float64: nats of each token but the first, with units set after each step.

    ``changes`` are (part, unit, value): a number, or one for each step.
    """
    network = model.network_
    weights = {name: weight.detach().double() for name, weight in network.state_dict().items()}
    ids = model.tokenizer_.encode(text).astype("int64")
    h = c = torch.zeros(model.hidden_size, dtype=torch.float64)
    nats = []
    for step, token in enumerate(ids):
        x = weights["embedding.weight"][token]
        a = weights["rnn.weight_ih_l0"] @ x + weights["rnn.bias_ih_l0"]
        a = a + weights["rnn.weight_hh_l0"] @ h + weights["rnn.bias_hh_l0"]
        i, f, g, o = a.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        for part, unit, value in changes:
            own = h if part == "hidden" else c
            own[unit] = value if isinstance(value, float) else float(value[step])
        logits = weights["head.weight"] @ h + weights["head.bias"]
        if step + 1 < len(ids):
            nats.append(-float(logits.log_softmax(0)[ids[step + 1]]))
    return nats


def test_the_loss_of_a_model_without_units(made):
    model, text, _ = made("lm")
    plain = model.evaluate(text)
    for units, changes in {
        "0:3": [("hidden", 3, 0.0)],
        "0:3,0:7,0:c2": [("hidden", 3, 0.0), ("hidden", 7, 0.0), ("cell", 2, 0.0)],
    }.items():
        without = ablate(model, units)
        expected = by_hand(model, text, changes)
        assert without.evaluate(text)["nats_per_token"] == pytest.approx(np.mean(expected), rel=1e-5)
        np.testing.assert_allclose([nats for _, nats in without.predict(text)][1:], expected, **CLOSE)
        np.testing.assert_allclose(trace(without, text).losses[:-1], expected, **CLOSE)
    assert model.evaluate(text) == plain
    assert ablate(ablate(model, "0:3"), ["0:7", "0:c2"]).evaluate(text) == without.evaluate(text)


def test_units_are_set_to_values_to_a_mean_and_to_another_run(made):
    model, text, _ = made("lm")
    set_to = clamp(model, ["0:c1", Unit("rnn", 0, False, "hidden", 4)], [1.5, -0.5])
    expected = by_hand(model, text, [("cell", 1, 1.5), ("hidden", 4, -0.5)])
    np.testing.assert_allclose(trace(set_to, text).losses[:-1], expected, **CLOSE)
    np.testing.assert_array_equal(trace(set_to, text)["layer0.forward.cell"][:, 1], 1.5)
    other = trace(model, text[::-1])
    mean = float(other["layer0.forward.hidden"][:, 5].astype(np.float64).mean())
    with_mean = ablate(model, "0:5", mean_of=text[::-1])
    np.testing.assert_allclose(trace(with_mean, text).losses[:-1], by_hand(model, text, [("hidden", 5, mean)]), **CLOSE)
    patched = patch(model, "0:5,0:c0", other)
    columns = [("hidden", 5, other["layer0.forward.hidden"][:, 5]), ("cell", 0, other["layer0.forward.cell"][:, 0])]
    np.testing.assert_allclose(trace(patched, text).losses[:-1], by_hand(model, text, columns), **CLOSE)
    assert patched.evaluate(text)["nats_per_token"] == pytest.approx(np.mean(by_hand(model, text, columns)), rel=1e-5)


def test_all_units_patched_from_a_run_give_that_run(made):
    model, text, _ = made("lm")
    other = trace(model, text[::-1])
    everything = patch(model, [f"0:{unit}" for unit in range(12)] + [f"0:c{unit}" for unit in range(12)], other)
    found = trace(everything, text)
    np.testing.assert_array_equal(found.states, other.states)
    np.testing.assert_allclose(found.top_probabilities, other.top_probabilities, **CLOSE)


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_generated_with_units_set(made, cell):
    """The greedy text is that of the loop that reads one token after the other through the changed layers."""
    model, _, _ = made("lm", cell=cell)
    changed = clamp(model, "0:1", 0.9)
    logits, state = changed.read("the ")
    ids = []
    for _ in range(12):
        logits = logits[-1].clone()
        logits[[0, 1, 2]] = -torch.inf
        ids.append(int(logits.argmax()))
        with recording() as record, torch.inference_mode():
            logits, state = changed.network_(torch.tensor([[ids[-1]]]), state)
        logits = logits[0]
        (run,) = record.of(changed.network_.rnn)
        assert float(run.states["hidden"][0, 0, 1]) == pytest.approx(0.9)
    assert changed.generate("the ", max_tokens=12, greedy=True) == model.tokenizer_.decode(ids)
    assert not changed.network_.is_fused
    assert changed.generate("the ", max_tokens=40, seed=1) != model.generate("the ", max_tokens=40, seed=1)


def test_a_prompt_is_patched_and_what_follows_is_not(made):
    model, _, _ = made("lm")
    source = trace(model, "dog dog")
    changed = patch(model, "0:2", source)
    _, state = changed.read("the fox")
    assert state[0][0, 0, 2] == source["layer0.forward.hidden"][-1, 2]
    assert changed.generate("", state=state, max_tokens=9, seed=1) == model.generate(
        "", state=state, max_tokens=9, seed=1
    )


def test_a_run_of_one_step_patches_one_step(made):
    model, text, _ = made("lm")
    name, source = "layer0.forward.hidden", trace(model, text[3])
    patched = patch(model, "0:2", source)
    plain, found = trace(model, text)[name], trace(patched, text)[name]
    assert len(source[name]) == 1
    assert found[0, 2] == pytest.approx(source[name][0, 2], abs=1e-6)
    assert abs(found[1, 2] - found[0, 2]) > 1e-4
    np.testing.assert_allclose(np.delete(found[0], 2), np.delete(plain[0], 2), atol=1e-6)
    assert list_set_units(patched) == {"0:2": None}


@pytest.mark.parametrize("task", ["tagger", "classifier", "translator", "captioner", "composer"])
def test_every_method_of_every_task_takes_a_changed_model(made, task):
    model, inputs, answers = made(task)
    unit = {"tagger": "1r:2", "classifier": "0r:2", "translator": "encoder.0r:c2", "captioner": "0:c2"}.get(task, "0:2")
    before = trace(model, inputs, answers)
    changed = clamp(model, unit, 3.0)
    found = trace(changed, inputs, answers)
    (where,) = find_units(model, unit)
    name = where.array if where.array in found.arrays else where.array.removeprefix(f"{where.stack}.")
    np.testing.assert_array_equal(found[name][:, 2], 3.0)
    assert not np.allclose(found.losses, before.losses)
    figures = changed.evaluate(inputs) if answers is None else changed.evaluate(inputs, answers)
    loss = next(value for name, value in figures.items() if name.startswith("nats_per_"))
    assert loss == pytest.approx(np.nanmean(found.losses), rel=1e-4)
    changed.predict(inputs)
    np.testing.assert_array_equal(trace(model, inputs, answers).losses, before.losses)


def test_the_effect_of_units_beside_random_others(made):
    model, text, _ = made("lm")
    effect = ablation_effect(model, "0:3", text, controls=100)
    expected = [np.mean(by_hand(model, text, [("hidden", unit, 0.0)])) for unit in range(12)]
    loss = np.mean(by_hand(model, text, []))
    assert effect.loss == pytest.approx(loss, rel=1e-5)
    assert effect.ablated_loss == pytest.approx(expected[3], rel=1e-5)
    others = [value - loss for unit, value in enumerate(expected) if unit != 3]
    np.testing.assert_allclose(np.sort(effect.controls), np.sort(others), atol=1e-5)
    assert effect.rank == sum(other >= expected[3] - loss for other in others)
    each = np.array(by_hand(model, text, [("hidden", 3, 0.0)])) - by_hand(model, text, [])
    picks = np.random.default_rng(5).choice(each, (4000, len(each))).mean(axis=1)
    np.testing.assert_allclose(effect.interval, np.percentile(picks, (2.5, 97.5)), atol=0.1 * picks.std() + 1e-4)
    read = json.loads(json.dumps(effect.to_json()))
    assert read["difference"] == effect.difference
    assert "controls make as large a difference" in repr(effect)


def test_the_effect_of_several_units_in_small_batches(made, monkeypatch):
    model, text, _ = made("lm")
    units = "0:3,0:c4,0:5"
    whole = ablation_effect(model, units, text, controls=7)
    monkeypatch.setattr("elman.inspection.units.effects.MOST_NUMBERS", 3 * 30 * 30)
    parts = ablation_effect(model, units, text, controls=7)
    np.testing.assert_allclose(parts.controls, whole.controls, atol=1e-6)
    assert len(whole.controls) == 7
    changes = [("hidden", 3, 0.0), ("cell", 4, 0.0), ("hidden", 5, 0.0)]
    assert whole.ablated_loss == pytest.approx(np.mean(by_hand(model, text, changes)), rel=1e-5)
    assert ablation_effect(made("tagger")[0], "0:1", *made("tagger")[1:], controls=3).loss > 0


def test_what_is_refused(made):
    model, text, _ = made("lm")
    gru, translator, window = made("lm", cell="gru")[0], made("translator")[0], made("lm", cell="window")[0]
    for call, message in [
        (lambda: ablate(model, "0:12"), "no unit 0:12: the units are 0 to 11"),
        (lambda: ablate(model, "1:0"), "no unit 1:0: the layers are 0 to 0"),
        (lambda: ablate(model, "0r:1"), "no unit 0r:1: the layers read forward only"),
        (lambda: ablate(gru, "0:c1"), "the state of a GRU has no cell"),
        (lambda: ablate(model, "encoder.0:1"), "no unit encoder.0:1: the model has no encoder"),
        (lambda: ablate(translator, "0:1"), "write encoder.0:1 or decoder.0:1"),
        (lambda: ablate(translator, "decoder.0r:1"), "the layers read forward only"),
        (lambda: ablate(model, "three"), '"three" is no unit; write LAYER:UNIT'),
        (lambda: ablate(model, ""), '"" is no unit'),
        (lambda: ablate(model, []), "no units are given"),
        (lambda: ablate(model, "0:1,0:1"), "named twice"),
        (lambda: ablate(window, "0:1"), 'cell is "window"'),
        (lambda: ablate(elman.LanguageModel(), "0:1"), "is not fitted"),
        (lambda: clamp(model, "0:1", float("nan")), "finite"),
        (lambda: clamp(model, "0:1", [1, 2]), "2 values are given for 1 units"),
        (lambda: patch(model, "0:1", text), "of str; give the trace of one input"),
        (lambda: patch(model, "0:1", trace(made("tagger")[0], made("tagger")[1])), "2 inputs"),
        (lambda: patch(model, "0:11", trace(made("classifier")[0], ["good"])), "trace has no unit 0:11"),
        (lambda: patch(translator, "decoder.0:1", trace(translator, ["one"])), "cannot be patched"),
        (lambda: ablation_effect(model, "0:1", text, controls=0), "controls is 0"),
        (lambda: unit_effects(model, "0:1", text, controls=-1), "controls is -1, expected at least 0"),
        (lambda: ablation_effect(model, [f"0:{u}" for u in range(7)], text), "too many units"),
    ]:
        with pytest.raises(UsageError, match=message):
            call()
    with pytest.raises(DataError, match="no loss"):
        ablation_effect(model, "0:1", "t")


def test_the_effects_of_several_units_are_those_of_each_alone(made):
    model, text, _ = made("lm")
    found = unit_effects(model, ["0:3", "0:5", "0:c2"], text, controls=4)
    assert list(found) == ["0:3", "0:5", "0:c2"]
    plain = ablation_effect(model, "0:3", text).loss
    for unit, effect in found.items():
        alone = ablation_effect(model, unit, text)
        assert effect.loss == pytest.approx(plain, abs=1e-6)
        assert effect.difference == pytest.approx(alone.difference, abs=1e-6)
        assert effect.interval == pytest.approx(alone.interval, abs=1e-6)
        part, own = ("c", {2}) if unit == "0:c2" else ("", {3, 5})
        others = [ablation_effect(model, f"0:{part}{number}", text).difference for number in set(range(12)) - own]
        assert len(effect.controls) == 4
        for control in effect.controls:  # each is another unit of the same part
            assert min(abs(control - other) for other in others) < 1e-6
    everything = unit_effects(model, [f"0:{number}" for number in range(12)], text)
    assert all(effect.controls.size == effect.rank == 0 for effect in everything.values())


def test_inputs_that_are_read_once_serve_every_layer(made):
    model, texts, tags = made("tagger")
    units = ["0:1", "0:c1"]
    expected = unit_effects(model, units, texts, tags, controls=2)
    found = unit_effects(model, units, iter(texts), iter(tags), controls=2)
    assert {unit: effect.to_json() for unit, effect in found.items()} == {
        unit: effect.to_json() for unit, effect in expected.items()
    }
