"""A few damaged inputs for every reader and the folders of every task; and that the fuzzer finds planted faults."""

import ctypes
import json
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elman.errors import DataError

from .mutations import Payload
from .oracle import Runner

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the resources of a process are read from /proc"
)

ROOT = Path(__file__).parents[2]
CASES = 8  # for each reader, and a quarter of it for the folders of each task


def test_no_damaged_input_ends_in_a_traceback_a_hang_or_too_much_memory(tmp_path):
    words = ["--seed", "1", "--cases", str(CASES), "--json", str(tmp_path / "summary.json")]
    done = subprocess.run([sys.executable, "-m", "tests.fuzz", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    targets = json.loads((tmp_path / "summary.json").read_text())["targets"]
    assert all(summary["cases"] == CASES // (1 if summary["cases"] == CASES else 4) for summary in targets.values())
    assert sum(summary["ok"] for summary in targets.values()) > 50
    assert sum(summary["refused"] for summary in targets.values()) > 50


def wait(case):
    while True:
        time.sleep(1)


def compute(case):
    while True:
        pass


def grow(case):
    kept = []
    while True:
        kept.append(b"x" * (8 << 20))


def crash(case):
    ctypes.string_at(0)


def leave(case):
    sys.exit(0)


def fail(case):
    raise KeyError("x")


def say_nothing(case):
    raise DataError("")


def talk(case):
    error = DataError("x")
    error.args = ("x\n" * 50,)  # the constructor would shorten so many lines
    raise error


def unpickle(case):
    pickle.loads(pickle.dumps(Payload()))


def write_elsewhere(case):
    (case.folder.parent / "precious").write_text("x")


def refuse_later(case):
    with case.refusable():
        raise DataError("")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (wait, "hang"),
        (compute, "hang"),
        (grow, "memory"),
        (crash, "crash"),
        (leave, "SystemExit"),
        (fail, "KeyError"),
        (say_nothing, "PoorMessageError"),
        (talk, "PoorMessageError"),
        (refuse_later, "PoorMessageError"),
        (unpickle, "HarmError"),
        (write_elsewhere, "HarmError"),
    ],
)
def test_a_fault_is_found(tmp_path, monkeypatch, target, kind):
    """The cases after the fault are run too."""
    monkeypatch.setenv("ELMAN_FUZZ_CANARY", "")

    def every_other(case):
        if case.rng.random() < 0.5:
            return None if case.rng.random() < 0.5 else refuse()
        return target(case)

    def refuse():
        raise DataError("a.txt: is empty; give another file")

    summary = Runner("planted", every_other, tmp_path, seed=1, seconds=0.5, megabytes=60).run(0, 6)
    found = sum(one["count"] for one in summary.findings)
    assert {one["kind"] for one in summary.findings} == {kind}
    assert summary.cases == 6
    assert summary.ok >= 1
    assert summary.refused >= 1
    assert summary.ok + summary.refused + found == 6
    if kind != "HarmError":  # which is detected after the call
        assert all(target.__name__ in " ".join(one["calls"]) for one in summary.findings)


def test_a_case_is_determined_by_its_number(tmp_path):
    def write(case):
        case.file("txt", [b"one two three\n" * 9])
        (tmp_path / f"{len(seen)}").write_bytes((case.folder / "case.txt").read_bytes())

    seen = []
    for number in (3, 3, 4):
        Runner("planted", write, tmp_path, seed=1).attempt(number)
        seen.append((tmp_path / f"{len(seen)}").read_bytes())
    assert seen[0] == seen[1] != seen[2]
