"""Time and memory of looking inside a language model: a trace of many characters, and gradients by lag.

python benchmarks/inspection.py [--characters 10000] [--hidden 384] [--threads 1] [--verdicts]

With --verdicts, train four models that have a fault each, and one that has none, and train the faulty ones again with
the setting that their verdict names.
"""

from __future__ import annotations

import argparse
import random
import resource
import string
import time
from typing import Any

import torch

import elman
from elman.data.samples import sample_text
from elman.inspection import gradient_by_lag, trace
from elman.inspection.gradients import GradientByLag

LETTERS = string.ascii_letters + " .,\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in {"characters": 10_000, "hidden": 384, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--verdicts", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.verdicts:
        follow_verdicts()
        return
    text = "".join(random.Random(0).choices(LETTERS, k=2 * options.characters))
    model = elman.LanguageModel(cell="lstm", hidden_size=options.hidden, steps=1, evaluations=1).fit(text)
    print(f"LSTM of {options.hidden} units, {options.threads} thread(s)")
    before = peak()
    for name, look in {
        f"trace of {options.characters:,} characters": lambda: trace(model, text[: options.characters]),
        "gradient_by_lag, 64 losses, 100 lags, 500 characters": lambda: gradient_by_lag(model, text[:500]),
    }.items():
        look()
        started, used = time.perf_counter(), time.process_time()
        look()
        wall, used = time.perf_counter() - started, time.process_time() - used
        print(
            f"{name}: {wall:.2f} s ({used:.2f} s of the processor), peak memory {peak():,.0f} MB, {before:,.0f} before"
        )


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


# ---------------------------------------------------------------- verdicts, followed


def remember(distance: int, lines: int) -> str:
    """Write lines whose last letter is their first: a dependency over so many steps."""
    draw = random.Random(0)
    rows = []
    for _ in range(lines):
        first = draw.choice("abcd")
        rows.append(first + "".join(draw.choices("xyz", k=distance - 1)) + first.upper() + "\n")
    return "".join(rows)


def follow_verdicts() -> None:
    base: dict[str, Any] = {"hidden_size": 64, "steps": 1500, "batch_size": 32, "evaluations": 4}
    long, short = remember(12, 6000), remember(6, 8000)
    topics = sample_text("topics")
    for name, text, settings in [
        ("simple network, dependency over 12 steps", long, {**base, "cell": "rnn", "bptt_length": 64}),
        ("bptt_length 4, dependency over 6 steps", short, {**base, "cell": "gru", "bptt_length": 4}),
        ("4 units", topics, {**base, "hidden_size": 4, "bptt_length": 64}),
        ("learning rate 1", long, {**base, "cell": "rnn", "bptt_length": 64, "learning_rate": 1.0}),
        ("healthy", topics, {**base, "cell": "gru", "hidden_size": 128, "bptt_length": 64}),
    ]:
        model, found = look_at(text, settings)
        show(name, model, found)
        if found.verdict.remedies:
            changes = {remedy.setting: remedy.value for remedy in found.verdict.remedies}
            show(f"  then {changes}", *look_at(text, {**settings, **changes}))


def look_at(text: str, settings: dict[str, Any]) -> tuple[elman.LanguageModel, GradientByLag]:
    model = elman.LanguageModel(**settings).fit(text)
    return model, gradient_by_lag(model, text[-1000:])


def show(name: str, model: elman.LanguageModel, found: GradientByLag) -> None:
    loss = model.metrics_["valid"]["nats_per_token"]
    curve = found.mean["forward"] / found.mean["forward"][0]
    at = ", ".join(f"{curve[lag - 1]:.1e} at {lag}" for lag in (6, 12, 32, 64))
    print(f"{name}: {loss:.4f} nats; gradient {at}; reach {found.reach['forward']}; {found.verdict.kind}", flush=True)


if __name__ == "__main__":
    main()
