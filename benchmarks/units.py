"""Which unit follows quotes, brackets and the position in the line, in networks trained with several seeds.

    python benchmarks/units.py [--text topics|src] [--steps 1000] [--hidden 256] [--seeds 3] [--threads 1]

The text is sample:topics, or the source code of Elman. A tenth of it, which no network was trained on, ranks the units:
its first half chooses the best unit, its second half scores it. Agreement over seeds: how strongly the best units of
two networks correlate with each other over these steps, a mean over all pairs.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch

import elman
from elman.data.samples import sample_text
from elman.inspection import rank_units

SOURCE = Path(elman.__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", choices=("topics", "src"), default="topics")
    for name, value in {"steps": 1000, "hidden": 256, "seeds": 3, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train, held_out = read(options.text)
    models = []
    for seed in range(1, options.seeds + 1):
        used = time.process_time()
        settings = {"hidden_size": options.hidden, "steps": options.steps, "evaluations": 1, "threads": options.threads}
        models.append(elman.LanguageModel(seed=seed, **settings).fit(train, valid=held_out[:20_000]))
        nats = models[-1].metrics_["valid"]["nats_per_token"]
        seconds = time.process_time() - used
        print(f"seed {seed}: {nats:.3f} nats per character, {seconds:.0f} s of the processor", flush=True)
    used = time.process_time()
    ranking = rank_units(models, held_out[-50_000:])
    print(f"ranked over {ranking.num_steps:,} steps in {time.process_time() - used:.1f} s of the processor\n")
    print("| feature | measure | best unit of each network: score | by chance up to | agreement |")
    print("|---|---|---|---|---|")
    for feature, own in ranking.models[0].items():
        each = [model[feature] for model in ranking.models]
        best = ", ".join(f"`{one.best.name}`: {one.best.score:.3f}" for one in each)
        bound = max(one.bound for one in each)
        agreement = f"{ranking.agreement[feature].correlation:.2f}" if feature in ranking.agreement else ""
        print(f"| {feature} | {own.measure} | {best} | {bound:.3f} | {agreement} |")
    for feature, why in ranking.skipped.items():
        print(f"{feature} is left out: {why}")


def read(name: str) -> tuple[str, str]:
    """Return a text to train on, and a ninth as much to rank on; of the source code whole files."""
    if name == "topics":
        text = sample_text("topics")
        split = int(0.9 * len(text))
        return text[:split], text[split:]
    files = sorted(SOURCE.rglob("*.py"))
    random.Random(0).shuffle(files)
    split = int(0.9 * len(files))
    texts = [path.read_text("utf-8") for path in files]
    return "\n".join(texts[:split]), "\n".join(texts[split:])


if __name__ == "__main__":
    main()
