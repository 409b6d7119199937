"""Random numbers of a training step, from generators of its own, so that other draws in the process do not affect them.

Inside ``drawing(seed, step)`` each call that draws gets its own generator, numbered in the order of the calls. On a CPU
the numbers of a row depend on its index in the batch, not on the number of rows. Outside of ``drawing``, as when a
layer is used by itself, torch's global generator is used.
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

NORMALS_TOGETHER = 16  # torch draws normal numbers in groups, and the last group of a tensor differently


class _Draws:
    """The generators of one step, one for each call that draws."""

    def __init__(self, key: tuple[int, ...]) -> None:
        self._key = key
        self._calls = count()

    def make_generator(self, device: torch.device) -> torch.Generator:
        digest = blake2b(repr((*self._key, next(self._calls))).encode(), digest_size=8).digest()
        return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


_current: ContextVar[_Draws | None] = ContextVar("draws", default=None)


@contextmanager
def drawing(*key: int) -> Iterator[None]:
    """Make all draws in this context, in this thread, depend on the key only.

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
    """Return whether draws depend on a key."""
    return _current.get() is not None


def bernoulli(shape: Sequence[int], share: float, like: Tensor) -> Tensor:
    """Draw ones with probability ``share``, otherwise zeros; rows first, with the dtype and device of ``like``."""
    return like.new_empty(tuple(shape)).bernoulli_(share, generator=_generator(like))


def uniform(shape: Sequence[int], like: Tensor) -> Tensor:
    """Draw uniform float32 numbers in 0 … 1; rows first, on the device of ``like``."""
    return torch.rand(tuple(shape), generator=_generator(like), device=like.device)


def normal(shape: Sequence[int], like: Tensor) -> Tensor:
    """Draw standard normal numbers; rows first, with the dtype and device of ``like``."""
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
        is_training: whether to apply dropout at all.
        row_dim: the dimension of x for the rows of the batch.
    """
    if not is_drawing() or not is_training or share in (0, 1):
        return functional.dropout(x, share, is_training)
    rows_first = x.transpose(0, row_dim)
    kept = bernoulli(rows_first.shape, 1 - share, x).div_(1 - share).transpose(0, row_dim)
    return x * kept


def _generator(like: Tensor) -> torch.Generator | None:
    draws = _current.get()
    return None if draws is None else draws.make_generator(like.device)
