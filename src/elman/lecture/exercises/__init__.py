"""The exercises: functions for the reader to write, and what a teacher says of an answer.

An exercise stands on its page in a block ``python exercise``. Here are a right answer, the calls to compare the
reader's function on, and the mistakes that a teacher expects, each with what to say. A file holds the exercises of a
page or two; its tuple ``EXERCISES`` is listed below.
"""

from __future__ import annotations

from elman.lecture.exercises import architectures, combining, counting, equations, generating, gradients, truncation
from elman.lecture.exercises.exercise import Exercise
from elman.lecture.pages import Page

_FILES = (counting, equations, gradients, truncation, architectures, generating, combining)

EXERCISES: dict[str, Exercise] = {one.name: one for file in _FILES for one in file.EXERCISES}
"""Every exercise by the name of the function to write."""


def exercises_of(page: Page) -> list[Exercise]:
    """Return the exercises of a page, in the order of the table."""
    return [exercise for exercise in EXERCISES.values() if exercise.page == page.name]
