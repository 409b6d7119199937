"""Exercises on counts and Markov models."""

from __future__ import annotations

from collections.abc import Sequence

from elman.lecture.exercises.exercise import Exercise

TRAINING = ["the", "dog", "sees", "the", "cat", "and", "the", "cat", "sees", "the", "dog"]
HELD_OUT = ["the", "dog", "sees", "the", "bird", "and", "the", "bird", "sees", "the", "cat", "and", "the", "cat"]


def count_vector(text: str, vocabulary: Sequence[str]) -> list[int]:
    """Return how often each word of the vocabulary occurs in a text."""
    words = text.lower().split()
    return [words.count(word) for word in vocabulary]


def unseen_share(training: Sequence[str], held_out: Sequence[str], n: int) -> float:
    """Return the share of held-out positions whose n - 1 words of context never occur in the training text."""
    known = {tuple(training[start : start + n - 1]) for start in range(len(training) - n + 1)}
    contexts = [tuple(held_out[start : start + n - 1]) for start in range(len(held_out) - n + 1)]
    return sum(context not in known for context in contexts) / len(contexts)


def _unseen_grams(training: Sequence[str], held_out: Sequence[str], n: int) -> float:
    return unseen_share([*training, ""], [*held_out, ""], n + 1)


def _unseen_kinds(training: Sequence[str], held_out: Sequence[str], n: int) -> float:
    known = {tuple(training[start : start + n - 1]) for start in range(len(training) - n + 1)}
    kinds = {tuple(held_out[start : start + n - 1]) for start in range(len(held_out) - n + 1)}
    return len(kinds - known) / len(kinds)


EXERCISES = (
    Exercise(
        page="counts",
        answer=count_vector,
        cases=lambda: [
            ("the dog bites the man", ["bites", "cat", "dog", "man", "the"]),
            ("The man bites the dog", ["bites", "cat", "dog", "man", "the"]),
            ("art", ["a", "art"]),
        ],
        mistakes={
            "says whether a word occurs, not how often": lambda text, vocabulary: [
                int(word in text.lower().split()) for word in vocabulary
            ],
            'counts letters within words: "art" holds no word "a"; split the text into words first': (
                lambda text, vocabulary: [text.lower().count(word) for word in vocabulary]
            ),
            'takes "The" and "the" for two words': lambda text, vocabulary: [
                text.split().count(word) for word in vocabulary
            ],
        },
    ),
    Exercise(
        page="markov-models",
        answer=unseen_share,
        cases=lambda: [(TRAINING, HELD_OUT, n) for n in (2, 3, 4)],
        mistakes={
            "looks up all n words; the context of an n-gram is its first n - 1 words": _unseen_grams,
            "counts each different context once; count every position": _unseen_kinds,
        },
    ),
)
