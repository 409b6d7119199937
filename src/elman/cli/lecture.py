"""``elman lecture``: a lecture on recurrent networks, whose pages run on this machine."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from elman.cli.arguments import parse
from elman.cli.help import About
from elman.cli.layout import bold, columns, listing, paragraphs, shows_styles
from elman.cli.program import program
from elman.errors import UsageError
from elman.files import make_folder, write_files

if TYPE_CHECKING:
    from elman.lecture.pages import Page
    from elman.lecture.running import Piece


@dataclass(kw_only=True)
class Lecture:
    """List the pages of the lecture, or run one: its text, code, output and pictures."""

    page: tyro.conf.Positional[Annotated[str | None, About(metavar="PAGE")]] = None
    """The number of a page, or a word of its name; leave it out to list the pages."""
    prepare: bool = False
    """Train the models that the pages share, once, and keep them in the cache folder."""
    check: Annotated[Path | None, About(metavar="FILE")] = None
    """Check the answers to the page's exercises in this Python file of yours."""
    notebook: Annotated[Path | None, About(metavar="FILE", group="output")] = None
    """Write the page as a Jupyter notebook, with outputs, instead of printing it."""
    out: Annotated[Path, About(metavar="DIR", group="output")] = Path("runs/lecture")
    """Folder for the pictures of the page."""


def run(words: Sequence[str]) -> int:
    """List, run or check pages; see ``elman lecture --help``. The exit code is 1 where an answer is wrong."""
    command = parse(Lecture, words, "elman lecture")
    if command.notebook is not None and command.check is not None:
        raise UsageError("--notebook and --check are given together; give only one of them")
    if command.prepare:
        if command.page is not None:
            raise UsageError(f"--prepare trains for all pages; leave out {command.page}")
        return _prepare()
    if command.page is None:
        if command.notebook or command.check:
            raise UsageError(f"{'--notebook' if command.notebook else '--check'} needs a page, by number or name")
        return _list_pages()
    from elman.lecture.pages import find_page

    page = find_page(command.page)
    if command.check is not None:
        return _check(page, command.check)
    return _write_notebook(page, command.notebook) if command.notebook is not None else _show(page, command.out)


def _list_pages() -> int:
    from elman.lecture.exercises import exercises_of
    from elman.lecture.exercises.exercise import show_count
    from elman.lecture.pages import read_pages
    from elman.lecture.timing import measured_seconds

    seconds = measured_seconds()
    rows = []
    for page in read_pages():
        notes = [f"{page.minutes} min to read"]
        notes += [f"{seconds[page.name]:.0f} s to run"] if page.name in seconds else []
        notes += [show_count(number, "exercise")] if (number := len(exercises_of(page))) else []
        rows.append((f"{page.number:>2}  {page.name}", f"{page.title} ({', '.join(notes)})"))
    print(f"{bold('The lecture:')}\n{listing(rows)}\n")
    print(f"  {program()} lecture 1            runs a page; each ends within half a minute")
    print(f"  {program()} lecture --prepare    trains the models that pages share, once")
    return 0


def _prepare() -> int:
    from elman.lecture.sharing import SHARED, check_writable, is_prepared, lecture_folder, shared

    check_writable()
    started = time.perf_counter()
    for name in SHARED:
        began, is_known = time.perf_counter(), is_prepared(name)
        shared(name)
        print(f"{name:<24}{'already there' if is_known else f'{time.perf_counter() - began:.0f} s'}", flush=True)
    print(f"{len(SHARED)} models in {lecture_folder()}, after {time.perf_counter() - started:.0f} s")
    return 0


def _check(page: Page, path: Path) -> int:
    from elman.lecture.exercises import exercises_of
    from elman.lecture.exercises.checking import check_answers

    verdicts = []
    for verdict in check_answers(page, path):
        verdicts.append(verdict)
        print(
            paragraphs(f"{verdict.name}: right" if verdict.is_right else f"{verdict.name} {verdict.text}"), flush=True
        )
    names = [exercise.name for exercise in exercises_of(page)]
    if missing := [name for name in names if name not in [verdict.name for verdict in verdicts]]:
        print(f"not answered yet: {', '.join(missing)}")
    return 0 if all(verdict.is_right for verdict in verdicts) else 1


def _write_notebook(page: Page, path: Path) -> int:
    from elman.lecture.notebook import write_notebook
    from elman.lecture.running import run as run_page

    write_files({path: write_notebook(page, run_page(page)).encode()})
    print(f"{path}: page {page.number}, {page.title}")
    return 0


def _show(page: Page, folder: Path) -> int:
    from elman.lecture.exercises import exercises_of
    from elman.lecture.markdown import describe_time
    from elman.lecture.running import run as run_page
    from elman.lecture.timing import keep_seconds, measured_seconds

    print(bold(f"{page.number}. {page.title}"))
    time_needed = describe_time(page, measured_seconds().get(page.name))
    print(paragraphs(f"Presumes {page.presumes}. {time_needed}") + "\n", flush=True)
    began = time.perf_counter()
    print_pieces(page, run_page(page), folder)
    seconds = time.perf_counter() - began
    keep_seconds(page.name, seconds)
    if exercises_of(page):
        print(paragraphs("Write your answers into a file of your own, and check them:"))
        print(f"  {program()} lecture {page.number} --check my_answer.py\n")
    print(f"Page {page.number} took {seconds:.0f} s.")
    return 0


def print_pieces(page: Page, pieces: Iterable[Piece], folder: Path) -> None:
    """Print each piece as soon as it is there; write pictures into a folder and print their paths."""
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.padding import Padding
    from rich.syntax import Syntax

    from elman.lecture.pictures import Picture
    from elman.lecture.running import Code, Text

    console = Console(width=columns(), highlight=False, force_terminal=shows_styles())
    pictures = 0

    def show(shown: Any) -> None:
        with console.capture() as captured:
            console.print(shown)
        print(re.sub(r" +$", "", captured.get(), flags=re.MULTILINE), flush=True)  # rich fills lines with blanks

    for piece in pieces:
        if isinstance(piece, Text):
            show(Markdown(piece.filled, hyperlinks=False))
        elif isinstance(piece, Code):
            show(Padding(Syntax(piece.source, "python", theme="ansi_light", background_color="default"), (0, 0, 0, 4)))
        elif isinstance(piece, Picture):
            pictures += 1
            path = folder / f"{page.path.stem}-{pictures}.svg"
            make_folder(folder)
            write_files({path: piece.file.encode()})
            print(f"{paragraphs(f'Picture: {piece.alt}')}\n  {path}\n", flush=True)
        else:
            print("\n".join(f"    | {line}" for line in piece.text.splitlines()) + "\n", flush=True)
