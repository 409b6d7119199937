"""The Markov (n-gram) model, which looks back a fixed number of tokens: a baseline for recurrent networks.

An n-gram model is a lookup table of counts. It has the two weaknesses that recurrent networks were invented for, and
this module measures both: most long contexts never occur in training (`NgramModel.unseen_contexts`), and every n-gram
has to be kept in memory (`NgramModel.nbytes`). Within its window it is still hard to beat.

**Storage.** A k-gram is numbered by its *rank* among the distinct k-grams of the training text, and its key is an
integer that is built one token at a time:

    key(w_1 .. w_k) = rank(w_1 .. w_{k-1}) * vocab_size + w_k        the rank of one token is its id

So one sorted array per order holds all k-grams, grouped by context. The context of the k-gram that ends at position t
is the (k-1)-gram that ends at t-1: a whole text is looked up at once, by shifting an array of ranks by one.

**Smoothing.** Both methods interpolate each order with the next lower one. They differ in what they count, and in how
much they reserve for tokens that never followed the context h (h' is h without its oldest token):

    p(w | h) = (max(count(h w) - D, 0) + E * types(h) * p(w | h')) / (total(h) + (E - D) * types(h))

    Kneser-Ney    D = E = n1 / (n1 + 2 n2) of that order      lower orders count distinct left neighbours
    Witten-Bell   D = 0, E = 1                                every order counts occurrences

    total(h) = sum over w of count(h w)        types(h) = how many w have count(h w) > 0

If total(h) is 0, only the lower order is used; below the single token is the uniform distribution 1 / vocab_size. So no
token has probability 0, and every distribution sums to 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from elman.counting.grams import Integers, Ints, extend_grams, pick_per_left_neighbour, shift, unigrams
from elman.errors import DataError, UsageError, suggest

Smoothing = Literal["kneser-ney", "witten-bell"]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(eq=False, kw_only=True)
class NgramModel:
    """A Markov model of order n, which predicts the next token from counts of the last n - 1.

    A text is given as `ids`, an integer array of shape (num_tokens,), and `offsets`, the boundaries of its sequences,
    of shape (num_sequences + 1,): a stream is `[0, num_tokens]`. No context crosses a boundary. The first token of a
    sequence is only a context and never predicted; the next tokens are predicted from shorter contexts.

    Source: Kneser & Ney (1995), "Improved backing-off for m-gram language modeling", ICASSP, pp. 181-184: the lower
    orders' counts of distinct left neighbours. Witten & Bell (1991), "The zero-frequency problem", IEEE Transactions on
    Information Theory 37(4), pp. 1085-1094: their method C, one escape per type. The interpolated forms of both and the
    discount n1 / (n1 + 2 n2): Chen & Goodman (1999), "An empirical study of smoothing techniques for language
    modeling", Computer Speech & Language 13, pp. 359-394; in its long version, Harvard TR-10-98, sections 2.5
    (Witten-Bell), 2.6 (absolute discounting) and 2.7 (Kneser-Ney).

    Example:
        >>> ids = np.array([0, 1, 2, 0, 1, 3, 0, 1, 2])
        >>> model = NgramModel(order=3).fit(ids, np.array([0, 9]), vocab_size=4)
        >>> model.next_probs(np.array([0, 1])).round(3)  # 2 followed twice, 3 once
        array([0.095, 0.048, 0.595, 0.262])
        >>> float(model.next_probs(np.array([0, 1])).sum().round(12))
        1.0
        >>> model.unseen_contexts(np.array([0, 1, 3, 1, 2]), np.array([0, 5]))  # "3 1" never occurred
        (1, 3)
    """

    order: int = 5
    """The length n of the longest n-gram, in tokens: n - 1 tokens of context and the predicted token."""

    smoothing: Smoothing = "kneser-ney"
    """The smoothing method, which gives unseen n-grams a probability: `"kneser-ney"` or `"witten-bell"`."""

    vocab_size: int = field(default=0, init=False, repr=False)
    """The number of tokens that can be predicted, as given to `fit`."""

    _tables: list[_Table] = field(default_factory=list, init=False, repr=False)

    def fit(self, ids: Integers, offsets: Integers, vocab_size: int) -> Self:
        """Count every n-gram of a text, up to `order`.

        Args:
            ids: the token ids of the text, in [0, vocab_size), shape (num_tokens,).
            offsets: the boundaries of its sequences, shape (num_sequences + 1,).
            vocab_size: the number of tokens that can be predicted, including unseen ones.

        Returns:
            The model itself.

        Raises:
            UsageError: a setting or the offsets are wrong.
            DataError: an id is outside the vocabulary, or no sequence has two tokens.
        """
        if self.order < 1:
            raise UsageError(f"order = {self.order}, but the minimum is 1; 5 is usual")
        if self.smoothing not in get_args(Smoothing):
            known = ", ".join(get_args(Smoothing))
            hint = suggest(str(self.smoothing), get_args(Smoothing))
            raise UsageError(f"smoothing = {self.smoothing!r} is unknown; there are {known}{hint}")
        if vocab_size < 1:
            raise UsageError(f"vocab_size = {vocab_size}, but the minimum is 1; give the size of the tokenizer")
        tokens, starts = _check_text(ids, offsets, vocab_size)
        if len(tokens) == len(starts):
            raise DataError(
                f"{len(tokens)} tokens in {len(starts)} sequences leave nothing to count, as a sequence needs 2; "
                "give a longer text"
            )
        kneser_ney = self.smoothing == "kneser-ney"
        tables: list[_Table] = []
        num_contexts = 1  # the context of a single token is the empty one
        grams = unigrams(tokens, starts, vocab_size)
        for order in range(1, self.order + 1):
            longest = order == self.order
            longer = grams if longest else extend_grams(grams, tokens, starts, vocab_size)
            counted = pick_per_left_neighbour(grams, longer) if kneser_ney and not longest else grams.ends
            counts = np.bincount(grams.ranks[counted], minlength=len(grams.keys))  # (num_grams,)
            contexts = grams.keys // vocab_size  # (num_grams,)
            discount = _estimate_discount(counts) if kneser_ney else 0.0
            tables.append(
                _Table(
                    keys=grams.keys,
                    counts=_compact(counts),
                    totals=_compact(np.bincount(contexts, weights=counts, minlength=num_contexts)),
                    types=_compact(np.bincount(contexts[counts > 0], minlength=num_contexts)),
                    discount=discount,
                    escape=discount if kneser_ney else 1.0,
                )
            )
            if not len(longer.keys):
                break  # no sequence is that long: the tables end here
            grams, num_contexts = longer, len(grams.keys)
        self.vocab_size, self._tables = vocab_size, tables
        return self

    def log_probs(self, ids: Integers, offsets: Integers) -> Floats:
        """Return the log probability of every token of a text except the first of each sequence.

        Args:
            ids: the token ids of the text, shape (num_tokens,).
            offsets: the boundaries of its sequences, shape (num_sequences + 1,).

        Returns:
            Natural logarithms, in the order of the text, shape (number of predicted tokens,). Their negative mean is
            the loss in nats per token.

        Raises:
            UsageError: the model is not fitted, or the offsets are wrong.
            DataError: an id is outside the vocabulary.

        Example:
            >>> ids, offsets = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 6])
            >>> model = NgramModel(order=2, smoothing="witten-bell").fit(ids, offsets, vocab_size=2)
            >>> np.exp(model.log_probs(np.array([0, 1, 1]), np.array([0, 3]))).round(3)
            array([0.893, 0.19 ])
        """
        tables = self._get_tables()
        tokens, starts = _check_text(ids, offsets, self.vocab_size)
        probs = np.full(len(tokens), 1 / self.vocab_size)  # (num_tokens,)
        contexts = np.zeros_like(tokens)  # (num_tokens,): the rank of each token's context, initially the empty one
        for table, ranks in zip(tables, self._find_ranks(tokens, starts), strict=True):
            probs = table.interpolate(contexts, ranks, probs)
            contexts = shift(ranks, starts)
        logs: Floats = np.log(np.delete(probs, starts))  # the first token of a sequence is not predicted
        return logs

    def next_probs(self, context_ids: Integers) -> Floats:
        """Predict the token that follows a context.

        Args:
            context_ids: the previous tokens of the sequence, shape (any length,); the last `order - 1` are used.

        Returns:
            The probability of every token, summing to 1, shape (vocab_size,).

        Raises:
            UsageError: the model is not fitted.
            DataError: an id is outside the vocabulary.
        """
        tables = self._get_tables()
        context = np.asarray(context_ids)[max(0, len(context_ids) - self.order + 1) :]
        tokens, starts = _check_text(context, np.array([0, len(context)]), self.vocab_size)
        last_ranks = (int(ranks[-1]) for ranks in self._find_ranks(tokens, starts)) if len(tokens) else iter(())
        probs = np.full(self.vocab_size, 1 / self.vocab_size)  # (vocab_size,)
        for table, rank in zip(tables, chain([0], last_ranks), strict=False):
            if rank < 0:
                break  # an unseen context cannot be a part of a longer one
            probs = table.distribution(rank, probs)
        return probs

    def generate(
        self, prompt_ids: Integers, num_tokens: int, generator: np.random.Generator, temperature: float = 1.0
    ) -> Ints:
        """Continue a prompt by sampling one token at a time.

        Args:
            prompt_ids: the tokens to continue, shape (any length,); may be empty. If the training sequences begin with
                `<s>`, so should the prompt.
            num_tokens: the number of tokens to sample.
            generator: the random generator; the same state gives the same text.
            temperature: probabilities are raised to the power 1 / temperature; 0 always chooses the most probable
                token.

        Returns:
            The sampled ids, without the prompt, shape (num_tokens,).

        Raises:
            UsageError: the model is not fitted, or `num_tokens` or `temperature` is negative.
            DataError: an id of the prompt is outside the vocabulary.

        Example:
            >>> model = NgramModel(order=2).fit(np.array([0, 1, 2] * 9), np.array([0, 27]), vocab_size=3)
            >>> model.generate(np.array([0]), 5, np.random.default_rng(0), temperature=0)
            array([1, 2, 0, 1, 2])
        """
        if num_tokens < 0:
            raise UsageError(f"num_tokens = {num_tokens}, but the minimum is 0")
        if not 0 <= temperature < np.inf:
            raise UsageError(f"temperature = {temperature}, but it must be finite and at least 0; 1 changes nothing")
        drawn = list(np.asarray(prompt_ids, dtype=np.int64))
        for _ in range(num_tokens):
            probs = self.next_probs(np.array(drawn[max(0, len(drawn) - self.order + 1) :], dtype=np.int64))
            if temperature == 0:
                drawn.append(np.argmax(probs))
                continue
            sharpened = (probs / probs.max()) ** (1 / temperature)  # (vocab_size,): the largest stays 1
            drawn.append(generator.choice(self.vocab_size, p=sharpened / sharpened.sum()))
        return np.array(drawn[len(prompt_ids) :], dtype=np.int64)

    def unseen_contexts(self, ids: Integers, offsets: Integers) -> tuple[int, int]:
        """Count the full contexts of a text that no token followed in training, a measure of sparsity.

        Args:
            ids: the token ids of the text, shape (num_tokens,).
            offsets: the boundaries of its sequences, shape (num_sequences + 1,).

        Returns:
            `(unseen, total)`, over the predicted tokens that have `order - 1` tokens before them in their sequence.

        Raises:
            UsageError: the model is not fitted, or the offsets are wrong.
            DataError: an id is outside the vocabulary.
        """
        tables = self._get_tables()
        tokens, starts = _check_text(ids, offsets, self.vocab_size)
        contexts = np.zeros_like(tokens)
        for _, ranks in zip(range(self.order - 1), self._find_ranks(tokens, starts), strict=False):
            contexts = shift(ranks, starts)
        lengths = np.diff(np.append(starts, len(tokens)))
        position = np.arange(len(tokens)) - np.repeat(starts, lengths)  # (num_tokens,): within its sequence
        full = contexts[position >= max(1, self.order - 1)]
        seen = np.count_nonzero(tables[-1].totals_of(full)) if len(tables) == self.order else 0
        return int(len(full) - seen), len(full)

    @property
    def num_parameters(self) -> int:
        """The number of n-grams stored, over all orders."""
        return sum(int(np.count_nonzero(table.counts)) for table in self._get_tables())

    @property
    def nbytes(self) -> int:
        """The memory used by the tables, in bytes."""
        return sum(table.nbytes for table in self._get_tables())

    def _get_tables(self) -> list[_Table]:
        if not self._tables:
            raise UsageError("this NgramModel is not fitted yet; call fit(ids, offsets, vocab_size) first")
        return self._tables

    def _find_ranks(self, tokens: Ints, starts: Ints) -> Iterator[Ints]:
        """Yield, for k = 1 .. order, the rank of the k-gram that ends at each token, -1 if it is unseen."""
        ranks = tokens
        yield ranks
        for table in self._tables[1:]:
            ranks = table.find(shift(ranks, starts) * self.vocab_size + tokens)  # (num_tokens,)
            yield ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The n-grams of one order: their keys and counts, and the sums over each context."""

    keys: Ints  # (num_grams,), sorted, so the n-grams of one context are adjacent
    counts: Integers  # (num_grams,)
    totals: Integers  # (num_contexts,), by the rank of the context one order below
    types: Integers  # (num_contexts,)
    discount: float  # D in the equation at the top of this module
    escape: float  # E

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.counts.nbytes + self.totals.nbytes + self.types.nbytes

    def find(self, keys: Ints) -> Ints:
        """Return the ranks of some keys, shape (any,); -1 for an unknown or negative key."""
        ranks = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[ranks] == keys, ranks, -1)

    def totals_of(self, contexts: Ints) -> Integers:
        """Return how often each context was followed by any token, shape (any,); 0 for the rank -1."""
        return np.where(contexts >= 0, self.totals[contexts], 0)

    def interpolate(self, contexts: Ints, ranks: Ints, lower: Floats) -> Floats:
        """Compute p(w | h) at every token from the ranks of h and of h w, and p(w | h'), each (num_tokens,)."""
        seen = np.flatnonzero(self.totals_of(contexts))  # elsewhere only the lower order is used
        contexts, ranks = contexts[seen], ranks[seen]
        totals, types = self.totals[contexts], self.types[contexts]
        own = np.maximum(np.where(ranks >= 0, self.counts[ranks], 0) - self.discount, 0)
        probs = lower.copy()
        probs[seen] = (own + self.escape * types * lower[seen]) / (totals + (self.escape - self.discount) * types)
        return probs

    def distribution(self, context: int, lower: Floats) -> Floats:
        """Compute p(. | h), (vocab_size,), from the rank of h and from p(. | h')."""
        total, types, vocab_size = int(self.totals[context]), int(self.types[context]), len(lower)
        if total == 0:
            return lower
        first, end = np.searchsorted(self.keys, [context * vocab_size, (context + 1) * vocab_size])
        probs = self.escape * types * lower
        probs[self.keys[first:end] % vocab_size] += np.maximum(self.counts[first:end] - self.discount, 0)
        probs /= total + (self.escape - self.discount) * types
        return probs


def _estimate_discount(counts: Integers) -> float:
    """Compute D = n1 / (n1 + 2 n2) from the numbers of n-grams counted once and twice; 0.5 if either number is 0.

    The formula would give 0 or 1: no probability left for unseen tokens, or none for n-grams that were seen once.
    """
    ones, twos = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    return float(ones / (ones + 2 * twos)) if ones and twos else 0.5


def _compact(counts: npt.NDArray[Any]) -> Integers:
    """Convert counts to int32 if they fit."""
    small = counts.max(initial=0) <= np.iinfo(np.int32).max
    return counts.astype(np.int32 if small else np.int64)


def _check_text(ids: Integers, offsets: Integers, vocab_size: int) -> tuple[Ints, Ints]:
    """Check a text; return its tokens, shape (num_tokens,), and the start of each non-empty sequence."""
    ids, offsets = np.asarray(ids), np.asarray(offsets)
    for name, array in (("ids", ids), ("offsets", offsets)):
        if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
            raise UsageError(
                f"{name} has shape {array.shape} and dtype {array.dtype}, but must be a one-dimensional integer array; "
                "encode the text first"
            )
    borders = offsets.astype(np.int64)
    if not len(borders) or borders[0] != 0 or borders[-1] != len(ids) or (np.diff(borders) < 0).any():
        raise UsageError(
            f"the {len(borders)} offsets do not rise from 0 to {len(ids)}, the number of tokens; "
            f"for one stream give [0, {len(ids)}]"
        )
    if len(ids) and (ids.min() < 0 or ids.max() >= vocab_size):
        worst = ids.min() if ids.min() < 0 else ids.max()
        raise DataError(
            f"token id {worst} is outside the vocabulary, 0 to {vocab_size - 1}; "
            "was the text encoded with another tokenizer?"
        )
    return ids.astype(np.int64), borders[:-1][np.diff(borders) > 0]
