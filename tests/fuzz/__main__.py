"""Fuzz every reader and the folders of every task: ``python -m tests.fuzz --seed 1 --minutes 5`` in the repository."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # threads do not survive a fork

import torch

from .oracle import Runner, Summary
from .readers import READERS
from .tasks import task_targets

TASKS_SHARE = 4  # running a command takes this many times as long as reading a file


def main() -> int:
    """Run the targets that the command line names; return 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together")
    parser.add_argument(
        "--cases",
        type=int,
        default=0,
        help="cases of each reader, and a quarter of it of each task, instead of --minutes",
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="NAME[:NUMBER]",
        help="targets whose names start with NAME, or one case of a target",
    )
    parser.add_argument("--json", type=Path, help="the file of the summary")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    only, _, number = arguments.only.partition(":")
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    if not number:
        atexit.register(shutil.rmtree, root, ignore_errors=True)
    with contextlib.redirect_stderr(io.StringIO()):
        targets = {**READERS, **({} if only in READERS else task_targets(root))}
    targets = {
        name: target for name, target in targets.items() if name == only or (name.startswith(only) and not number)
    }
    if not targets:
        parser.error(f"--only {only}: no such target")
    shares = {name: 1 if name in READERS else TASKS_SHARE for name in targets}
    found: dict[str, Summary] = {}
    for name, target in targets.items():
        runner = Runner(name, target, root, arguments.seed)
        with contextlib.redirect_stderr(io.StringIO()):
            undamaged = runner.attempt(None)  # it also loads what the target needs, once for all cases
        if undamaged["kind"] != "ok":
            sys.exit(f"{name}: an undamaged input is refused: {json.dumps(undamaged, indent=1)}")
        if number:
            found[name] = runner.run(int(number), int(number) + 1)
        elif arguments.cases:
            found[name] = runner.run(0, -(-arguments.cases // shares[name]))
        else:
            slot = 60 * arguments.minutes * shares[name] / sum(shares.values())
            found[name] = runner.run(0, sys.maxsize, time.monotonic() + slot)
        _report(name, found[name])
        if arguments.json:
            summaries = {name: asdict(summary) for name, summary in found.items()}
            report = {
                "seed": arguments.seed,
                "minutes": arguments.minutes,
                "cases": arguments.cases,
                "targets": summaries,
            }
            arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    if number:
        print(json.dumps(found[only].findings, indent=1), f"its input is in {root / 'case'}", sep="\n")
    return int(any(summary.findings for summary in found.values()))


def _report(name: str, summary: Summary) -> None:
    print(
        f"{name:<18} {summary.cases:>6,} cases {summary.ok:>6,} ok {summary.refused:>6,} refused "
        f"{len(summary.findings):>3} findings  slowest {summary.slowest_seconds:>5.2f} s  "
        f"peak {summary.peak_megabytes:>5,} MB"
    )
    for one in summary.findings:
        print(f"    {one['kind']} at {one['where']}: {one['message'][:100]!r} ({one['count']}x, {name}:{one['case']})")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
