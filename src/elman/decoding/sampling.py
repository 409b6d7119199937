"""From logits to the next token: temperature, top-k, top-p, repetition penalty, greedy choice, and when to stop."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.kernels.checks import CPU, check
from elman.kernels.generate import choose_rows, distribute_rows, draw_options
from elman.kernels.threads import run


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn from the network's distribution."""

    temperature: float = 0.8
    """Logits are divided by it: below 1 safer, above 1 wilder; 1 is the network's own distribution."""
    top_k: int = 0
    """Draw among the k likeliest tokens only; 0: among all."""
    top_p: float = 1.0
    """Draw among the fewest tokens that together reach this probability (nucleus sampling)."""
    repetition_penalty: float = 1.0
    """Logits of tokens already seen are divided by it where positive, multiplied where negative; 1: no penalty."""
    greedy: bool = False
    """Take the likeliest token every time; nothing is drawn."""

    def check(self) -> None:
        """Raise UsageError for a value outside its limits."""
        for name, value in asdict(self).items():
            if name != "greedy" and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
                raise UsageError(f"{name} is of type {type(value).__name__}; it must be a number")
        if not isinstance(self.top_k, numbers.Integral):
            raise UsageError(f"top_k is {self.top_k}; it must be a whole number")
        if not 0 < self.temperature < float("inf"):
            raise UsageError(f"temperature is {self.temperature}; it must be above zero (--greedy takes the likeliest)")
        if self.top_k < 0:
            raise UsageError(f"top_k is {self.top_k}; it must be at least 1, or 0 to draw among all tokens")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}; it is a probability: above 0 and at most 1")
        if not 0 < self.repetition_penalty < float("inf"):
            raise UsageError(f"repetition_penalty is {self.repetition_penalty}; it must be above zero (1: no penalty)")


def probabilities(logits: Tensor, sampling: Sampling, seen: Tensor | None = None) -> Tensor:
    """Turn logits into the distribution that the next token is drawn from.

    Args:
        logits: (N, V), one row a stream.
        sampling: what to do with them.
        seen: (N, V) booleans, the tokens that each stream already holds; only the repetition penalty asks.

    Returns:
        (N, V) float64 probabilities; each row sums to 1.

    Raises:
        UsageError: a shape or an option does not fit.

    Source: top-k: Fan et al. 2018, section 5.4; top-p: Holtzman et al. 2020, equation 2; repetition penalty:
        Keskar et al. 2019 (CTRL), section 4.1, with negative logits multiplied, so that a penalty never helps.

    Example:
        >>> probabilities(torch.tensor([[2.0, 1.0, 0.0]]), Sampling(temperature=1.0, top_k=1)).tolist()
        [[1.0, 0.0, 0.0]]
    """
    sampling.check()
    check("the logits", logits, ("N", "V"), None)
    if logits.shape[1] == 0:
        raise UsageError(f"there are no tokens to draw from: the logits have shape {tuple(logits.shape)}")
    if seen is not None:
        check("seen", seen, tuple(logits.shape), torch.bool)
    probs = logits.detach().to("cpu", torch.float64, copy=True, memory_format=torch.contiguous_format)
    rows, size = probs.shape
    options = draw_options(rows, **asdict(sampling))
    order = torch.empty_like(probs, dtype=torch.int64)
    mask = None if seen is None else seen.to(CPU).contiguous()
    addresses = (options.data_ptr(), probs.data_ptr(), 0 if mask is None else mask.data_ptr(), order.data_ptr())
    run(distribute_rows, size, *addresses, tickets=rows)
    return probs


def draw(probs: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one token a stream, by inverting the cumulative distribution at one uniform number.

    Args:
        probs: (N, V) probabilities; each row sums to 1.
        generators: N of them: a stream's text does not depend on how many are written beside it.

    Returns:
        (N,) int64 token ids.

    Raises:
        UsageError: there is no probability, or not one generator for each row.
    """
    check("the probabilities", probs, (len(generators), "V"), None)
    if probs.shape[1] == 0:
        raise UsageError(f"there are no tokens to draw from: the probabilities have shape {tuple(probs.shape)}")
    ids = torch.empty(len(probs), dtype=torch.int64, device=CPU)
    if len(ids) == 0:
        return ids
    draws = [torch.rand(1, generator=generator, dtype=torch.float64, device=CPU) for generator in generators]
    uniform = torch.stack(draws)
    probs = probs.to(CPU, torch.float64).contiguous()
    run(choose_rows, probs.shape[1], probs.data_ptr(), uniform.data_ptr(), ids.data_ptr(), tickets=len(probs))
    return ids


def sample(
    logits: Tensor,
    read: Callable[[Tensor], Tensor],
    *,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    max_tokens: int,
    seen: Tensor | None = None,
) -> Iterator[Tensor]:
    """Write token after token, each drawn from what the network says after reading the one before.

    Args:
        logits: (N, V) for the first token.
        read: hands (N,) ids to the network and returns the next (N, V) logits.
        sampling: how to draw.
        generators: one a stream.
        max_tokens: how many to write at most.
        seen: (N, V) booleans, the tokens of the prompt, for the repetition penalty; brought up to date in place.

    Yields:
        (N,) ids; when they are handed out, the network has read them.
    """
    for _ in range(max_tokens):
        ids = draw(probabilities(logits, sampling, seen), generators)  # (N,)
        if seen is not None:
            seen[torch.arange(len(ids)), ids] = True
        logits = read(ids)
        yield ids


class StopBuffer:
    """Holds back the end of a text as long as a stop string may be beginning there.

    Example:
        >>> buffer = StopBuffer(["END"])
        >>> buffer.push("the E"), buffer.push("gg. EN"), buffer.push("D of it"), buffer.stopped
        ('the ', 'Egg. ', '', True)
    """

    def __init__(self, stop: Sequence[str]) -> None:
        stop = [stop] if isinstance(stop, str) else stop
        if "" in stop:
            raise UsageError("a stop string is empty; give the text to stop at, or leave --stop out")
        self._stop = stop
        self._held = ""
        self.stopped = False

    def push(self, piece: str) -> str:
        """Take the next piece of text; return what is certain not to be part of a stop string."""
        if self.stopped:
            return ""
        text = self._held + piece
        found = [position for position in (text.find(stop) for stop in self._stop) if position >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """Return what is still held back when the writing ends."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of ``text`` are a beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if stop.startswith(text[len(text) - size :])), 0)
