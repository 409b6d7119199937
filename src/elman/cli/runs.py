"""The folder of a run, and the run to resume, where --out names none: ``runs/lm-1``, ``runs/lm-2`` and so on."""

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
    """Create the first free folder ``runs/TASK-N``, and remove it at the end if nothing was saved in it.

    Two processes that ask at the same time get two folders, because mkdir succeeds in only one of them.

    Raises:
        StorageError: it cannot be created.
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
    """Return the folder of the unfinished run in ``runs`` with the newest checkpoint; None where there is none.

    Args:
        task: of the run.
        files: the training data of the run.
    """
    wanted = {file.absolute() for file in files}
    found: list[tuple[int, Path]] = []
    for folder in RUNS.glob("*/"):
        with suppress(ModelError, OSError):  # damaged, or gone in the meantime
            checkpoint = find_current(folder, FILE_NAME)
            if checkpoint is None:
                continue
            config = read_config(folder)
            names = {Path(name).absolute() for name in config["data"]["train"]["files"] if name not in _UNNAMED}
            if config["task"] == task and names == wanted:
                found.append((checkpoint.stat().st_mtime_ns, folder))
    return max(found)[1] if found else None


_UNNAMED = ("text", "values")  # the config's names for data that were no file, such as a sample
