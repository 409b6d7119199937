"""What a model misses: tokens that its errors still depend on, found without training anything.

If the error of output t, d loss / d logits = probabilities - one-hot, is on average the same whatever token stood k
steps before, then this token tells nothing that the model does not use already. If it is not, then a connection from
there to the output would lower the loss: this is the score test for such a connection. For each lag k,

    S_k = sum of e_t · e_s over all pairs t ≠ s with the same token k steps before,    e = errors less their mean
    z_k = S_k / sqrt(2 · sum of (e_t · e_s)² over these pairs)

S_k is zero on average if the errors do not depend on that token, and z_k is its size in standard deviations.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIGNIFICANT = 5.0  # standard deviations: many lags are compared
LARGE = 1e-3  # mean of e_t · e_s: smaller errors are of a model that has learned its task
MOST_ERRORS = 1000


class Outputs(NamedTuple):
    """Some outputs of one input."""

    errors: NDArray[np.float64]
    """(M, V) probabilities - one-hot."""
    steps: NDArray[np.int64]
    """(M,) the step whose state each output is computed from."""
    tokens: Sequence[str]
    """The tokens that are read."""
    kinds: Sequence[Hashable]
    """(M,) only outputs of the same kind are compared: of a decoder, those at the same place."""


@dataclass(frozen=True)
class Missed:
    """The tokens that the errors depend on."""

    sizes: Mapping[int, float]
    """By lag, how many steps before its output the token stands (negative: after it): z, how strongly they do."""

    @property
    def lag(self) -> int:
        """The lag of the token that they depend on most."""
        return max(self.sizes.items(), key=lambda item: item[1])[0]

    @property
    def distance(self) -> int:
        """How many steps this token is away, on either side."""
        return abs(self.lag)

    @property
    def is_newest_missed(self) -> bool:
        """Whether they depend on the newest token too, which takes no memory."""
        return 0 in self.sizes

    def __str__(self) -> str:
        """Name the token."""
        if not self.lag:
            return "the newest token"
        steps = "1 step" if self.distance == 1 else f"{self.distance} steps"
        return f"the token {steps} {'before' if self.lag > 0 else 'after'}"


def find_missed(inputs: Sequence[Outputs], num_lags: int, sees_ahead: bool) -> Missed | None:
    """Find the tokens that the errors of a model depend on.

    Args:
        inputs: some outputs of each input.
        num_lags: the most steps to look back.
        sees_ahead: whether the model also reads from the end, so that tokens after an output count too.

    Returns:
        None if the errors do not depend on any token.

    Example:
        >>> tokens = [*"abbaabab" * 8]
        >>> errors = np.array([[1.0, -1.0] if token == "a" else [-1.0, 1.0] for token in tokens])
        >>> find_missed([Outputs(errors[:-3], np.arange(3, len(tokens)), tokens, [0] * 61)], 4, sees_ahead=False).lag
        3
    """
    errors = np.concatenate([own.errors for own in inputs])
    errors = errors - errors.mean(axis=0)
    products = errors @ errors.T  # (N, N)
    sums_of = np.stack((products, products**2, np.ones_like(products)), axis=-1).reshape(-1, 3)  # (N · N, 3)
    tokens, kinds = dict[Hashable, int](), dict[Hashable, int]()
    ids = [_number(own.tokens, tokens) for own in inputs]
    kind_ids = np.concatenate([_number(own.kinds, kinds) for own in inputs])  # (N,)
    sizes: dict[int, float] = {}
    for lag in range(-num_lags if sees_ahead else 0, num_lags + 1):
        before = np.concatenate([_shift(own.steps - lag, row) for own, row in zip(inputs, ids, strict=True)])  # (N,)
        is_inside = before >= 0
        pairs = np.where(is_inside, kind_ids * len(tokens) + before, -1)
        is_pair = (pairs[:, None] == pairs) & is_inside
        np.fill_diagonal(is_pair, False)
        total, spread, number = is_pair.reshape(-1).astype(float) @ sums_of
        if total >= LARGE * number and spread > 0 and total >= SIGNIFICANT * (2 * spread) ** 0.5:
            sizes[lag] = float(total / (2 * spread) ** 0.5)
    return Missed(sizes) if sizes else None


def _number(values: Sequence[Hashable], numbers: dict[Hashable, int]) -> NDArray[np.int64]:
    """Return a number for each value, the same for equal ones."""
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)


def _shift(steps: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ids at some steps, -1 outside the input."""
    is_inside = (steps >= 0) & (steps < len(ids))
    return np.where(is_inside, ids[np.clip(steps, 0, len(ids) - 1)], -1)
