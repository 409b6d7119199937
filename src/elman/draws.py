"""Random numbers of a training step: from a generator of its own, so that nothing else that draws changes them.

Inside ``drawing(seed, step)`` every place that draws has its own stream of numbers, by its turn. On a CPU the numbers
of a row depend on its place among the rows of the batch, not on how many rows come after it. Outside of ``drawing``,
as where a layer is used by itself, torch's global generator is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from itertools import count

import torch
from torch import Tensor
from torch.nn import functional

NORMALS_TOGETHER = 16  # the last ones of a tensor torch draws otherwise


class _Draws:
    """The generators of one step, one for each place that draws."""

    def __init__(self, key: tuple[int, ...]) -> None:
        self._key = key
        self._turns = count()

    def generator(self, device: torch.device) -> torch.Generator:
        digest = blake2b(repr((*self._key, next(self._turns))).encode(), digest_size=8).digest()
        return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


_current: ContextVar[_Draws | None] = ContextVar("draws", default=None)


@contextmanager
def drawing(*key: int) -> Iterator[None]:
    """Let all that is drawn here, in this thread, depend on the key and on nothing else.

    Example:
        >>> with drawing(1, 7):
        ...     first = uniform((2,), torch.zeros(0))
        >>> with drawing(1, 7):
        ...     bool((uniform((2,), torch.zeros(0)) == first).all())
        True
    """
    token = _current.set(_Draws(tuple(int(number) for number in key)))
    try:
        yield
    finally:
        _current.reset(token)


def is_drawing() -> bool:
    """Whether what is drawn depends on a key."""
    return _current.get() is not None


def bernoulli(shape: Sequence[int], share: float, like: Tensor) -> Tensor:
    """Draw ones, a share of them on average, and zeros; rows first, in the type and on the device of ``like``."""
    return like.new_empty(tuple(shape)).bernoulli_(share, generator=_generator(like))


def uniform(shape: Sequence[int], like: Tensor) -> Tensor:
    """Draw float32 numbers from 0 … 1, rows first, on the device of ``like``."""
    return torch.rand(tuple(shape), generator=_generator(like), device=like.device)


def normal(shape: Sequence[int], like: Tensor) -> Tensor:
    """Draw numbers of mean 0 and variance 1, rows first, in the type and on the device of ``like``."""
    generator = _generator(like)
    if generator is None:
        return torch.randn(tuple(shape), dtype=like.dtype, device=like.device)
    size = torch.Size(shape).numel()
    numbers = torch.randn(size + NORMALS_TOGETHER, generator=generator, dtype=like.dtype, device=like.device)
    return numbers[:size].view(tuple(shape))


def dropout(x: Tensor, share: float, is_training: bool, row_dim: int) -> Tensor:
    """Zero a share of the entries while training, and scale up the others.

    Args:
        x: any shape.
        share: probability of zeroing an entry.
        is_training: whether to.
        row_dim: the dimension of x that counts the rows of the batch.
    """
    if not is_drawing() or not is_training or share in (0, 1):
        return functional.dropout(x, share, is_training)
    rows_first = x.transpose(0, row_dim)
    kept = bernoulli(rows_first.shape, 1 - share, x).div_(1 - share).transpose(0, row_dim)
    return x * kept


def _generator(like: Tensor) -> torch.Generator | None:
    draws = _current.get()
    return None if draws is None else draws.generator(like.device)
