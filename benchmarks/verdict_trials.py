"""Small tasks whose dependencies are known because they are made here, and ways to train on them, faulty and not.

Each task belongs to those that thresholds are chosen on, or to those that they are tested on.
Each way is made for one verdict.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from elman import Classifier, LanguageModel, Tagger, Translator
from elman.data.samples import sample_text
from elman.nn import LSTM, RNN
from elman.nn.stack import Recurrent

Change = Callable[[Recurrent], None]

ALIKE = {"evaluations": 2, "patience": 0, "threads": 1}
STREAM = {
    **ALIKE,
    "hidden_size": 32,
    "batch_size": 32,
    "bptt_length": 24,
    "dropout": 0.0,
    "learning_rate": 1e-2,
}
EXAMPLES = {
    **ALIKE, "learning_rate": 1e-2, "hidden_size": 32, "embedding_size": 8, "num_layers": 1, "dropout": 0.0,
}  # fmt: skip
ONE_WAY = {"bidirectional": False, "word_dropout": 0.0}


class Data(NamedTuple):
    """What to train on, what to judge on, and their targets where the inputs do not hold them."""

    train: Any
    held_out: Any
    train_targets: Any = None
    held_out_targets: Any = None


@dataclass(frozen=True)
class Task:
    """A task: its data, and how it is learned where nothing is wrong."""

    name: str
    make: Callable[..., Any]
    """The model's class."""
    settings: dict[str, Any]
    data: Callable[[], Data]
    is_test: bool
    """Whether it tests the thresholds; the others chose them."""


@dataclass(frozen=True)
class Way:
    """A way to train."""

    name: str
    truth: str
    """The verdict that it is made for."""
    settings: dict[str, Any] = field(default_factory=dict)
    start: Change | None = None
    """How its first weights are changed."""
    share: float = 1.0
    """Of the steps."""


def scale(name: str, factor: float) -> Change:
    """Return a change that scales a weight of simple RNNs."""

    def change(layer: Recurrent) -> None:
        if isinstance(layer, RNN):
            layer.get_parameter(f"{name}_l0").mul_(factor)

    return change


def close_gates(layer: Recurrent) -> None:
    """Close the forget gates of an LSTM."""
    if isinstance(layer, LSTM):
        layer.shift_gate("forget", -3.0)


@contextmanager
def starting(change: Change | None) -> Iterator[None]:
    """Change the first weights of all recurrent layers that are made in this context."""
    plain = Recurrent.reset_parameters

    def reset(layer: Recurrent) -> None:
        plain(layer)
        if change is not None:
            with torch.no_grad():
                change(layer)

    Recurrent.reset_parameters = reset  # type: ignore[method-assign]
    try:
        yield
    finally:
        Recurrent.reset_parameters = plain  # type: ignore[method-assign]


def first_word(lag: int, fillers: str = "abcd", number: int = 2500) -> Data:
    """Make sentences whose label is their first word; ``lag`` fillers, which mean nothing, follow."""
    generator = random.Random(lag)
    labels = [generator.choice("yn") for _ in range(number)]
    texts = [" ".join([label, *generator.choices(fillers, k=lag)]) for label in labels]
    return Data(texts[500:], texts[:500], labels[500:], labels[:500])


def words(number: int = 8000) -> Data:
    """Make a text of made-up words of 2 to 8 letters, common ones and rare ones, in no order."""
    generator = random.Random(1)
    known = ["".join(generator.choices("etaoinshrdlu", k=generator.randint(2, 8))) for _ in range(300)]
    shares = [1 / rank for rank in range(1, len(known) + 1)]
    text = " ".join(generator.choices(known, shares, k=number))
    return Data(text[3000:], text[:3000])


def pairs(number: int = 25_000) -> Data:
    """Make a text each letter of which depends on the two before it, and on nothing else."""
    generator = random.Random(2)
    letters = "abcdefgh"
    table = {
        (one, two): [generator.random() ** 4 + 0.01 for _ in letters] for one in letters for two in letters
    }  # fmt: skip
    text = ["a", "b"]
    for _ in range(number):
        text += generator.choices(letters, table[text[-2], text[-1]])
    return Data("".join(text[3000:]), "".join(text[:3000]))


def echoes(gap: int, number: int = 2500) -> Data:
    """Make a text in which a letter comes back after ``gap`` letters that mean nothing."""
    generator = random.Random(gap)
    keys = (generator.choice("qrst") for _ in range(number))
    text = "".join(f"[{key}]{''.join(generator.choices('abc', k=gap))}({key})" for key in keys)
    return Data(text[3000:], text[:3000])


def brackets(number: int = 25_000) -> Data:
    """Make a text of nested brackets of four kinds, up to six deep, in which each closing one fits the opening one."""
    generator = random.Random(4)
    text: list[str] = []
    opened: list[str] = []
    for _ in range(number):
        chance = generator.random()
        if chance < 0.3 and len(opened) < 6:
            opened.append(generator.choice(["()", "[]", "{}", "<>"]))
            text.append(opened[-1][0])
        elif chance < 0.55 and opened:
            text.append(opened.pop()[1])
        else:
            text.append(generator.choice("abc"))
    return Data("".join(text[3000:]), "".join(text[:3000]))


def topics() -> Data:
    """Return the built-in sample text."""
    text = sample_text("topics")
    return Data(text[3000:60_000], text[:3000])


def words_before(lag: int, number: int = 1500, length: int = 24) -> Data:
    """Make sentences in which the tag of a word is the kind of the word ``lag`` places before it."""
    generator = random.Random(lag)
    kinds = {word: kind for kind in "UVW" for word in (f"{kind.lower()}{number}" for number in range(4))}
    texts = [generator.choices(list(kinds), k=length) for _ in range(number)]
    tags = [["O"] * lag + [kinds[word] for word in text[: length - lag]] for text in texts]
    return Data(texts[300:], texts[:300], tags[300:], tags[:300])


def reversed_words(length: int, number: int = 2500) -> Data:
    """Make pairs of a sequence of letters and the same from its end, in capitals: its first letter comes last."""
    generator = random.Random(length)
    sources = [generator.choices("abcdefgh", k=length) for _ in range(number)]
    targets = [" ".join(reversed(source)).upper() for source in sources]
    joined = [" ".join(source) for source in sources]
    return Data(joined[300:], joined[:300], targets[300:], targets[:300])


LABELLING = {**EXAMPLES, **ONE_WAY}
TRANSLATING = {
    **EXAMPLES, "level": "word", "bidirectional": False, "hidden_size": 48, "embedding_size": 32, "beam_size": 1,
    "attention": "none", "label_smoothing": 0.0, "min_count": 1, "batch_tokens": 640,
}  # fmt: skip

TASKS = [
    Task("echo after 6", LanguageModel, STREAM, lambda: echoes(4), False),
    Task("made-up words", LanguageModel, STREAM, words, False),
    Task("label is word 16 back", Classifier,
         {**LABELLING, "pooling": "last", "batch_tokens": 32 * 17}, lambda: first_word(16), False),
    Task("tag is word 3 back", Tagger,
         {**LABELLING, "characters": "none", "batch_tokens": 16 * 24}, lambda: words_before(3), False),
    Task("echo after 8", LanguageModel, STREAM, lambda: echoes(6), False),
    Task("echo after 5", LanguageModel, STREAM, lambda: echoes(3), True),
    Task("pairs of letters", LanguageModel, STREAM, pairs, True),
    Task("nested brackets", LanguageModel, STREAM, brackets, True),
    Task("sample:topics", LanguageModel, STREAM, topics, True),
    Task("label is word 12 back", Classifier,
         {**LABELLING, "pooling": "last", "batch_tokens": 32 * 13}, lambda: first_word(12), True),
    Task("tag is word 5 back", Tagger,
         {**LABELLING, "characters": "none", "batch_tokens": 16 * 24}, lambda: words_before(5), True),
    Task("reversal of 6", Translator, TRANSLATING, lambda: reversed_words(6), True),
]  # fmt: skip


def ways(task: Task) -> list[Way]:
    """Return the ways to train on a task: healthy ones and faulty ones."""
    is_stream = task.make is LanguageModel
    closed: tuple[dict[str, Any], Change | None] = ({"forget_bias": -3.0}, None) if is_stream else ({}, close_gates)
    found = [
        *(Way(cell.upper(), "healthy", {"cell": cell}) for cell in ("rnn", "gru", "lstm")),
        Way("GRU, a tenth of the steps", "healthy", {"cell": "gru"}, share=0.1),
        Way("RNN, saturated", "vanishing", {"cell": "rnn"}, scale("weight_ih", 30.0)),
        Way("LSTM, forget gates closed", "vanishing", {"cell": "lstm", **closed[0]}, closed[1]),
        Way(
            "RNN, U times 8",
            "exploding",
            {"cell": "rnn", "learning_rate": 1e-3, "clip_norm": 0.0},
            scale("weight_hh", 8.0),
        ),
        Way("GRU of 3 units", "too small", {"cell": "gru", "hidden_size": 3}),
    ]
    if is_stream:
        short = {"cell": "gru", "bptt_length": 2, "batch_size": 384}
        found.append(Way("GRU, bptt_length 2", "truncation too short", short))
    return found
