"""``elman bench kernels|generate|train``: Elman's speed on this machine, beside that of other libraries."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from elman.cli.arguments import parse
from elman.cli.help import About
from elman.documents import write_json
from elman.errors import UsageError, suggest
from elman.settings.base import LIMITS
from elman.training.schedule import check_positive

if TYPE_CHECKING:
    from elman.bench.rows import TableRow

TIMED = ("kernels", "generate", "train")

ABOUT = {
    "full": "layers as wide as their inputs; size: batch x time x units",
    "padded": "both directions, lengths of 5 to 60; size: batch x time x units",
    "generate": "one stream, a character at a time; size: layers x units; torch with its best number of threads",
    "train": "one training step of the default language model; size: batch x time x units",
}


def _milliseconds(time: float) -> str:
    return f"{time:.1f}" if time >= 100 else f"{time:.3f}" if time >= 0.1 else f"{time:.5f}"


COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {  # of a row: its title, and how its values are formatted
    "cell": ("cell", str),
    "pass": ("pass", str),
    "size": ("size", str),
    "threads": ("threads", str),
    "backend": ("backend", str),
    "elman_ms": ("elman\nms", _milliseconds),
    "torch_ms": ("torch\nms", _milliseconds),
    "jax_ms": ("jax\nms", _milliseconds),
    "keras_ms": ("keras\nms", _milliseconds),
    "ratio": ("ratio", "{:.2f}".format),
    "elman_tokens_per_s": ("elman\ntokens/s", "{:,.0f}".format),
    "torch_tokens_per_s": ("torch\ntokens/s", "{:,.0f}".format),
    "gflops": ("GFLOP\n/s", "{:.0f}".format),
    "peak_fraction": ("of\npeak", "{:.0%}".format),
    "bytes_per_second": ("GB\n/s", lambda speed: f"{speed / 1e9:.1f}"),
    "read_fraction": ("of\npeak", "{:.0%}".format),
}

WIDTH = 100  # columns, of a terminal or else of a file
LEFT = ("cell", "pass", "size", "backend")


@dataclass(kw_only=True)
class Bench:
    """Time Elman against torch.nn, in turn, in one run; the figures are medians.

    kernels: layers, with and without padding. generate: writing character by character. train: whole training steps.
    """

    what: tyro.conf.Positional[Literal["kernels", "generate", "train"]]
    """What to time."""
    peers: Annotated[str, About(metavar="NAME,...")] = ""
    """Other libraries whose layers to time: jax, keras (bench kernels only)."""
    threads: Annotated[int | None, About(default="torch's own number; for generate 2")] = None
    """Number of threads; generate is timed on one thread, too."""
    repeats: int = 15
    """Rounds of each row; with 15, the command takes a minute or two."""
    json: bool = False
    """Print a JSON list, one object per row."""


def run(words: Sequence[str]) -> int:
    """Print timings; see ``elman bench --help``."""
    command = parse(Bench, words, "elman bench")
    if command.what not in TIMED:
        raise UsageError(
            f"elman bench has no {command.what}{suggest(command.what, TIMED) or ';'} it has {', '.join(TIMED)}"
        )
    check_positive("repeats", command.repeats)
    if command.threads is not None:
        check_positive("threads", command.threads)
        if command.threads > LIMITS["threads"]:
            raise UsageError(f"threads is {command.threads}; it must be at most {LIMITS['threads']:,}")
    names = [name.strip() for name in command.peers.split(",") if name.strip()]
    if names and command.what != "kernels":
        raise UsageError(f"--peers {command.peers}: bench {command.what} times torch alone; use bench kernels")
    from elman.bench import generate, kernels, machine, peers, timing, train

    with timing.computing_on(command.threads) as threads:
        libraries = peers.load_peers(names, threads)
        if command.what == "kernels":
            rows = _collect(kernels.bench_kernels(command.repeats, libraries))
        elif command.what == "train":
            rows = _collect(train.bench_train(command.repeats))
        else:
            most = command.threads or min(2, machine.cores())
            rows = _collect(generate.bench_generate(command.repeats, sorted({1, most})))
        if command.json:
            print(write_json(rows, indent=2))
        else:
            print_tables(rows, [package for library in libraries for package in library.packages])
    return 0


def _collect(rows: Iterator[TableRow]) -> list[TableRow]:
    """Collect the rows, and count them on a terminal."""
    done = []
    for row in rows:
        done.append(row)
        if sys.stderr.isatty():
            print(f"\r{len(done)} rows timed", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return done


def print_tables(rows: Sequence[TableRow], also: Sequence[str] = ()) -> None:
    """Print machine, threads and versions (``also`` of these packages), then each table with its geometric means."""
    from rich.console import Console
    from rich.table import Table

    from elman.bench import machine
    from elman.bench.rows import geometric_means

    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    for line in machine.headline(also):
        console.print(line, markup=False)
    for name in dict.fromkeys(row["table"] for row in rows):
        shown = [{"size": _size(row), **row} for row in rows if row["table"] == name]
        peaks = [row["gflops"] / row["peak_fraction"] for row in shown if "gflops" in row]
        peak = f"; peak {statistics.median(peaks):.0f} GFLOP/s" if peaks else ""
        console.print(f"\n[bold]{name}[/]: {ABOUT[name]}{peak}")
        table = Table(box=None, pad_edge=False)
        columns = [
            key for key in COLUMNS if any(key in row for row in shown) and not (key == "threads" and name != "generate")
        ]
        for key in columns:
            table.add_column(COLUMNS[key][0], justify="left" if key in LEFT else "right", no_wrap=True)
        for row in shown:
            table.add_row(*(COLUMNS[key][1](row[key]) if key in row else "" for key in columns))
        console.print(table)
        for cell, means in geometric_means(shown).items():
            listed = ", ".join(f"{part} {mean:.2f}" for part, mean in means.items())
            console.print(f"geometric mean of {cell}'s ratios: {listed}", markup=False)
    console.print("\nratio: torch's time by Elman's; of peak: of what the same tile reaches alone, in the same run")


def _size(row: TableRow) -> str:
    keys = ("num_layers", "hidden_size") if row["table"] == "generate" else ("batch", "time", "hidden_size")
    return "x".join(str(row[key]) for key in keys)
