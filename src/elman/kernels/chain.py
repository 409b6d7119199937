"""Paths of labels: the sum over all paths with its gradient, and the best path.

A path y_1 … y_n through the labels 0 … K - 1 scores

    start[y_1] + logits[1, y_1] + Σ_{t = 2 … n} (transitions[y_{t-1}, y_t] + logits[t, y_t]) + end[y_n]

Everything is float64, and padding beyond a row's length is ignored. The kernels process four labels at a time: if K is
not a multiple of ``UNROLLED``, labels with logits of -inf are added, which no path uses.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.kernels.checks import CPU, check, check_lengths
from elman.kernels.compiler import inline, kernel
from elman.kernels.threads import run
from elman.kernels.vector import get_double, get_integer, put_double, put_integer

UNROLLED = 4
TINY = 1e-200  # above this, terms lost to underflow are far below the rounding error of the sum


@inline
def add(address: int, index: int, value: float) -> None:
    """Add to a float64."""
    put_double(address, index, get_double(address, index) + value)


# ---------------------------------------------------------------- the sum over all paths


@inline
def log_sum(scores: int, added: int, stride: int, size: int) -> float:
    """Compute log Σ exp(scores[i] + added[i · stride]) without overflow; NaN stays NaN."""
    best = -math.inf
    for i in range(size):
        score = get_double(scores, i) + get_double(added, i * stride)
        if score > best or score != score:
            best = score
    if best == -math.inf:
        return best
    total = 0.0
    for i in range(size):
        total += math.exp(get_double(scores, i) + get_double(added, i * stride) - best)
    return best + math.log(total)


@inline
def multiply_row(row: int, matrix: int, size: int, product: int) -> None:
    """Compute product[j] = Σ_i row[i] · matrix[i, j]."""
    for j in range(size):
        put_double(product, j, 0.0)
    for i in range(0, size, UNROLLED):
        a, b, c, d = get_double(row, i), get_double(row, i + 1), get_double(row, i + 2), get_double(row, i + 3)
        first, second, third, fourth = i * size, (i + 1) * size, (i + 2) * size, (i + 3) * size
        for j in range(size):
            terms = a * get_double(matrix, first + j) + b * get_double(matrix, second + j)
            terms += c * get_double(matrix, third + j) + d * get_double(matrix, fourth + j)
            add(product, j, terms)


@inline
def step_ahead(
    size: int, x: int, transitions: int, shifts: int, factors: int, before: int, weights: int, sums: int, scores: int
) -> None:
    """Compute the scores of the next step: scores[j] = x[j] + log Σ_i exp(before[i] + transitions[i, j]).

    Args:
        x: (K,) logits.
        shifts, factors: (K,) the largest transition into each label, and (K, K) exp(transitions - shifts).
        before: (K,), the scores of the previous step.
        weights: (K,), on return exp(before - max(before)).
        sums: (K,), on return weights · factors.
        scores: (K,), on return.
    """
    best = get_double(before, 0)
    for i in range(1, size):
        best = max(best, get_double(before, i))
    for i in range(size):
        put_double(weights, i, math.exp(get_double(before, i) - best))
    multiply_row(weights, factors, size, sums)
    for j in range(size):
        total = get_double(sums, j)
        if total > TINY:
            score = best + get_double(shifts, j) + math.log(total)
        else:
            score = log_sum(before, transitions + 8 * j, size, size)
        put_double(scores, j, score + get_double(x, j))


@inline
def step_back(
    size: int, x: int, transitions: int, factors: int, before: int, weights: int, sums: int, scores: int,
    probs: int, probs_before: int, pairs: int,
) -> None:  # fmt: skip
    """Compute the probabilities of the labels at the previous step.

    The probability of label i before label j is its share in the sum of ``step_ahead``:

        p(i, j) = p(j) · weights[i] · factors[i, j] / sums[j],   p(i) = Σ_j p(i, j)

    Args:
        x, transitions, before, weights, scores: the arguments of ``step_ahead``, after it.
        factors: (K, K), its factors, transposed.
        sums: (K,), on return p(j) / sums[j]; 0 where the sum was too small.
        probs: (K,), p(j).
        probs_before: (K,), p(i) on return.
        pairs: (K, K), to which p(i, j) is added at [i, j] where the sum was too small.
    """
    for j in range(size):
        total = get_double(sums, j)
        put_double(sums, j, get_double(probs, j) / total if total > TINY else 0.0)
    multiply_row(sums, factors, size, probs_before)
    for i in range(size):
        put_double(probs_before, i, get_double(probs_before, i) * get_double(weights, i))
    for j in range(size):
        prob = get_double(probs, j)
        if prob != 0.0 and get_double(sums, j) == 0.0:
            log_total = get_double(scores, j) - get_double(x, j)
            for i in range(size):
                pair = prob * math.exp(get_double(before, i) + get_double(transitions, i * size + j) - log_total)
                add(pairs, i * size + j, pair)
                add(probs_before, i, pair)


@kernel
def sum_paths(
    ticket: int, tickets: int, rows: int, steps: int, size: int, lengths: int, targets: int, logits: int,
    transitions: int, start: int, end: int, shifts: int, factors: int, factors_back: int,
    scores: int, weights: int, sums: int, pairs: int, totals: int, d_logits: int,
) -> None:  # fmt: skip
    """Sum over the paths of the rows ``ticket``, ``ticket + tickets`` and so on: log Z = log Σ exp(score).

    The gradient of log Z is the probability of each label and of each pair of labels.

    Args:
        ticket, tickets: which share of the rows.
        rows, steps, size: B, T and K.
        lengths: (B,) int64.
        targets: (B, T) int64, paths whose scores are subtracted; or 0 for none.
        logits: (B, T, K).
        transitions, start, end: (K, K), (K,) and (K,).
        shifts, factors, factors_back: see ``step_ahead`` and ``step_back``.
        scores: (tickets, T, K), scratch space.
        weights, sums: (B, T, K), the results of ``step_ahead`` and ``step_back`` at the step that they lead to.
        pairs: (tickets, K, K), zeros on entry, the part of the gradient for ``transitions`` not in weightsᵀ · sums.
        totals: (B,), zeros on entry, on return log Z minus the target's score.
        d_logits: (B, T, K), zeros on entry, on return the gradient of the totals; or 0 for no gradient.
    """
    row_bytes = 8 * size
    scores += ticket * steps * row_bytes
    pairs += ticket * size * row_bytes
    for share in range((rows - ticket + tickets - 1) // tickets):
        row = ticket + share * tickets
        length = get_integer(lengths, row)
        if length == 0:
            continue
        first = row * steps * row_bytes
        last = (length - 1) * row_bytes
        x, w, s, dx = logits + first, weights + first, sums + first, d_logits + first
        for j in range(size):
            put_double(scores, j, get_double(start, j) + get_double(x, j))
        for t in range(1, length):
            at = t * row_bytes
            before = scores + at - row_bytes
            step_ahead(size, x + at, transitions, shifts, factors, before, w + at, s + at, scores + at)
        total = log_sum(scores + last, end, 1, size)
        add(totals, row, total)
        if d_logits != 0:
            for j in range(size):
                put_double(dx + last, j, math.exp(get_double(scores + last, j) + get_double(end, j) - total))
            for t in range(length - 1, 0, -1):
                at = t * row_bytes
                before, now, dx_before = scores + at - row_bytes, scores + at, dx + at - row_bytes
                step_back(
                    size, x + at, transitions, factors_back, before, w + at, s + at, now, dx + at, dx_before, pairs
                )
        if targets != 0:
            label_before = -1
            for t in range(length):
                at, label = t * row_bytes, get_integer(targets, row * steps + t)
                pair = label_before * size + label
                add(totals, row, -get_double(x + at, label))
                add(totals, row, -(get_double(start, label) if t == 0 else get_double(transitions, pair)))
                if d_logits != 0:
                    add(dx + at, label, -1.0)
                    if t > 0:
                        add(pairs, pair, -1.0)
                label_before = label
            add(totals, row, -get_double(end, label_before))


class Sums(NamedTuple):
    """The sums over all paths and the gradients of their total; float64, on the CPU."""

    totals: Tensor  # (B,)
    d_logits: Tensor  # (B, T, K)
    d_transitions: Tensor  # (K, K)
    d_start: Tensor  # (K,)
    d_end: Tensor  # (K,)


def sum_over_paths(
    logits: Tensor,
    lengths: Tensor | None,
    transitions: Tensor,
    start: Tensor,
    end: Tensor,
    targets: Tensor | None = None,
    *,
    needs_gradients: bool = True,
) -> Sums:
    """Compute log Z of each row, minus the score of its target path if there are targets.

    Args:
        logits: (B, T, K) of any float dtype on any device, like the other scores; T at least 1.
        lengths: (B,) integers in 0 … T; None if every row has T steps. A row of length 0 gives 0.
        transitions, start, end: (K, K), (K,) and (K,).
        targets: (B, T) int64, within the lengths in 0 … K - 1.
        needs_gradients: whether to compute gradients; otherwise they are zeros.

    Returns:
        The sums. Without targets, ``d_logits`` are the label probabilities; zeros beyond a row's length.

    Raises:
        UsageError: a shape, a length or a target does not fit.

    Source: Lafferty, McCallum and Pereira 2001, "Conditional random fields", section 3; Rabiner 1989, "A tutorial on
        hidden Markov models", equations 18 to 20 for the sums.
    """
    lengths = _check_lengths(logits, lengths, transitions, start, end)
    rows, steps, size = logits.shape
    if steps == 0:
        raise UsageError(f"the logits have shape {tuple(logits.shape)}, expected (B, T, {size}) with T at least 1")
    targets = None if targets is None else _check_targets(targets, lengths, logits)
    logits, transitions, start, end = _copy(logits, transitions, start, end)
    width = len(start)
    shifts = transitions.amax(0).clamp(min=-1e300)  # finite: where nothing leads to a label, its factors are 0
    factors = (transitions - shifts).exp()
    factors_back = factors.T.contiguous()
    tickets = min(torch.get_num_threads(), rows)
    scores, pairs = logits.new_empty(tickets, steps, width), logits.new_zeros(tickets, width, width)
    weights, sums, d_logits = logits.new_zeros(3, rows, steps, width)
    totals = logits.new_zeros(rows)
    buffers = (logits, transitions, start, end, shifts, factors, factors_back, scores, weights, sums, pairs, totals)
    run(
        sum_paths, tickets, rows, steps, width, lengths.data_ptr(), 0 if targets is None else targets.data_ptr(),
        *(buffer.data_ptr() for buffer in buffers), d_logits.data_ptr() if needs_gradients else 0, tickets=tickets,
    )  # fmt: skip
    d_logits = d_logits[..., :size]
    if not needs_gradients:
        return Sums(totals, d_logits, transitions.new_zeros(size, size), *transitions.new_zeros(2, size))
    d_transitions = weights.flatten(0, 1).T @ sums.flatten(0, 1) * factors + pairs.sum(0)
    ends = d_logits[torch.arange(rows, device=CPU), lengths - 1]  # (B, K); zeros for a row of length 0
    return Sums(totals, d_logits, d_transitions[:size, :size], d_logits[:, 0].sum(0), ends.sum(0))


# ---------------------------------------------------------------- the best path


@inline
def larger(one: float, other: float) -> float:
    """Return the larger of two numbers; ``one`` if the other is NaN."""
    return other if other > one else one


@inline
def best_label(scores: int, added: int, stride: int, size: int) -> int:
    """Find the first label with the largest scores[i] + added[i · stride]; -1 if none is above -inf."""
    label, best = -1, -math.inf
    for i in range(size):
        score = get_double(scores, i) + get_double(added, i * stride)
        if score > best:
            label, best = i, score
    return label


@kernel
def best_path(
    ticket: int, steps: int, size: int, lengths: int, transitions: int, start: int, end: int, scores: int, room: int,
    labels: int, totals: int,
) -> None:  # fmt: skip
    """Find the best path of one row by the Viterbi algorithm.

    The forward pass stores only scores; the backward pass searches for the previous label at each step of one path. NaN
    is never larger than anything, so it forbids like -inf.

    Args:
        ticket: the row.
        steps, size: T and K.
        lengths: (B,) int64.
        transitions, start, end: (K, K), (K,) and (K,).
        scores: (B, T, K), the logits on entry; on return the best score of all paths to that label.
        room: (B, K), scratch space.
        labels: (B, T) int64, the path on return; unchanged beyond the row's length, and if there is no path.
        totals: (B,), zeros on entry, the path's score on return; -inf if there is none.
    """
    length = get_integer(lengths, ticket)
    if length == 0:
        return
    row_bytes = 8 * size
    scores += ticket * steps * row_bytes
    room += ticket * row_bytes
    labels += 8 * ticket * steps
    for j in range(size):
        add(scores, j, get_double(start, j))
    for t in range(1, length):
        now = scores + t * row_bytes
        before = now - row_bytes
        for j in range(size):
            put_double(room, j, -math.inf)
        for i in range(0, size, UNROLLED):
            a, b = get_double(before, i), get_double(before, i + 1)
            c, d = get_double(before, i + 2), get_double(before, i + 3)
            first, second, third, fourth = i * size, (i + 1) * size, (i + 2) * size, (i + 3) * size
            for j in range(size):
                best = larger(get_double(room, j), a + get_double(transitions, first + j))
                best = larger(best, b + get_double(transitions, second + j))
                best = larger(best, c + get_double(transitions, third + j))
                put_double(room, j, larger(best, d + get_double(transitions, fourth + j)))
        for j in range(size):
            add(now, j, get_double(room, j))

    last = scores + (length - 1) * row_bytes
    label = best_label(last, end, 1, size)
    if label < 0:
        put_double(totals, ticket, -math.inf)
        return
    put_double(totals, ticket, get_double(last, label) + get_double(end, label))
    put_integer(labels, length - 1, label)
    for t in range(length - 2, -1, -1):
        label = best_label(scores + t * row_bytes, transitions + 8 * label, size, size)
        put_integer(labels, t, label)


def best_paths(
    logits: Tensor, lengths: Tensor | None, transitions: Tensor, start: Tensor, end: Tensor, *, padding: int
) -> tuple[Tensor, Tensor]:
    """Find the best path of each row; see :func:`elman.decoding.viterbi.viterbi`.

    Args:
        logits: (B, T, K) of any float dtype on any device, like the other scores.
        lengths: (B,) integers in 0 … T; None if every row has T steps.
        transitions, start, end: (K, K), (K,) and (K,).
        padding: the label beyond a row's length.

    Returns:
        The labels (B, T) int64 and their scores (B,) float64, on the CPU.

    Raises:
        UsageError: a shape or a length does not fit, or a row has no path with a score above -inf.
    """
    lengths = _check_lengths(logits, lengths, transitions, start, end)
    rows, steps, _ = logits.shape
    scores, transitions, start, end = _copy(logits, transitions, start, end)
    width = len(start)
    labels = torch.full((rows, steps), padding, dtype=torch.int64, device=CPU)
    totals, room = scores.new_zeros(rows), scores.new_empty(rows, width)
    buffers = (lengths, transitions, start, end, scores, room, labels, totals)
    run(best_path, steps, width, *(buffer.data_ptr() for buffer in buffers), tickets=rows)
    stuck = (totals == -torch.inf).nonzero()
    if len(stuck):
        raise UsageError(
            f"row {int(stuck[0])} has no path with a score above -inf; allow more transitions, and check for NaN"
        )
    return labels, totals


def _check_lengths(logits: Tensor, lengths: Tensor | None, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Check all scores and return the lengths (B,)."""
    check("the logits", logits, ("B", "T", "K"), None)
    rows, steps, size = logits.shape
    if size == 0:
        raise UsageError(f"the logits have shape {tuple(logits.shape)}, expected (B, T, K) with K at least 1")
    for name, scores, sizes in (
        ("transitions", transitions, (size, size)),
        ("start", start, (size,)),
        ("end", end, (size,)),
    ):
        check(name, scores, sizes, None)
    if lengths is None:
        return torch.full((rows,), steps, device=CPU)
    return check_lengths(lengths, rows, steps).contiguous()


def _check_targets(targets: Tensor, lengths: Tensor, logits: Tensor) -> Tensor:
    """Check that all targets are labels and return them on the CPU."""
    rows, steps, size = logits.shape
    check("the targets", targets, (rows, steps), torch.int64, layout="(B, T)")
    targets = targets.to(CPU).contiguous()
    is_wrong = ((targets < 0) | (targets >= size)) & (torch.arange(steps, device=CPU) < lengths[:, None])  # (B, T)
    if is_wrong.any():
        row, step = is_wrong.nonzero()[0].tolist()
        label = int(targets[row, step])
        raise UsageError(f"the target in row {row} at step {step} is {label}, expected a label in 0 … {size - 1}")
    return targets


def _copy(logits: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> list[Tensor]:
    """Copy all scores to float64 on the CPU, adding labels that no path uses."""
    rows, steps, size = logits.shape
    width = -(-size // UNROLLED) * UNROLLED
    shapes = ((rows, steps, width), (width, width), (width,), (width,))
    copies = []
    for tensor, shape, filling in zip((logits, transitions, start, end), shapes, (-math.inf, 0, 0, 0), strict=True):
        copy = torch.full(shape, filling, dtype=torch.float64, device=CPU)
        copy[tuple(slice(count) for count in tensor.shape)] = tensor.detach()
        copies.append(copy)
    copies[1][size:] = -math.inf  # otherwise these rows could hold a column's largest entry
    return copies
