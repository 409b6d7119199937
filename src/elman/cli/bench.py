"""``elman bench kernels|generate|train``: how fast, against whom, on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import tyro

from elman.bench import machine
from elman.bench.generate import bench_generate
from elman.bench.kernels import bench_kernels
from elman.bench.peers import load_peers
from elman.bench.rows import Row, geometric_means
from elman.bench.timing import computing_on
from elman.bench.train import bench_train
from elman.cli.arguments import parse
from elman.errors import UsageError, nearest
from elman.training.schedule import positive

REPEATS = {"kernels": 15, "generate": 15, "train": 15}  # rounds that take a minute or two on two cores

ABOUT = {
    "full": "layers as wide as their inputs; size: batch x time steps x units",
    "padded": "both directions over 64 sequences of 5 to 60 steps, against packing; size: batch x time steps x units",
    "generate": "one stream, a character at a time; size: layers x units; torch with its best number of threads",
    "train": "a training step of the default language model; size: batch x time steps x units",
}

COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {  # of a row: the title, and how a value is written
    "cell": ("cell", str),
    "pass": ("pass", str),
    "size": ("size", str),
    "threads": ("threads", str),
    "backend": ("backend", str),
    "elman_ms": ("elman ms", "{:.3f}".format),
    "torch_ms": ("torch ms", "{:.3f}".format),
    "jax_ms": ("jax ms", "{:.3f}".format),
    "keras_ms": ("keras ms", "{:.3f}".format),
    "ratio": ("ratio", "{:.2f}".format),
    "elman_tokens_per_s": ("elman tok/s", "{:,.0f}".format),
    "torch_tokens_per_s": ("torch tok/s", "{:,.0f}".format),
    "gflops": ("GFLOP/s", "{:.0f}".format),
    "peak_fraction": ("of peak", "{:.0%}".format),
    "bytes_per_second": ("GB/s", lambda speed: f"{speed / 1e9:.1f}"),
    "read_fraction": ("of peak", "{:.0%}".format),
}


@dataclass(kw_only=True)
class Bench:
    """Time Elman against torch.nn, in turn in one run; medians.

    kernels: layers, with and without padding. generate: writing character by character. train: whole training steps.
    """

    what: tyro.conf.Positional[Literal["kernels", "generate", "train"]]
    """What to time."""
    peers: str | None = None
    """Other libraries that are to compute the layers too, with commas between: jax, keras (bench kernels only)."""
    threads: int | None = None
    """Threads to compute with; torch's own number where not given. generate takes 1 and this number, or 1 and 2."""
    repeats: int | None = None
    """Rounds of each row; as many as take a minute or two where not given."""
    json: bool = False
    """Print a JSON list, one object a row."""


def run(words: Sequence[str]) -> int:
    """Time what ``words`` say; see ``elman bench --help``."""
    command = parse(Bench, words, "elman bench")
    if command.what not in REPEATS:
        meant = nearest(command.what, REPEATS) or ";"
        raise UsageError(f"elman bench has no {command.what}{meant} it has {', '.join(REPEATS)}")
    for name in ("threads", "repeats"):
        if getattr(command, name) is not None:
            positive(name, getattr(command, name))
    with computing_on(command.threads) as threads:
        rows = _followed(_rows(command, threads))
        if command.json:
            print(json.dumps(rows, indent=2))
        else:
            print_tables(rows)
    return 0


def _rows(command: Bench, threads: int) -> Iterator[Row]:
    repeats = command.repeats or REPEATS[command.what]
    peers = load_peers([name.strip() for name in (command.peers or "").split(",") if name.strip()], threads)
    if command.what == "kernels":
        return bench_kernels(repeats, peers)
    if peers:
        raise UsageError(f"--peers {command.peers}: elman bench {command.what} has torch alone; leave --peers out")
    if command.what == "train":
        return bench_train(repeats)
    return bench_generate(repeats, sorted({1, command.threads or min(2, machine.cores())}))


def _followed(rows: Iterator[Row]) -> list[Row]:
    """Collect the rows; count them on the terminal, where there is one."""
    done = []
    for row in rows:
        done.append(row)
        if sys.stderr.isatty():
            print(f"\r{len(done)} rows timed", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return done


def print_tables(rows: Sequence[Row]) -> None:
    """Print machine, threads and versions, then each table with its geometric means."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    for line in machine.headline():
        console.print(line, markup=False)
    means = geometric_means(rows)
    for name in dict.fromkeys(row["table"] for row in rows):
        shown = [{"size": _size(row), **row} for row in rows if row["table"] == name]
        console.print(f"\n[bold]{name}[/]: {ABOUT[name]}")
        table = Table(box=None, pad_edge=False)
        columns = [key for key in COLUMNS if key in shown[0] and not (key == "threads" and name != "generate")]
        for key in columns:
            table.add_column(COLUMNS[key][0], justify="left" if key in ("cell", "pass") else "right", no_wrap=True)
        for row in shown:
            table.add_row(*(COLUMNS[key][1](row[key]) for key in columns))
        console.print(table)
        for cell in dict.fromkeys(row["cell"] for row in shown):
            parts = {part: mean for (of, its_cell, part), mean in means.items() if (of, its_cell) == (name, cell)}
            each = ", ".join(f"{part} {mean:.2f}" for part, mean in parts.items() if part)
            console.print(f"geometric mean of {cell}'s ratios: {parts['']:.2f} ({each})", markup=False)
    console.print("\nratio: torch's time by elman's; of peak: of what the same tile reaches alone, in the same run")


def _size(row: Row) -> str:
    keys = ("num_layers", "hidden_size") if row["table"] == "generate" else ("batch", "time", "hidden_size")
    return "x".join(str(row[key]) for key in keys)
