"""The building block of all fast code: the matrix product C = D + A·B, with B packed into panels.

    A (rows x depth), any strides        B packed: panels of WIDTH columns, depth x WIDTH each, zeros on the right
    ┌─────────┐   ┌──┐┌──┐┌─┐
    │ ROWS    │ · │  ││  ││ │  ──▶  C; each tile of ROWS x WIDTH stays in registers while k runs over the depth
    └─────────┘   └──┘└──┘└─┘

A tile is written in LLVM vectors, so no C compiler is needed; its shape follows from the registers of numba's target.
D is C itself (C += A·B), or a bias (stride 0: the same row for all).

An addition has a latency of several cycles, so a tile with few rows needs more independent sums: ``multiply`` splits
each sum; ``multiply_in_order`` takes several panels side by side and adds each sum in one fixed order, so the bits of a
row of C do not depend on how many rows are computed together.

Source: Goto and van de Geijn (2008), "Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), for panels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from elman.kernels import vector
from elman.kernels.checks import CPU, check
from elman.kernels.compiler import IS_JIT_OFF, inline, kernel, linked
from elman.kernels.threads import run
from elman.kernels.vector import F32, I64, LANES, VECTOR, floats, get, get_integer, load, put, store, transpose

ROWS = {"zmm": 8, "ymm": 6, "xmm": 6, "v": 8}[vector.registers()]  # of a tile, so that its sums fit into registers
VECTORS = 2  # in a row of a panel
SIDE = 4  # panels side by side in a tile of one row
ZERO: float = np.float32(0)  # type: ignore[assignment]
DEPTH = 128  # rows of a panel that stay in the first-level cache
WIDTH = VECTORS * LANES  # columns of one panel
AHEAD = 32  # rows of a panel to prefetch ahead
TERMS = 256  # terms of each sum in a transposed product to gather at a time
STRIP = 8 * ROWS  # rows of C whose part of A is gathered at a time


def tile(
    rows: int,
    side: int,
    columns: int,
    depth: int,
    start: int,
    start_stride: int,
    a: int,
    a_row: int,
    a_depth: int,
    panels: int,
    panel_size: int,
    c: int,
    c_stride: int,
) -> None:
    """Compute one tile, C[r, j] = D[r, j] + Σ_k A[r, k] B[k, j]; ``rows`` and ``side`` must be literals.

    Args:
        rows: the number of rows, at most ROWS.
        side: the number of panels side by side, at most SIDE; with one panel and few rows, each sum is split.
        columns: the number of columns of C; more than the panels have means all of them.
        depth: the number of terms of each sum, at least 1.
        start, start_stride: D and its row stride (0: one row for all).
        a, a_row, a_depth: A, its row stride and its column stride.
        panels, panel_size: B's first panel, (depth, WIDTH), and the distance to the next one in numbers.
        c, c_stride: C and its row stride.
    """
    columns = min(columns, side * WIDTH)
    for row in range(rows):
        from_a = floats(a, row * a_row, (depth - 1) * a_depth + 1)[::a_depth]
        for j in range(0, columns, WIDTH):
            width = min(columns - j, WIDTH)
            b = floats(panels, j // WIDTH * panel_size, depth * WIDTH).reshape(depth, WIDTH)[:, :width]
            floats(c, row * c_stride + j, width)[:] = floats(start, row * start_stride + j, width) + from_a @ b


@intrinsic(prefer_literal=True)
def _compiled_tile(
    typing: Any, rows: Any, side: Any, columns: Any, depth: Any, start: Any, start_stride: Any, a: Any, a_row: Any,
    a_depth: Any, panels: Any, panel_size: Any, c: Any, c_stride: Any,
) -> Any:  # fmt: skip
    """Generate the tile as LLVM vector code."""
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(side, types.IntegerLiteral):
        return None
    num_rows, num_panels = rows.literal_value, side.literal_value
    unroll = max(1, ROWS // 2 // num_rows) if num_panels == 1 else 1  # the number of parts of each sum
    parts = range(num_panels * VECTORS)
    places = [(row, part) for row in range(num_rows) for part in parts]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, columns, depth, start, start_stride, a, a_row, a_depth, panels, panel_size, c, c_stride = arguments
        constant = lambda number: ir.Constant(I64, number)  # noqa: E731
        zero = ir.Constant(VECTOR, None)
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fma.v{LANES}f32"
        )

        def corner(base: Any, stride: Any, row: int, part: int) -> Any:
            index = builder.add(builder.mul(stride, constant(row)), constant(part * LANES))
            return vector.pointer_to(builder, base, index)

        def masks() -> list[Any]:
            left = (builder.sub(columns, constant(part * LANES)) for part in parts)
            return [vector.emit_mask(builder, count) for count in left]

        is_whole = builder.icmp_signed(">=", columns, constant(num_panels * WIDTH))
        panel = panels
        b_panels = [panels]
        for number in range(1, num_panels):  # beyond the last panel, read the last one again and ignore the result
            is_there = builder.icmp_signed(">", columns, constant(number * WIDTH))
            panel = builder.add(panel, builder.select(is_there, builder.mul(panel_size, constant(4)), constant(0)))
            b_panels.append(panel)
        b_parts = [(b_panels[part // VECTORS], constant(part % VECTORS * LANES)) for part in parts]

        # prefetch what is added and stored at the end
        for at in places:
            for base, stride in ((start, start_stride), (c, c_stride)):
                vector.emit_prefetch(builder, builder.bitcast(corner(base, stride, *at), ir.IntType(8).as_pointer()))

        # hidden by empty inline assembly: otherwise LLVM derives each address from the previous one, in a long chain
        hide = ir.InlineAsm(ir.FunctionType(I64, [I64]), "", "=r,0")
        a_addresses = (builder.add(a, builder.mul(a_row, constant(4 * row))) for row in range(num_rows))
        a_rows = [builder.inttoptr(builder.call(hide, [at]), F32.as_pointer()) for at in a_addresses]

        def step(k: Any, sums: list[Any]) -> list[Any]:
            at_k = builder.mul(k, a_depth)
            index = builder.mul(k, constant(WIDTH))
            b = [
                vector.emit_load(builder, vector.pointer_to(builder, base, builder.add(index, part)))
                for base, part in b_parts
            ]
            ahead = builder.add(index, constant(AHEAD * WIDTH))
            for base, part in b_parts:
                at = vector.pointer_to(builder, base, builder.add(ahead, part), ir.IntType(8))
                vector.emit_prefetch(builder, at)
            scalars = [builder.load(builder.gep(pointer, [at_k])) for pointer in a_rows]
            spread = [vector.emit_broadcast(builder, scalar) for scalar in scalars]
            return [
                builder.call(multiply_add, [spread[row], b[part], total])
                for (row, part), total in zip(places, sums, strict=True)
            ]

        def loop(first_k: Any, end: Any, stride: int, sums: list[list[Any]]) -> list[list[Any]]:
            """Run k from first_k to below end; ``sums`` has ``stride`` sets, one for each k of an iteration."""
            entry = builder.block
            head, body, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
            builder.branch(head)
            builder.position_at_end(head)
            k = builder.phi(I64)
            k.add_incoming(first_k, entry)
            carried = []
            for group in sums:
                carried.append([builder.phi(VECTOR) for _ in group])
                for phi, value in zip(carried[-1], group, strict=True):
                    phi.add_incoming(value, entry)
            builder.cbranch(builder.icmp_signed("<", k, end), body, done)
            builder.position_at_end(body)
            updated = [step(builder.add(k, constant(turn)), carried[turn]) for turn in range(stride)]
            k.add_incoming(builder.add(k, constant(stride)), body)
            for group, new in zip(carried, updated, strict=True):
                for phi, value in zip(group, new, strict=True):
                    phi.add_incoming(value, body)
            builder.branch(head)
            builder.position_at_end(done)
            return carried

        sums = [[zero] * len(places) for _ in range(unroll)]
        whole_turns = builder.sub(depth, builder.srem(depth, constant(unroll)))
        sums = loop(constant(0), whole_turns, unroll, sums)
        totals = sums[0]
        for group in sums[1:]:
            totals = [builder.fadd(one, other) for one, other in zip(totals, group, strict=True)]
        if unroll > 1:
            (totals,) = loop(whole_turns, depth, 1, [totals])

        with builder.if_else(is_whole) as (whole, partial):
            for branch, mask in ((whole, None), (partial, masks)):
                with branch:
                    part_masks = mask() if mask else [None] * len(parts)
                    for at, value in zip(places, totals, strict=True):
                        from_d = vector.emit_load(builder, corner(start, start_stride, *at), part_masks[at[1]])
                        value = builder.fadd(value, from_d)
                        vector.emit_store(builder, value, corner(c, c_stride, *at), part_masks[at[1]])
        return context.get_dummy_value()

    return types.void(rows, side, *[types.intp] * 11), generate


if not IS_JIT_OFF:
    tile = _compiled_tile


@linked
def multiply(
    rows: int,
    columns: int,
    depth: int,
    start: int,
    start_stride: int,
    a: int,
    a_row: int,
    a_depth: int,
    panels: int,
    c: int,
    c_stride: int,
) -> None:
    """Compute C = D + A·B for any number of rows, columns and terms; the arguments are those of ``tile``.

    ``panels`` holds ceil(columns / WIDTH) consecutive panels.
    """
    for j in range(0, columns, WIDTH):
        d, d_stride = start, start_stride
        for k in range(0, depth, DEPTH):
            left, terms = columns - j, min(DEPTH, depth - k)
            panel = panels + 4 * (j * depth + k * WIDTH)
            if k > 0:
                d, d_stride = c, c_stride
            r = 0
            while r < rows:
                d_at = d + 4 * (r * d_stride + j)
                a_at = a + 4 * (r * a_row + k * a_depth)
                c_at = c + 4 * (r * c_stride + j)
                if rows - r >= ROWS:
                    tile(ROWS, 1, left, terms, d_at, d_stride, a_at, a_row, a_depth, panel, 0, c_at, c_stride)
                    r += ROWS
                elif rows - r >= 4:
                    tile(4, 1, left, terms, d_at, d_stride, a_at, a_row, a_depth, panel, 0, c_at, c_stride)
                    r += 4
                elif rows - r >= 2:
                    tile(2, 1, left, terms, d_at, d_stride, a_at, a_row, a_depth, panel, 0, c_at, c_stride)
                    r += 2
                else:
                    tile(1, 1, left, terms, d_at, d_stride, a_at, a_row, a_depth, panel, 0, c_at, c_stride)
                    r += 1


@linked
def multiply_in_order(
    rows: int,
    columns: int,
    depth: int,
    start: int,
    start_stride: int,
    a: int,
    a_row: int,
    panels: int,
    c: int,
    c_stride: int,
) -> None:
    """Compute C = D + A·B, with bits of a row that do not depend on the number of rows; A's rows are contiguous.

    The arguments are those of ``multiply``.
    """
    side = SIDE if rows == 1 else 2 if rows == 2 else 1  # few rows need several panels for enough independent sums
    j = 0
    while j < columns:
        d, d_stride = start, start_stride
        for k in range(0, depth, DEPTH):
            left, terms = columns - j, min(DEPTH, depth - k)
            panel, next_panel = panels + 4 * (j * depth + k * WIDTH), depth * WIDTH
            if k > 0:
                d, d_stride = c, c_stride
            r = 0
            while r < rows:
                d_at, c_at = d + 4 * (r * d_stride + j), c + 4 * (r * c_stride + j)
                a_at, rest = a + 4 * (r * a_row + k), rows - r
                if rest == ROWS or rest >= ROWS + 3:
                    tile(ROWS, 1, left, terms, d_at, d_stride, a_at, a_row, 1, panel, next_panel, c_at, c_stride)
                    r += ROWS
                elif rest == 5 or rest > 8:
                    tile(5, 1, left, terms, d_at, d_stride, a_at, a_row, 1, panel, next_panel, c_at, c_stride)
                    r += 5
                elif rest == 4 or rest > 6:
                    tile(4, 1, left, terms, d_at, d_stride, a_at, a_row, 1, panel, next_panel, c_at, c_stride)
                    r += 4
                elif rest > 2:
                    tile(3, 1, left, terms, d_at, d_stride, a_at, a_row, 1, panel, next_panel, c_at, c_stride)
                    r += 3
                elif rest == 2:
                    tile(2, 2, left, terms, d_at, d_stride, a_at, a_row, 1, panel, next_panel, c_at, c_stride)
                    r += 2
                else:
                    tile(1, SIDE, left, terms, d_at, d_stride, a_at, a_row, 1, panel, next_panel, c_at, c_stride)
                    r += 1
        j += side * WIDTH


@kernel
def pack(ticket: int, columns: int, depth: int, b: int, b_depth: int, b_column: int, panels: int) -> None:
    """Pack one panel of B (depth x columns): ticket j packs the columns from j · WIDTH on.

    Args:
        ticket: which panel.
        columns, depth: B's size.
        b, b_depth, b_column: B, its row stride and its column stride (one of the two is 1).
        panels: receives the panels, one after the other.
    """
    first = ticket * WIDTH
    panel = panels + 4 * first * depth
    count = columns - first
    if b_column == 1:
        for k in range(depth):
            pack_row(b + 4 * (k * b_depth + first), count, panel + 4 * k * WIDTH)
        return
    for k in range(0, depth, LANES):  # a square of LANES x LANES numbers at a time
        for part in range(0, WIDTH, LANES):
            source, into = b + 4 * ((first + part) * b_column + k), panel + 4 * (k * WIDTH + part)
            if k + LANES <= depth and part + LANES <= count:
                transpose(source, b_column, into, WIDTH)
                continue
            for column in range(LANES):
                for term in range(min(LANES, depth - k)):
                    value = get(source, column * b_column + term) if part + column < count else ZERO
                    put(into, term * WIDTH + column, value)


def pack_panels(weight: torch.Tensor, *, transposed: bool) -> torch.Tensor:
    """Pack a float32 matrix, or its transpose, as the right-hand factor of a product."""
    check("weight", weight, ("rows", "columns"), device=CPU)
    weight = weight.contiguous()
    depth, columns = weight.shape[::-1] if transposed else weight.shape
    panels = weight.new_empty(-(-columns // WIDTH) * depth * WIDTH)
    strides = weight.stride()[::-1] if transposed else weight.stride()
    run(pack, columns, depth, weight.data_ptr(), *strides, panels.data_ptr(), tickets=-(-columns // WIDTH))
    return panels


@inline
def pack_row(row: int, count: int, destination: int) -> None:
    """Copy one row of a panel: ``count`` numbers, then zeros up to WIDTH."""
    for part in range(0, WIDTH, LANES):
        store(destination, part, LANES, load(row, part, max(count - part, 0)))


@kernel
def multiply_rows(
    ticket: int, block: int, rows: int, columns: int, depth: int, start: int, start_stride: int, a: int, a_row: int,
    panels: int, c: int, c_stride: int,
) -> None:  # fmt: skip
    """Compute C = D + A·B for one block of rows; the arguments are those of ``multiply``, with A's rows contiguous."""
    row = ticket * block
    multiply(
        min(block, rows - row), columns, depth, start + 4 * row * start_stride, start_stride,
        a + 4 * row * a_row, a_row, 1, panels, c + 4 * row * c_stride, c_stride,
    )  # fmt: skip


@kernel
def multiply_transposed(
    ticket: int, block: int, rows: int, columns: int, depth: int, a: int, a_stride: int, b: int, b_stride: int,
    b_rows: int, b_first: int, b_places: int, scratch: int, scratch_size: int, zeros: int, c: int, c_stride: int,
) -> None:  # fmt: skip
    """Compute C += Aᵀ·B, or C = Aᵀ·B, for a block of C's rows; A (depth x rows) and B (depth x columns) are row-major.

    Args:
        ticket: which block of rows.
        block: the number of rows in a block.
        rows, columns, depth: C's size, and the number of terms of each sum.
        a, a_stride: A and its row stride.
        b, b_stride: B and its row stride.
        b_rows: where to find each row of B (int64): n ≥ 0 is row n of B, n < 0 is row -1 - n of ``b_first``; 0 for
            consecutive rows.
        b_first: the rows for negative n.
        b_places: the row of ``b`` that holds row n of B (int64); 0 for row n.
        scratch, scratch_size: scratch space for each ticket, TERMS · (columns + WIDTH + STRIP) numbers.
        zeros: ``WIDTH`` zeros as the initial sums, for C = Aᵀ·B; 0 to add to C.
        c, c_stride: C.
    """
    first = ticket * block
    num_rows = min(block, rows - first)
    panels = scratch + 4 * ticket * scratch_size
    strip = panels + 4 * TERMS * (columns + WIDTH)  # blocks (terms, ROWS) of A
    for k in range(0, depth, TERMS):
        terms = min(TERMS, depth - k)
        for term in range(terms):
            number = get_integer(b_rows, k + term) if b_rows != 0 else k + term
            if number < 0:
                source = b_first + 4 * (-1 - number) * columns
            else:
                source = b + 4 * (get_integer(b_places, number) if b_places != 0 else number) * b_stride
            for j in range(0, columns, WIDTH):
                pack_row(source + 4 * j, columns - j, panels + 4 * (j * terms + term * WIDTH))
        for row in range(0, num_rows, STRIP):
            end = min(row + STRIP, num_rows)
            for term in range(terms):
                source = a + 4 * ((k + term) * a_stride + first)
                for r in range(row, end, ROWS):
                    into = strip + 4 * ((r - row) * terms + term * ROWS)
                    for part in range(0, ROWS, LANES):
                        store(into, part, ROWS - part, load(source, r + part, end - r - part))
            for j in range(0, columns, WIDTH):
                for r in range(row, end, ROWS):
                    from_a, panel = strip + 4 * (r - row) * terms, panels + 4 * j * terms
                    at, left = c + 4 * ((first + r) * c_stride + j), columns - j
                    start, start_stride = (zeros, 0) if zeros != 0 and k == 0 else (at, c_stride)
                    if end - r >= ROWS:
                        tile(ROWS, 1, left, terms, start, start_stride, from_a, 1, ROWS, panel, 0, at, c_stride)
                    else:
                        left = min(left, WIDTH)
                        multiply(end - r, left, terms, start, start_stride, from_a, 1, ROWS, panel, at, c_stride)
