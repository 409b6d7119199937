"""Shared parts of the formats of texts with labels, or with target texts.

Lines ──read──▶ Example(text, label)
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Protocol

from elman.data.files import text_problem
from elman.data.lines import Lines, Problems
from elman.data.records import Example, Problem

TEXT_AND_LABEL = ("text", "label")
SOURCE_AND_TARGET = ("source", "target")


class ExampleReader(Protocol):
    """A reader of examples."""

    def read(self, lines: Lines, problems: Problems, *, labelled: bool = False) -> Iterator[Example | Problem]:
        """Yield the examples.

        Args:
            lines: the lines to read.
            problems: collects the records that cannot be read.
            labelled: whether to read the labels. If so, an unreadable record is skipped; otherwise a `Problem` is
                yielded in its place.

        Raises:
            DataError: there is no such column, or the input is empty.
        """
        ...


def read_labelled(reader: ExampleReader, lines: Lines, problems: Problems) -> Iterator[Example]:
    """Yield the examples of a reader with their labels."""
    for example in reader.read(lines, problems, labelled=True):
        if not isinstance(example, Problem):
            yield example


def find_problem(text: str, label: str | None, nouns: tuple[str, str] = TEXT_AND_LABEL) -> str:
    """Return what is wrong with a text or its label; an empty string if both can be used.

    Example:
        >>> find_problem("so, so", " ")
        'the label is empty'
    """
    if problem := text_problem(text + (label or "")):
        return problem
    if not text.strip():
        return f"the {nouns[0]} is empty"
    return f"the {nouns[1]} is empty" if label is not None and not label.strip() else ""


def text_columns(wanted: str, names: Container[str]) -> list[str]:
    """Return the columns of a text: one column, or several names separated by commas.

    Example:
        >>> text_columns("title,body", ["title", "body"]), text_columns("title,body", ["title,body"])
        (['title', 'body'], ['title,body'])
    """
    return [wanted] if wanted in names else [name.strip() for name in wanted.split(",")]


def join_texts(texts: Sequence[str]) -> str:
    r"""Join the parts of a text with line breaks; blank parts are skipped.

    Example:
        >>> join_texts(["Title", " ", "What it says"]), join_texts([" "])
        ('Title\nWhat it says', ' ')
    """
    return texts[0] if len(texts) == 1 else "\n".join(text for text in texts if text.strip())


def report_skipped(problem: str, name: str, line: int, problems: Problems, labelled: bool) -> Iterator[Problem]:
    """Report a record that cannot be read; if labels are not requested, yield a `Problem` in its place."""
    fate = "the example is skipped" if labelled else "it gets no label"
    problems.add(name, line, f"{problem}; {fate}")
    if not labelled:
        yield Problem(line, problem)
