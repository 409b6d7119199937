"""The k-grams of a text, built for increasing k: each is a (k-1)-gram and the token after it.

See :mod:`elman.counting.ngrams` for how they are numbered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grams:
    """The k-grams of a text, for one k."""

    keys: Ints  # (num_grams,), sorted and distinct
    ranks: Ints  # (num_tokens,): the rank of the k-gram that ends at each token, -1 if none does
    ends: Ints  # (num_occurrences,): the tokens at which a k-gram ends, without the first token of each sequence
    first_ends: Ints  # (num_grams,): the first of those tokens for each k-gram; empty for k = 1


def unigrams(tokens: Ints, starts: Ints, vocab_size: int) -> Grams:
    """Return the 1-grams of a text; the rank of a token is its id, so tokens that never occur also have a rank."""
    ends = np.delete(np.arange(len(tokens)), starts)
    return Grams(keys=np.arange(vocab_size), ranks=tokens, ends=ends, first_ends=ends[:0])


def extend_grams(grams: Grams, tokens: Ints, starts: Ints, vocab_size: int) -> Grams:
    """Return the (k+1)-grams of a text: each of its k-grams with the token after it."""
    contexts = shift(grams.ranks, starts)  # (num_tokens,)
    ends = np.flatnonzero(contexts >= 0)
    keys, first, ranks_at_ends = np.unique(
        contexts[ends] * vocab_size + tokens[ends], return_index=True, return_inverse=True
    )
    ranks = np.full_like(tokens, -1)
    ranks[ends] = ranks_at_ends
    return Grams(keys=keys, ranks=ranks, ends=ends, first_ends=ends[first])


def pick_per_left_neighbour(grams: Grams, longer: Grams) -> Ints:
    """Pick the ends of the k-grams that Kneser-Ney counts: one for each distinct token to the left of each k-gram.

    A k-gram with a left neighbour is a (k+1)-gram: the first occurrence of each distinct one counts. A k-gram at the
    start of a sequence has no left neighbour: every such occurrence counts, as if each sequence had its own token
    before it. So every k-gram is counted at least once, and each order sums to 1. In lines that begin with `<s>` this
    is the usual choice: n-grams that begin with `<s>` keep their plain counts.

    Source: Heafield, Pouzyrevsky, Clark & Koehn (2013), "Scalable modified Kneser-Ney language model estimation", ACL,
    section 3.2.
    """
    begins_sequence = longer.ranks[grams.ends] < 0  # (num_occurrences,)
    return np.concatenate([longer.first_ends, grams.ends[begins_sequence]])


def shift(ranks: Ints, starts: Ints) -> Ints:
    """Return the context of each token: the gram that ends one token earlier, -1 at the start of a sequence."""
    contexts = np.empty_like(ranks)
    contexts[1:] = ranks[:-1]
    contexts[starts] = -1
    return contexts
