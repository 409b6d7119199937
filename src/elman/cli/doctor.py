"""``elman doctor``: what Elman finds on this machine, and which backends it chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from typing import Any

from elman.documents import write_json
from elman.errors import ElmanError

VECTORS = ("avx", "amx", "fma", "sse4", "neon", "sve", "fullfp16")  # prefixes of the names of vector features

LAYERS = {
    "openmp": "openmp: the kernels run in torch's own threads",
    "python": "python: the kernels run in Python's threads, because torch's OpenMP library was not found",
}


@dataclass(kw_only=True)
class Doctor:
    """Show the processor, threads and versions, the backend of each cell, and which kernels are compiled."""

    compile: bool = False
    """Compile all kernels now, instead of each when it is first needed."""
    json: bool = False
    """Print one JSON object."""


def run(words: Sequence[str]) -> int:
    """Diagnose this machine; see ``elman doctor --help``. The exit code is 1 where something is broken."""
    command: Doctor = _import("elman.cli.arguments").parse(Doctor, words, "elman doctor")
    machine = _import("elman.bench.machine")
    found = machine.diagnose(compile_now=command.compile)
    if command.json:
        print(write_json(found, indent=2))
    else:
        print_findings(found)
    return 1 if found["problems"] else 0


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except Exception as error:
        raise ElmanError(
            f"Elman cannot be imported ({error}); reinstall it: pip install --force-reinstall elman"
        ) from error


def print_findings(found: dict[str, Any]) -> None:
    """Print what :func:`elman.bench.machine.diagnose` found."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in _lines(found):
        table.add_row(name, text)
    console.print(table)
    for problem in found["problems"]:
        console.print(f"PROBLEM {problem}", markup=False)


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the findings as names and texts; what was not found is among the problems."""
    lines = []
    if found["versions"]:
        numbers = (f"{name} {number or 'not installed'}" for name, number in found["versions"].items())
        lines.append(("versions", ", ".join(numbers)))
    if found["processor"]:
        lines.append(("processor", found["processor"]))
    if target := found["target"]:
        features = (feature for feature in target["features"] if feature.startswith(VECTORS))
        lines += [("compiled for", f"{target['processor']}, {target['triple']}"), ("features", " ".join(features))]
    if found["registers"]:
        lines.append(("registers", f"{found['registers']['bits']} bits ({found['registers']['name']})"))
    if found["tile"]:
        lines.append(("tile", "{} rows x {} columns".format(*found["tile"])))
    if found["threads"] and found["cores"]:
        lines.append(("threads", f"{found['threads']}, with {found['cores']} cores available"))
    if found["threading_layer"]:
        lines.append(("layer", LAYERS[found["threading_layer"]]))
    for cell, cases in groupby(found["backends"] or [], key=lambda case: case["cell"]):
        for (backend, reason), alike in groupby(cases, key=lambda case: (case["backend"], case["reason"])):
            lines.append((f"{cell} runs on", f"{backend} for {', '.join(case['case'] for case in alike)}: {reason}"))
    if found["kernels"]:
        missing = [name for name, is_compiled in found["kernels"].items() if not is_compiled]
        count = f"{len(found['kernels']) - len(missing)} of {len(found['kernels'])} compiled"
        lines.append(("kernels", f"{count}{', not ' if missing else ''}{', '.join(missing)}"))
        lines.append(("kept in", found["cache"] or "no folder: every process compiles them again"))
    if found.get("compile_seconds") is not None:
        lines.append(("compiling", f"took {found['compile_seconds']:.1f} s now"))
    return lines
