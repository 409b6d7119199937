"""``--clamp`` and ``--ablate`` print what the clamped model in Python gives, and refuse bad units."""

import json

import pytest

import elman
from elman.inspection import ablate, clamp

SCALE = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF GABc\n\n"


def test_text_is_generated_with_units_set(shell, saved):
    lm = elman.load(saved)
    options = ("--prompt", "the ", "--seed", "1", "--max-tokens", "30", "--temperature", "2")
    words = ("generate", saved, *options, "--clamp", "0:2=1.5,0:c1=-2", "--ablate", "0:3", "--ablate=0:0,0:5")
    changed = ablate(clamp(lm, "0:2,0:c1", [1.5, -2.0]), "0:3,0:0,0:5")
    expected = changed.generate("the ", seed=1, max_tokens=30, temperature=2.0)
    assert expected != lm.generate("the ", seed=1, max_tokens=30, temperature=2.0)
    assert shell(*words).out == f"the {expected}\n"
    assert shell(*words, "--stop", expected[4:6]).out == f"the {expected[: expected.index(expected[4:6])]}\n"
    second = changed.generate("the ", seed=2, max_tokens=30, temperature=2.0)
    printed = shell(*words, "--num-samples", "2").out
    assert printed == f"--- sample 1 of 2\nthe {expected}\n--- sample 2 of 2\nthe {second}\n"


def test_figures_and_surprisals_with_units_set(shell, saved):
    text = saved.parent / "valid.txt"
    changed = ablate(elman.load(saved), "0:3")
    figures = json.loads(shell("evaluate", saved, text, "--json", "--ablate", "0:3").out)
    assert figures == {**figures, **changed.evaluate(text)}
    assert figures["nats_per_token"] != elman.load(saved).evaluate(text)["nats_per_token"]
    lines = shell("predict", saved, text, "--clamp", "0:3=0").out.splitlines()
    surprisals = [nats for _, nats in changed.predict(text)]
    assert [float(line.split("\t")[1]) for line in lines[2:]] == pytest.approx(surprisals[1:], abs=1e-4)


def test_a_tune_is_composed_with_units_set(shell, tmp_path):
    settings = {"hidden_size": 8, "embedding_size": 4, "steps": 2, "batch_size": 2, "evaluations": 1, "seed": 1}
    composer = elman.Composer(**settings).fit(SCALE * 6)
    composer.save(tmp_path / "m")
    words = ("generate", tmp_path / "m", "--out", tmp_path / "tune.mid", "--seed", "1", "--max-tokens", "40")
    assert shell(*words, "--clamp", "0:2=3").code == 0
    expected = clamp(composer, "0:2", 3.0).compose(seed=1, max_events=40).midi()
    assert (tmp_path / "tune.mid").read_bytes() == expected
    assert expected != composer.compose(seed=1, max_events=40).midi()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ablate", "0:8"], "there is no unit 0:8: the units are 0 to 7"),
        (["--clamp", "1:0=1"], "there is no unit 1:0: the layers are 0 to 0"),
        (["--ablate", "0r:1"], "there is no unit 0r:1: the layers read forward only"),
        (["--ablate", "0:1,"], '"" is no unit; write LAYER:UNIT, such as 0:12'),
        (["--clamp", "0:1"], "--clamp 0:1: write UNIT=VALUE, such as 0:12=1.5"),
        (["--clamp", "0:1=much"], "--clamp 0:1=much: write UNIT=VALUE"),
        (["--clamp", "0:1=inf"], "0:1 cannot be set to inf; give a finite number"),
        (["--clamp", "0:1=1", "--ablate", "0:1"], "a unit is named twice: 0:1"),
    ],
)
def test_what_is_refused(shell, saved, options, message):
    answer = shell("generate", saved, "--prompt", "the", *options)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
