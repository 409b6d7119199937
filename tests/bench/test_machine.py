"""The description of this machine, even if something on it is broken."""

import platform
import sys

import numba
import pytest
import torch

from elman.bench import machine
from elman.kernels import vector
from elman.nn.cells import CELLS


def test_a_working_machine_has_no_problems():
    found = machine.diagnose()
    assert found.pop("problems") == []
    assert None not in [found[name] for name in found if name != "cache"]
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["torch"] == torch.__version__
    assert found["versions"]["numba"] == numba.__version__
    assert found["target"]["processor"] == vector.target()[1]
    assert found["registers"]["bits"] == 32 * vector.LANES
    assert found["threads"] == torch.get_num_threads()
    assert found["cores"] >= 1
    assert {"rnn_forward", "gru_backward", "lstm_forward", "multiply_rows"} <= set(found["kernels"])
    assert {(case["cell"], case["case"]) for case in found["backends"]} == {
        (cell, case) for cell in CELLS for case in machine.CASES
    }


def test_compiling_compiles_every_kernel():
    found = machine.diagnose(compile_now=True)
    assert found["compile_seconds"] >= 0
    assert all(found["kernels"].values())


@pytest.mark.parametrize("module", ["elman.kernels.vector", "elman.kernels.threads", "elman.nn.backends"])
def test_problems_are_reported_and_the_rest_works(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)  # importing it raises ImportError
    found = machine.diagnose()
    assert found["problems"]
    assert all("ModuleNotFoundError" in problem for problem in found["problems"])
    assert found["versions"]["torch"] == torch.__version__


def test_the_head_of_a_table_names_machine_threads_and_versions():
    first, second = machine.headline(["nowhere"])
    assert machine.processor() in first
    assert f"threads {torch.get_num_threads()} (" in first
    assert f"torch {torch.__version__}" in second
    assert "nowhere None" in second


def test_the_processor_has_a_name_without_proc(monkeypatch):
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: "processor : 0\nHardware : a board\n")
    assert machine.processor() == (platform.processor() or platform.machine())
