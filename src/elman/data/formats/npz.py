"""Safe reading of NumPy's .npz archives: plain arrays only, never Python objects."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Container
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.data.files import as_data_error, check_unpacked, open_file, text_problem
from elman.errors import DataError

_ENDING = ".npy"
_OBJECTS = (
    "it contains Python objects, which are never loaded because they can run code; save numbers (sequences of "
    "different lengths one below the other, with lengths) and labels of dtype str or int"
)


class Archive(NamedTuple):
    """The content of an ``.npz`` file."""

    arrays: dict[str, NDArray[Any]]
    """The requested arrays, by name."""
    names: list[str]
    """The names of all arrays."""


def read_npz(path: Path, wanted: Container[str] | None = None) -> Archive:
    """Read arrays from an ``.npz`` file.

    Args:
        path: the file.
        wanted: the names of the arrays to read; by default all.

    Raises:
        DataError: there is no such file, it is damaged or not an archive, an array contains Python objects, or the
            arrays are far larger than the file (see :mod:`elman.data.files`).
    """
    with open_file(path) as raw, as_data_error(str(path), "cannot be read as .npz"):
        if not zipfile.is_zipfile(raw):
            raise DataError(f"{path}: cannot be read as .npz: it is damaged, or not an archive of arrays")
        packed = raw.seek(0, io.SEEK_END)
        with zipfile.ZipFile(raw) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(_ENDING)]
            named = {member.filename.removesuffix(_ENDING): member for member in members}
            kept = {name: member for name, member in named.items() if wanted is None or name in wanted}
            check_unpacked(str(path), sum(member.file_size for member in kept.values()), packed)
            arrays: dict[str, NDArray[Any]] = {}
            for name, member in kept.items():
                with archive.open(member) as stream:
                    arrays[name] = _read_array(stream, member.file_size)
    return Archive(arrays, list(named))


def convert_to_texts(array: NDArray[Any], name: str) -> list[str]:
    """Convert an array (N,) of strings, of bytes in UTF-8 or of integers to strings.

    Args:
        array: the array.
        name: its name in messages.

    Raises:
        DataError: it has another shape or type, or a string is not valid text.

    Example:
        >>> convert_to_texts(np.array([2, 1]), "labels")
        ['2', '1']
    """
    if array.ndim != 1 or array.dtype.kind not in "USiub":
        raise DataError(f"{name} are {array.dtype} of shape {array.shape}, expected (N,) texts or whole numbers")
    with as_data_error(name, "are no texts"):
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8", "replace")
        texts = [str(text) for text in array.tolist()]
    for row, text in enumerate(texts):
        if problem := text_problem(text):
            raise DataError(f"{name} row {row} {problem}")
    return texts


def _read_array(stream: IO[bytes], size: int) -> NDArray[Any]:
    """Read an array after checking its header: it must contain plain values and be no larger than its data.

    Raises:
        ValueError: the check failed; NumPy, which evaluates the header as Python, may raise other errors.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns about headers written by Python 2, which are harmless
        version = np.lib.format.read_magic(stream)
        read_head = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_head:
            raise ValueError(f"an array is written in version {version[0]}.{version[1]} of the format")
        shape, _, dtype = read_head[version](stream)
        if dtype.hasobject:
            raise ValueError(_OBJECTS)
        if (said := math.prod(shape) * max(dtype.itemsize, 1)) > size:
            raise ValueError(f"an array of shape {shape} and type {dtype} needs {said:,} bytes, but it has {size:,}")
        stream.seek(0)
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
