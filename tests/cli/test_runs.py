"""Training without --out: the folder of the run, and the run that --resume continues."""

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import elman
import elman.training.progress
from elman.cli.runs import newest_unfinished, next_folder
from elman.errors import UsageError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, easy):
    monkeypatch.chdir(tmp_path)
    Path("easy.txt").write_text(easy)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory, tiny, easy):
    """A run that was stopped after its first validation."""
    folder = tmp_path_factory.mktemp("unfinished")
    (folder / "easy.txt").write_text(easy)

    class Stop(elman.training.progress.Progress):
        def step(self, report):
            if report.step == 2:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.raises(KeyboardInterrupt):
            tiny(evaluations=4).fit(Path("easy.txt"), out="m", progress=Stop())
    return folder / "m"


def test_a_run_takes_the_next_free_folder_and_prints_its_name(shell, quick, tiny_flags):
    for number in (1, 2):
        answer = shell("train", "lm", "easy.txt", *tiny_flags)
        assert answer.code == 0, answer.err
        assert answer.err.startswith(f"elman: the model goes into runs/lm-{number};")
        assert f"elman generate runs/lm-{number} " in answer.out
        assert elman.load(f"runs/lm-{number}").hidden_size == 8
    shutil.rmtree("runs/lm-1")
    with next_folder("lm") as folder:
        assert folder == Path("runs/lm-1")


def test_a_run_that_saves_nothing_leaves_no_folder(shell, tiny_flags):
    assert shell("train", "lm", "easy.txt", *tiny_flags, "--dry-run").code == 0
    assert shell("train", "lm", "nowhere.txt", *tiny_flags).code == 3
    assert shell("train", "lm", "easy.txt", "--hidden-size", 0).code == 2
    assert shell("train", "lm", "easy.txt", "--overwrite").code == 2
    assert not Path("runs").exists()
    Path("runs").mkdir()
    assert shell("train", "lm", "nowhere.txt", *tiny_flags).code == 3
    assert Path("runs").is_dir()
    assert not list(Path("runs").iterdir())


def test_a_folder_that_cannot_be_created_is_reported(shell):
    Path("runs").write_text("a file")
    answer = shell("train", "lm", "easy.txt")
    assert answer.code == 6
    assert "runs: the folder cannot be created" in answer.err


def test_concurrent_runs_get_separate_folders():
    ready = threading.Barrier(8)

    def take(_):
        ready.wait()
        with next_folder("lm") as folder:
            (folder / "kept").touch()
        return folder.name

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(take, range(8))) == [f"lm-{number}" for number in range(1, 9)]


def test_resume_takes_the_newest_unfinished_run_of_the_same_data(shell, unfinished, quick, easy, tiny_flags):
    for seconds, name in enumerate(("lm-1", "mine", "other")):
        shutil.copytree(unfinished, Path("runs") / name)
        os.utime(Path("runs") / name / "checkpoint.safetensors", (seconds, seconds))
    Path("runs/damaged").mkdir()
    Path("runs/damaged/checkpoint.safetensors").write_text("no checkpoint")
    Path("runs/finished").mkdir()
    assert newest_unfinished("lm", [Path("easy.txt")]) == Path("runs/other")
    assert newest_unfinished("lm", [Path("easy.txt").resolve()]) == Path("runs/other")
    for task, names in (("composer", ["easy.txt"]), ("lm", ["valid.txt"]), ("lm", ["easy.txt", "b.txt"]), ("lm", [])):
        assert newest_unfinished(task, map(Path, names)) is None
    shutil.rmtree("runs/other")
    answer = shell("train", "lm", "easy.txt", "--resume")
    assert answer.code == 0, answer.err
    assert "runs/mine: resuming after step 1" in answer.err
    assert elman.load("runs/mine").metrics_["train"]["steps"] == 4  # with the settings that it began with
    assert newest_unfinished("lm", [Path("easy.txt")]) == Path("runs/lm-1")


def test_resume_without_an_unfinished_run_is_refused(shell, quick, tiny_flags):
    assert shell("train", "lm", "easy.txt", *tiny_flags).code == 0
    answer = shell("train", "lm", "easy.txt", "--resume")
    assert answer.code == 2
    assert "runs holds no unfinished training of task lm on easy.txt" in answer.err
    assert [folder.name for folder in Path("runs").iterdir()] == ["lm-1"]


def test_the_time_budget_begins_with_the_command(shell, monkeypatch, tiny_flags):
    began = []

    def stop(*_, started, **__):
        began.append(started)
        raise UsageError("stopped")

    monkeypatch.setattr("elman.families.base.train", stop)
    before = time.perf_counter()
    with monkeypatch.context() as patch:
        patch.setattr("elman.cli.train.check_data_exist", lambda *_: began.append(time.perf_counter()))
        shell("train", "lm", "easy.txt", "--out", "m", *tiny_flags)
    checked, started = began
    assert before <= started < checked
