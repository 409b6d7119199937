"""How the language model's defaults were chosen: one setting varied at a time, all runs equally long.

    python benchmarks/defaults.py input.txt --minutes 1.6 [--variant hidden_size=512 --variant dropout=0.2,batch_size=8]

Each variant is trained on the first 90 % of the text for so many minutes, validation and saving included, and evaluated
on the rest. Prints a table; RESULTS.md has a dated one.
"""

import argparse
import tomllib
from pathlib import Path

import elman

VARIANTS = [
    "",
    "hidden_size=256",
    "hidden_size=512",
    "learning_rate=0.003",
    "learning_rate=0.01",
    "batch_size=8",
    "batch_size=32",
    "dropout=0.0",
    "dropout=0.2",
    "bptt_length=128",
    'cell="gru"',
]


def main() -> None:
    """Print a row for each variant as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--minutes", type=float, default=1.6)
    parser.add_argument("--variant", action="append", help="settings as in TOML, separated by commas; repeatable")
    given = parser.parse_args()
    print("| variant | nats/char | steps | tokens/s | seconds |\n|---|---|---|---|---|")
    for variant in given.variant or VARIANTS:
        settings = tomllib.loads("\n".join(variant.split(",")))
        model = elman.LanguageModel(minutes=given.minutes, **settings).fit(given.text)
        train = model.metrics_["train"]
        print(
            f"| {variant or 'defaults'} | {model.metrics_['valid']['nats_per_token']:.4f} | {train['steps']:,} | "
            f"{train['tokens_per_second']:,.0f} | {train['seconds']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
