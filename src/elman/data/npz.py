"""NumPy's archives of arrays, from whoever they come: read as data, never as Python objects."""

from __future__ import annotations

import zipfile
from collections.abc import Container
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.data.files import open_file
from elman.errors import DataError


class Archive(NamedTuple):
    """What an ``.npz`` holds."""

    arrays: dict[str, NDArray[Any]]
    """Those that were wanted, by name."""
    names: list[str]
    """The names of all."""


def read_npz(path: Path, wanted: Container[str] | None = None) -> Archive:
    """Read arrays from an ``.npz`` file.

    Args:
        path: the file.
        wanted: the names of the arrays to read; all where not given.

    Raises:
        DataError: there is no such file, it is no archive or a damaged one, or an array holds Python objects.
    """
    with open_file(path) as raw:
        try:
            if not zipfile.is_zipfile(raw):
                raise zipfile.BadZipFile("it is no archive of arrays, or not a whole one")
            raw.seek(0)
            with np.load(raw, allow_pickle=False) as file:
                names = list(file.files)
                arrays = {name: np.asarray(file[name]) for name in names if wanted is None or name in wanted}
        except Exception as error:  # NumPy evaluates the head of an array as Python: damaged, it may raise anything
            reason = f"{error}; save plain arrays with numpy.savez"
            if "pickle" in str(error):
                reason = (
                    "it holds Python objects, which are never loaded, for they may run a stranger's code; save numbers "
                    "(sequences of several lengths one below the other, with lengths) and labels of dtype str or int"
                )
            raise DataError(f"{path}: cannot be read as .npz: {reason}") from None
    return Archive(arrays, names)
