"""The checks that every tensor passes before a kernel gets its address.

A kernel gets addresses and sizes, and reads and writes whatever is there. So every tensor from a caller passes
``check`` once per call and is made contiguous before its address is taken. Tensors that a function allocates itself
need no check, but must be given a dtype and a device, since the user may change torch's defaults.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import torch
from torch import Tensor

from elman.errors import UsageError, suggest

Sizes = tuple[int | str, ...]
"""The size of each dimension; a name accepts any size."""

CPU = torch.device("cpu")


def check(
    name: str,
    tensor: Any,
    sizes: Sizes,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | None = None,
    layout: str = "",
) -> None:
    """Check that a value is a tensor of the given shape, dtype and device.

    Args:
        name: its name in the message; the remedy converts the last word of it.
        tensor: the value to check.
        sizes: the expected shape.
        dtype: the expected dtype; None for any real dtype.
        device: the expected device; None for any device except meta.
        layout: the meaning of the dimensions, for the message.

    Raises:
        UsageError: something does not fit.

    Example:
        >>> check("the state", torch.zeros(1, 2, dtype=torch.float64), (1, 2))
        Traceback (most recent call last):
        elman.errors.UsageError: the state is torch.float64, expected torch.float32; use state.to(torch.float32)
        >>> check("the logits", torch.zeros(3), ("N", "V"))
        Traceback (most recent call last):
        elman.errors.UsageError: the logits have shape (3,), expected (N, V)
    """
    if (
        not isinstance(tensor, Tensor)
        or (tensor.shape != sizes and not _fits(tensor.shape, sizes))
        or (tensor.is_complex() if dtype is None else tensor.dtype is not dtype)
        or (tensor.is_meta if device is None else tensor.device != device)
    ):
        _refuse(name, tensor, sizes, dtype, device, layout)


def dtype_beside(weight: Tensor) -> torch.dtype | None:
    """Return the dtype that a tensor combined with these weights must have; None under autocast, which casts it."""
    is_cast = weight.device.type != "meta" and torch.is_autocast_enabled(weight.device.type)
    return None if is_cast else weight.dtype


def check_lengths(lengths: Any, batch_size: int, num_steps: int) -> Tensor:
    """Check that lengths fit the batch.

    Args:
        lengths: (B,) integers.
        batch_size: B.
        num_steps: T, the largest length allowed.

    Returns:
        The lengths as int64 on the CPU.

    Raises:
        UsageError: they are not B integers in 0 … T.

    Example:
        >>> check_lengths(torch.tensor([2, 7]), batch_size=2, num_steps=5)
        Traceback (most recent call last):
        elman.errors.UsageError: lengths are [2, 7], expected 0 … 5, the input's time steps
    """
    try:
        given = lengths if isinstance(lengths, Tensor) else torch.as_tensor(lengths, device=CPU)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"lengths are of type {type(lengths).__name__}, expected {batch_size} integers") from None
    is_integer = not (given.is_floating_point() or given.is_complex() or given.dtype == torch.bool)
    if given.shape != (batch_size,) or not is_integer or given.is_meta:
        got = f"{given.dtype} of shape {tuple(given.shape)}{' on meta' if given.is_meta else ''}"
        raise UsageError(f"lengths are {got}, expected integers of shape ({batch_size},), one for each row")
    given = given.to("cpu", torch.int64)
    if bool(((given < 0) | (given > num_steps)).any()):
        raise UsageError(f"lengths are {given.tolist()}, expected 0 … {num_steps}, the input's time steps")
    return given


def check_choice(name: str, value: str, known: Iterable[str]) -> None:
    """Check that a name is known; otherwise suggest the nearest one.

    Raises:
        UsageError: there is no such name.

    Example:
        >>> check_choice("merge", "summ", ("sum", "product"))
        Traceback (most recent call last):
        elman.errors.UsageError: merge="summ", expected one of "sum", "product"; did you mean "sum"?
    """
    if value not in known:
        choices = ", ".join(f'"{choice}"' for choice in known)
        raise UsageError(f'{name}="{value}", expected one of {choices}{suggest(value, known)}')


def _fits(shape: torch.Size, sizes: Sizes) -> bool:
    pairs = zip(shape, sizes, strict=False)
    return len(shape) == len(sizes) and all(isinstance(size, str) or found == size for found, size in pairs)


def _refuse(
    name: str, tensor: Any, sizes: Sizes, dtype: torch.dtype | None, device: torch.device | None, layout: str
) -> NoReturn:
    """Say what does not fit, and what to do about it."""
    noun, is_plural = name.split()[-1], name.startswith("the ") and name.endswith("s")
    verb = "are" if is_plural else "is"
    if not isinstance(tensor, Tensor):
        remedy = f"; use torch.as_tensor({noun})" if hasattr(tensor, "__array__") else ""
        raise UsageError(f"{name} {verb} of type {type(tensor).__name__}, expected a tensor{remedy}")
    if not _fits(tensor.shape, sizes):
        expected = f"({', '.join(map(str, sizes))}{',' * (len(sizes) == 1)})"
        shown = f"{layout} = {expected}" if layout else expected
        raise UsageError(f"{name} {'have' if is_plural else 'has'} shape {tuple(tensor.shape)}, expected {shown}")
    if tensor.is_complex() if dtype is None else tensor.dtype is not dtype:
        remedy = f"{noun}.real" if dtype is None else f"{noun}.to({dtype})"
        raise UsageError(f"{name} {verb} {tensor.dtype}, expected {dtype or 'real numbers'}; use {remedy}")
    wanted = f"{device}; use {noun}.to('{device}')" if device else "a device that holds numbers"
    raise UsageError(f"{name} {verb} on {tensor.device}, expected {wanted}")
