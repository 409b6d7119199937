"""The rules for every case: it succeeds or is refused with an error of `elman.errors`, within time and memory limits.

A target is a function of a `Case`, which depends only on the seed of the run, the name of the target and a number.
Cases run one after another in a forked process, which reports the outcome of each. The parent measures the time of a
case, computing or waiting but not queueing for a processor, and the memory it adds, and kills a case that exceeds a
limit.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import re
import select
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from elman.errors import ElmanError

from .mutations import CANARY, mutate

PRECIOUS = "precious"  # name and content of a file next to the folder of a case; it must not change
MAX_LINES, MAX_CHARACTERS = 3, 1000  # of a message
_CALL = re.compile(r'  File "(.+)", line (\d+) in (.+)')  # as faulthandler writes it
_INSIDE = re.compile(r"/src/(elman/\S+)")


class PoorMessageError(AssertionError):
    """The message of an error is empty or too long."""


class HarmError(AssertionError):
    """Something outside the folder of a case has changed, or code from its input was run."""


class Case:
    """One input, and the folder that it is written to.

    Args:
        name: the name of the target.
        number: the number of the case; None for an undamaged input.
        seed: the seed of the run.
        folder: an empty folder.
    """

    def __init__(self, name: str, number: int | None, seed: int, folder: Path) -> None:
        self.rng = random.Random(f"{seed}:{name}:{number}")
        self.is_damaged = number is not None
        self.folder = folder

    def pick(self, *options: Any) -> Any:
        """Draw one of the options; return the first if the input is undamaged."""
        return self.rng.choice(options) if self.is_damaged else options[0]

    def file(self, kind: str, seeds: list[bytes], name: str = "case") -> Path:
        """Write one of the seeds, damaged, to a file with the ending ``kind``."""
        path = self.folder / f"{name}.{kind}"
        content = self.pick(*seeds)
        path.write_bytes(mutate(content, kind, self.rng, seeds) if self.is_damaged else content)
        return path

    @contextmanager
    def refusable(self) -> Iterator[None]:
        """Continue even if the block is refused."""
        try:
            yield
        except ElmanError as error:
            if not self.is_damaged:
                raise
            check_message(error)


Target = Callable[[Case], Any]


def check_message(error: ElmanError) -> None:
    """Raise PoorMessageError if the message of an error is empty or too long."""
    message = str(error)
    if not message.strip() or message.count("\n") >= MAX_LINES or len(message) > MAX_CHARACTERS:
        size = f"{message.count(chr(10)) + 1:,} lines, {len(message):,} characters"
        raise PoorMessageError(f"{size}: {message[:200]}") from error


@dataclass
class Summary:
    """The outcomes of the cases of a target."""

    cases: int = 0
    ok: int = 0
    refused: int = 0
    slowest_seconds: float = 0.0
    peak_megabytes: float = 0.0
    findings: list[dict[str, Any]] = field(default_factory=list)
    """One for each kind and place: kind, where, message, calls, number of the first case, count of cases."""

    def add(self, number: int, outcome: dict[str, Any], seconds: float, megabytes: float) -> None:
        """Count a case."""
        self.cases += 1
        self.ok += outcome["kind"] == "ok"
        self.refused += outcome["kind"] == "refused"
        self.slowest_seconds = round(max(self.slowest_seconds, seconds), 2)
        self.peak_megabytes = round(max(self.peak_megabytes, megabytes))
        if outcome["kind"] in ("ok", "refused"):
            return
        alike = (one for one in self.findings if (one["kind"], one["where"]) == (outcome["kind"], outcome["where"]))
        if (known := next(alike, None)) is None:
            self.findings.append({**outcome, "case": number, "count": 1})
        else:
            known["count"] += 1


class Runner:
    """Runs the cases of a target.

    Args:
        name: the name of the target.
        target: the function to run.
        folder: the working folder; the files of the last case stay there.
        seed: the seed of the run.
        seconds: time limit of a case.
        megabytes: limit of the memory that a case adds to the process.
    """

    def __init__(
        self, name: str, target: Target, folder: Path, seed: int, seconds: float = 10.0, megabytes: float = 2048.0
    ) -> None:
        self.name, self.target, self.folder, self.seed = name, target, folder, seed
        self.seconds, self.megabytes = seconds, megabytes
        self.summary = Summary()

    def run(self, first: int, stop: int, until: float = float("inf")) -> Summary:
        """Run the cases from ``first`` to ``stop`` - 1 that start before ``until`` (of time.monotonic)."""
        while first < stop and time.monotonic() < until:
            first = self._watch(first, stop, until)
        return self.summary

    def attempt(self, number: int | None) -> dict[str, Any]:
        """Run one case in this process and return its outcome."""
        place, canary, precious = (self.folder / name for name in ("case", "canary", PRECIOUS))
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        precious.write_text(PRECIOUS)
        os.environ[CANARY] = str(canary)
        torch.manual_seed(self.seed)
        kind, error = "ok", None
        try:
            try:
                self.target(Case(self.name, number, self.seed, place))
            except ElmanError as refusal:
                kind, error = "refused", refusal
                check_message(refusal)
            if canary.exists():
                canary.unlink()
                raise HarmError("code from the input was run")
            if precious.read_text() != PRECIOUS:
                raise HarmError("a file outside the folder was written")
        except BaseException as found:  # SystemExit and a panic in Rust are findings too
            kind, error = type(found).__name__, found
        return {"kind": kind} if error is None else {"kind": kind, "message": _shorten(error), **_place(_calls(error))}

    def _watch(self, number: int, stop: int, until: float) -> int:
        """Run cases in one process until all are done or it must be killed; return the number of the next case."""
        notes = self.folder / "calls.txt"
        notes.write_text("")
        reader, writer = os.pipe()
        with warnings.catch_warnings(action="ignore"):  # about threads, which the new process does not need
            worker = os.fork()
        if worker == 0:
            self._work(range(number, stop), writer, notes)
        os.close(writer)
        before, waited, checked = _usage(worker), 0.0, time.monotonic()
        seconds, most, pending, problem = 0.0, 0.0, b"", ""
        while number < stop and time.monotonic() < until and not problem:
            ready, _, _ = select.select([reader], [], [], 0.02)
            usage, now = _usage(worker), time.monotonic()
            waited, checked = waited + (now - checked) * usage.waits, now
            seconds, most = usage.seconds - before.seconds + waited, max(most, usage.megabytes - before.megabytes)
            if ready:
                received = os.read(reader, 1 << 20)
                problem = "" if received else "crash"
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    self.summary.add(number, json.loads(line), seconds, most)
                    before, waited, seconds, most, number = usage, 0.0, 0.0, 0.0, number + 1
            elif most > self.megabytes:
                problem = "memory"
            elif seconds > self.seconds:
                problem = "hang"
        os.close(reader)
        if problem in ("hang", "memory"):
            os.kill(worker, signal.SIGUSR1)  # it writes its traceback as soon as it can
            while "  File" not in notes.read_text() and time.monotonic() < checked + 5:
                time.sleep(0.05)
        os.kill(worker, signal.SIGKILL)
        _, status = os.waitpid(worker, 0)
        if not problem:
            return number
        message = f"{seconds:.1f} s, {most:,.0f} MB, wait status {status}"
        calls = [f"{call[1]}:{call[2]} {call[3]}" for call in _CALL.finditer(notes.read_text())]
        self.summary.add(number, {"kind": problem, "message": message, **_place(calls[::-1])}, seconds, most)
        return number + 1

    def _work(self, numbers: range, writer: int, notes: Path) -> None:
        """Run cases, report the outcome of each, and end this process."""
        try:
            with notes.open("w") as calls:
                faulthandler.enable(calls, all_threads=False)
                faulthandler.register(signal.SIGUSR1, calls, all_threads=False)
                null = os.open(os.devnull, os.O_RDWR)
                for stream in range(3):
                    os.dup2(null, stream)
                warnings.simplefilter("ignore")
                for number in numbers:
                    os.write(writer, json.dumps(self.attempt(number)).encode() + b"\n")
        finally:
            os._exit(0)


def _calls(error: BaseException) -> list[str]:
    """Return the calls that led to an error, or to its cause if none of them is in Elman."""
    calls = [f"{call.filename}:{call.lineno} {call.name}" for call in traceback.extract_tb(error.__traceback__)]
    return calls if error.__cause__ is None or any(map(_INSIDE.search, calls)) else _calls(error.__cause__)


def _place(calls: list[str]) -> dict[str, Any]:
    """Return the last line within Elman (or else of all) among calls, and the last few calls."""
    inside = [found[1] for call in calls if (found := _INSIDE.search(call))]
    return {"where": (inside or calls or ["nowhere"])[-1].split()[0], "calls": calls[-10:]}


def _shorten(error: BaseException) -> str:
    return str(error)[:500].encode("utf-8", "replace").decode()


class _Usage(NamedTuple):
    """The resources that a process has used."""

    seconds: float
    """Processor time."""
    waits: bool
    """Whether it is waiting for something other than a processor."""
    megabytes: float


def _usage(process: int) -> _Usage:
    status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(status[11]) + int(status[12])) / os.sysconf("SC_CLK_TCK")
    return _Usage(seconds, status[0] in "SD", int(status[21]) * os.sysconf("SC_PAGESIZE") / 2**20)
