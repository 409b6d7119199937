"""What the FILEs on a command line stand for, and the mistakes that are answered before a model is loaded."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from elman.cli.streams import standard_input
from elman.errors import ModelError, UsageError
from elman.models.tasks import TASKS

RUNS = Path("runs")
_PREFIXES = ("sample:", "hub:")
OTHER_PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".pdf", ".eps"}


def resolve(word: str, task: str) -> Path | str:
    """Return what a FILE stands for: a path, or the text of ``sample:NAME`` or ``hub:NAME``.

    Raises:
        UsageError: it is empty, standard input, or of the hub where the task reads files only.
    """
    from elman.data.hub import load_hub_text
    from elman.data.samples import sample_text

    if word == "-":
        raise UsageError("-: the data are read several times, and a pipe only once; save them in a file")
    if not word:
        raise UsageError("the name of a FILE is empty; is a variable of the shell not set?")
    if word.startswith("hub:"):
        form = TASKS[task].hub
        if form is None:
            raise UsageError(f"{word}: a {task} reads files only; download the data and name their folder")
        return load_hub_text(word.removeprefix("hub:"), form)
    return sample_text(word.removeprefix("sample:")) if word.startswith("sample:") else Path(word)


@contextmanager
def open_input(word: str, task: str) -> Iterator[Path | str | IO[bytes]]:
    """Open standard input, a named pipe such as <(zcat a.csv.gz), or another FILE, to be read once."""
    if word == "-":
        yield standard_input()
    elif Path(word).is_fifo():
        with Path(word).open("rb") as stream:
            yield stream
    else:
        yield resolve(word, task)


def examples(task: str, words: Sequence[str], images: Path | None = None) -> tuple[Any, Any]:
    """Return what the FILEs of a command stand for, as ``fit`` and ``evaluate`` take it: X, and y or None.

    Args:
        task: as ``elman train`` names it.
        words: the FILEs.
        images: the pictures that a file of captions describes.

    Raises:
        UsageError: there are too many of them, or the pictures are missing.
    """
    from elman.data.samples import sample_pictures

    files = TASKS[task].files
    if files.most is not None and not 1 <= len(words) <= files.most:
        most = "one file" if files.most == 1 else "one or two files"
        raise UsageError(f"a {task} reads {most}, but {len(words)} are given: {' '.join(words)}")
    pictures: Any = images
    if files.of_pictures and images is None:
        if not words[0].startswith("sample:"):
            raise UsageError(f"{words[0]}: the pictures are missing; name their folder, or an .npz, with --images")
        pictures = sample_pictures(words[0].removeprefix("sample:"))
    return files.arrange([resolve(word, task) for word in words], pictures)


def check_data_exist(*sources: Any) -> None:
    """Raise DataError where a file of the data is missing; this comes before any complaint about the output folder."""
    from elman.data.files import open_file

    for part in sources:
        for path in part if isinstance(part, list) else [part]:
            if isinstance(path, Path) and not path.exists():
                open_file(path).close()


def check_model_and_files(verb: str, folder: Path, files: Sequence[str]) -> None:
    """Check the words of a command before its model is loaded, which takes seconds.

    Raises:
        UsageError: the folder of the model follows a file instead of coming first.
        ModelError: the model is a file.
        DataError: a file is missing.
    """
    if not folder.is_dir():
        if model := next(filter(is_model, files), None):
            others = [str(folder), *(word for word in files if word != model)]
            raise UsageError(f"{model} is the model, and it comes first: elman {verb} {shlex.join([model, *others])}")
        check_model(folder)
    elif is_model(folder) and len(files) == 1:  # how many there may be depends on the model
        check_data_exist(*(Path(word) for word in files if word not in ("", "-") and not word.startswith(_PREFIXES)))


def is_model(word: str | Path) -> bool:
    """Tell whether a word names the folder of a saved model."""
    return (Path(word) / "config.json").is_file()


def check_model(folder: Path) -> None:
    """Raise ModelError where a file is named in place of the folder of a model."""
    if folder.is_file():
        raise ModelError(f"{folder}: is a file, and a model is a folder, such as elman train makes in {RUNS}")


def check_svg(option: str, path: Path | None) -> None:
    """Raise UsageError where a picture, which is an SVG, would go into a file that is named as another format."""
    if path is not None and path.suffix.lower() in OTHER_PICTURES:
        raise UsageError(f"{option} {path}: the picture is an SVG; name it {path.with_suffix('.svg')}")
