"""Kernels are compiled once; the cache returns exactly what was stored for the same sources, or nothing."""

import logging
import math
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import elman
from elman.kernels import compiler
from elman.kernels.compiler import inline, kernel
from elman.kernels.threads import run
from elman.kernels.vector import LANES, get, get_integer, load, put, put_integer, spread, store

PACKAGE = Path(elman.__file__).parent
SOURCES = sorted((PACKAGE / "kernels").glob("*.py"))


def triple(ticket: int, numbers: int) -> None:
    put_integer(numbers, ticket, 3 * get_integer(numbers, ticket))


def assert_triples(of_triple):
    numbers = np.array([1, -2, 2**40])
    run(of_triple, numbers.ctypes.data, tickets=3)
    assert numbers.tolist() == [3, -6, 3 * 2**40]


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache for the test; linked functions are already compiled."""
    for function in compiler._symbols:
        assert function.address
    monkeypatch.setattr(compiler, "cache_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def compiled(monkeypatch):
    """The names of functions compiled from now on."""
    names = []
    plain = compiler._Compiled._compile
    monkeypatch.setattr(compiler._Compiled, "_compile", lambda self: (names.append(self.symbol), plain(self))[1])
    return names


# ---------------------------------------------------------------- from Python to machine code


@inline
def hypotenuse(a, b):
    return a * a + b * b


def inlined(ticket: int, x: int, y: int) -> None:
    put(y, ticket, hypotenuse(get(x, ticket), get(x, ticket + 1)))
    store(y, 4, LANES, hypotenuse(load(x, 0, 3), spread(get(x, 2))))


def test_a_compiled_kernel_equals_the_python_function(load):
    of_inlined = kernel(inlined)
    assert of_inlined.name == "inlined"
    assert of_inlined.python is inlined
    x = np.float32([3, 4, 12])
    by_python, by_machine = np.zeros((2, 4 + LANES), np.float32)
    for ticket in range(2):
        of_inlined.python(ticket, x.ctypes.data, by_python.ctypes.data)
    run(load(of_inlined), x.ctypes.data, by_machine.ctypes.data, tickets=2)
    np.testing.assert_array_equal(by_python[:7], np.float32([25, 160, 0, 0, 153, 160, 288]))
    np.testing.assert_array_equal(by_machine, by_python)


@pytest.mark.usefixtures("machine_code")
def test_the_assembly_shows_the_kernel():
    assert "elman_triple:" in kernel(triple).assembly


@pytest.mark.usefixtures("machine_code", "cache")
def test_a_kernel_with_unknown_calls_is_refused():
    @kernel
    def gamma(ticket: int, x: int) -> None:
        put(x, 0, np.float32(math.gamma(get(x, 0))))

    with pytest.raises(AssertionError, match=r"elman_gamma calls \['.*gamma.*'\]"):
        assert gamma.address


@pytest.mark.usefixtures("machine_code", "cache")
def test_concurrent_python_threads_share_one_compilation(compiled):
    of_triple = kernel(triple)
    with ThreadPoolExecutor(8) as pool:
        addresses = set(pool.map(lambda _: of_triple.address, range(8)))
    assert len(addresses) == 1
    assert compiled == ["elman_triple"]
    assert_triples(of_triple)


# ---------------------------------------------------------------- the cache


@pytest.mark.usefixtures("machine_code")
def test_a_compiled_kernel_is_found_in_the_cache(cache, compiled):
    assert not kernel(triple).is_compiled
    assert_triples(kernel(triple))
    assert [file.name.startswith("elman_triple") for file in cache.iterdir()] == [True]
    again = kernel(triple)
    assert again.is_compiled
    assert_triples(again)
    assert compiled == ["elman_triple"]


def flip_last(code):
    return code[:-1] + bytes([code[-1] ^ 1])


DAMAGE = {
    "empty": lambda content: b"",
    "checksum alone": lambda content: content[:32],
    "cut": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "one bit of the code": flip_last,
    "one bit of the checksum": lambda content: flip_last(content[:32]) + content[32:],
    "another file": lambda content: b"#!/bin/sh\n" * 1000,
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.usefixtures("machine_code")
@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_recompiled_and_never_run(cache, compiled, how):
    assert kernel(triple).address
    (file,) = cache.iterdir()
    file.write_bytes(DAMAGE[how](file.read_bytes()))
    damaged = kernel(triple)
    assert not damaged.is_compiled
    assert_triples(damaged)
    assert compiled == ["elman_triple"] * 2
    assert kernel(triple).is_compiled
    assert list(cache.iterdir()) == [file]


@pytest.mark.usefixtures("machine_code")
def test_a_cache_that_cannot_be_written_does_no_harm(cache, compiled):
    """The folder existed at first; then it was deleted, or the disk filled up."""
    shutil.rmtree(cache)
    assert_triples(kernel(triple))
    assert_triples(kernel(triple))
    assert compiled == ["elman_triple"] * 2


@pytest.mark.usefixtures("machine_code")
def test_without_a_cache_each_process_compiles(monkeypatch, cache, compiled):
    monkeypatch.setattr(compiler, "cache_folder", lambda: None)
    of_triple = kernel(triple)
    assert not of_triple.is_compiled
    assert_triples(of_triple)
    assert of_triple.is_compiled
    assert not kernel(triple).is_compiled
    assert not list(cache.iterdir())


# ---------------------------------------------------------------- where it is


@pytest.fixture
def find_folder(monkeypatch, tmp_path):
    """Find the folder again, in the test's own root."""
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(tmp_path / "cache"))
    return compiler.cache_folder.__wrapped__


def test_the_cache_is_a_subfolder_of_the_given_one(find_folder, tmp_path):
    folder = find_folder()
    assert folder.parent == tmp_path / "cache" / "kernels"
    assert folder.is_dir()
    assert not list(folder.iterdir())
    assert find_folder() == folder


@pytest.mark.skipif(sys.platform != "linux", reason="the variable is Linux's")
def test_by_default_the_cache_is_the_users_and_outside_the_package(find_folder, monkeypatch, tmp_path):
    name = find_folder().name
    monkeypatch.delenv("ELMAN_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert find_folder() == tmp_path / "user" / "elman" / "kernels" / name


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_changed_source_changes_the_folder(find_folder, monkeypatch, tmp_path, source):
    before = find_folder()
    package = tmp_path / "package"
    package.mkdir()
    for file in SOURCES:
        shutil.copy(file, package)
    monkeypatch.setattr(compiler, "__file__", str(package / "compiler.py"))
    assert find_folder() == before  # where the package is does not matter
    changed = package / source.name
    changed.write_bytes(changed.read_bytes().replace(b" = ", b"  = ", 1) + b"# changed\n")
    assert find_folder() != before
    shutil.copy(source, package)
    assert find_folder() == before
    (package / "one_more.py").write_text("more = 1\n")
    assert find_folder() != before


def test_another_compiler_or_processor_changes_the_folder(find_folder, monkeypatch):
    folders = [find_folder()]
    triple_of_target, processor, features = compiler.target()
    for target in (
        ("other", processor, features),
        (triple_of_target, "other", features),
        (triple_of_target, processor, features + ",+other"),
    ):
        monkeypatch.setattr(compiler, "target", lambda target=target: target)
        folders.append(find_folder())
    monkeypatch.setattr(compiler, "target", lambda: (triple_of_target, processor, features))
    assert find_folder() == folders[0]
    for module in (compiler.numba, compiler.llvmlite):
        with monkeypatch.context() as patch:
            patch.setattr(module, "__version__", "0.0")
            folders.append(find_folder())
    assert len(set(folders)) == len(folders) == 6


@pytest.mark.parametrize("where", ["below a file", "below a device"])
def test_a_folder_that_cannot_be_written_is_reported_and_not_used(find_folder, monkeypatch, tmp_path, caplog, where):
    root = Path(os.devnull) / "x" if where == "below a device" else tmp_path / "file" / "x"
    (tmp_path / "file").touch()
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(root))
    with caplog.at_level(logging.WARNING, "elman"):
        assert find_folder() is None
    assert str(root) in caplog.text
    assert "cannot be written" in caplog.text


# ---------------------------------------------------------------- in processes of their own


# without torch and without the kernels that all others call, a process is done in a second
TRIPLE = """
import ctypes
import numpy as np
from elman.kernels.compiler import cache_folder, kernel
from elman.kernels.vector import get_integer, put_integer

@kernel
def triple(ticket: int, numbers: int) -> None:
    put_integer(numbers, ticket, 3 * get_integer(numbers, ticket))

is_compiled = triple.is_compiled
numbers = np.array([1, -2, 2**40])
block = (ctypes.c_int64 * 3)(0, 3, numbers.ctypes.data)
ctypes.CFUNCTYPE(None, ctypes.c_void_p)(triple.address)(block)
assert numbers.tolist() == [3, -6, 3 * 2**40]
print(is_compiled, triple.is_compiled, cache_folder())
"""


def processes_answer(processes):
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), answers[0][1][-2000:]
    return [out.split() for out, _ in answers]


@pytest.mark.usefixtures("machine_code")
def test_concurrent_processes_compile_later_ones_use_the_cache_and_a_changed_source_is_recompiled(
    start_python, tmp_path
):
    installed = tmp_path / "installed"
    shutil.copytree(PACKAGE, installed / "elman", ignore=shutil.ignore_patterns("__pycache__"))
    files = sorted(installed.rglob("*"))
    environment = {"PYTHONPATH": installed, "ELMAN_CACHE_DIR": tmp_path / "cache", "PYTHONDONTWRITEBYTECODE": "1"}

    two = processes_answer([start_python(TRIPLE, **environment) for _ in range(2)])
    folder = Path(two[0][2])
    assert two == [["False", "True", str(folder)]] * 2
    assert [file.name.startswith("elman_triple") for file in folder.iterdir()] == [True]

    written = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert processes_answer([start_python(TRIPLE, **environment)]) == [["True", "True", str(folder)]]
    assert written == {file: file.stat().st_mtime_ns for file in folder.iterdir()}

    with (installed / "elman" / "kernels" / "activations.py").open("a") as source:
        source.write("# not even compiled\n")
    ((is_compiled, _, other),) = processes_answer([start_python(TRIPLE, **environment)])
    assert is_compiled == "False"
    assert other != str(folder)
    assert sorted(installed.rglob("*")) == files  # what is installed may be read-only


WITHOUT_CACHE = f"""
import logging
logging.basicConfig(format="%(levelname)s %(message)s")
{TRIPLE}
"""


@pytest.mark.usefixtures("machine_code")
def test_everything_works_without_a_cache(start_python):
    process = start_python(WITHOUT_CACHE, ELMAN_CACHE_DIR="/dev/null/x")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-2000:]
    assert out.split() == ["False", "True", "None"]
    assert err.count("WARNING /dev/null/x/kernels") == 1
