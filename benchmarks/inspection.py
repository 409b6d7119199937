"""Time and memory of looking inside a language model: a trace of many characters, and gradients by lag.

python benchmarks/inspection.py [--characters 10000] [--hidden 384] [--threads 1]
"""

from __future__ import annotations

import argparse
import random
import resource
import string
import time

import torch

import elman
from elman.inspection import gradient_by_lag, trace

LETTERS = string.ascii_letters + " .,\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in {"characters": 10_000, "hidden": 384, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
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


if __name__ == "__main__":
    main()
