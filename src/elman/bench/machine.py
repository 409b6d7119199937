"""A description of this machine as far as it affects speed, for the head of a table and for ``elman doctor``."""

from __future__ import annotations

import os
import pkgutil
import platform
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from elman.errors import UsageError

PACKAGES = ("elman", "torch", "numba", "llvmlite", "numpy")
CASES = {  # batch size, padded or not, with a backward pass or not
    "training": (16, False, True),
    "evaluation": (16, False, False),
    "padded batches": (16, True, True),
    "one stream": (1, False, False),
}
HIDDEN_SIZE = 384  # of the default language model


def diagnose(*, compile_now: bool = False) -> dict[str, Any]:
    """Describe this machine, even if something on it is broken.

    Args:
        compile_now: compile every kernel first.

    Returns:
        JSON values: ``versions``, ``processor``, ``target`` (what numba compiles for), ``registers``, ``tile``,
        ``cores``, ``threads``, ``threading_layer``, ``backends``, ``cache``, ``kernels`` (whether each is compiled, by
        name), with ``compile_now`` also ``compile_seconds``. Values that cannot be determined are None, and
        ``problems`` says why.
    """
    finders: dict[str, Callable[[], Any]] = {
        "versions": package_versions,
        "processor": processor,
        "target": compile_target,
        "registers": vector_registers,
        "tile": tile_shape,
        "cores": cores,
        "threads": torch.get_num_threads,
        "threading_layer": threading_layer,
        "backends": backends,
        "cache": cache,
        "kernels": lambda: {name: kernel.is_compiled for name, kernel in kernels().items()},
    }
    if compile_now:
        finders = {"compile_seconds": compile_kernels, **finders}
    found: dict[str, Any] = {}
    problems = []
    for name, find in finders.items():
        try:
            found[name] = find()
        except Exception as error:  # report the problem and continue
            found[name] = None
            problems.append(f"{name}: {type(error).__name__}: {error}")
    return {**found, "problems": problems}


def headline(also: Sequence[str] = ()) -> list[str]:
    """Return machine, threads and versions as two lines; ``also`` names additional packages."""
    versions = ", ".join(f"{name} {number}" for name, number in package_versions((*PACKAGES, *also)).items())
    threads = f"threads {torch.get_num_threads()} ({threading_layer()})"
    return [f"{processor()} ({compile_target()['processor']}), cores {cores()}, {threads}", versions]


def package_versions(packages: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Return the versions of Python and of packages; None for packages that are not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def compile_target() -> dict[str, Any]:
    """Return numba's target: ``triple``, ``processor``, and the list of ``features`` that it may use."""
    from elman.kernels.vector import target

    triple, name, features = target()
    return {
        "triple": triple,
        "processor": name,
        "features": [word[1:] for word in features.split(",") if word.startswith("+")],
    }


def vector_registers() -> dict[str, Any]:
    """Return the ``name`` of the vector registers and their size in ``bits``."""
    from elman.kernels.vector import LANES, registers

    return {"name": registers(), "bits": 32 * LANES}


def tile_shape() -> list[int]:
    """Return the rows and columns that a matrix product computes at a time in registers."""
    from elman.kernels.tile import ROWS, WIDTH

    return [ROWS, WIDTH]


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threading_layer() -> str:
    """Return which threads run the kernels."""
    from elman.kernels.threads import layer

    return layer()


def backends() -> list[dict[str, str]]:
    """Return the ``backend`` that "auto" chooses for each ``cell`` and ``case``, and the ``reason``."""
    from elman.nn.backends import choose_backend
    from elman.nn.cells import CELLS

    found = []
    for name, cell in CELLS.items():
        for case, (batch, is_padded, is_training) in CASES.items():
            lengths = torch.ones(batch, dtype=torch.int64) if is_padded else None
            inputs = torch.zeros(64, batch, HIDDEN_SIZE)
            backend, reason = choose_backend("auto", cell, inputs, HIDDEN_SIZE, lengths, is_training)
            found.append({"cell": name, "case": case, "backend": backend, "reason": reason})
    return found


def cache() -> str | None:
    """Return the folder of the compiled kernels; None if it cannot be written."""
    from elman.kernels.compiler import cache_folder

    folder = cache_folder()
    return None if folder is None else str(folder)


def kernels() -> dict[str, Any]:
    """Return the kernels by name.

    Raises:
        UsageError: numba's compiler is switched off.
    """
    package = import_module("elman.kernels")
    compiler = import_module("elman.kernels.compiler")
    if compiler.IS_JIT_OFF:
        raise UsageError("NUMBA_DISABLE_JIT is set, so the kernels run as Python, many times slower; unset it")
    modules = [import_module(f"elman.kernels.{module.name}") for module in pkgutil.iter_modules(package.__path__)]
    found = (value for module in modules for value in vars(module).values() if isinstance(value, compiler.Kernel))
    return {kernel.name: kernel for kernel in sorted(found, key=lambda kernel: kernel.name)}


def compile_kernels() -> float:
    """Compile the kernels that are not yet compiled; return the time in seconds."""
    began = time.perf_counter()
    for kernel in kernels().values():
        kernel.address  # noqa: B018 (the property compiles)
    return time.perf_counter() - began
