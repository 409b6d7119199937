"""Vectors of float32, each in one processor register.

Every operation has two implementations. The Python one works on numpy arrays; it is the specification, and runs with
``NUMBA_DISABLE_JIT=1``. The compiled one becomes LLVM vector instructions, as wide as numba's target allows.

Addresses are plain integers in bytes; everything else counts float32 numbers.
"""

from __future__ import annotations

import ctypes
import operator
import os
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, overload, register_model

F32 = ir.FloatType()
I32 = ir.IntType(32)
I64 = ir.IntType(64)
SHIFT = 1.5 * 2.0**52 + 1023  # adding it rounds to an integer, aligned to the exponent bits of a float64
CONTRACT = ("contract",)  # a * b + c may be fused; nothing else may change, so NaN and infinity are preserved


@cache
def target() -> tuple[str, str, str]:
    """Return numba's compilation target: LLVM's triple, the processor's name and its features."""
    triple, processor, features = cpu_target.target_context.codegen().magic_tuple()
    return str(triple), str(processor), str(features)


@cache
def registers() -> str:
    """Find the widest registers of the target, zmm, ymm, xmm or v, in the assembly of a sum of 16 numbers."""
    triple, processor, features = target()
    module = ir.Module()
    module.triple = triple
    pointer = ir.VectorType(F32, 16).as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), "probe")
    builder = ir.IRBuilder(function.append_basic_block())
    values = builder.load(function.args[0])
    builder.store(builder.fadd(values, values), function.args[0])
    builder.ret_void()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=processor, features=features, opt=3)
    assembly = machine.emit_assembly(llvm.parse_assembly(str(module)))
    found = re.search(r"\b(zmm|ymm|xmm)\d|\b(v)\d+\.4s", assembly)
    return (found[1] or found[2]) if found else "xmm"


LANES = {"zmm": 16, "ymm": 8, "xmm": 4, "v": 4}[registers()]  # float32 in one register
VECTOR = ir.VectorType(F32, LANES)
INTEGERS = ir.VectorType(I32, LANES)


class Vector(types.Type):
    """The numba type of a vector register."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = Vector()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Vector) -> None:
        super().__init__(manager, numba_type, VECTOR)


# ---------------------------------------------------------------- building instructions; also used by tile.py


def pointer_to(builder: ir.IRBuilder, address: Any, index: Any = None, of: ir.Type = VECTOR) -> Any:
    """Turn an address and an index of float32 into a pointer."""
    pointer = builder.inttoptr(address, F32.as_pointer())
    if index is not None:
        pointer = builder.gep(pointer, [index])
    return builder.bitcast(pointer, of.as_pointer())


def emit_mask(builder: ir.IRBuilder, count: Any) -> Any:
    """Make the mask of the first ``count`` lanes."""
    lane = ir.Constant(ir.VectorType(I64, LANES), list(range(LANES)))
    return builder.icmp_signed("<", lane, emit_broadcast(builder, count, I64))


def emit_broadcast(builder: ir.IRBuilder, scalar: Any, of: ir.Type = F32) -> Any:
    """Copy one number to every lane."""
    undefined = ir.Constant(ir.VectorType(of, LANES), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(INTEGERS, [0] * LANES))


def emit_load(builder: ir.IRBuilder, pointer: Any, mask: Any = None) -> Any:
    """Load a vector; lanes outside the mask are zero and their memory is not touched."""
    if mask is None:
        loaded = builder.load(pointer)
        loaded.align = 4
        return loaded
    bits = mask.type
    declared = ir.FunctionType(VECTOR, [pointer.type, I32, bits, VECTOR])
    function = cgutils.get_or_insert_function(builder.module, declared, f"llvm.masked.load.v{LANES}f32.p0")
    return builder.call(function, [pointer, ir.Constant(I32, 4), mask, ir.Constant(VECTOR, None)])


def emit_store(builder: ir.IRBuilder, values: Any, pointer: Any, mask: Any = None) -> None:
    """Store a vector; memory outside the mask is not touched."""
    if mask is None:
        builder.store(values, pointer).align = 4
        return
    declared = ir.FunctionType(ir.VoidType(), [VECTOR, pointer.type, I32, mask.type])
    function = cgutils.get_or_insert_function(builder.module, declared, f"llvm.masked.store.v{LANES}f32.p0")
    builder.call(function, [values, pointer, ir.Constant(I32, 4), mask])


def emit_prefetch(builder: ir.IRBuilder, pointer: Any) -> None:
    """Prefetch the cache line at a byte pointer, for reading."""
    declared = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), I32, I32, I32])
    function = cgutils.get_or_insert_function(builder.module, declared, "llvm.prefetch.p0")
    builder.call(function, [pointer, ir.Constant(I32, 0), ir.Constant(I32, 3), ir.Constant(I32, 1)])


# ---------------------------------------------------------------- memory


def load(address: int, index: int, count: int) -> Any:
    """Load the vector ``index`` numbers after ``address``; lanes from ``count`` on are 0."""
    values = np.zeros(LANES, np.float32)
    count = max(0, min(count, LANES))
    values[:count] = floats(address, index, count)
    return values


@overload(load, strict=False)
def _load(address: Any, index: Any, count: Any) -> Any:
    return lambda address, index, count: (
        _load_all(address, index) if count >= LANES else _load_part(address, index, count)
    )


@intrinsic
def _load_all(typing: Any, address: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit_load(builder, pointer_to(builder, *arguments))

    return vector(types.intp, types.intp), generate


@intrinsic
def _load_part(typing: Any, address: Any, index: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit_load(builder, pointer_to(builder, *arguments[:2]), emit_mask(builder, arguments[2]))

    return vector(types.intp, types.intp, types.intp), generate


def store(address: int, index: int, count: int, values: Any) -> None:
    """Store the first ``count`` numbers of a vector, at most ``LANES``."""
    count = max(0, min(count, LANES))
    floats(address, index, count)[:] = values[:count]


@overload(store, strict=False)
def _store(address: Any, index: Any, count: Any, values: Any) -> Any:
    def implementation(address: int, index: int, count: int, values: Any) -> None:
        if count >= LANES:
            _store_all(address, index, values)
        else:
            _store_part(address, index, count, values)

    return implementation


@intrinsic
def _store_all(typing: Any, address: Any, index: Any, values: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit_store(builder, arguments[2], pointer_to(builder, *arguments[:2]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, vector), generate


@intrinsic
def _store_part(typing: Any, address: Any, index: Any, count: Any, values: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit_store(builder, arguments[3], pointer_to(builder, *arguments[:2]), emit_mask(builder, arguments[2]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, vector), generate


def prefetch(address: int, index: int) -> None:
    """Prefetch the cache line of a float32."""


@overload(prefetch, strict=False)
def _prefetch(address: Any, index: Any) -> Any:
    return lambda address, index: _prefetch_line(address, index)


@intrinsic
def _prefetch_line(typing: Any, address: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, index = arguments
        emit_prefetch(builder, pointer_to(builder, address, index, ir.IntType(8)))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


def transpose(source: int, source_stride: int, into: int, stride: int) -> None:
    """Transpose a square of ``LANES`` x ``LANES`` numbers into another place; strides count numbers."""
    for row in range(LANES):
        for column in range(LANES):
            put(into, column * stride + row, get(source, row * source_stride + column))


@overload(transpose, strict=False)
def _transpose(source: Any, source_stride: Any, into: Any, stride: Any) -> Any:
    return lambda source, source_stride, into, stride: _transpose_vectors(source, source_stride, into, stride)


@intrinsic
def _transpose_vectors(typing: Any, source: Any, source_stride: Any, into: Any, stride: Any) -> Any:
    """Interleave the rows of the two halves, number by number, log2(LANES) times, like a perfect shuffle of cards."""
    low = [lane // 2 + LANES * (lane % 2) for lane in range(LANES)]
    masks = [ir.Constant(INTEGERS, [lane + half for lane in low]) for half in (0, LANES // 2)]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, source_stride, into, stride = arguments
        at = lambda base, step, row: pointer_to(builder, base, builder.mul(step, ir.Constant(I64, row)))  # noqa: E731
        rows = [emit_load(builder, at(source, source_stride, row)) for row in range(LANES)]
        for _ in range(LANES.bit_length() - 1):
            pairs = zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True)
            rows = [builder.shuffle_vector(*pair, mask) for pair in pairs for mask in masks]
        for row, values in enumerate(rows):
            emit_store(builder, values, at(into, stride, row))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), generate


def floats(address: int, index: int, count: int) -> Any:
    """View memory as a numpy array of ``count`` float32; in Python only."""
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address + 4 * index))


def get(address: int, index: int) -> float:
    """Read one float32."""
    return np.float32(ctypes.c_float.from_address(address + 4 * index).value)  # type: ignore[return-value]


def put(address: int, index: int, value: float) -> None:
    """Write one float32."""
    ctypes.c_float.from_address(address + 4 * index).value = value


def get_double(address: int, index: int) -> float:
    """Read one float64."""
    return ctypes.c_double.from_address(address + 8 * index).value


def put_double(address: int, index: int, value: float) -> None:
    """Write one float64."""
    ctypes.c_double.from_address(address + 8 * index).value = value


def get_integer(address: int, index: int) -> int:
    """Read one int64."""
    return ctypes.c_int64.from_address(address + 8 * index).value


def put_integer(address: int, index: int, value: int) -> None:
    """Write one int64."""
    ctypes.c_int64.from_address(address + 8 * index).value = value


def get_byte(address: int, index: int) -> int:
    """Read one int8."""
    return ctypes.c_int8.from_address(address + index).value


def put_byte(address: int, index: int, value: int) -> None:
    """Write one int8."""
    ctypes.c_int8.from_address(address + index).value = value


def _compile_scalar(read: Callable[..., Any], write: Callable[..., Any], number: Any) -> None:
    """Define the compiled forms of two functions that read and write one number of a type."""
    zero = number(0)

    @overload(read, strict=False)
    def reading(address: Any, index: Any) -> Any:
        return lambda address, index: _get_scalar(address, index, zero)

    @overload(write, strict=False)
    def writing(address: Any, index: Any, value: Any) -> Any:
        return lambda address, index, value: _put_scalar(address, index, number(value))


@intrinsic
def _get_scalar(typing: Any, address: Any, index: Any, like: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        scalar = context.get_value_type(like)
        pointer = builder.gep(builder.inttoptr(arguments[0], scalar.as_pointer()), [arguments[1]])
        return builder.load(pointer)

    return like(types.intp, types.intp, like), generate


@intrinsic
def _put_scalar(typing: Any, address: Any, index: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        scalar = context.get_value_type(value)
        builder.store(arguments[2], builder.gep(builder.inttoptr(arguments[0], scalar.as_pointer()), [arguments[1]]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, value), generate


_compile_scalar(get, put, np.float32)
_compile_scalar(get_double, put_double, np.float64)
_compile_scalar(get_integer, put_integer, np.int64)
_compile_scalar(get_byte, put_byte, np.int8)


def power_of_two(shifted: float) -> float:
    """Compute 2ⁿ from the bits of ``SHIFT`` + n, for integers n in -1022 … 1023."""
    return (np.float64(shifted).view(np.int64) << np.int64(52)).view(np.float64)


def _emit_power_of_two(builder: ir.IRBuilder, shifted: Any) -> Any:
    return builder.bitcast(builder.shl(builder.bitcast(shifted, I64), ir.Constant(I64, 52)), ir.DoubleType())


def add_atomically(address: int, number: int) -> int:
    """Atomically add to an int64 and return its previous value."""
    before = get_integer(address, 0)
    put_integer(address, 0, before + number)
    return before


@overload(add_atomically, strict=False)
def _add_atomically(address: Any, number: Any) -> Any:
    return lambda address, number: _atomic_add(address, np.int64(number))


@intrinsic
def _atomic_add(typing: Any, address: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(arguments[0], I64.as_pointer()), arguments[1], "seq_cst")

    return types.intp(types.intp, types.intp), generate


def read_atomically(address: int) -> int:
    """Read an int64 that another thread writes; everything that thread wrote before is then visible (acquire)."""
    return get_integer(address, 0)


def _emit_read_atomically(builder: ir.IRBuilder, address: Any) -> Any:
    return builder.load_atomic(builder.inttoptr(address, I64.as_pointer()), "acquire", 8)


def _compile_unary(function: Callable[..., Any], number: Any, emit: Callable[..., Any]) -> None:
    """Define the compiled form of a function from one number to another of the same type."""

    @intrinsic
    def call(typing: Any, value: Any) -> Any:
        return number(number), lambda context, builder, signature, arguments: emit(builder, arguments[0])

    @overload(function, strict=False)
    def implementation(value: Any) -> Any:
        return lambda value: call(value)


_compile_unary(power_of_two, types.float64, _emit_power_of_two)
_compile_unary(read_atomically, types.intp, _emit_read_atomically)


def write_atomically(address: int, number: int) -> None:
    """Write an int64 that other threads read, after everything written before (release)."""
    put_integer(address, 0, number)


@overload(write_atomically, strict=False)
def _write_atomically(address: Any, number: Any) -> Any:
    return lambda address, number: _atomic_store(address, np.int64(number))


@intrinsic
def _atomic_store(typing: Any, address: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], builder.inttoptr(arguments[0], I64.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


def yield_thread() -> None:
    """Let another thread run, if the operating system has a call for it."""


_yield = types.ExternalFunction("sched_yield", types.int32())


@overload(yield_thread, strict=False)
def _yield_thread() -> Any:
    if os.name != "posix":
        return lambda: None

    def implementation() -> None:
        _yield()

    return implementation


# ---------------------------------------------------------------- arithmetic


def spread(number: float) -> Any:
    """Broadcast one number to a vector."""
    return np.full(LANES, number, np.float32)


@overload(spread, strict=False)
def _spread(number: Any) -> Any:
    return lambda number: _spread_float(np.float32(number))


@intrinsic
def _spread_float(typing: Any, number: Any) -> Any:
    return vector(types.float32), lambda context, builder, signature, arguments: emit_broadcast(builder, arguments[0])


def at_least(x: Any, low: Any) -> Any:
    """Clamp x to at least ``low``; NaN stays NaN."""
    return np.where(x < low, low, x)


def at_most(x: Any, high: Any) -> Any:
    """Clamp x to at most ``high``; NaN stays NaN."""
    return np.where(x > high, high, x)


def where_positive(x: Any, values: Any) -> Any:
    """Select the values where x is above 0 (or NaN), else 0."""
    return np.where(x <= 0, np.float32(0), values)


def _compile_binary(function: Callable[..., Any], emit: Callable[..., Any]) -> None:
    """Define the compiled form of a function of two vectors, or of a vector and a number."""

    @intrinsic
    def call(typing: Any, left: Any, right: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            both = zip(arguments, signature.args, strict=True)
            return emit(builder, *(value if kind == vector else emit_broadcast(builder, value) for value, kind in both))

        return vector(*(kind if kind == vector else types.float32 for kind in (left, right))), generate

    @overload(function, strict=False)
    def implementation(left: Any, right: Any) -> Any:
        return (lambda left, right: call(left, right)) if vector in (left, right) else None


def _instruction(name: str) -> Callable[..., Any]:
    return lambda builder, left, right: getattr(builder, name)(left, right, flags=CONTRACT)


def _select(comparison: str) -> Callable[..., Any]:
    """Select the right operand where the comparison holds, else the left one."""
    return lambda builder, left, right: builder.select(builder.fcmp_ordered(comparison, left, right), right, left)


def _emit_where_positive(builder: ir.IRBuilder, x: Any, values: Any) -> Any:
    zero = ir.Constant(VECTOR, None)
    return builder.select(builder.fcmp_ordered("<=", x, zero), zero, values)


_compile_binary(operator.add, _instruction("fadd"))
_compile_binary(operator.sub, _instruction("fsub"))
_compile_binary(operator.mul, _instruction("fmul"))
_compile_binary(operator.truediv, _instruction("fdiv"))
_compile_binary(at_least, _select("<"))
_compile_binary(at_most, _select(">"))
_compile_binary(where_positive, _emit_where_positive)
