"""The loop: how long it runs, when it stops, and that an interrupted run ends like an uninterrupted one.

What is compared is ``model.safetensors``, byte for byte, and ``log.csv`` but for the seconds.
"""

import csv
import itertools
import math
import signal
import threading
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import elman
from elman.data.batching import LineBatches, StreamBatches
from elman.errors import DivergedError, Interrupted, ModelError, UsageError
from elman.families import next_token
from elman.models import tagger
from elman.nn.outputs.heads import SoftmaxHead
from elman.training import clock as clock_module
from elman.training import loop
from elman.training.checkpoint import load_checkpoint
from elman.training.computing import computing
from elman.training.progress import Progress
from elman.training.schedule import Schedule, TrainingSettings, fit_schedule, is_measured, plan_schedule
from elman.training.task import Insight


class Notes(Progress):
    def __init__(self):
        self.notes, self.validations = [], []

    def note(self, text):
        self.notes.append(text)

    def validated(self, step, metrics, sample, *, best):
        self.validations.append((step, best))


def result(folder):
    """The results of a run, except for its times."""
    with (folder / "log.csv").open(newline="") as file:
        log = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return (folder / "model.safetensors").read_bytes(), log


def at_step(monkeypatch, wanted, action):
    """Do something just before the batch of a step is made."""
    for kind in (LineBatches, StreamBatches):

        def batch(self, step, plain=kind.batch):
            if step == wanted:
                action()
            return plain(self, step)

        monkeypatch.setattr(kind, "batch", batch)


def fail():
    raise RuntimeError("injected")


# ---------------------------------------------------------------- resuming

CELLS = {
    "rnn": {"cell": "rnn"},
    "gru": {"cell": "gru", "initial_state": "random"},
    "lstm": {"cell": "lstm", "num_layers": 2, "dropout": 0.3},
    "window": {"cell": "window", "window": 3},
}


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize("lines", [False, True], ids=["stream", "lines"])
@pytest.mark.parametrize("cell", CELLS)
def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path, quick, tiny, easy, cell, lines, level):
    settings = {**CELLS[cell], "lines": lines, "level": level, "steps": 7, "evaluations": 3}
    tiny(**settings).fit(easy, out=tmp_path / "whole")
    for number, (action, error) in enumerate(
        [(fail, RuntimeError), (lambda: signal.raise_signal(signal.SIGINT), Interrupted)]
    ):
        folder = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patch:
            at_step(patch, 4, action)  # the last checkpoint but for the signal's is after step 3
            with pytest.raises(error):
                tiny(**settings).fit(easy, out=folder)
        assert load_checkpoint(folder / "checkpoint.safetensors")["state"]["step"] == (5 if number else 3)
        tiny(**settings).fit(easy, out=folder, resume=True)
        assert result(folder) == result(tmp_path / "whole")
        assert not (folder / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("step", range(6))
def test_it_can_be_interrupted_at_every_step_and_twice(tmp_path, quick, monkeypatch, tiny, easy, step):
    settings = {"steps": 6, "evaluations": 2, "dropout": 0.5}
    tiny(**settings).fit(easy, out=tmp_path / "whole")
    for wanted in (step, 5):
        with monkeypatch.context() as patch:
            at_step(patch, wanted, fail)
            with pytest.raises(RuntimeError, match="injected"):
                tiny(**settings).fit(easy, out=tmp_path / "cut", resume=True)
    tiny(**settings).fit(easy, out=tmp_path / "cut", resume=True)
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


MOMENTS = {
    "before step 0": "at_step(0, die)",
    "at step 5": "at_step(5, die)",
    "while a checkpoint is written": """
import os
count = 0
def fsync(descriptor):
    global count
    count += 1
    if count == 2:
        die()
os.fsync = fsync""",
    "before the weights are judged": """
from elman.models.language_model import LanguageModel
LanguageModel._final_metrics = lambda self: die()""",
    "between two files of the model": """
from pathlib import Path
plain = Path.replace
def replace(self, target):
    if target.name == "tokenizer.json":
        die()
    return plain(self, target)
Path.replace = replace""",
    "before the checkpoint is removed": """
from pathlib import Path
plain = Path.unlink
Path.unlink = lambda self, **more: die() if self.name == "checkpoint.safetensors" else plain(self, **more)""",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_can_be_resumed(tmp_path, quick, shell, start_elman, easy_file, tiny_flags, moment):
    words = ["train", "lm", easy_file, *tiny_flags, "--steps", 9, "--evaluations", 3, "--dropout", 0.5]
    words += ["--threads", torch.get_num_threads()]  # a forked process has its own count, and bits depend on it
    assert shell(*words, "--out", tmp_path / "whole").code == 0
    killed = start_elman(*words, "--out", tmp_path / "cut", before=MOMENTS[moment]).wait()
    assert killed.code == -signal.SIGKILL, killed.err
    assert shell("train", "lm", easy_file, "--out", tmp_path / "cut", "--resume").code == 0
    assert result(tmp_path / "cut") == result(tmp_path / "whole")
    assert not (tmp_path / "cut" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_saves_and_says_how_to_resume(tmp_path, shell, start_elman, easy, easy_file, tiny_flags, name, code):
    (tmp_path / "held out.txt").write_text(easy[:200])
    words = ["train", "lm", "easy.txt", *tiny_flags, "--valid", "held out.txt", "--steps", 200, "--evaluations", 1]
    running = start_elman(*words, "--out", "cut")
    running.wait_for("step 0: valid")
    running.send(getattr(signal, name))
    stopped = running.wait()
    assert stopped.code == code
    *_, stopped_line, go_on = stopped.err.splitlines()
    assert stopped_line.startswith("elman: stopped after step ")
    assert go_on == "Continue with: elman train lm easy.txt --valid 'held out.txt' --out cut --resume"
    step = load_checkpoint(tmp_path / "cut" / "checkpoint.safetensors")["state"]["step"]
    assert 0 < step < 200
    again = start_elman("train", "lm", "easy.txt", "--valid", "held out.txt", "--out", "cut", "--resume").wait()
    assert again.code == 0, again.err
    assert f"resuming after step {step}" in again.err
    whole = start_elman(*words, "--out", "whole").wait()
    assert whole.code == 0, whole.err
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


def test_a_closed_terminal_ends_a_run_like_any_other_signal(tmp_path, quick, monkeypatch, tiny, easy):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        at_step(monkeypatch, 4, lambda: signal.raise_signal(signal.SIGHUP))
        with pytest.raises(Interrupted, match="holds the training") as stopped:
            tiny(steps=7).fit(easy, out=tmp_path / "cut")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert stopped.value.exit_code == 129
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.safetensors")["state"]["step"] == 5


def test_a_second_signal_ends_the_process_at_once(tmp_path, monkeypatch, tiny, easy):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    at_step(monkeypatch, 1, twice)
    with pytest.raises(KeyboardInterrupt):
        tiny().fit(easy)


def test_a_run_can_be_stopped_from_another_thread(tmp_path, quick, monkeypatch, tiny, easy):
    stop, raised = threading.Event(), []

    def fit():
        try:
            tiny(steps=10, evaluations=2).fit(easy, out=tmp_path / "cut", stop=stop)
        except Interrupted as error:
            raised.append(error)

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    reached, go_on = threading.Event(), threading.Event()
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: (reached.set(), go_on.wait(60)))
        thread = threading.Thread(target=fit)
        thread.start()
        assert reached.wait(60)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        stop.set()
        go_on.set()
        thread.join(60)
    assert "stopped after step 4" in str(raised[0])
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.safetensors")["state"]["step"] == 4
    tiny(steps=10, evaluations=2).fit(easy, out=tmp_path / "cut", resume=True)
    tiny(steps=10, evaluations=2).fit(easy, out=tmp_path / "whole")
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


def test_runs_side_by_side_leave_the_thread_count():
    before = torch.get_num_threads()
    counts, inside, leave = {}, threading.Barrier(3), threading.Barrier(3)

    def compute(threads):
        with computing(TrainingSettings(threads=threads)):
            inside.wait(60)
            counts[threads] = torch.get_num_threads()
            leave.wait(60)

    threads = [threading.Thread(target=compute, args=(number,)) for number in (before + 1, None)]
    for thread in threads:
        thread.start()
    inside.wait(60)
    leave.wait(60)
    for thread in threads:
        thread.join(60)
    assert counts == {before + 1: before + 1, None: before}
    found = []
    late = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    late.start()
    late.join()
    assert [torch.get_num_threads(), *found] == [before, before]


def side_by_side(monkeypatch, task, fits):
    """Run each fit alone, then all at once in threads that take turns, step by step; return both lists of weights."""
    alone = [fit().network_.state_dict() for fit in fits]
    together, turns = [None] * len(fits), threading.Barrier(len(fits))

    def run(number):
        together[number] = fits[number]().network_.state_dict()

    training_step = task.training_step
    wait = lambda self, *arguments: turns.wait(60) >= 0 and training_step(self, *arguments)  # noqa: E731
    monkeypatch.setattr(task, "training_step", wait)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(fits))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return alone, together


def side_by_side_fits(tiny, easy):
    """Two fits of language models and two of taggers, with all that they draw: dropout, word dropout, a first state."""
    common = {"steps": 6, "evaluations": 2, "threads": 1}
    models = [
        tiny(**common, seed=1, num_layers=2, dropout=0.5),
        tiny(**common, seed=2, cell="gru", dropout=0.3, initial_state="random"),
    ]
    sizes = {"hidden_size": 8, "embedding_size": 6, "character_size": 4, "batch_tokens": 20}
    taggers = [
        elman.Tagger(**common, **sizes, seed=1, num_layers=2, dropout=0.5),
        elman.Tagger(**common, **sizes, seed=2, num_layers=1, cell="gru", dropout=0.2, crf=True),
    ]
    words = [["the", "dog", "barks"], ["a", "cat"], ["dogs", "bark", "at", "cats"], ["the", "end"]] * 4
    tags = [["D", "N", "V"], ["D", "N"], ["N", "V", "P", "N"], ["D", "N"]] * 4
    return {
        "language model": (next_token.NextTokenTask, [partial(model.fit, easy) for model in models]),
        "tagger": (tagger._Task, [partial(one.fit, words, tags) for one in taggers]),
    }


@pytest.mark.parametrize("kind", ["language model", "tagger"])
def test_runs_side_by_side_end_as_they_do_alone(monkeypatch, tiny, easy, kind):
    task, fits = side_by_side_fits(tiny, easy)[kind]
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    alone, together = side_by_side(monkeypatch, task, fits)
    for one, other in zip(alone, together, strict=True):
        assert other is not None
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.rand(2), expected)  # the process's random numbers are untouched


OVERFITTING = {"steps": 60, "evaluations": 60, "learning_rate": 0.05}  # where the held-out text is written backwards


def test_best_weights_and_patience_outlive_an_interruption(tmp_path, quick, monkeypatch, tiny, easy):
    settings = {**OVERFITTING, "patience": 3}
    whole = tiny(**settings).fit(easy, valid=easy[::-1], out=tmp_path / "whole")
    best_step, last_step = whole.metrics_["train"]["best_step"], whole.metrics_["train"]["steps"]
    assert 5 < last_step == best_step + 3 < 60  # it was stopped early, three validations after the best
    for stop_at in (best_step, best_step + 1, last_step - 1):
        folder = tmp_path / str(stop_at)
        with monkeypatch.context() as patch:
            at_step(patch, stop_at, fail)
            with pytest.raises(RuntimeError, match="injected"):
                tiny(**settings).fit(easy, valid=easy[::-1], out=folder)
        tiny(**settings).fit(easy, valid=easy[::-1], out=folder, resume=True)
        assert result(folder) == result(tmp_path / "whole")


def test_a_run_killed_after_it_stopped_early_does_not_train_on(tmp_path, quick, monkeypatch, tiny, easy):
    settings = {**OVERFITTING, "patience": 2}
    whole = tiny(**settings).fit(easy, valid=easy[::-1], out=tmp_path / "whole")
    assert whole.metrics_["train"]["steps"] < 60
    with monkeypatch.context() as patch:
        patch.setattr(elman.LanguageModel, "_final_metrics", lambda self: fail())
        with pytest.raises(RuntimeError, match="injected"):
            tiny(**settings).fit(easy, valid=easy[::-1], out=tmp_path / "cut")
    tiny(**settings).fit(easy, valid=easy[::-1], out=tmp_path / "cut", resume=True)
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


def test_the_kept_weights_are_those_of_the_best_validation(quick, tiny, easy):
    model = tiny(**OVERFITTING, patience=0).fit(easy, valid=easy[::-1])
    losses = {row["step"]: row["nats_per_token"] for row in model.history_ if row["step"] > 0}
    best_step = min(losses, key=losses.get)
    assert model.metrics_["train"]["best_step"] == best_step < 60
    again = model._evaluate(model._valid, 32)
    assert again["nats_per_token"] == losses[best_step]


def test_without_a_checkpoint_resume_starts_afresh_and_says_so(tmp_path, quick, tiny, easy):
    notes = Notes()
    tiny().fit(easy, out=tmp_path / "a", resume=True, progress=notes)
    tiny().fit(easy, out=tmp_path / "b")
    assert any("no checkpoint yet, starting from the beginning" in note for note in notes.notes)
    assert result(tmp_path / "a") == result(tmp_path / "b")


def test_a_finished_run_says_so_and_is_unchanged(tmp_path, quick, shell, easy_file, tiny_flags):
    assert shell("train", "lm", easy_file, "--out", tmp_path / "m", *tiny_flags).code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
    answer = shell("train", "lm", easy_file, "--out", tmp_path / "m", "--resume")
    assert answer.code == 0
    assert "finished; there is nothing to resume" in answer.err
    assert {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()} == before


@pytest.mark.parametrize("finished", [False, True])
def test_resuming_another_run_is_refused(tmp_path, quick, monkeypatch, shell, easy_file, tiny_flags, finished):
    folder = tmp_path / "m"
    if finished:
        assert shell("train", "lm", easy_file, "--out", folder, *tiny_flags).code == 0
    else:
        at_step(monkeypatch, 3, fail)
        with pytest.raises(RuntimeError, match="injected"):
            shell("train", "lm", easy_file, "--out", folder, *tiny_flags)
        monkeypatch.undo()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    answer = shell("train", "lm", easy_file, "--out", folder, "--resume", "--hidden-size", 9)
    assert answer.code == 2
    assert "started with hidden_size 8, not 9" in answer.err
    assert "--overwrite" in answer.err
    if not finished:
        (tmp_path / "other.txt").write_text("another text altogether\n" * 40)
        answer = shell("train", "lm", tmp_path / "other.txt", "--out", folder, "--resume")
        assert answer.code == 2
        assert "other data" in answer.err
        assert str(easy_file) in answer.err
        answer = shell("train", "lm", easy_file, "--out", folder)
        assert answer.code == 4
        assert "--resume" in answer.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert shell("train", "lm", easy_file, "--out", folder, "--resume", "--threads", 1).code == 0


def test_resume_and_overwrite_exclude_each_other(tmp_path, tiny, easy):
    with pytest.raises(UsageError, match="one of them"):
        tiny().fit(easy, out=tmp_path / "m", resume=True, overwrite=True)


def test_overwriting_an_unfinished_run_starts_from_scratch(tmp_path, quick, tiny, easy):
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 3, fail)
        with pytest.raises(RuntimeError, match="injected"):
            tiny(seed=5).fit(easy, out=tmp_path / "m")
    with pytest.raises(ModelError, match="unfinished"):
        tiny().fit(easy, out=tmp_path / "m")
    tiny().fit(easy, out=tmp_path / "m", overwrite=True)
    tiny().fit(easy, out=tmp_path / "fresh")
    assert result(tmp_path / "m") == result(tmp_path / "fresh")


def test_a_seed_determines_every_bit(tmp_path, quick, tiny, easy):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.rand(7)  # random numbers drawn elsewhere do not matter
        tiny(seed=seed, dropout=0.5).fit(easy, out=tmp_path / name)
    assert result(tmp_path / "a") == result(tmp_path / "b")
    assert result(tmp_path / "a")[0] != result(tmp_path / "c")[0]


def test_fit_leaves_the_callers_random_numbers_alone(tiny, easy):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    tiny(seed=9).fit(easy)
    assert torch.equal(torch.rand(3), expected)


# ---------------------------------------------------------------- how long


def rates(settings, num_batches=100):
    schedule = plan_schedule(settings, num_batches)
    return [schedule.learning_rate_factor(step) for step in range(schedule.total_steps)]


def test_the_learning_rate_rises_then_falls_linearly():
    factors = rates(TrainingSettings(steps=100, warmup_steps=10))
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1
    # 1e-12: sums and quotients of a hundred float64s are good to about 1e-14
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)], abs=1e-12)
    assert factors[10:] == pytest.approx([1 - (step - 10) / 90 for step in range(10, 100)], abs=1e-12)
    assert factors[-1] == pytest.approx(1 / 90)  # the step after the last would be zero


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 50])
@pytest.mark.parametrize("warmup_steps", [0, 1, 50])
def test_every_step_learns_and_none_exceeds_the_peak(steps, warmup_steps):
    factors = rates(TrainingSettings(steps=steps, warmup_steps=warmup_steps))
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1
    assert sum(factor < 1 for factor in factors[: factors.index(1)]) <= steps // 10


def test_the_optimizer_is_given_the_scheduled_rate(monkeypatch, tiny, easy):
    given = []
    plain = torch.optim.AdamW.step

    def step(self, *arguments, **more):
        given.append([group["lr"] for group in self.param_groups])
        return plain(self, *arguments, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    tiny(steps=20, learning_rate=0.01).fit(easy)
    schedule = Schedule(total_steps=20, warmup_steps=2, eval_every=10)
    assert given == [[0.01 * schedule.learning_rate_factor(step)] * 2 for step in range(20)]


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_steps_are_exactly_that_many(monkeypatch, tiny, easy, steps):
    model = tiny(steps=steps).fit(easy)
    assert model.metrics_["train"]["steps"] == steps
    assert model.history_[-1]["step"] == steps


@pytest.mark.parametrize("epochs", [1, 0.5, 1.25])
def test_epochs_are_exactly_that_many(tiny, easy, epochs):
    model = tiny(steps=None, epochs=epochs).fit(easy)
    per_epoch = (int(len(easy) * 0.9) - 8) // 2 // 8  # two streams, in chunks of eight tokens, less an offset
    assert model.metrics_["train"]["steps"] == round(epochs * per_epoch)


@pytest.mark.parametrize("names", [*itertools.combinations(("minutes", "epochs", "steps"), 2)])
def test_two_lengths_are_refused(names):
    with pytest.raises(UsageError, match=" and ".join(f"`{name}`" for name in names)):
        TrainingSettings(**dict.fromkeys(names, 1)).check_training()


class Clock:
    """A clock that advances only on command."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(clock_module, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return clock


@pytest.mark.parametrize(("step_seconds", "evaluation_seconds"), [(0.1, 0.5), (1.0, 2.0), (0.02, 3.0)])
def test_a_time_budget_is_kept_and_its_steps_are_fixed(tmp_path, clock, step_seconds, evaluation_seconds):
    task = ToyTask()

    def spend(plain, seconds):
        def spending(*arguments):
            clock.now += seconds
            return plain(*arguments)

        return spending

    task.training_step = spend(task.training_step, step_seconds)
    task.validate = spend(task.validate, evaluation_seconds)
    settings = TrainingSettings(minutes=1, learning_rate=1e-3, patience=0)
    path = tmp_path / "c"
    state = loop.train(task, ToyBatches(), settings, progress=Progress(), reserve=lambda: 5.0, checkpoint=path)
    assert 60 - 5 - clock.now == pytest.approx(0, abs=0.1 * 60)  # whole steps, and rounding of the validations
    assert clock.now <= 60 - 5 + evaluation_seconds + step_seconds
    assert load_checkpoint(path)["state"]["schedule"]["total_steps"] == state.step
    validations = len(state.history) - 1
    assert validations >= 3
    assert validations == 3 or validations * evaluation_seconds <= 0.08 * 60 + evaluation_seconds


def train_for_a_minute(clock, path, step_seconds, stop_at=None, resume=None):
    """Train with steps of a given duration; return the state and what was reported. A signal may arrive at a step."""
    task, notes = ToyTask(), Notes()
    plain = task.training_step

    def training_step(batch, carry):
        clock.now += step_seconds
        if batch.step == stop_at:
            signal.raise_signal(signal.SIGTERM)
        return plain(batch, carry)

    task.training_step = training_step
    settings = TrainingSettings(minutes=1, learning_rate=1e-3, patience=0)
    return loop.train(task, ToyBatches(), settings, progress=notes, checkpoint=path, resume=resume), notes


def test_the_fixed_number_of_steps_outlives_an_interruption(tmp_path, clock):
    with pytest.raises(Interrupted) as stopped:
        train_for_a_minute(clock, tmp_path / "c", 0.5, stop_at=40)
    assert stopped.value.exit_code == 143
    saved = load_checkpoint(tmp_path / "c")
    state, notes = train_for_a_minute(clock, tmp_path / "c", 0.5, resume=saved)
    assert saved["state"]["step"] == 41
    assert state.step == saved["state"]["schedule"]["total_steps"] == 112  # eight steps went into measuring
    assert not any("fit into" in note for note in notes.notes)


@pytest.mark.parametrize("evaluation_seconds", [0.0, 0.5])
@pytest.mark.parametrize(
    ("step_seconds", "steps"),
    [
        (lambda step: 0.3 if step >= 300 else 0.1, 396),  # 588 fit at first; 28.8 s are left for steps of 0.3 s
        (lambda step: 0.3 if step >= 10 else 0.1, 200),  # it begins within the warm-up
        (lambda step: 0.3 if 300 <= step < 360 else 0.1, 468),  # 12 s were lost, then it became fast again
        (lambda step: 3.0 if step == 440 else 0.1, 558),  # one long step does not say how long the others take
        (lambda step: 0.1, 588),
    ],
)
def test_a_budget_is_kept_on_a_machine_that_becomes_slow(clock, step_seconds, steps, evaluation_seconds):
    task = ToyTask()
    training_step, validate = task.training_step, task.validate

    def slow_step(batch, carry):
        clock.now += step_seconds(batch.step)
        return training_step(batch, carry)

    def slow_validation():
        clock.now += evaluation_seconds
        return validate()

    task.training_step, task.validate = slow_step, slow_validation
    settings = TrainingSettings(minutes=1, learning_rate=1e-3, patience=0)
    state = loop.train(task, ToyBatches(), settings, progress=Progress())
    assert 55 < clock.now <= 61
    assert state.step == pytest.approx(steps, rel=0.2 if evaluation_seconds else 0.02)
    falls_from = max(state.schedule.changed_at, state.schedule.warmup_steps)
    rates = [state.schedule.learning_rate_factor(step) for step in range(falls_from, state.step)]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.02


def test_a_run_that_is_resumed_on_a_slower_machine_keeps_its_budget(tmp_path, clock):
    with pytest.raises(Interrupted):
        train_for_a_minute(clock, tmp_path / "c", 0.1, stop_at=289)
    saved = load_checkpoint(tmp_path / "c")
    assert saved["state"]["schedule"]["total_steps"] == 588
    for name in ("changed_at", "factor_there", "planned_steps"):  # as it was kept before there were such
        del saved["state"]["schedule"][name]
    clock.now = 1000.0
    state, _ = train_for_a_minute(
        clock, tmp_path / "c", 0.2, resume=saved
    )  # 30.2 s are over; 29.8 s hold 149 steps of 0.2 s
    assert state.step == pytest.approx(290 + 149, abs=5)
    assert clock.now - 1000 == pytest.approx(29.8, abs=1.5)
    assert state.schedule.planned_steps == 588


def load_of(name, minutes):
    """Return the slowdown of a machine under a load at a time (seconds), for a budget of minutes."""
    budget = 60 * minutes
    return {
        "free": lambda now: 1.0,
        "half as fast, then free": lambda now: 2.0 if now < budget / 2 else 1.0,
        "free, then half as fast": lambda now: 1.0 if now < budget / 2 else 2.0,
        "busy while it is measured": lambda now: 3.0 if now < budget / 10 else 1.0,
        "shared every other 10 s": lambda now: 2.0 if now % 20 < 10 else 1.0,
        "sawtooth": lambda now: 1.0 + 2 * (now % 30) / 30,
    }[name]


def train_under(clock, load, minutes, step_seconds, evaluation_seconds, final_seconds, **settings):
    """Train on a machine with the slowdown of the load; return the state after the work that follows."""
    task = ToyTask()
    training_step, validate = task.training_step, task.validate

    def spend(seconds):
        clock.now += seconds * load(clock.now)

    def slow_step(batch, carry):
        spend(step_seconds)
        return training_step(batch, carry)

    def slow_validation():
        spend(evaluation_seconds)
        return validate()

    def reserve():
        spend(0.05 * final_seconds)
        return final_seconds * load(clock.now)

    task.training_step, task.validate = slow_step, slow_validation
    chosen = TrainingSettings(minutes=minutes, learning_rate=1e-4, **{"patience": 0, **settings})
    state = loop.train(task, ToyBatches(), chosen, progress=Progress(), started=0.0, reserve=reserve)
    spend(final_seconds)
    return state


@pytest.mark.parametrize("minutes", [1, 3, 8])
@pytest.mark.parametrize(
    "load",
    [
        "free",
        "half as fast, then free",
        "free, then half as fast",
        "busy while it is measured",
        "shared every other 10 s",
        "sawtooth",
    ],
)
@pytest.mark.parametrize("durations", [(0.2, 0.1, 1.0), (0.3, 2.0, 0.0), (0.5, 0.5, 1.5)])
def test_a_budget_is_used_under_any_load(clock, load, minutes, durations):
    step_seconds, *others = durations
    state = train_under(clock, load_of(load, minutes), minutes, step_seconds * minutes, *others)
    assert clock.now == pytest.approx(60 * minutes, rel=0.05)
    assert 3 <= len(state.history) - 1 <= 20
    falls_from = max(state.schedule.changed_at, state.schedule.warmup_steps)
    assert state.schedule.learning_rate_factor(state.step - 1) < 1.5 / (state.step - falls_from)


@pytest.mark.parametrize("load", ["free", "half as fast, then free", "shared every other 10 s"])
@pytest.mark.parametrize("evaluations", [1, 2])
def test_there_are_no_more_validations_than_set(clock, load, evaluations):
    state = train_under(clock, load_of(load, 1), 1, 0.2, 1.0, 1.0, evaluations=evaluations)
    assert [row["step"] for row in state.history[:1]] == [0]
    assert len(state.history) - 1 == evaluations
    assert clock.now == pytest.approx(60, rel=0.05)


def test_max_epochs_holds_when_a_machine_becomes_free(clock):
    state = train_under(clock, load_of("half as fast, then free", 8), 8, 0.25, 0.1, 0.0, max_epochs=105)
    assert state.step == 1050  # ten batches a pass
    assert clock.now < 0.9 * 8 * 60


def test_steps_are_added_when_a_busy_machine_becomes_free(clock):
    steps = {}
    for load in ("free", "half as fast, then free"):
        clock.now = 0.0
        steps[load] = train_under(clock, load_of(load, 3), 3, 0.5, 0.1, 0.0).step
    assert steps["half as fast, then free"] == pytest.approx(0.75 * steps["free"], rel=0.05)


@pytest.mark.parametrize("total_steps", [30, 400, 900])
def test_a_schedule_changed_within_the_warm_up_still_reaches_the_full_learning_rate(total_steps):
    schedule = Schedule(total_steps=500, warmup_steps=50, eval_every=5)
    changed = schedule.change_total_steps(total_steps, step=5)
    rates = [changed.learning_rate_factor(step) for step in range(5, total_steps)]
    highest = rates.index(max(rates))
    assert rates[highest] == 1.0
    assert highest <= max(45, total_steps // 10)
    assert rates[: highest + 1] == sorted(rates[: highest + 1])
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
    assert rates[-1] == pytest.approx(1 / (total_steps - changed.warmup_steps))
    assert changed.planned_steps == 500


def test_small_changes_of_the_speed_barely_change_the_learning_rates():
    """The speed wavers in the warm-up, so the schedule is fitted again and again."""
    schedule = plain = Schedule(total_steps=500, warmup_steps=50, eval_every=5)
    for step, total_steps in ((3, 510), (20, 495), (49, 505), (120, 500)):
        schedule = schedule.change_total_steps(total_steps, step)
    rates = [schedule.learning_rate_factor(step) for step in range(120, 500)]
    assert rates == pytest.approx([plain.learning_rate_factor(step) for step in range(120, 500)], abs=0.02)


def test_the_speed_is_measured_before_the_steps_are_fixed():
    settings = TrainingSettings(minutes=1)
    assert not is_measured([1.0] * 7, settings)  # eight steps at least
    assert is_measured([1.0] * 8, settings)
    assert not is_measured([0.001] * 99, settings)  # 2 % of the budget, or a hundred steps
    assert is_measured([0.001] * 100, settings)
    assert (
        fit_schedule(0.5, left=100.0, evaluation_seconds=0.0, batches_per_epoch=10, settings=settings).total_steps
        == 200
    )


def test_a_budget_too_small_still_trains(tiny, easy):
    model = tiny(steps=None, minutes=1e-4).fit(easy)
    assert model.metrics_["train"]["steps"] == 1


# ---------------------------------------------------------------- when it goes wrong


@pytest.mark.parametrize("flags", [["--learning-rate", "1e6"], ["--learning-rate", "1e30", "--clip-norm", "0"]])
def test_a_loss_that_explodes_ends_the_run(tmp_path, shell, easy_file, tiny_flags, flags):
    folder = tmp_path / "m"
    words = ["train", "lm", easy_file, "--out", folder, *tiny_flags, "--steps", 60, "--evaluations", 60, *flags]
    answer = shell(*words, "--cell", "rnn", "--warmup-steps", 0)
    assert answer.code == 5
    message = answer.err.splitlines()[-1]
    assert message.startswith("elman: the loss ")
    for part in ("--learning-rate (now 1e+", "--clip-norm (now ", "--overwrite"):
        assert part in message
    assert not (folder / "config.json").exists()


def test_max_epochs_ends_a_time_budget():
    def steps(batches, **settings):
        about = {"left": 100.0, "evaluation_seconds": 0.0, "batches_per_epoch": batches}
        return fit_schedule(0.01, settings=TrainingSettings(minutes=3, **settings), **about).total_steps

    assert steps(200) == steps(200, max_epochs=0) == steps(200, max_epochs=60) == 10_000
    assert steps(200, max_epochs=20) == 4000
    assert steps(200, max_epochs=7.5) == 1500
    assert steps(4, max_epochs=20) == 1000  # of little data many passes are needed
    with pytest.raises(UsageError, match="max_epochs is -1"):
        TrainingSettings(max_epochs=-1).check_training()


def test_a_nan_ends_the_run_and_the_best_weights_stay(tmp_path, monkeypatch, tiny, easy):
    folder = tmp_path / "m"
    settings = {"steps": 20, "evaluations": 20}

    factors = [1.0]
    at_step(monkeypatch, 12, lambda: factors.append(math.nan))
    loss_sum = SoftmaxHead.loss_sum
    monkeypatch.setattr(SoftmaxHead, "loss_sum", lambda *both: factors[-1] * loss_sum(*both))
    with pytest.raises(
        DivergedError, match=r"became nan at step 13 .*learning_rate` \(now 0.006\).*clip_norm` \(now 1\)"
    ):
        tiny(**settings).fit(easy, out=folder)
    monkeypatch.undo()
    saved = load_checkpoint(folder / "checkpoint.safetensors")
    losses = {row["step"]: row["nats_per_token"] for row in saved["state"]["history"] if row["step"]}
    assert saved["state"]["best"]["metrics"]["nats_per_token"] == min(losses.values())
    loaded = elman.load(folder)
    # what training saw: the same weights, judged in 32 streams as they were then
    corpus = tiny().read_corpora(easy)[1]
    assert loaded._evaluate(corpus, 32)["nats_per_token"] == min(losses.values())
    assert math.isfinite(loaded.evaluate(easy)["nats_per_token"])
    assert loaded.generate("the ", max_tokens=3, seed=1)


def test_weights_broken_by_the_last_step_are_not_kept(tmp_path, monkeypatch, tiny, easy):
    """There is no training loss after the last step, so only the validation can show it."""
    judge = elman.LanguageModel._evaluate

    def judged(self, corpus, num_streams=1):
        if num_streams > 1 and calls.append(0) is None and len(calls) > 1:
            for parameter in self.network_.parameters():
                parameter.data.fill_(math.nan)
        return judge(self, corpus, num_streams)

    calls = []
    monkeypatch.setattr(elman.LanguageModel, "_evaluate", judged)
    with pytest.raises(DivergedError, match="nan in validation"):
        tiny(steps=2, evaluations=1).fit(easy, out=tmp_path / "m")
    assert not (tmp_path / "m" / "config.json").exists()


def test_gradients_are_clipped_to_the_norm(monkeypatch):
    norms = []
    plain = torch.optim.AdamW.step

    def step(self, *arguments, **more):
        gradients = [parameter.grad for group in self.param_groups for parameter in group["params"]]
        norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())
        return plain(self, *arguments, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    for clip_norm in (1e-3, 0):
        settings = TrainingSettings(steps=3, clip_norm=clip_norm, learning_rate=1e-3)
        loop.train(ToyTask(), ToyBatches(), settings, progress=Progress())
    assert max(norms[:3]) <= 1e-3 * (1 + 1e-5)  # float32
    assert min(norms[3:]) > 1e-2  # 0 clips nothing


# ---------------------------------------------------------------- any task at all


@dataclass
class ToyBatch:
    step: int
    x: torch.Tensor
    y: torch.Tensor
    first: bool

    def to(self, device):
        return self


class ToyBatches:
    """Points on y = x A + b, drawn by the number of the step."""

    def __len__(self):
        return 10

    def batch(self, step):
        x = torch.randn(32, 3, generator=torch.Generator().manual_seed(step))
        return ToyBatch(step, x, x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.25, first=step % 10 == 0)


class ToyTask:
    """Linear regression, without any language."""

    def objective(self, metrics):
        return (metrics["error"],)

    def __init__(self):
        self.network = nn.Linear(3, 1)
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.zero_()
        self.carries = []
        self.passes = None

    def plan(self, passes):
        self.passes = passes

    def training_step(self, batch, carry):
        self.carries.append(carry)
        errors = (self.network(batch.x) - batch.y) ** 2
        return errors.sum(), len(errors), (carry or 0) + 1

    def validate(self):
        batch = ToyBatches().batch(10**6)
        with torch.no_grad():
            return {"error": ((self.network(batch.x) - batch.y) ** 2).mean().item()}

    def sample(self):
        return ""


@pytest.mark.parametrize("lines", [False, True], ids=["stream", "lines"])
def test_half_precision_trains_and_validates(quick, tiny, easy, lines):
    exact, rough = (tiny(precision=precision, lines=lines).fit(easy) for precision in ("32-true", "bf16-mixed"))
    losses = [model.history_[-1]["nats_per_token"] for model in (exact, rough)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)  # 8 bits of a number
    assert {weight.dtype for weight in rough.network_.state_dict().values()} == {torch.float32}


def test_the_loop_trains_something_else_than_language(tmp_path):
    task = ToyTask()
    settings = TrainingSettings(epochs=40, learning_rate=0.1, weight_decay=0.0, evaluations=4)
    state = loop.train(task, ToyBatches(), settings, progress=Progress(), checkpoint=tmp_path / "c")
    assert state.step == 400
    assert task.passes == 40
    assert state.targets == 400 * 32
    assert [row["step"] for row in state.history] == [0, 100, 200, 300, 400]
    best = state.best["network"]
    # 0.02: the points carry no noise, and AdamW's last steps are no longer than its falling learning rate
    assert best["weight"].tolist()[0] == pytest.approx([1.0, -2.0, 0.5], abs=0.02)
    assert best["bias"].item() == pytest.approx(0.25, abs=0.02)
    assert isinstance(task.network, nn.Linear)
    assert load_checkpoint(tmp_path / "c")["state"]["step"] == 400


def test_the_carry_is_passed_on_and_dropped_at_each_new_pass():
    task = ToyTask()
    loop.train(task, ToyBatches(), TrainingSettings(steps=12), progress=Progress())
    assert task.carries == [None, *range(1, 10), None, 1]


def test_each_validation_is_reported_with_whether_it_is_the_best():
    notes = Notes()
    settings = TrainingSettings(steps=6, evaluations=3, learning_rate=0.1)
    loop.train(ToyTask(), ToyBatches(), settings, progress=notes)
    assert [step for step, _ in notes.validations] == [0, 2, 4, 6]
    assert all(best for _, best in notes.validations)


class ToyGradients:
    """Finds the same at every measurement."""

    steps_between = 0

    def __init__(self, has_remedy):
        self.has_remedy, self.seen = has_remedy, []

    def measure(self, history):
        self.seen.append(history[-1]["step"])
        return Insight({"gradient_reach": 3.0}, "gradients reach 3 steps back; try --cell gru", self.has_remedy)


@pytest.mark.parametrize("has_remedy", [False, True])
def test_a_remedy_is_shown_once_and_not_before_half_of_the_steps(has_remedy):
    class Shown(Notes):
        def note(self, text):
            super().note(text)
            self.before = [step for step, _ in self.validations]

    shown, gradients = Shown(), ToyGradients(has_remedy)
    settings = TrainingSettings(steps=40, learning_rate=0.1, evaluations=8, patience=0)
    state = loop.train(ToyTask(), ToyBatches(), settings, progress=shown, gradients=gradients)
    assert gradients.seen == [5, 10, 15, 20, 25, 30, 35, 40]
    assert shown.notes == ["gradients reach 3 steps back; try --cell gru"] * has_remedy
    assert state.verdict == "gradients reach 3 steps back; try --cell gru"
    assert [row.get("gradient_reach") for row in state.history] == [None] + [3.0] * 8
    if has_remedy:
        assert shown.before == [0, 5, 10, 15, 20]  # the validations before it
