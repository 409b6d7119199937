"""Where a training goes, and which one is resumed, when no folder is named: ``runs/lm-1``, ``runs/lm-2`` and so on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from elman.cli.inputs import RUNS
from elman.errors import ModelError, StorageError
from elman.families.saved.folder import read_config
from elman.files import find_current, make_folder
from elman.training.checkpoint import FILE_NAME


@contextmanager
def next_folder(task: str) -> Iterator[Path]:
    """Make the first folder ``runs/TASK-N`` that is free; remove it at the end if nothing was saved in it.

    Two processes that ask at once get two folders: mkdir lets only one of them make each.

    Raises:
        StorageError: it cannot be made.
    """
    is_new = not RUNS.exists()
    make_folder(RUNS)
    for number in itertools.count(1):
        folder = RUNS / f"{task}-{number}"
        try:
            folder.mkdir()
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise StorageError(
                f"{folder}: the folder cannot be created ({error.strerror}); name another with `out`"
            ) from error
    try:
        yield folder
    finally:
        with suppress(OSError):  # something was saved there
            folder.rmdir()
            if is_new:
                RUNS.rmdir()


def newest_unfinished(task: str, files: Iterable[Path]) -> Path | None:
    """Find the training in ``runs`` that wrote its checkpoint last.

    Args:
        task: whose trainings are looked at.
        files: the training data; only trainings that read the same files are looked at.

    Returns:
        Its folder; None where there is none.
    """
    wanted = {file.absolute() for file in files}
    found: list[tuple[int, Path]] = []
    for folder in RUNS.glob("*/"):
        with suppress(ModelError, OSError):  # damaged, or gone meanwhile: not one to go on with
            checkpoint = find_current(folder, FILE_NAME)
            if checkpoint is None:
                continue
            config = read_config(folder)
            names = {Path(name).absolute() for name in config["data"]["train"]["files"] if name not in _UNNAMED}
            if config["task"] == task and names == wanted:
                found.append((checkpoint.stat().st_mtime_ns, folder))
    return max(found)[1] if found else None


_UNNAMED = ("text", "values")  # what a config calls data that came from no file, such as a sample's
