"""The options of a call that generates: sampling of tokens, and search for texts. This module does not import torch."""

from __future__ import annotations

import math
import numbers
from dataclasses import asdict, dataclass

from elman.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample the next token from the network's distribution."""

    temperature: float = 0.8
    """Divide the logits by this: below 1 is safer, above 1 more varied; 1 is the network's own distribution."""
    top_k: int = 0
    """Sample from the k most likely tokens only; 0: from all."""
    top_p: float = 1.0
    """Sample from the smallest set of tokens that reaches this probability (nucleus sampling)."""
    repetition_penalty: float = 1.0
    """Divide positive logits of tokens already seen by this, and multiply negative ones; 1: no penalty."""
    greedy: bool = False
    """Take the most likely token every time, without sampling."""

    def check(self) -> None:
        """Raise UsageError for a value outside its limits."""
        for name, value in asdict(self).items():
            if name != "greedy" and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
                raise UsageError(f"{name} is of type {type(value).__name__}; it must be a number")
        if not isinstance(self.top_k, numbers.Integral):
            raise UsageError(f"top_k is {self.top_k}; it must be a whole number")
        if not 0 < self.temperature < float("inf"):
            remedy = "use `greedy` for the most likely token"
            raise UsageError(f"temperature is {self.temperature}; it must be above zero ({remedy})")
        if self.top_k < 0:
            raise UsageError(f"top_k is {self.top_k}; it must be at least 1, or 0 to draw among all tokens")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}; it is a probability: above 0 and at most 1")
        if not 0 < self.repetition_penalty < float("inf"):
            raise UsageError(f"repetition_penalty is {self.repetition_penalty}; it must be above zero (1: no penalty)")


@dataclass(frozen=True, kw_only=True)
class Search:
    """How to search for texts, or sample them, in one call."""

    beam_size: int = 5
    """Hypotheses to keep at each step of the beam search; 1 takes the most likely token each time."""
    length_penalty: float = 1.0
    """Divide log-probabilities by the length to this power to compare hypotheses; 0 prefers short ones."""
    n_best: int = 1
    """How many texts to write for each input, best first."""
    temperature: float = 0.0
    """Above 0: sample tokens, with logits divided by this, instead of searching."""
    seed: int | None = None
    """The same seed samples the same texts. Default: the model's seed."""

    def check(self) -> None:
        """Raise UsageError for a value outside its limits."""
        for name, value in asdict(self).items():
            if name == "seed" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, numbers.Real):
                raise UsageError(f"{name} is of type {type(value).__name__}; it must be a number")
        for name in ("beam_size", "n_best", "seed"):
            if not isinstance(getattr(self, name), numbers.Integral | type(None)):
                raise UsageError(f"{name} is {getattr(self, name)}; it must be a whole number")
        for name in ("beam_size", "n_best"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("length_penalty", "temperature"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be a finite number, at least 0")
        if self.length_penalty > 10:
            raise UsageError(f"length_penalty is {self.length_penalty}; it must be at most 10")
        if self.temperature == 0 and self.n_best > self.beam_size:
            raise UsageError(
                f"n_best is {self.n_best}, but `beam_size` {self.beam_size}; a beam keeps no more than that"
            )
