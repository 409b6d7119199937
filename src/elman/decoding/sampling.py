"""Sampling the next token from logits: temperature, top-k, top-p, repetition penalty, greedy choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.decoding.options import Sampling
from elman.errors import UsageError
from elman.kernels.checks import CPU, check
from elman.kernels.generate import OPTIONS, choose_rows, distribute_rows, draw_options
from elman.kernels.threads import run

GAMMA = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio, made odd


def lay_out_options(samplings: Iterable[Sampling]) -> Tensor:
    """Lay out the options of N rows as the kernels read them: (N, 5) float64."""
    rows = [draw_options(**asdict(sampling)) for sampling in samplings]
    return torch.stack(rows) if rows else torch.empty(0, OPTIONS, dtype=torch.float64, device=CPU)


def probabilities(logits: Tensor, sampling: Sampling | Tensor, seen: Tensor | None = None) -> Tensor:
    """Turn logits into the distribution of the next token.

    Args:
        logits: (N, V), one row per stream.
        sampling: the options for all rows, or (N, 5), the options of each row from ``lay_out_options``.
        seen: (N, V) booleans, the tokens already in each stream; used by the repetition penalty only.

    Returns:
        (N, V) float64 probabilities; each row sums to 1.

    Raises:
        UsageError: a shape or an option does not fit.

    Source: top-k: Fan et al. 2018, section 5.4; top-p: Holtzman et al. 2020, equation 2; repetition penalty:
        Keskar et al. 2019 (CTRL), section 4.1, with negative logits multiplied, so that a penalty always lowers them.

    Example:
        >>> probabilities(torch.tensor([[2.0, 1.0, 0.0]]), Sampling(temperature=1.0, top_k=1)).tolist()
        [[1.0, 0.0, 0.0]]
    """
    if isinstance(sampling, Sampling):
        sampling.check()
    check("the logits", logits, ("N", "V"), None)
    if logits.shape[1] == 0:
        raise UsageError(f"there are no tokens to draw from: the logits have shape {tuple(logits.shape)}")
    if seen is not None:
        check("seen", seen, tuple(logits.shape), torch.bool)
    probs = logits.detach().to("cpu", torch.float64, copy=True, memory_format=torch.contiguous_format)
    rows, size = probs.shape
    options = lay_out_options([sampling] * rows) if isinstance(sampling, Sampling) else sampling
    check("the options", options, (rows, OPTIONS), torch.float64, CPU)
    options = options.contiguous()
    order = torch.empty_like(probs, dtype=torch.int64)
    mask = None if seen is None else seen.to(CPU).contiguous()
    addresses = (options.data_ptr(), probs.data_ptr(), 0 if mask is None else mask.data_ptr(), order.data_ptr())
    run(distribute_rows, size, *addresses, tickets=rows)
    return probs


def draw(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one token per stream by inverting the cumulative distribution at a uniform random number.

    Args:
        probs: (N, V) probabilities; each row sums to 1.
        uniforms: (N,) float64 in 0 … 1, below 1.

    Returns:
        (N,) int64 token ids.

    Raises:
        UsageError: there are no probabilities, or not exactly one uniform number per row.
    """
    check("the uniforms", uniforms, ("N",), torch.float64, CPU)
    check("the probabilities", probs, (len(uniforms), "V"), None)
    if probs.shape[1] == 0:
        raise UsageError(f"there are no tokens to draw from: the probabilities have shape {tuple(probs.shape)}")
    ids = torch.empty(len(probs), dtype=torch.int64, device=CPU)
    probs, uniforms = probs.to(CPU, torch.float64).contiguous(), uniforms.contiguous()
    run(choose_rows, probs.shape[1], probs.data_ptr(), uniforms.data_ptr(), ids.data_ptr(), tickets=len(probs))
    return ids


def draw_key(*numbers: int) -> int:
    """Hash a seed, and other numbers that the draws of a stream depend on, into a 64-bit key.

    Example:
        >>> draw_key(1) != draw_key(2) != draw_key(1, 0)
        True
    """
    digest = sha256(repr([int(number) for number in numbers]).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def uniforms(keys: Sequence[int], positions: Sequence[int], count: int) -> Tensor:
    """Return uniform random numbers for N streams, each a function of its stream's key and its position only.

    Number n of key k is output n of the generator SplitMix64 that starts at k: a hash of k + (n + 1) · GAMMA, whose
    upper 53 bits are a number in 0 … 1.

    Source: Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", figures 16 and 17.

    Args:
        keys: the key of each stream, see ``draw_key``.
        positions: the position of each stream's first draw.
        count: T, the number of draws per stream.

    Returns:
        (N, T) float64, at least 0 and below 1.

    Example:
        >>> bool(uniforms([7], [0], 5)[0, 3] == uniforms([7], [3], 1)[0, 0])
        True
    """
    steps = np.array(positions, np.uint64)[:, None] + np.arange(1, count + 1, dtype=np.uint64)  # (N, T)
    bits = np.asarray(np.array(keys, np.uint64)[:, None] + steps * GAMMA, np.uint64)
    return torch.from_numpy((mix_bits(bits) >> np.uint64(11)) * 2.0**-53)


def mix_bits(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix 64 bits so that each depends on all others: SplitMix64's output function (David Stafford's variant 13)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
