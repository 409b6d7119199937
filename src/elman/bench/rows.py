"""A row of a table: what was timed, how long it took, and how it compares with torch and with the machine's limit."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from elman.nn.cells import CELLS

if TYPE_CHECKING:
    from elman.bench.limits import Limit

TableRow = dict[str, Any]
"""One object of ``elman bench --json``."""


class Shape(NamedTuple):
    """The sizes of what is timed."""

    batch: int
    time: int
    hidden_size: int
    num_layers: int = 1


def make_row(
    table: str, cell: str, part: str, shape: Shape, threads: int, seconds: Mapping[str, float], figures: TableRow
) -> TableRow:
    """Create a row.

    Args:
        table: ``full``, ``padded``, ``generate`` or ``train``.
        cell: its name in the table of cells.
        part: ``forward``, ``forward+backward`` or ``step``.
        shape: the sizes.
        threads: the number of threads.
        seconds: the median times of ``elman``, ``torch`` if it has the cell, other peers, and the ``limit``.
        figures: more entries of the row.

    Returns:
        The row with its keys in the order of a table. Times are in milliseconds; ``ratio`` is torch's time divided by
        Elman's.
    """
    times = {f"{name}_ms": 1000 * time for name, time in seconds.items() if name != "limit"}
    ratio = {"ratio": seconds["torch"] / seconds["elman"]} if "torch" in seconds else {}
    row = {"table": table, "cell": cell, "pass": part, **shape._asdict(), "threads": threads}
    return {**row, **times, **ratio, **figures}


def arithmetic_figures(flops: int, seconds: Mapping[str, float], limit: Limit) -> TableRow:
    """Return Elman's speed in ``gflops`` and its fraction of the limit, ``peak_fraction``."""
    speed = flops / seconds["elman"]
    return {"gflops": speed / 1e9, "peak_fraction": speed / (limit.amount / seconds["limit"])}


def reading_figures(num_bytes: int, seconds: Mapping[str, float], limit: Limit) -> TableRow:
    """Return Elman's ``bytes_per_second`` and its fraction of the limit, ``read_fraction``."""
    speed = num_bytes / seconds["elman"]
    return {"bytes_per_second": speed, "read_fraction": speed / (limit.amount / seconds["limit"])}


def count_layer_flops(cell: str, part: str, tokens: int, input_size: int, hidden_size: int) -> int:
    """Count the operations of W x and U h in a layer for a number of tokens; three times as many with backward.

    Example:
        >>> count_layer_flops("lstm", "forward+backward", 10, 3, 5)  # 3 passes, 2 operations, 4 gates of 5 x (3 + 5)
        9600
    """
    read_size = input_size + (hidden_size if CELLS[cell].reads_hidden else 0)
    forward = 2 * len(CELLS[cell].gates) * hidden_size * read_size * tokens
    return forward if part == "forward" else 3 * forward


def count_weight_bytes(cell: str, shape: Shape, vocab_size: int) -> int:
    """Count the bytes of weights that each character reads: U of each layer, W above the first, and the head.

    Example:
        >>> count_weight_bytes("gru", Shape(1, 1, 5, 2), 7)  # 4 bytes, 3 gates of 5 x 5 in U, U and W, and 7 x 5
        1040
    """
    size = shape.hidden_size
    return 4 * (len(CELLS[cell].gates) * size * size * (2 * shape.num_layers - 1) + vocab_size * size)


def geometric_means(rows: Iterable[TableRow]) -> dict[str, dict[str, float]]:
    """Return the geometric mean of the ratios of each cell, over ``all`` its rows and over each pass.

    Example:
        >>> geometric_means([{"cell": "rnn", "pass": "forward", "ratio": ratio} for ratio in (1.0, 4.0)])
        {'rnn': {'all': 2.0, 'forward': 2.0}}
    """
    ratios: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for part in ("all", row["pass"]) if "ratio" in row else ():
            ratios.setdefault(row["cell"], {}).setdefault(part, []).append(row["ratio"])
    return {
        cell: {part: statistics.geometric_mean(values) for part, values in parts.items()}
        for cell, parts in ratios.items()
    }
