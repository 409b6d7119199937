"""Running a page: its blocks in order, the output of each, and the text with its numbers filled in."""

from __future__ import annotations

import ast
import io
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, TypeAlias

from elman.errors import ElmanError, UsageError, how_to_install
from elman.lecture.pages import Block, Page, Prose, fields_of
from elman.lecture.pictures import Picture


@dataclass(frozen=True)
class Text:
    """Markdown of a page."""

    source: str
    """With expressions, as the page has it."""
    filled: str
    """With their values."""


@dataclass(frozen=True)
class Code:
    """A Python block."""

    source: str
    is_exercise: bool = False


@dataclass(frozen=True)
class Output:
    """What the block before it printed."""

    text: str


Piece: TypeAlias = Text | Code | Output | Picture


def run(page: Page) -> Iterator[Piece]:
    """Run a page, as a notebook would be: the value of an expression at the end of a block is shown.

    Args:
        page: the page.

    Yields:
        Its pieces in order, each as soon as it is known; a block's code before the block runs.

    Raises:
        UsageError: a package that the page imports is not installed.
        ElmanError: a block fails.
    """
    namespace: dict[str, Any] = {"__name__": "page"}
    for part in page.parts:
        if isinstance(part, Prose):
            with _explaining(page, part.line):
                yield Text(part.text, _fill(part.text, namespace))
            continue
        yield Code(part.source, part.is_exercise)
        if not part.is_exercise:
            with _explaining(page, part.line):
                yield from _execute(page, part, namespace)


def _fill(prose: str, namespace: dict[str, Any]) -> str:
    """Replace the expressions in a text by their values."""
    parts = []
    for text, expression, form in fields_of(prose):
        parts += [text, format(eval(expression, namespace), form) if expression else ""]
    return "".join(parts)


def _execute(page: Page, block: Block, namespace: dict[str, Any]) -> Iterator[Piece]:
    """Run a block; yield what it prints, and the value of its last line if that is an expression."""
    tree = ast.parse("\n" * (block.line - 1) + block.source, str(page.path))  # a traceback names the line of the page
    end = tree.body[-1]
    last = ast.Expression(end.value) if isinstance(end, ast.Expr) else None
    if last is not None:
        tree.body.pop()
    value = None
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, str(page.path), "exec"), namespace)
        if last is not None:
            value = eval(compile(last, str(page.path), "eval"), namespace)
    text = printed.getvalue()
    if value is not None and not isinstance(value, Picture):
        text += f"{value!r}\n"
    if text:
        yield Output(text.rstrip("\n"))
    if isinstance(value, Picture):
        yield value


@contextmanager
def _explaining(page: Page, line: int) -> Iterator[None]:
    """Turn what a block raises into an error that names the page and the line."""
    try:
        yield
    except ElmanError:
        raise
    except ModuleNotFoundError as error:
        raise UsageError(
            f"page {page.number} needs {error.name}, which is not installed: {how_to_install('all')}"
        ) from error
    except Exception as error:
        if isinstance(error, SyntaxError) and error.filename == str(page.path):
            line, problem = error.lineno or line, error.msg
        else:
            frames = traceback.extract_tb(error.__traceback__)
            line = next((one.lineno or line for one in reversed(frames) if one.filename == str(page.path)), line)
            problem = str(error)
        raise ElmanError(f"{page.path}:{line}: {type(error).__name__}: {problem}") from error
