"""The k-grams of a text, found for one k after the other: each is a (k-1)-gram and the token after it.

How they are numbered, and why, stands at the top of :mod:`elman.counting.ngrams`.
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
    ranks: Ints  # (num_tokens,): the k-gram that ends at each token, -1 where none does
    ends: Ints  # (num_occurrences,): the tokens at which a k-gram ends that predicts, so no first token of a sequence
    first_ends: Ints  # (num_grams,): one of those tokens for each k-gram; not given for k = 1


def unigrams(tokens: Ints, starts: Ints, vocab_size: int) -> Grams:
    """The 1-grams of a text. A token's rank is its id, so a token that never occurs has its place too."""
    ends = np.delete(np.arange(len(tokens)), starts)
    return Grams(keys=np.arange(vocab_size), ranks=tokens, ends=ends, first_ends=ends[:0])


def extend_grams(grams: Grams, tokens: Ints, starts: Ints, vocab_size: int) -> Grams:
    """The (k+1)-grams of a text: each of its k-grams, and the token after it."""
    contexts = shift(grams.ranks, starts)  # (num_tokens,)
    ends = np.flatnonzero(contexts >= 0)
    keys, first, ranks_at_ends = np.unique(
        contexts[ends] * vocab_size + tokens[ends], return_index=True, return_inverse=True
    )
    ranks = np.full_like(tokens, -1)
    ranks[ends] = ranks_at_ends
    return Grams(keys=keys, ranks=ranks, ends=ends, first_ends=ends[first])


def pick_per_left_neighbour(grams: Grams, longer: Grams) -> Ints:
    """Pick the ends of the k-grams that Kneser-Ney counts: one for each different token to the left of each k-gram.

    A k-gram with a left neighbour is a (k+1)-gram: of each different one, the first occurrence counts. A k-gram that
    begins a sequence has no left neighbour: each such occurrence counts, as if a token of its own stood before every
    sequence. So every k-gram that occurs is counted at least once, and each order sums to 1 by itself. In lines that
    begin with `<s>` this is the usual choice, that n-grams beginning with `<s>` keep their plain counts.

    Source: Heafield, Pouzyrevsky, Clark & Koehn (2013), "Scalable modified Kneser-Ney language model estimation", ACL,
    section 3.2.
    """
    begins_sequence = longer.ranks[grams.ends] < 0  # (num_occurrences,)
    return np.concatenate([longer.first_ends, grams.ends[begins_sequence]])


def shift(ranks: Ints, starts: Ints) -> Ints:
    """The context of each token: what ended one token earlier in the same sequence, -1 at the first token."""
    contexts = np.empty_like(ranks)
    contexts[1:] = ranks[:-1]
    contexts[starts] = -1
    return contexts
