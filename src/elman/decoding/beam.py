"""Beam search for the most likely sequences of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from elman.errors import UsageError
from elman.kernels.checks import check


class Rows(Protocol):
    """A network's state for every row; K consecutive rows belong to one sentence."""

    def select(self, sentences: Tensor, rows: Tensor) -> Self:
        """Select sentences (B,) and rows of them (B · K,); rows are numbered over the whole batch."""
        ...


RowState = TypeVar("RowState", bound=Rows)
StepFunction = Callable[[Tensor, RowState], tuple[Tensor, RowState]]


class Hypothesis(NamedTuple):
    """A sequence that was found or drawn."""

    ids: tuple[int, ...]
    """Its tokens, without the end token."""
    score: float
    """Its log-probability in nats, divided by its length to the power of the length penalty; higher is better."""


def beam_search(
    step: StepFunction[RowState],
    state: RowState,
    num_sentences: int,
    *,
    begin_id: int,
    end_id: int,
    beam_size: int,
    max_length: int,
    length_penalty: float = 1.0,
) -> list[list[Hypothesis]]:
    """Find the most likely sequences for each of several sentences.

    At each step, every sequence in the beam is extended by every token, and the ``beam_size`` best extensions are kept.
    A sequence that ends leaves the beam; a sentence is done when ``beam_size`` sequences have ended. The greedy
    sequence is carried along beside the beam, so the result never scores below it.

        score = log p(sequence) / length^length_penalty,   both including the end token

    Source: Graves (2012), "Sequence transduction with recurrent neural networks", section 3.1; the penalty in its
    simple form as in Wu et al. (2016), "Google's neural machine translation system", section 7, before equation 14.

    Args:
        step: reads one token per row (R,) and returns the logits (R, V) of the next token, and the new state.
        state: the state with ``num_sentences`` rows.
        num_sentences: B.
        begin_id: the token that every sequence starts with; not returned.
        end_id: the token that ends a sequence.
        beam_size: how many sequences to keep at each step; 1 is greedy search.
        max_length: the most tokens of a sequence, including the end token; longer sequences are cut off there.
        length_penalty: 0 prefers short sequences, 1 compares mean log-probabilities.

    Returns:
        The sequences found for each sentence, best first: at least one and at most ``beam_size``.

    Raises:
        UsageError: a size is below 1, or ``step`` does not return one row of logits for each row of ids, or only
            NaN.
    """
    for name, size in {"beam_size": beam_size, "max_length": max_length}.items():
        if size < 1:
            raise UsageError(f"{name}={size}, expected at least 1")
    if num_sentences == 0:
        return []
    beams = _Beams(num_sentences, beam_size, begin_id, end_id, length_penalty)
    state = state.select(beams.sentences, beams.sentences.repeat_interleave(beams.lanes))  # (B · lanes,) rows
    for length in range(1, max_length + 1):
        logits, state = step(beams.last_ids, state)
        check("the logits", logits, (len(beams.last_ids), "V"), None, layout="(R, V)")
        rows, numbers = beams.extend(logits.float().cpu().log_softmax(dim=-1), is_last=length == max_length)
        if not len(rows):
            break
        state = state.select(rows, numbers)
    if not all(beams.found):
        raise UsageError("no sequence has a probability: the logits hold NaN or infinity; train again")
    return [beams.best(sentence) for sentence in range(num_sentences)]


class _Beams:
    """The sequences in the beam of each sentence, and those that have ended.

    Each unfinished sentence has ``beam_size`` lanes and, if that is more than one, one more for the greedy sequence.
    """

    def __init__(self, num_sentences: int, beam_size: int, begin_id: int, end_id: int, length_penalty: float) -> None:
        self._beam_size, self._end_id, self._length_penalty = beam_size, end_id, length_penalty
        self.lanes = beam_size + 1 if beam_size > 1 else 1
        self.sentences = torch.arange(num_sentences)  # the unfinished ones
        self._written = torch.full((num_sentences, self.lanes, 1), begin_id)  # (B, lanes, length)
        self._scores = torch.full((num_sentences, self.lanes), -torch.inf)
        self._scores[:, [0, -1]] = 0.0  # at first, all lanes would hold the same sequence
        self.found: list[dict[tuple[int, ...], float]] = [{} for _ in range(num_sentences)]
        """The ended sequences of each sentence with their scores."""

    @property
    def last_ids(self) -> Tensor:
        """The last token of each sequence (B · lanes,)."""
        return self._written[:, :, -1].flatten()

    def extend(self, log_probs: Tensor, *, is_last: bool) -> tuple[Tensor, Tensor]:
        """Extend every sequence by a token, collect those that end, and keep the best of the others.

        Args:
            log_probs: log-probabilities of the next token, (B · lanes, V).
            is_last: whether every sequence ends here.

        Returns:
            Which sentences continue (B',), and which row each of their sequences extends (B' · lanes,).
        """
        log_probs = log_probs.view(len(self.sentences), self.lanes, -1)  # (B, lanes, V)
        totals, origins, tokens = _continued(self._scores, log_probs, self._beam_size)  # (B, 2 · beam_size [+ 1]) each
        self._put_aside(totals, origins, tokens, is_last)
        alive = totals.masked_fill(tokens == self._end_id, -torch.inf)
        kept = alive[:, : 2 * self._beam_size].topk(self._beam_size, dim=1).indices  # (B, beam_size)
        if self.lanes > 1:
            greedy = torch.full((len(kept), 1), alive.shape[1] - 1)
            kept = torch.cat((kept, greedy), dim=1)  # (B, lanes)
        scores, origins, tokens = (one.gather(1, kept) for one in (alive, origins, tokens))
        rows = torch.empty(0, dtype=torch.int64) if is_last else self._going_on(scores)
        numbers = (torch.arange(len(self.sentences))[:, None] * self.lanes + origins)[rows].flatten()
        before = self._written.gather(1, origins[..., None].expand(-1, -1, self._written.shape[2]))
        self._written = torch.cat((before, tokens[..., None]), dim=2)[rows]
        self._scores, self.sentences = scores[rows], self.sentences[rows]
        return rows, numbers

    def best(self, sentence: int) -> list[Hypothesis]:
        """Return the sequences found for a sentence, best first."""
        ordered = sorted(self.found[sentence].items(), key=lambda item: (-item[1], item[0]))
        return [Hypothesis(ids, score) for ids, score in ordered[: self._beam_size]]

    def _put_aside(self, totals: Tensor, origins: Tensor, tokens: Tensor, is_last: bool) -> None:
        """Collect the sequences that have ended; their length includes the end token."""
        length = self._written.shape[2]
        ended = totals.isfinite() & ((tokens == self._end_id) | is_last)
        ended[:, self._beam_size : 2 * self._beam_size] = False  # an end counts only among the best
        for row, column in ended.nonzero().tolist():
            ids = self._written[row, origins[row, column], 1:].tolist()
            token = int(tokens[row, column])
            sequence = tuple(ids if token == self._end_id else [*ids, token])
            hypotheses = self.found[int(self.sentences[row])]
            score = float(totals[row, column]) / length**self._length_penalty
            hypotheses[sequence] = max(score, hypotheses.get(sequence, -torch.inf))

    def _going_on(self, scores: Tensor) -> Tensor:
        """Return the sentences with too few ended sequences, or whose greedy sequence has not ended (B',)."""
        enough = torch.tensor([len(self.found[sentence]) >= self._beam_size for sentence in self.sentences.tolist()])
        going_on = scores.isfinite().any(dim=1) & ~enough
        if self.lanes > 1:
            going_on |= scores[:, -1].isfinite()
        return going_on.nonzero().flatten()


def _continued(scores: Tensor, log_probs: Tensor, beam_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Extend every sequence by every token; return the best totals, the sequence each extends, and its last token.

    Twice as many as the beam holds are returned, since at most half of them can have ended; the greedy one is last.
    """
    lanes, vocab_size = log_probs.shape[1:]
    searched = max(lanes - 1, 1)
    totals = (scores[:, :searched, None] + log_probs[:, :searched]).flatten(1)  # (B, beam · V)
    missing = max(2 * beam_size - totals.shape[1], 0)  # of a tiny vocabulary
    best, places = functional.pad(totals, (0, missing), value=-torch.inf).topk(2 * beam_size, dim=1)
    origins, tokens = (places // vocab_size).clamp(max=searched - 1), places % vocab_size
    if lanes > 1:
        log_prob, token = log_probs[:, -1].max(dim=-1, keepdim=True)  # (B, 1)
        best = torch.cat((best, scores[:, -1:] + log_prob), dim=1)
        origins = torch.cat((origins, torch.full_like(token, lanes - 1)), dim=1)
        tokens = torch.cat((tokens, token), dim=1)
    return best, origins, tokens
