"""Shared by the tests of the kernels: threads, separate processes, and kernels defined by a test.

With NUMBA_DISABLE_JIT=1 there is no machine code, and every kernel runs as the Python that specifies it: the tests
shrink (``IS_JIT_OFF``), and those about machine code are left out (``machine_code``).
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from elman.kernels import compiler
from elman.kernels.compiler import IS_JIT_OFF


@pytest.fixture
def machine_code():
    if IS_JIT_OFF:
        pytest.skip("there is no machine code with NUMBA_DISABLE_JIT=1")


@pytest.fixture(autouse=True)
def no_warnings_from_numpy():
    """Ignore numpy's warnings about NaN and infinity, for kernels that run as Python."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture
def num_threads():
    """Set the number of torch threads; restore one afterwards."""
    yield torch.set_num_threads
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def load(tmp_path_factory):
    """Compile a test's own kernel into its own cache instead of the user's."""

    def load(kernel):
        if not IS_JIT_OFF:
            for function in compiler._symbols:
                assert function.address
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(compiler, "cache_folder", lambda: folder)
                assert kernel.address
        return kernel

    folder = tmp_path_factory.mktemp("kernels")
    return load


@pytest.fixture
def start_python(tmp_path_factory):
    """Start Python with a script and these environment variables (None: unset), without waiting for it."""
    started = []
    script = tmp_path_factory.mktemp("script") / "script.py"  # a file: kernels are named after their source

    def start(code, **environment):
        script.write_text(code)
        merged = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        kept = {name: str(value) for name, value in merged.items() if value is not None}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, str(script)], env=kept, **pipes)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def python(start_python):
    """Run a script and return what it printed."""

    def run(code, **environment):
        process = start_python(code, **environment)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-2000:]
        return out

    return run
