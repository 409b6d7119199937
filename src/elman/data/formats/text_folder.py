"""Labelled texts in a folder with one subfolder for each label: each file is a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from elman.data.files import as_data_error, is_folder, open_file
from elman.data.formats.examples import find_problem
from elman.data.lines import Lines, Problems
from elman.data.records import Example
from elman.errors import DataError


def read_text_folder(folder: Path, problems: Problems, encoding: str = "utf-8") -> Iterator[Example]:
    """Read labelled texts from a folder with one subfolder for each label, in which each file is a text.

    Raises:
        DataError: there are no subfolders, or no files in them.
    """
    if not is_folder(folder):
        open_file(folder).close()
        raise DataError(f"{folder}: is a file, not a folder with a subfolder of texts for each label")
    labels = [child for child in _list_children(folder) if is_folder(child)]
    if not labels:
        raise DataError(f"{folder}: has no subfolders; put the texts of each label into a folder with its name")
    paths: list[Path] = []
    for label in labels:
        try:
            paths += [child for child in _list_children(label) if not is_folder(child)]
        except DataError as error:
            problems.add_error(str(label), error)
    if not paths:
        raise DataError(
            f"{folder}: its subfolders contain no files; put the texts of each label into the folder with its name"
        )
    for path in paths:
        try:
            text = "\n".join(Lines(path, encoding))
            if problem := find_problem(text, None):
                raise DataError(problem)
        except DataError as error:
            problems.add_error(str(path), error)
        else:
            yield Example(text, path.parent.name, 1)


def _list_children(folder: Path) -> list[Path]:
    with as_data_error(str(folder)):
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
