"""Checking an answer file: each function in a process of its own, with a time limit.

The file is the reader's own program, so it may raise, never end, print, or end Python. The process imports it, compares
its function with the right answer, and writes what a teacher would say into a file.
"""

from __future__ import annotations

import ast
import io
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

from elman.errors import DataError, UsageError, suggest
from elman.lecture.exercises import EXERCISES, exercises_of
from elman.lecture.exercises.exercise import Exercise
from elman.lecture.pages import Page

SECONDS = 10.0  # an answer needs milliseconds
_SOURCES = Path(__file__).parents[3]  # where this very package is
MOST_PRINTED = 60  # characters of what an answer prints, in a message


class Verdict(NamedTuple):
    """What a teacher says of one function."""

    name: str
    is_right: bool
    text: str
    """Empty where it is right."""


def check_answers(page: Page, path: Path, seconds: float = SECONDS) -> Iterator[Verdict]:
    """Check the functions of a file that are answers to a page's exercises.

    Args:
        page: the page.
        path: the reader's Python file.
        seconds: the time limit of each function.

    Yields:
        A verdict on each exercise of the page that the file answers, in order.

    Raises:
        UsageError: the page has no exercises.
        DataError: the file cannot be read, is not Python, or answers none of them.
    """
    exercises = exercises_of(page)
    if not exercises:
        raise UsageError(f"page {page.number} has no exercises; see elman lecture for the pages that do")
    defined = _defined_in(path)
    answered = [exercise for exercise in exercises if exercise.name in defined]
    if not answered:
        names = [exercise.name for exercise in exercises]
        hint = next(filter(None, (suggest(name, defined) for name in names)), "")
        raise DataError(f"{path}: defines none of the functions of page {page.number}, {', '.join(names)}{hint}")
    for exercise in answered:
        yield _check(exercise, path, seconds)


def _defined_in(path: Path) -> list[str]:
    """Return the names that a file defines or imports at its top level."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name the Python file with your answer") from None
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise DataError(f"{path}{line}: is not Python ({getattr(error, 'msg', error)})") from None
    names: list[str] = []
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            names.append(statement.name)
        elif isinstance(statement, ast.Assign):
            names += [target.id for target in statement.targets if isinstance(target, ast.Name)]
        elif isinstance(statement, ast.AnnAssign) and statement.value and isinstance(statement.target, ast.Name):
            names.append(statement.target.id)
        elif isinstance(statement, ast.ImportFrom):
            names += [alias.asname or alias.name for alias in statement.names]
    return names


def _check(exercise: Exercise, path: Path, seconds: float) -> Verdict:
    """Check one function in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        # -P: a random.py in the current folder does not stand in for Python's own
        command = [sys.executable, "-P", "-m", __name__, exercise.name, str(path.absolute()), str(report)]
        places = [str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            text = f"is still running after {seconds:g} seconds; is there a loop that never ends?"
            return Verdict(exercise.name, False, text)
        text = report.read_text(encoding="utf-8") if report.exists() else ""
        if not text and (done.returncode or not report.exists()):
            text = f"ended Python (exit code {done.returncode}) before the check was over"
        return Verdict(exercise.name, not text, text)


def review_file(exercise: Exercise, path: Path) -> str:
    """Run a reader's file and return what is wrong with its function; "" where it is right."""
    sys.path.insert(0, str(path.parent))  # it may import its neighbours
    with redirect_stdout(_Beginning()) as printed:
        try:
            text = exercise.review(runpy.run_path(str(path))[exercise.name])
        except (Exception, SystemExit) as error:
            return _describe(error, path)
    if text.startswith("returned nothing") and printed.text.strip():
        shown = printed.text.strip().splitlines()[0][:MOST_PRINTED]
        return f'printed "{shown}" and returned nothing; hand the result back with return, not with print'
    return text


class _Beginning(io.TextIOBase):
    """Keeps the beginning of what is printed: an answer may print without end."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text = (self.text + text)[:1000] if len(self.text) < 1000 else self.text
        return len(text)


def _describe(error: BaseException, path: Path) -> str:
    """Say what an answer raised, and where in it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f" in line {frames[-1].lineno}, {frames[-1].line}" if frames else ""
    return f"raised {type(error).__name__}{where}: {error}"


if __name__ == "__main__":
    name, file, report = sys.argv[1:]
    text = review_file(EXERCISES[name], Path(file))
    Path(report).write_text(text, encoding="utf-8", errors="backslashreplace")  # it quotes what an answer raised
