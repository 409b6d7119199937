"""Checkpoints: everything that is needed to resume a run, in one file that is replaced atomically.

A checkpoint is a nested value: dictionaries, lists and tuples with tensors and plain JSON scalars at the leaves.
``flatten`` moves the tensors out for safetensors and leaves a JSON skeleton, which becomes the file's metadata. Nothing
is pickled; reading a stranger's checkpoint runs no code.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch

from elman.errors import ModelError
from elman.files import check_regular, replacing

FILE_NAME = "checkpoint.safetensors"
MOST_BYTES = 8 << 30  # limit for a checkpoint and for a model's weights

_TENSOR, _TUPLE, _ITEMS, _FLOAT = "$tensor", "$tuple", "$items", "$float"


def flatten(value: Any, tensors: dict[str, torch.Tensor], path: str = "") -> Any:
    """Move every tensor of a nested value into ``tensors`` and return the JSON skeleton that is left.

    Args:
        value: dictionaries, lists and tuples of tensors, strings, numbers, booleans and None.
        tensors: receives the tensors by their path.
        path: the path of ``value`` itself.

    Returns:
        A JSON value with ``{"$tensor": path}`` in place of each tensor.

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
        while path in tensors:  # {"a.b": x, "a": {"b": y}} has two tensors with the same path
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
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no such numbers
        return {_FLOAT: str(value)}
    return value


def unflatten(skeleton: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Put the tensors back into the skeleton: the inverse of :func:`flatten`."""
    if isinstance(skeleton, list):
        return [unflatten(item, tensors) for item in skeleton]
    if isinstance(skeleton, dict):
        if _TENSOR in skeleton:
            return tensors[skeleton[_TENSOR]]
        if _FLOAT in skeleton:
            return float(skeleton[_FLOAT])
        if _TUPLE in skeleton:
            return tuple(unflatten(item, tensors) for item in skeleton[_TUPLE])
        if _ITEMS in skeleton:
            return {key: unflatten(item, tensors) for key, item in skeleton[_ITEMS]}
        return {key: unflatten(item, tensors) for key, item in skeleton.items()}
    return skeleton


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a nested state as one file, atomically.

    Args:
        path: the file; it is replaced only when the new one is complete and on disk.
        state: see :func:`flatten`.

    Raises:
        StorageError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    tensors: dict[str, torch.Tensor] = {}
    skeleton = flatten(state, tensors)
    with replacing(path) as beside:
        try:
            safetensors.torch.save_file(tensors, beside, metadata={"elman": json.dumps(skeleton, allow_nan=False)})
        except safetensors.SafetensorError as error:
            raise OSError(str(error)) from error


class Stored(NamedTuple):
    """A checkpoint whose header has been read, but none of its tensors."""

    path: Path
    skeleton: Any
    """The state, with ``{"$tensor": path}`` in place of a tensor."""
    shapes: dict[str, tuple[int, ...]]
    """The shape of each tensor, by its path."""

    def shapes_of(self, *keys: str) -> dict[str, tuple[int, ...]]:
        """Return the tensor shapes, by name, of a part of the state such as the network.

        Raises:
            ModelError: there is no such part.
        """
        try:
            part = self.skeleton
            for key in keys:
                part = part[key]
            return {name: self.shapes[tensor[_TENSOR]] for name, tensor in part.items()}
        except (KeyError, TypeError, AttributeError):
            raise self.damaged(f"it has no weights under {'.'.join(keys)}") from None

    def load(self) -> dict[str, Any]:
        """Read the whole checkpoint.

        Raises:
            ModelError: the file is not a complete Elman checkpoint.
        """
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in self.shapes}
            state: dict[str, Any] = unflatten(self.skeleton, tensors)
        except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise self.damaged(error) from error
        return state

    def damaged(self, reason: object) -> ModelError:
        """Return the error that says why the file cannot be used."""
        return ModelError(f"{self.path}: not a complete Elman checkpoint ({reason}); delete it to train from scratch")


def open_checkpoint(path: Path) -> Stored:
    """Read only the header of a checkpoint that :func:`save_checkpoint` wrote.

    Raises:
        ModelError: the file is not a complete Elman checkpoint.
    """
    stored = Stored(path, None, {})
    try:
        check_regular(path, MOST_BYTES)
        with safetensors.safe_open(path, framework="pt") as file:
            skeleton = json.loads((file.metadata() or {})["elman"])
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no dict)
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise stored.damaged(error) from error
    if not isinstance(skeleton, dict):
        raise stored.damaged("its state is not a dictionary")
    return Stored(path, skeleton, shapes)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that :func:`save_checkpoint` wrote.

    Raises:
        ModelError: the file is not a complete Elman checkpoint.
    """
    return open_checkpoint(path).load()
