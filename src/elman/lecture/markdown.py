"""A page as Markdown with numbers, outputs and pictures filled in, for the documentation."""

from __future__ import annotations

from collections.abc import Iterable

from elman.lecture.exercises import exercises_of
from elman.lecture.pages import Page
from elman.lecture.pictures import Picture
from elman.lecture.running import Code, Output, Piece, Text


def write_markdown(page: Page, pieces: Iterable[Piece], seconds: float) -> str:
    """Write a run of a page.

    Args:
        page: the page.
        pieces: what :func:`elman.lecture.running.run` yielded for it.
        seconds: how long that took.
    """
    head = f"*Presumes {page.presumes}. {describe_time(page, seconds)} Run it yourself: `elman lecture {page.number}`.*"
    parts = [f"# {page.number}. {page.title}", head, *(_write(piece) for piece in pieces)]
    if exercises_of(page):
        parts.append(f"Check your answers: `elman lecture {page.number} --check my_answer.py`")
    return "\n\n".join(parts) + "\n"


def describe_time(page: Page, seconds: float | None) -> str:
    """Say how long a page takes to read and, where that was measured, to run."""
    run = "" if seconds is None else f", {max(seconds, 1):.0f} s to run"
    return f"About {page.minutes} minute{'s' if page.minutes > 1 else ''} to read{run}."


def _write(piece: Piece) -> str:
    if isinstance(piece, Text):
        return piece.filled
    if isinstance(piece, Code):
        return f"```python\n{piece.source}\n```"
    if isinstance(piece, Output):
        return f"```text\n{piece.text}\n```"
    return f'<div class="picture">{piece.svg}</div>' if isinstance(piece, Picture) else ""
