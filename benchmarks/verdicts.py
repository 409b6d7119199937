"""Follow the verdicts on gradients by lag: four models made faulty on purpose, and a healthy one.

    python benchmarks/verdicts.py

Each model is trained and judged on held-out data; then the settings that the verdict names are changed, all of them,
and the model is trained again. The figures are held-out nats per target. A healthy model has nothing to change.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from elman import Classifier, LanguageModel
from elman.inspection import gradient_by_lag

ALIKE = {"steps": 300, "evaluations": 1, "patience": 0, "threads": 1, "seed": 1}


class Data(NamedTuple):
    """What to train on, what to judge on, and their labels where there are any."""

    train: Any
    held_out: Any
    train_labels: Any = None
    held_out_labels: Any = None


def main() -> None:
    cases: list[tuple[str, Callable[[], Any], Data]] = [
        ("vanishing", lambda: LanguageModel(cell="rnn", bptt_length=32, **stream()), words()),
        ("exploding", lambda: LanguageModel(cell="rnn", bptt_length=32, clip_norm=0, **stream(steps=100)), words()),
        ("truncation too short", lambda: LanguageModel(cell="gru", bptt_length=4, **stream(steps=800)), echoes()),
        ("too small", lambda: LanguageModel(cell="gru", bptt_length=8, **stream(hidden_size=4)), words()),
        ("healthy", lambda: Classifier(cell="gru", **sentences(10)), first_word(10)),
    ]
    print("| made to be | verdict | before | change | after |")
    print("|---|---|---|---|---|")
    for name, make, data in cases:
        model = make()
        before = train(model, data, is_scaled=name == "exploding")
        verdict = gradient_by_lag(
            model, data.held_out, data.held_out_labels, losses=32, **({} if data.train_labels else {"steps": 500})
        ).verdict
        after, flags = "", " ".join(f"`{remedy.flag}`" for remedy in verdict.remedies)
        if verdict.remedies:
            again = make().set_params(**{remedy.setting: remedy.value for remedy in verdict.remedies})
            after = f"{train(again, data):.3f}"
        print(f"| {name} | {verdict.text.partition(';')[0]} | {before:.3f} | {flags or 'none'} | {after} |", flush=True)


def train(model: Any, data: Data, is_scaled: bool = False) -> float:
    """Train a model, from a U that is four times too large where wanted; return its loss on held-out data."""
    if is_scaled:
        start = type(model)(**{**model.get_params(), "steps": 1}).fit(data.train, valid=data.held_out)
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            start.network_.rnn.weight_hh_l0 *= 4
            start.save(folder)
            with torch.enable_grad():
                model.fit(data.train, valid=data.held_out, init_from=folder)
    elif data.train_labels is None:
        model.fit(data.train, valid=data.held_out)
    else:
        model.fit(data.train, data.train_labels, valid=(data.held_out, data.held_out_labels))
    return next(value for name, value in model.metrics_["valid"].items() if name.startswith("nats_per_"))


def stream(**others: Any) -> dict[str, Any]:
    """Return settings of a language model."""
    return {**ALIKE, "hidden_size": 64, "batch_size": 16, "dropout": 0.0, **others}


def sentences(lag: int, **others: Any) -> dict[str, Any]:
    """Return settings of a classifier that has to remember, with 32 sentences in a batch."""
    return {
        **ALIKE, "hidden_size": 32, "embedding_size": 8, "num_layers": 1, "bidirectional": False, "pooling": "last",
        "dropout": 0.0, "word_dropout": 0.0, "batch_tokens": 32 * (lag + 1), **others,
    }  # fmt: skip


def first_word(lag: int, number: int = 2500) -> Data:
    """Make sentences whose label is their first word; ``lag`` words that mean nothing follow."""
    generator = random.Random(lag)
    labels = [generator.choice("yn") for _ in range(number)]
    texts = [" ".join([label, *generator.choices("abcd", k=lag)]) for label in labels]
    return Data(texts[500:], texts[:500], labels[500:], labels[:500])


def words(number: int = 40_000) -> Data:
    """Make a text of made-up words, common ones and rare ones."""
    generator = random.Random(1)
    known = ["".join(generator.choices("etaoinshrdlu", k=generator.randint(2, 8))) for _ in range(300)]
    shares = [1 / rank for rank in range(1, len(known) + 1)]
    text = " ".join(generator.choices(known, shares, k=number))
    return Data(text[10_000:], text[:10_000])


def echoes(number: int = 12_000) -> Data:
    """Make a text in which a letter comes back seven letters later: ``[q]abac(q)``."""
    generator = random.Random(1)
    keys = (generator.choice("qrst") for _ in range(number))
    text = "".join(f"[{key}]{''.join(generator.choices('abcde', k=4))}({key})" for key in keys)
    return Data(text[10_000:], text[:10_000])


if __name__ == "__main__":
    main()
