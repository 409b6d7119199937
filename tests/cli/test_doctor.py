"""``elman doctor``: it reports what is broken, and never prints a traceback."""

import json
import sys

import torch

from elman.bench import machine


def test_doctor_describes_the_machine(shell):
    answer = shell("doctor")
    assert (answer.code, answer.err) == (0, "")
    printed = " ".join(answer.out.split())
    for part in (
        f"torch {torch.__version__}",
        machine.processor(),
        machine.compile_target()["processor"],
        f"{machine.vector_registers()['bits']} bits",
        "{} rows x {} columns".format(*machine.tile_shape()),
        "lstm runs on",
        "compiled",
    ):
        assert " ".join(part.split()) in printed


def test_json_is_one_object(shell):
    found = json.loads(shell("doctor", "--json").out)
    assert found == json.loads(json.dumps(machine.diagnose()))
    assert "compile_seconds" not in found


def test_compile_prints_its_duration(shell):
    answer = shell("doctor", "--compile")
    assert answer.code == 0
    count = len(machine.kernels())
    assert f"{count} of {count} compiled" in answer.out
    assert "compiling" in answer.out


def test_a_broken_numba_is_reported(shell, monkeypatch):
    monkeypatch.setitem(sys.modules, "elman.kernels.vector", None)
    answer = shell("doctor")
    assert answer.code == 1
    assert "PROBLEM target: ModuleNotFoundError" in answer.out
    assert f"torch {torch.__version__}" in " ".join(answer.out.split())
    assert json.loads(shell("doctor", "--json").out)["target"] is None


def test_an_elman_that_cannot_be_imported_is_reported(shell, monkeypatch):
    monkeypatch.setitem(sys.modules, "elman.bench.machine", None)
    monkeypatch.delattr("elman.bench.machine")
    answer = shell("doctor")
    assert answer.code == 1
    assert "pip install" in answer.err


def test_kernels_that_run_as_python_are_reported(shell, monkeypatch):
    monkeypatch.setattr("elman.kernels.compiler.IS_JIT_OFF", True)
    answer = shell("doctor", "--compile")
    assert answer.code == 1
    assert "NUMBA_DISABLE_JIT" in answer.out
