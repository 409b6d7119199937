"""The speed of the tile in kernels/tile.py on this machine, which the tables compare everything else with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from elman.kernels.compiler import kernel
from elman.kernels.threads import run
from elman.kernels.tile import WIDTH, multiply, multiply_rows, pack_panels

PRODUCT = (2048, 1024, 256)  # rows of A, its columns, columns of B
TICKET_ROWS = 64  # rows that one ticket computes


class Limit(NamedTuple):
    """Work that runs at a limit of the machine."""

    work: Callable[[], None]
    amount: int  # floating-point operations, or bytes


def arithmetic_limit() -> Limit:
    """Multiply two large matrices on all of torch's threads; the amount counts floating-point operations."""
    rows, depth, columns = PRODUCT
    a, b = torch.randn(rows, depth), torch.randn(depth, columns)
    panels, zeros, c = pack_panels(b, transposed=False), torch.zeros(columns), torch.empty(rows, columns)

    def work() -> None:
        run(
            multiply_rows, TICKET_ROWS, rows, columns, depth, zeros.data_ptr(), 0, a.data_ptr(), depth,
            panels.data_ptr(), c.data_ptr(), columns, tickets=rows // TICKET_ROWS,
        )  # fmt: skip

    return Limit(work, 2 * rows * depth * columns)


def reading_limit(num_bytes: int, depth: int, threads: int, passes: int) -> Limit:
    """Multiply one row by a matrix of about ``num_bytes`` repeatedly, each thread by its share of the columns.

    Args:
        num_bytes: the size of the matrix.
        depth: the number of its rows.
        threads: the number of threads, which must also be torch's.
        passes: how many times to read the matrix.

    Returns:
        The work; the amount counts bytes.
    """
    panels_each = max(1, round(num_bytes / (4 * depth * WIDTH * threads)))
    columns = panels_each * WIDTH
    size = 4 * columns * depth * threads
    row, out = torch.randn(depth), torch.zeros(threads, columns)
    panels = torch.randn(threads, columns, depth)

    def work() -> None:
        addresses = (row.data_ptr(), panels.data_ptr(), out.data_ptr())
        run(bench_reading, passes, columns, depth, *addresses, tickets=threads)

    return Limit(work, size * passes)


@kernel
def bench_reading(ticket: int, passes: int, columns: int, depth: int, row: int, panels: int, out: int) -> None:
    """Multiply a row (depth) by one share of the panels, ``columns`` wide, repeatedly."""
    mine, share = out + 4 * ticket * columns, panels + 4 * ticket * columns * depth
    for _ in range(passes):
        multiply(1, columns, depth, mine, 0, row, depth, 1, share, mine, 0)
