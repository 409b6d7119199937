"""Which unit follows quotes, brackets and the position in the line, in networks that were trained with several seeds.

python benchmarks/units.py [--steps 1000] [--hidden 256] [--seeds 3] [--threads 1]

On the last tenth of sample:topics, which the networks were not trained on.
"""

from __future__ import annotations

import argparse
import time

import torch

import elman
from elman.data.samples import sample_text
from elman.inspection import rank_units


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in {"steps": 1000, "hidden": 256, "seeds": 3, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = sample_text("topics")
    split = int(0.9 * len(text))
    models = []
    for seed in range(1, options.seeds + 1):
        used = time.process_time()
        settings = {"hidden_size": options.hidden, "steps": options.steps, "batch_size": 16, "evaluations": 1}
        models.append(elman.LanguageModel(seed=seed, **settings).fit(text[:split]))
        nats = models[-1].metrics_["valid"]["nats_per_token"]
        print(f"seed {seed}: {nats:.3f} nats per character, {time.process_time() - used:.0f} s of the processor")
    used = time.process_time()
    ranking = rank_units(models, text[split:])
    print(f"ranked over {ranking.num_steps:,} steps in {time.process_time() - used:.1f} s of the processor")
    for feature in ranking.models[0]:
        for own in (model[feature] for model in ranking.models if feature in model):
            best = own.best
            print(f"{feature}: {best.name}, {own.measure} {best.score:.3f}, by chance up to {own.bound:.3f}")


if __name__ == "__main__":
    main()
