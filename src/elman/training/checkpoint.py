"""Everything a run needs to go on, in one file that is either the old one or the new one, never half.

A checkpoint is a nested value: dictionaries, lists and tuples with tensors and plain JSON scalars at the leaves.
``flatten`` takes the tensors out, so that safetensors can keep them, and leaves their places in a JSON skeleton that
goes into the file's metadata. Nothing is pickled; reading a stranger's checkpoint runs no code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from elman.errors import ModelError, StorageError

FILE_NAME = "checkpoint.safetensors"

_TENSOR, _TUPLE, _ITEMS = "$tensor", "$tuple", "$items"


def flatten(value: Any, tensors: dict[str, torch.Tensor], path: str = "") -> Any:
    """Move every tensor of a nested value into ``tensors`` and return the JSON skeleton that is left.

    Args:
        value: dictionaries, lists and tuples of tensors, strings, numbers, booleans and None.
        tensors: where the tensors go, by their path.
        path: the path of ``value`` itself.

    Returns:
        A JSON value in which ``{"$tensor": path}`` stands for a tensor.

    Example:
        >>> tensors = {}
        >>> flatten({"step": 3, "carry": (torch.zeros(2),)}, tensors)
        {'step': 3, 'carry': {'$tuple': [{'$tensor': 'carry.0'}]}}
        >>> list(tensors)
        ['carry.0']
    """

    def child(key: Any, item: Any) -> Any:
        return flatten(item, tensors, f"{path}.{key}" if path else str(key))

    if isinstance(value, torch.Tensor):
        while path in tensors:  # {"a.b": x, "a": {"b": y}} has two tensors of one path
            path += "'"
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: path}
    if isinstance(value, tuple):
        return {_TUPLE: [child(position, item) for position, item in enumerate(value)]}
    if isinstance(value, list):
        return [child(position, item) for position, item in enumerate(value)]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: child(key, item) for key, item in value.items()}
        return {_ITEMS: [[key, child(key, item)] for key, item in value.items()]}
    return value


def unflatten(skeleton: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Put the tensors back into the skeleton: the inverse of :func:`flatten`."""
    if isinstance(skeleton, list):
        return [unflatten(item, tensors) for item in skeleton]
    if isinstance(skeleton, dict):
        if _TENSOR in skeleton:
            return tensors[skeleton[_TENSOR]]
        if _TUPLE in skeleton:
            return tuple(unflatten(item, tensors) for item in skeleton[_TUPLE])
        if _ITEMS in skeleton:
            return {key: unflatten(item, tensors) for key, item in skeleton[_ITEMS]}
        return {key: unflatten(item, tensors) for key, item in skeleton.items()}
    return skeleton


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a nested state as one file, atomically.

    Args:
        path: the file; what stands there is replaced only when the new one is complete and on disk.
        state: see :func:`flatten`.

    Raises:
        StorageError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    tensors: dict[str, torch.Tensor] = {}
    skeleton = flatten(state, tensors)
    with replacing(path) as beside:
        safetensors.torch.save_file(tensors, beside, metadata={"elman": json.dumps(skeleton)})


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`save_checkpoint` wrote.

    Raises:
        ModelError: the file is not a whole Elman checkpoint.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            skeleton = json.loads((file.metadata() or {})["elman"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
        state: dict[str, Any] = unflatten(skeleton, tensors)
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: not a whole Elman checkpoint ({error}); delete it to start the training afresh"
        ) from error
    return state


def write_files(contents: dict[Path, bytes]) -> None:
    """Write several files: all of them, in their order, or, where one cannot be written, none.

    Raises:
        StorageError: the disk is full, the folder is missing or may not be written.
    """
    with ExitStack() as stack:  # the files are moved into place as it unwinds, the last entered first
        for path, content in reversed(contents.items()):
            with stack.enter_context(replacing(path)).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a file beside ``path`` to write; move it into place once it is complete and on disk.

    Args:
        path: the file to be written or replaced.

    Yields:
        The temporary name. Where the block fails it is removed, and what stood at ``path`` still stands.

    Raises:
        StorageError: the disk is full, the folder is missing or may not be written.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except StorageError:  # of another file, written in the same block
        raise
    except (OSError, safetensors.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(
            f"{path}: cannot be written ({reason}); make room or name another folder with --out. "
            "What was saved before is intact."
        ) from error
    finally:
        beside.unlink(missing_ok=True)
