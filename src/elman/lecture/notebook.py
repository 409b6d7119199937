"""A page as a Jupyter notebook, with the outputs of a run, so that it can be read before it is run again.

Text with numbers becomes a code cell that displays it: where a reader changes the code above, the numbers follow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from elman.documents import write_json
from elman.lecture.exercises import exercises_of
from elman.lecture.pages import Page, fields_of
from elman.lecture.pictures import Picture
from elman.lecture.running import Code, Output, Piece, Text

_IMPORT = "from IPython.display import Markdown, display"
_HIDDEN = {"jupyter": {"source_hidden": True}}


def write_notebook(page: Page, pieces: Iterable[Piece]) -> str:
    """Write a run of a page as a notebook of format 4.5.

    Args:
        page: the page.
        pieces: what :func:`elman.lecture.running.run` yielded for it.
    """
    head = f"# {page.number}. {page.title}\n\n*Presumes {page.presumes}.*"
    cells = [_markdown(head), _code(_IMPORT, metadata=_HIDDEN)]
    for piece in pieces:
        if isinstance(piece, Text):
            cells.append(_prose(piece))
        elif isinstance(piece, Code):
            cells.append(_code(piece.source))
        else:
            cells[-1]["outputs"].append(_output(piece))
    if exercises_of(page):
        cells.append(_markdown(f"Check your answers: `elman lecture {page.number} --check my_answer.py`"))
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return write_json({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def _prose(text: Text) -> dict[str, Any]:
    pieces = fields_of(text.source)
    if len(pieces) == 1:
        return _markdown(text.filled)
    source = "".join(_literal(before) + _field(expression, form) for before, expression, form in pieces)
    output = {
        "output_type": "display_data",
        "data": {"text/markdown": text.filled, "text/plain": text.filled},
        "metadata": {},
    }
    return _code(f'display(Markdown(rf"""{source}"""))', output, metadata=_HIDDEN)


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _field(expression: str, form: str) -> str:
    return "{" + expression + (f":{form}" if form else "") + "}" if expression else ""


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(source: str, *outputs: dict[str, Any], metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata or {},
        "source": source,
        "outputs": list(outputs),
    }


def _output(piece: Output | Picture) -> dict[str, Any]:
    if isinstance(piece, Picture):
        return {"output_type": "display_data", "data": piece._repr_mimebundle_(), "metadata": {}}
    return {"output_type": "stream", "name": "stdout", "text": f"{piece.text}\n"}
