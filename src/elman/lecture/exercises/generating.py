"""Exercises on generation: temperature, the loop, and a step of beam search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from elman.lecture.exercises.exercise import Exercise

Floats: TypeAlias = npt.NDArray[np.float64]
Extensions: TypeAlias = tuple[Floats, npt.NDArray[np.intp], npt.NDArray[np.intp]]  # scores, texts, words
Step: TypeAlias = Callable[[int, Any], tuple[Sequence[float], Any]]

BEGIN, END = 0, 1


def tempered(logits: Floats, temperature: float) -> Floats:
    """Return the distribution to draw from: softmax of the logits, divided by the temperature."""
    scaled = np.exp((logits - logits.max()) / temperature)
    return np.asarray(scaled / scaled.sum(), np.float64)


def _multiply_by_temperature(logits: Floats, temperature: float) -> Floats:
    return tempered(logits, 1 / temperature)


def _ignore_temperature(logits: Floats, temperature: float) -> Floats:
    return tempered(logits, 1.0)


def _divide_without_sum(logits: Floats, temperature: float) -> Floats:
    return tempered(logits, 1.0) / temperature


def _overflow(logits: Floats, temperature: float) -> Floats:
    with np.errstate(all="ignore"):
        scaled = np.exp(logits / temperature)
        return np.asarray(scaled / scaled.sum(), np.float64)


def write_greedily(step: Step, begin: int, end: int, longest: int) -> list[int]:
    """Return the most likely token again and again, up to the end token or a length."""
    token, state = begin, None
    written: list[int] = []
    while len(written) < longest:
        logits, state = step(token, state)
        token = int(np.argmax(logits))
        if token == end:
            break
        written.append(token)
    return written


def _keep_end(step: Step, begin: int, end: int, longest: int) -> list[int]:
    written = write_greedily(step, begin, end, longest)
    return written if len(written) == longest else [*written, end]


def _lose_state(step: Step, begin: int, end: int, longest: int) -> list[int]:
    return write_greedily(lambda token, state: step(token, None), begin, end, longest)


def _feed_begin(step: Step, begin: int, end: int, longest: int) -> list[int]:
    return write_greedily(lambda token, state: step(begin, state), begin, end, longest)


def _count_one_more(step: Step, begin: int, end: int, longest: int) -> list[int]:
    return write_greedily(step, begin, end, longest + 1)


def _step_by_table(token: int, state: int | None) -> tuple[list[float], int]:
    """Read a token: a network of six tokens whose state counts the steps."""
    count = (state or 0) + 1
    following = END if count > 4 else 2 + (token + count) % 4
    return [float(one == following) for one in range(6)], count


def beam_step(scores: Floats, log_probs: Floats, width: int) -> Extensions:
    """Return the scores of the best extensions, the text that each extends, and the word."""
    totals = scores[:, None] + log_probs  # (B, V)
    best = np.argsort(-totals, axis=None, kind="stable")[:width]
    texts, words = np.unravel_index(best, totals.shape)
    return totals[texts, words], texts, words


def _forget_scores(scores: Floats, log_probs: Floats, width: int) -> Extensions:
    return beam_step(np.zeros_like(scores), log_probs, width)


def _multiply_scores(scores: Floats, log_probs: Floats, width: int) -> Extensions:
    return beam_step(np.zeros_like(scores), scores[:, None] * log_probs, width)


def _extend_each(scores: Floats, log_probs: Floats, width: int) -> Extensions:
    best = np.full_like(log_probs, -np.inf)
    rows = np.arange(len(scores)), log_probs.argmax(axis=1)
    best[rows] = log_probs[rows]
    return beam_step(scores, best, width)


def _worst_first(scores: Floats, log_probs: Floats, width: int) -> Extensions:
    totals, texts, words = beam_step(scores, log_probs, width)
    return totals[::-1], texts[::-1], words[::-1]


def _make_beams() -> list[tuple[Floats, Floats, int]]:
    draw = np.random.default_rng(8)
    beams = [(np.array([-1.0]), np.log([[0.2, 0.5, 0.3]]), 2)]  # the first step
    for width in (2, 3):
        log_probs = np.log(draw.dirichlet(np.ones(5), size=width))
        log_probs[0] = np.log([0.42, 0.4, 0.1, 0.05, 0.03])  # its two best words beat those of the others
        beams.append((np.array([-0.5, -3.0, -4.0])[:width], log_probs, width))
    return beams


EXERCISES = (
    Exercise(
        page="generation",
        answer=tempered,
        cases=lambda: [
            (np.array([1.0, 2.0, 0.0]), 0.5),
            (np.array([1.0, 2.0, 0.0]), 2.0),
            (np.array([1000.0, 1001.0]), 1.0),
        ],
        mistakes={
            "multiplies by the temperature; divide the logits by it": _multiply_by_temperature,
            "does not use the temperature": _ignore_temperature,
            "divides the probabilities, which then no longer sum to 1; divide the logits": _divide_without_sum,
            "overflows for large logits; subtract the largest one before exp, which changes nothing else": _overflow,
        },
    ),
    Exercise(
        page="generation",
        answer=write_greedily,
        cases=lambda: [(_step_by_table, BEGIN, END, longest) for longest in (3, 10)],
        mistakes={
            "returns the end token too": _keep_end,
            "forgets the state; hand step the state that it returned": _lose_state,
            "reads begin at every step; the token that was chosen is the next input": _feed_begin,
            "writes one token more than longest": _count_one_more,
        },
    ),
    Exercise(
        page="translation-and-captions",
        answer=beam_step,
        cases=_make_beams,
        mistakes={
            "does not use the scores of the texts so far": _forget_scores,
            "multiplies log-probabilities; those of a text are added": _multiply_scores,
            "extends each text once; two extensions of one text may both be among the best": _extend_each,
            "returns the best last; return it first": _worst_first,
        },
    ),
)
