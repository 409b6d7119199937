"""Gradients by lag while training: the figures, when they are measured, and that training does not notice."""

import csv
import itertools
import math
from threading import Event

import numpy as np
import pytest
import torch

import elman
from elman.cli import info
from elman.errors import Interrupted
from elman.families import gradients
from elman.families.gradients import LAGS, LOSSES, STREAM_IDS, TrainingGradients, count_reached_steps, summarise
from elman.families.saved.description import model_card
from elman.inspection import gradient_by_lag
from elman.training.progress import Progress
from elman.training.task import Insight

SENTENCES = [["Teddy", "Roosevelt", "spoke"], ["bears", "sleep", "well", "here"]]
TAGS = [["B-PER", "I-PER", "O"], ["O", "O", "O", "B-LOC"]]
SCALE = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF GABc\n\n"
PICTURES = [np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)]
SMALL = {"hidden_size": 8, "steps": 6, "evaluations": 3, "patience": 0, "threads": 1}
TASKS = {
    "lm": (elman.LanguageModel, {"batch_size": 2, "bptt_length": 16, "dropout": 0.2, "initial_state": "random"}),
    "lines": (elman.LanguageModel, {"lines": True, "cell": "gru", "batch_size": 2, "bptt_length": 16}),
    "tagger": (elman.Tagger, {"cell": "rnn"}),
    "classifier": (elman.Classifier, {"cell": "gru"}),
    "translator": (elman.Translator, {"level": "word", "embedding_size": 6, "input_feeding": True}),
    "captioner": (elman.Captioner, {"picture_size": 16, "channels": 8, "embedding_size": 6}),
    "composer": (elman.Composer, {"embedding_size": 4, "batch_size": 2, "cell": "mingru"}),
}
DATA = {
    "tagger": (SENTENCES * 10, TAGS * 10),
    "classifier": (["good, really good", "bad, really bad"] * 10, ["praise", "complaint"] * 10),
    "translator": (["one two one", "two one"] * 10, ["un deux un", "deux un"] * 10),
    "captioner": (PICTURES * 10, [["it is night"], ["it is day"]] * 10),
    "composer": (SCALE * 10,),
}


def fit(task, easy, **options):
    make, settings = TASKS[task]
    return make(**{**SMALL, **settings}).fit(*DATA.get(task, (easy,)), **options)


@pytest.fixture
def always(monkeypatch):
    """Measure at every validation."""
    monkeypatch.setattr(TrainingGradients, "steps_between", 0)


def without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


@pytest.mark.parametrize("task", TASKS)
def test_training_does_not_notice(task, easy, always, monkeypatch):
    torch.manual_seed(0)
    measured, after = fit(task, easy), torch.rand(1)
    monkeypatch.setattr(TrainingGradients, "measure", lambda self, history: Insight({}))
    torch.manual_seed(0)
    plain, expected = fit(task, easy), torch.rand(1)
    assert torch.equal(after, expected)
    for (name, weight), other in zip(
        measured.network_.state_dict().items(), plain.network_.state_dict().values(), strict=True
    ):
        assert torch.equal(weight, other), name
    rows = without_seconds(measured.history_)
    assert all(row["gradient_reach"] >= 1 for row in rows[1:])
    assert "gradient_reach" not in rows[0]
    lags = [{name for name in row if name.startswith("gradient_")} for row in rows]
    assert without_seconds(plain.history_) == [
        {name: value for name, value in row.items() if name not in own} for row, own in zip(rows, lags, strict=True)
    ]


@pytest.mark.parametrize("task", ["lm", "lines"])
def test_the_figures_are_those_of_inspection(task, easy):
    """They come from float32 kernels and eight losses here; there from float64, and from all losses."""
    model = fit(task, easy, valid=easy[:600])
    found = TrainingGradients(model).measure([]).figures
    chosen = TrainingGradients(model)._unroll()
    assert sum(len(outputs) for _, outputs in chosen) == LOSSES
    places = [int(output) for _, outputs in chosen for output in outputs]
    assert len(set(places)) == LOSSES  # early ones and late ones
    assert max(places) > 35
    sequences = ["".join(unrolled.stacks["rnn"].tokens).removeprefix("<s>") for unrolled, _ in chosen]
    text = easy[:STREAM_IDS] if task == "lm" else "\n".join(sequences)
    every = gradient_by_lag(model, text, lags=LAGS, losses=10**6)
    wanted = {(row, int(output)) for row, (_, outputs) in enumerate(chosen, start=1) for output in outputs}
    rows = [pair in wanted for pair in zip(every.records.tolist(), every.steps.tolist(), strict=True)]
    assert sum(rows) == LOSSES
    mean = summarise(every.norms["forward"][rows], "mean")
    mean = mean[~np.isnan(mean)]
    lags = [lag for lag in (1, 2, 4, 8, 16, 32, 64) if lag <= len(mean)]
    assert list(found) == ["gradient_reach", *(f"gradient_lag_{lag}" for lag in lags)]
    for lag in lags:
        assert found[f"gradient_lag_{lag}"] == pytest.approx(mean[lag - 1], rel=1e-3, abs=1e-12)
    assert found["gradient_reach"] == next((lag for lag in range(len(mean)) if mean[lag] < mean[0] / 100), len(mean))


def test_when_it_is_measured(easy, monkeypatch):
    """Not before so many steps have passed since the last time, but always at the end."""
    monkeypatch.setattr(TrainingGradients, "steps_between", 3)
    model = elman.LanguageModel(**{**SMALL, "steps": 10, "evaluations": 10}, batch_size=2, bptt_length=16).fit(easy)
    assert [row["step"] for row in model.history_ if "gradient_reach" in row] == [3, 6, 9, 10]
    assert [row["step"] for row in model.history_] == list(range(11))


def test_the_share_of_the_time_is_small_by_the_estimate(easy):
    """Large networks measure more often than small ones, whose steps are short; equal runs at the same steps."""
    between = [
        TrainingGradients(
            elman.LanguageModel(**{**SMALL, "steps": 1, "hidden_size": size}, batch_size=batch, bptt_length=16).fit(
                easy
            )
        ).steps_between
        for size, batch in ((8, 2), (8, 2), (64, 2), (64, 64))
    ]
    assert between[0] == between[1]
    assert between[3] < between[2]
    assert all(1 < steps < 2000 for steps in between)


def test_an_interrupted_run_has_the_same_log(easy, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingGradients, "steps_between", 2)
    stop = Event()

    class Stop(Progress):
        def step(self, report):
            if report.step == 3:
                stop.set()

    whole = fit("lm", easy, out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit("lm", easy, out=tmp_path / "cut", stop=stop, progress=Stop())
    again = fit("lm", easy, out=tmp_path / "cut", resume=True)
    assert without_seconds(again.history_) == without_seconds(whole.history_)
    assert again.metrics_["verdict"] == whole.metrics_["verdict"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_a_gradient_that_is_not_finite_is_an_empty_cell(easy, tmp_path, always, monkeypatch):
    plain, count = gradients.measure, itertools.count()

    def measure(*args):
        norms = plain(*args)
        return {name: values * (math.inf if next(count) < 1 else 1) for name, values in norms.items()}

    monkeypatch.setattr(gradients, "measure", measure)
    fit("lm", easy, out=tmp_path / "model")
    with (tmp_path / "model" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["gradient_reach"] == "" for row in rows] == [True, True, False, False]
    assert [row["gradient_lag_8"] == "" for row in rows] == [True, True, False, False]
    assert elman.load(tmp_path / "model").history_[1]["gradient_reach"] is None
    assert (tmp_path / "model" / "curves.svg").exists()


def test_a_network_without_recurrent_layers_has_no_figures(easy):
    model = elman.LanguageModel(**SMALL, cell="window", batch_size=2, bptt_length=16).fit(easy)
    assert not any(name.startswith("gradient") for row in model.history_ for name in row)
    assert "verdict" not in model.metrics_


def test_what_a_model_keeps(easy, tmp_path, capsys):
    folder = tmp_path / "model"
    fit("lm", easy, out=folder)
    model = elman.load(folder)
    verdict = model.metrics_["verdict"]
    assert model.metrics_["train"]["gradient_reach"] == model.history_[-1]["gradient_reach"]
    assert verdict in model_card(model)
    assert "| gradient_reach |" in model_card(model)
    info.run([str(folder)])
    assert verdict.split()[0] in capsys.readouterr().out


def test_steps_reached():
    assert count_reached_steps(np.array([1.0, 0.5, 0.25])) == 3
    assert count_reached_steps(np.array([1.0, 0.5, 0.009, 0.5])) == 2
    assert math.isnan(count_reached_steps(np.array([1.0, math.inf])))
