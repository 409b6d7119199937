"""The matrix product against numpy's: exact on whole numbers, within bounds on others, touching no other memory.

Sums of products of small whole numbers are exact in float32, in any order; so a wrong index, a missed or a doubled term
shows, and nothing else does. Between and around the matrices lies NaN, which would spread if it were read.
"""

import platform

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from elman.kernels import compiler, tile, vector
from elman.kernels.compiler import IS_JIT_OFF, kernel
from elman.kernels.threads import run
from elman.kernels.tile import (
    DEPTH,
    LANES,
    ROWS,
    STRIP,
    TERMS,
    WIDTH,
    multiply,
    multiply_rows,
    multiply_transposed,
    pack,
)

NAN = np.float32(np.nan)
UNTOUCHED = np.float32(4321.5)  # no sum of whole numbers


@kernel
def multiply_alone(
    ticket: int, rows: int, columns: int, depth: int, start: int, start_stride: int, a: int, a_row: int, a_depth: int,
    panels: int, c: int, c_stride: int,
) -> None:  # fmt: skip
    multiply(rows, columns, depth, start, start_stride, a, a_row, a_depth, panels, c, c_stride)


def whole_numbers(*shape, seed=0):
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def spaced(matrix, gap, fill=NAN):
    """Lay out a matrix with ``gap`` numbers after each row; return its memory and its row stride."""
    memory = np.full((len(matrix), matrix.shape[1] + gap), fill, np.float32)
    memory[:, : matrix.shape[1]] = matrix
    return memory, matrix.shape[1] + gap


def address(array):
    return array.ctypes.data


def packed(b):
    """Pack B (depth, columns) from its layout in memory."""
    depth, columns = b.shape
    num_panels = -(-columns // WIDTH)
    panels = np.full(num_panels * depth * WIDTH, NAN, np.float32)
    strides = [stride // 4 for stride in b.strides]
    run(pack, columns, depth, address(b), *strides, address(panels), tickets=num_panels)
    return panels


def edges(size):
    return sorted({1, size - 1, size, size + 1, 2 * size + 3} - {0})


# ---------------------------------------------------------------- panels


@pytest.mark.parametrize("columns", edges(WIDTH))
@pytest.mark.parametrize("depth", [1, 5])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_panels_hold_the_matrix_and_zeros(columns, depth, is_transposed):
    b = whole_numbers(columns, depth).T if is_transposed else whole_numbers(depth, columns)
    panels = packed(b).reshape(-1, depth, WIDTH)
    whole = np.concatenate(list(panels), axis=1)
    np.testing.assert_array_equal(whole[:, :columns], b)
    assert not whole[:, columns:].any()


@pytest.mark.parametrize("is_transposed", [False, True])
def test_part_of_a_matrix_is_packed_without_a_copy(is_transposed):
    wide, _ = spaced(whole_numbers(WIDTH + 3, 4), 5)
    part = wide[:, :4].T if is_transposed else wide[:, :4]
    depth, columns = part.shape
    whole = np.concatenate(list(packed(part).reshape(-1, depth, WIDTH)), axis=1)
    np.testing.assert_array_equal(whole[:, :columns], part)


# ---------------------------------------------------------------- C = D + A·B


def check_product(load, rows, columns, depth, start, gaps, is_a_transposed):
    a, b = whole_numbers(rows, depth, seed=1), whole_numbers(depth, columns, seed=2)
    a_gap, c_gap, d_gap = gaps
    if is_a_transposed:
        memory, stride = spaced(a.T, a_gap)
        a_row, a_depth = 1, stride
    else:
        memory, a_row = spaced(a, a_gap)
        a_depth = 1
    d = whole_numbers(1 if start == "row" else rows, columns, seed=3)
    c_memory, c_stride = spaced(d if start == "itself" else np.zeros((rows, columns)), c_gap, UNTOUCHED)
    d_memory, d_stride = (c_memory, c_stride) if start == "itself" else spaced(d, d_gap)
    panels = packed(b)
    run(
        load(multiply_alone), rows, columns, depth, address(d_memory), 0 if start == "row" else d_stride,
        address(memory), a_row, a_depth, address(panels), address(c_memory), c_stride, tickets=1,
    )  # fmt: skip
    np.testing.assert_array_equal(c_memory[:, :columns], d + a @ b)
    assert np.all(c_memory[:, columns:] == UNTOUCHED)


@pytest.mark.parametrize("start", ["row", "matrix", "itself"])
@pytest.mark.parametrize("rows", range(1, 2 * ROWS + 2))
def test_every_number_of_rows(load, rows, start):
    check_product(load, rows, WIDTH + 1, 7, start, (3, 2, 1), is_a_transposed=False)


@pytest.mark.parametrize("columns", range(1, 2 * WIDTH + 2))
def test_every_number_of_columns(load, columns):
    check_product(load, ROWS + 1, columns, 3, "matrix", (0, 5, 0), is_a_transposed=True)


@pytest.mark.parametrize("rows", [1, 2, 4, ROWS])  # which add 4, 2 and 1 terms at a time
@pytest.mark.parametrize("depth", [*range(1, 10), *edges(DEPTH), 3 * DEPTH])
def test_every_depth(load, rows, depth):
    check_product(load, rows, LANES + 1, depth, "matrix", (1, 0, 0), is_a_transposed=False)


SIZES = some.integers(1, 50 if IS_JIT_OFF else 150)


@settings(max_examples=20 if IS_JIT_OFF else 100, derandomize=True)
@given(
    sizes=some.tuples(SIZES, SIZES, SIZES),
    start=some.sampled_from(["row", "matrix", "itself"]),
    gaps=some.tuples(*[some.integers(0, 20)] * 3),
    is_a_transposed=some.booleans(),
)
def test_any_product_is_exact_on_whole_numbers(load, sizes, start, gaps, is_a_transposed):
    check_product(load, *sizes, start, gaps, is_a_transposed)


@pytest.mark.parametrize("depth", [1, 7, 300])
def test_rounding_stays_within_its_bound(load, depth):
    rows, columns = 2 * ROWS + 3, WIDTH + 1
    draw = np.random.default_rng(0).standard_normal
    a, b, d = (draw(shape).astype(np.float32) for shape in ((rows, depth), (depth, columns), (rows, columns)))
    c, panels = np.empty_like(d), packed(b)
    run(
        load(multiply_alone), rows, columns, depth, address(d), columns, address(a), depth, 1, address(panels),
        address(c), columns, tickets=1,
    )  # fmt: skip
    exact = d + a.astype(np.float64) @ b
    # Higham (2002), "Accuracy and stability of numerical algorithms", 3.1: each of depth + 1 additions rounds by
    # at most 2^-24 of what the absolute values add up to; so does each product where none is fused with its addition.
    bound = (depth + 2) * 2.0**-24 * (np.abs(d) + np.abs(a).astype(np.float64) @ np.abs(b))
    assert np.all(np.abs(c - exact) <= bound)


def test_nan_and_infinity_affect_only_their_row_and_column(load):
    rows, columns, depth = ROWS + 3, WIDTH + 3, 9
    a, b = whole_numbers(rows, depth, seed=1), np.abs(whole_numbers(depth, columns, seed=2)) + 1
    a[2, 3], a[5, 0], b[4, WIDTH + 1] = np.nan, np.inf, -np.inf
    a[:, 4] = np.abs(a[:, 4]) + 1
    c, panels, zeros = np.empty((rows, columns), np.float32), packed(b), np.zeros(columns, np.float32)
    run(
        load(multiply_alone), rows, columns, depth, address(zeros), 0, address(a), depth, 1, address(panels),
        address(c), columns, tickets=1,
    )  # fmt: skip
    np.testing.assert_array_equal(c, a @ b)
    assert np.isnan(c[2]).all()
    assert np.isinf(c[5]).sum() == columns - 1
    assert np.isnan(c).sum() == columns + 1


# ---------------------------------------------------------------- the kernels made of it


@pytest.mark.parametrize("rows", [1, 5, 12, 13])
@pytest.mark.parametrize("block", [1, 4, 6, 100])
def test_blocks_of_rows_equal_the_whole(rows, block):
    columns, depth = WIDTH + 2, 5
    a, b, d = whole_numbers(rows, depth, seed=1), whole_numbers(depth, columns, seed=2), whole_numbers(columns, seed=3)
    memory, a_row = spaced(a, 4)
    c, stride = spaced(np.zeros((rows, columns)), 3, UNTOUCHED)
    panels = packed(b)
    run(
        multiply_rows, block, rows, columns, depth, address(d), 0, address(memory), a_row, address(panels), address(c),
        stride, tickets=-(-rows // block),
    )  # fmt: skip
    np.testing.assert_array_equal(c[:, :columns], d + a @ b)
    assert np.all(c[:, columns:] == UNTOUCHED)


def check_transposed(rows, columns, depth, block, gaps, has_numbers, has_places):
    """``has_numbers``: A's rows name those of B that they go with; ``has_places``: B's rows lie scattered among NaN."""
    draw = np.random.default_rng(5)
    a, c_0 = whole_numbers(depth, rows, seed=1), whole_numbers(rows, columns, seed=2)
    b, first = whole_numbers(depth, columns, seed=3), whole_numbers(4, columns, seed=4)
    numbers = draw.integers(-4, depth, depth) if has_numbers else np.arange(depth)
    wanted = np.where(numbers[:, None] >= 0, b[np.maximum(numbers, 0)], first[np.maximum(-1 - numbers, 0)])
    places = draw.permutation(depth + 7)[:depth] if has_places else np.arange(depth)
    scattered = np.full((depth + 7, columns), NAN, np.float32)
    scattered[places] = b
    (a_memory, a_stride), (b_memory, b_stride) = spaced(a, gaps[0]), spaced(scattered, gaps[1])
    tickets = -(-rows // block)
    room = TERMS * (columns + WIDTH + STRIP)
    scratch = np.full(tickets * room + 1, UNTOUCHED, np.float32)
    where = (address(numbers), address(first)) if has_numbers else (0, 0)
    zeros = np.zeros(WIDTH, np.float32)
    for begins, before in ((False, c_0), (True, np.full_like(c_0, NAN))):  # what C holds is added to, or not looked at
        c_memory, c_stride = spaced(before, gaps[2], UNTOUCHED)
        run(
            multiply_transposed, block, rows, columns, depth, address(a_memory), a_stride, address(b_memory), b_stride,
            *where, address(places) if has_places else 0, address(scratch), room, address(zeros) if begins else 0,
            address(c_memory), c_stride, tickets=tickets,
        )  # fmt: skip
        np.testing.assert_array_equal(c_memory[:, :columns], a.T @ wanted + (0 if begins else c_0))
        assert np.all(c_memory[:, columns:] == UNTOUCHED)
        assert scratch[-1] == UNTOUCHED


@pytest.mark.parametrize(("has_numbers", "has_places"), [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("depth", edges(TERMS))
@pytest.mark.parametrize(("rows", "block"), [(1, 8), (9, 8), (STRIP + 1, 2 * STRIP), (2 * STRIP + 5, STRIP)])
def test_a_transposed_product_at_its_edges(rows, block, depth, has_numbers, has_places):
    check_transposed(rows, WIDTH + 1, depth, block, (1, 2, 3), has_numbers, has_places)


@settings(max_examples=10 if IS_JIT_OFF else 60, derandomize=True)
@given(
    sizes=some.tuples(SIZES, SIZES, SIZES),
    block=some.integers(1, 150),
    gaps=some.tuples(*[some.integers(0, 20)] * 3),
    has_numbers=some.booleans(),
    has_places=some.booleans(),
)
def test_any_transposed_product_is_exact_on_whole_numbers(sizes, block, gaps, has_numbers, has_places):
    check_transposed(*sizes, block, gaps, has_numbers, has_places)


# ---------------------------------------------------------------- memory


GUARDED = """
import ctypes, itertools, mmap
import numpy as np
import torch
from elman.kernels import ops
from elman.kernels.threads import run
from elman.kernels.tile import DEPTH, LANES, STRIP, TERMS, WIDTH, multiply_rows, multiply_transposed, pack

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

def guarded(*shape, at_start=False):
    # a matrix whose last number (or first) borders on memory that ends the process if it is touched
    size = 4 * int(np.prod(shape))
    pages = -(-size // mmap.PAGESIZE) + 2
    memory = mmap.mmap(-1, pages * mmap.PAGESIZE)
    kept.append(memory)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages - 1):
        assert libc.mprotect(base + page * mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0
    first = base + mmap.PAGESIZE if at_start else base + (pages - 1) * mmap.PAGESIZE - size
    return np.frombuffer((ctypes.c_float * int(np.prod(shape))).from_address(first), np.float32).reshape(shape)

kept = []
for at_start in (False, True):
    for rows, columns, depth in ((1, 1, 1), (7, WIDTH - 1, 3), (13, WIDTH + 1, 5), (17, LANES + 1, DEPTH + 1)):
        a, b, c, d = (guarded(*shape, at_start=at_start) for shape in
                      ((rows, depth), (depth, columns), (rows, columns), (columns,)))
        for matrix in (a, b, d):
            matrix[:] = np.random.default_rng(0).integers(-8, 9, matrix.shape)
        tickets = -(-columns // WIDTH)
        for layout in (b, np.asfortranarray(b)):
            if layout is not b:
                turned = guarded(columns, depth, at_start=at_start)
                turned[:] = b.T
                layout = turned.T
            panels = guarded(tickets * depth * WIDTH, at_start=at_start)
            strides = [stride // 4 for stride in layout.strides]
            run(pack, columns, depth, layout.ctypes.data, *strides, panels.ctypes.data, tickets=tickets)
            run(multiply_rows, 64, rows, columns, depth, d.ctypes.data, 0, a.ctypes.data, depth, panels.ctypes.data,
                c.ctypes.data, columns, tickets=1)
            assert np.array_equal(c, d + a @ b)
        e, total = guarded(rows, columns, at_start=at_start), guarded(depth, columns, at_start=at_start)
        e[:], total[:] = c, 0
        room = TERMS * (columns + WIDTH + STRIP)
        scratch = guarded(room, at_start=at_start)
        run(multiply_transposed, 256, depth, columns, rows, a.ctypes.data, depth, e.ctypes.data, columns, 0, 0, 0,
            scratch.ctypes.data, room, 0, total.ctypes.data, columns, tickets=1)
        assert np.array_equal(total, a.T @ e)

    for mode, gates in ops.GATES.items():
        for size in (1, LANES - 1, LANES + 1):
            shapes = ((3, 2, 3), (2, 2, size), (2, 2, size), (gates * size, 3), (gates * size, size))
            x, h, c, w, u = (torch.from_numpy(guarded(*shape, at_start=at_start)) for shape in shapes)
            bias = torch.from_numpy(guarded(gates * size, at_start=at_start))
            for tensor in (x, h, c, w, u, bias):
                tensor.normal_()
            c = c if mode == "LSTM" else None
            for lengths, directions, keeps in itertools.product((None, torch.tensor([3, 1])), (1, 2), (False, True)):
                start = (h[:directions], None if c is None else c[:directions])
                none = (None,) * 4
                weights = (w, u, bias, bias, *((w, u, bias, bias) if directions == 2 else none))
                results = torch.ops.elman.recurrent(x, *start, *weights, lengths, mode, 2, keeps)
                if not keeps:
                    continue
                y, h_n, c_n, *saved = results
                y, *saved = (torch.from_numpy(guarded(*t.shape, at_start=at_start)).copy_(t) if t.numel() else t
                             for t in (y, *saved))
                dy = torch.from_numpy(guarded(*y.shape, at_start=at_start)).normal_()
                for needs_inputs in (False, True):
                    torch.ops.elman.recurrent_backward(dy, *start, x, start[0], w, u, *weights[4:6], lengths, y, *saved,
                                                       mode, 2, needs_inputs)
print("whole")
"""


@pytest.mark.usefixtures("machine_code")
@pytest.mark.skipif(platform.system() != "Linux", reason="mprotect is called as Linux has it")
def test_no_memory_outside_a_matrix_is_touched(python):
    assert python(GUARDED) == "whole\n"


# ---------------------------------------------------------------- machine code


def assembly_of_multiply():
    (found,) = (function for function in compiler._symbols if function.symbol == "elman_multiply")
    return str(compiler._machine().emit_assembly(found.module()))


@pytest.mark.usefixtures("machine_code")
def test_the_tile_fills_the_registers_that_the_target_has():
    rows = {"zmm": 8, "ymm": 6, "xmm": 6, "v": 8}
    lanes = {"zmm": 16, "ymm": 8, "xmm": 4, "v": 4}
    assert (rows[vector.registers()], lanes[vector.registers()]) == (tile.ROWS, vector.LANES)
    assembly = assembly_of_multiply()
    assert vector.registers() in assembly
    if vector.registers() == "zmm":  # 32 of them: every sum of the largest tile stays in its own register
        used = {f"zmm{number}" for number in range(32) if f"zmm{number}" in assembly}
        assert len(used) >= ROWS * tile.VECTORS


TARGET = """
from elman.kernels import compiler, tile, vector
from elman.kernels.lstm import lstm_backward
(multiply,) = (function for function in compiler._symbols if function.symbol == "elman_multiply")
texts = [str(compiler._machine().emit_assembly(multiply.module()))]
if vector.target()[1] == "haswell":  # one cell is enough, and takes its time
    texts.append(lstm_backward.assembly)
for text in texts:
    print(*(name for name in ("zmm", "ymm", "xmm", "vfmadd") if name in text))
print(tile.ROWS, vector.LANES, vector.target()[1])
"""


@pytest.mark.usefixtures("machine_code")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the targets are x86's")
@pytest.mark.parametrize(
    ("processor", "widest", "shape"),
    [("haswell", "ymm", "6 8"), ("nehalem", "xmm", "6 4")],
)
def test_the_tile_follows_the_target_of_numba_and_not_the_host(python, tmp_path, processor, widest, shape):
    """Inspect the code without running it: the host may lack these instructions."""
    target = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": "", "ELMAN_CACHE_DIR": tmp_path}
    *seen, last = python(TARGET, **target).splitlines()
    assert last == f"{shape} {processor}"
    wider = {"ymm": {"zmm"}, "xmm": {"zmm", "ymm"}}[widest]
    for names in map(str.split, seen):
        assert widest in names
        assert not wider & set(names)
        assert ("vfmadd" in names) == (widest != "xmm")  # two roundings in one, which came with AVX2
    assert seen
