"""From Python functions to machine code, compiled once by numba and kept in the user's cache folder.

A kernel takes integers only (addresses and sizes). Several threads may run it at once; each takes the next ticket until
none is left. ``threads.run`` calls it:

    @kernel
    def scale(ticket, values, count): ...

The cache holds plain object code. The name of its folder is a hash of every file in this package, the versions of numba
and llvmlite, and the target processor, so a stale kernel is never used. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from elman.files import cache_root
from elman.kernels.vector import add_atomically, get_integer, target

logger = logging.getLogger(__name__)
IS_JIT_OFF = bool(numba.config.DISABLE_JIT)
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}

LIBRARY = {"memset", "memcpy", "sched_yield"}  # functions of the C library, which every process has

_lock = threading.RLock()
_engines: list[Any] = []  # owners of the machine code
_symbols: list[_Compiled] = []  # functions that kernels call by name


def inline(function: Callable[..., Any]) -> Any:
    """Make a function callable from kernels; it is compiled into each of them."""
    return function if IS_JIT_OFF else numba.njit(**OPTIONS)(function)


def linked(function: Callable[..., Any]) -> Any:
    """Make a function of integers without a result callable from kernels; it is compiled separately, once."""
    if IS_JIT_OFF:
        return function
    integers = [types.intp] * len(inspect.signature(function).parameters)
    compiled = _Compiled(function, lambda: function, types.void(*integers))
    _symbols.append(compiled)
    return types.ExternalFunction(compiled.symbol, types.void(*integers))


def kernel(function: Callable[..., None]) -> Kernel:
    """Make a kernel of ``function(ticket, *integers)``."""
    return Kernel(function)


class Kernel:
    """A compiled function of a ticket and integers.

    Attributes:
        name: the function's name.
        python: the Python function.
        num_arguments: the number of arguments after the ticket.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.name = function.__name__
        self.python = function
        self.num_arguments = len(inspect.signature(function).parameters) - 1
        self._compiled = _Compiled(function, self._entry, types.void(types.intp))

    @property
    def address(self) -> int:
        """The machine code, a C function of a pointer to int64: the next ticket, their number, the arguments."""
        return self._compiled.address

    @property
    def is_compiled(self) -> bool:
        """Whether the machine code is loaded or in the cache."""
        return self._compiled.is_compiled

    @property
    def assembly(self) -> str:
        """The machine code as assembly; compiles again."""
        return str(_machine().emit_assembly(self._compiled.module()))

    def _entry(self) -> Callable[[int], None]:
        """Wrap the function in the loop of a thread: take a ticket, run the function, take the next ticket."""
        function = inline(self.python)
        load_arguments = _load_arguments(self.num_arguments)

        def entry(block: int) -> None:
            arguments = load_arguments(block)
            ticket = add_atomically(block, 1)
            while ticket < get_integer(block, 1):
                function(ticket, *arguments)
                ticket = add_atomically(block, 1)

        return entry


def _load_arguments(count: int) -> Any:
    @intrinsic
    def load_arguments(typing: Any, block: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
            indices = (ir.Constant(ir.IntType(64), 2 + index) for index in range(count))
            return cgutils.pack_array(builder, [builder.load(builder.gep(pointer, [index])) for index in indices])

        result: Any = types.UniTuple(types.intp, count)  # type: ignore[attr-defined]
        return result(types.intp), generate

    return load_arguments


# ---------------------------------------------------------------- machine code and its cache


class _Compiled:
    """A C function, loaded from the cache or compiled and stored there."""

    def __init__(self, function: Callable[..., Any], make: Callable[[], Callable[..., Any]], signature: Any) -> None:
        self.symbol = f"elman_{function.__name__}"
        code = function.__code__  # hashed because the folder's name covers only kernels in this package
        content = hashlib.sha256(repr((code.co_code, code.co_names, code.co_consts)).encode())
        self._file_name = f"{self.symbol}-{content.hexdigest()[:8]}.o"
        self._make = make
        self._signature = signature
        self._address: int | None = None

    @property
    def address(self) -> int:
        if self._address is None:
            with _lock:
                if self._address is None:
                    self._address = self._load()
        return self._address

    @property
    def is_compiled(self) -> bool:
        return self._address is not None or self._read() is not None

    def _load(self) -> int:
        _link(self)
        code = self._read()
        if code is None:
            code = self._compile()
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        _engines.append(engine)
        return int(engine.get_function_address(self.symbol))

    def module(self) -> Any:
        """Compile to an optimized LLVM module, which is self-contained except for the linked functions."""
        _link(self)
        function = numba.cfunc(self._signature, **OPTIONS)(self._make())
        module = llvm.parse_assembly(function.inspect_llvm())
        module.get_function(function.native_name).name = self.symbol
        for defined in module.functions:
            if not defined.is_declaration and defined.name != self.symbol:
                defined.linkage = "internal"  # lets LLVM see that no function can fail and drop numba's error handling
        builder = llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options(speed_level=3))
        builder.getModulePassManager().run(module, builder)
        calls = {
            other.name for other in module.functions if other.is_declaration and not other.name.startswith("llvm.")
        }
        if unknown := calls - {known.symbol for known in _symbols} - LIBRARY:
            raise AssertionError(f"{self.symbol} calls {sorted(unknown)}, which will be missing when it is loaded")
        return module

    def _compile(self) -> bytes:
        _announce()
        start = time.perf_counter()
        code = bytes(_machine().emit_object(self.module()))
        logger.debug("compiled %s in %.1f s", self.symbol, time.perf_counter() - start)
        folder = cache_folder()
        if folder is not None:
            try:
                with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
                    file.write(hashlib.sha256(code).digest() + code)
                Path(file.name).replace(folder / self._file_name)
            except OSError as error:  # a full disk, or a deleted folder
                logger.warning("%s could not be saved in %s: %s", self.symbol, folder, error)
        return code

    def _read(self) -> bytes | None:
        folder = cache_folder()
        try:
            content = (folder / self._file_name).read_bytes() if folder else b""
        except OSError:
            return None
        checksum, code = content[:32], content[32:]
        return code if checksum == hashlib.sha256(code).digest() and code else None


def _link(user: _Compiled) -> None:
    """Make the linked functions known to LLVM before other code is compiled or loaded."""
    if user not in _symbols:
        for function in _symbols:
            llvm.add_symbol(function.symbol, function.address)


@cache
def _announce() -> None:
    logger.info("compiling the kernels for this processor (%s); this takes some seconds, once", target()[1])


@cache
def _machine() -> Any:
    triple, processor, features = target()
    found = llvm.Target.from_triple(triple)
    options = {
        "opt": 3,
        "reloc": "default",
        "codemodel": "jitdefault",
        "jit": True,  # code and its callees may be far apart in memory
    }
    return found.create_target_machine(cpu=processor, features=features, **options)


@cache
def cache_folder() -> Path | None:
    """Return the folder for exactly these kernels in the user's cache, or None if it cannot be written."""
    digest = hashlib.sha256(repr((target(), numba.__version__, llvmlite.__version__)).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    folder = cache_root() / "kernels" / digest.hexdigest()[:20]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        logger.warning("%s cannot be written (%s): the kernels are compiled again in each process", folder, error)
        return None
