"""Kernels on several threads: torch's own OpenMP threads if possible, otherwise Python threads.

Torch's threads spin while they wait, so a second pool would compete with them for the cores. Therefore kernels run in
torch's pool, through the entry point of GCC's OpenMP library for compiled code. Python threads call the kernels where
that library is missing (masked, macOS, Windows) and in a forked process, where OpenMP would wait for threads that were
not forked. Kernels do not hold the GIL.
"""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from elman.kernels.compiler import IS_JIT_OFF, Kernel

MASK_VARIABLE = "ELMAN_NO_OPENMP"
PROCESS = os.getpid()
UNLIMITED = 2**31 - 1  # OpenMP's thread limit if the user has not set OMP_THREAD_LIMIT


def run(kernel: Kernel, *arguments: int, tickets: int) -> None:
    """Run a kernel for each of the tickets 0 … tickets - 1, on as many threads as torch uses.

    Threads take tickets in no fixed order, so results must not depend on it.
    """
    if IS_JIT_OFF:
        for ticket in range(tickets):
            kernel.python(ticket, *arguments)
        return
    block = _block(kernel, arguments, tickets)
    num_threads = min(tickets, torch.get_num_threads())
    if num_threads < 2:
        _c_function(kernel.address)(block)
    elif (openmp := _openmp()) is not None:
        openmp.GOMP_parallel(kernel.address, block, num_threads, 0)
    else:
        call = _c_function(kernel.address)
        others = [_pool(os.getpid()).submit(call, block) for _ in range(num_threads - 1)]
        call(block)
        for other in others:
            other.result()


def run_together(kernel: Kernel, *arguments: int, tickets: int) -> None:
    """Run a kernel for all tickets at the same time, each in its own thread, so that they can wait for each other.

    Python threads are also used if OpenMP might start fewer threads than requested.
    """
    if tickets == 1:
        run(kernel, *arguments, tickets=1)
        return
    block = _block(kernel, arguments, tickets)
    openmp = _openmp()
    if openmp is not None and _starts_as_many_as_asked(openmp):
        openmp.GOMP_parallel(kernel.address, block, tickets, 0)
        return
    call = _c_function(kernel.address)
    others = [Thread(target=call, args=(block,), daemon=True) for _ in range(tickets - 1)]
    for other in others:
        other.start()
    call(block)
    for other in others:
        other.join()


def _block(kernel: Kernel, arguments: tuple[int, ...], tickets: int) -> Any:
    """Lay out the arguments that the machine code reads; it cannot check their number."""
    if len(arguments) != kernel.num_arguments:
        raise TypeError(f"{kernel.name} takes {kernel.num_arguments} arguments after the ticket, got {len(arguments)}")
    return (ctypes.c_int64 * (2 + len(arguments)))(0, tickets, *arguments)


def layer() -> str:
    """Return which threads run the kernels: ``openmp`` (torch's own) or ``python``."""
    return "python" if _openmp() is None else "openmp"


@cache
def _c_function(address: int) -> Any:
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)


def _openmp() -> Any:
    """Return torch's OpenMP library if it is GCC's and may be used, otherwise None."""
    return _library() if os.getpid() == PROCESS else None


@cache
def _library() -> Any:
    if os.environ.get(MASK_VARIABLE):
        return None
    bundled = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    for name in (*map(str, bundled), "libgomp.so.1"):
        try:
            library = ctypes.CDLL(name)
            library.GOMP_parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
            library.GOMP_parallel.restype = None
        except (OSError, AttributeError):
            continue
        return library
    return None


def _starts_as_many_as_asked(openmp: Any) -> bool:
    """Return whether OpenMP starts all threads it is asked for; with fewer, the others would wait forever."""
    is_limited = openmp.omp_get_thread_limit() < UNLIMITED or openmp.omp_get_max_active_levels() < 1
    return not (openmp.omp_get_dynamic() or is_limited or openmp.omp_in_parallel())


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return this process's pool of Python threads; a forked child creates its own."""
    return ThreadPoolExecutor(thread_name_prefix="elman-kernel")
