"""Draw the README's picture: a network learning to write, beside a Markov model on the same text.

python benchmarks/picture.py input.txt docs/learning.svg [--minutes 1.6] [--title "Shakespeare"]
"""

import argparse
import time
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

import elman
from elman.comparison.language_models import compare_language_models
from elman.training.progress import Progress


class Recorder(Progress):
    """Records every validation with its sample."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.rows: list[tuple[float, float, str]] = []

    def validated(self, step, metrics, sample, *, best):
        """Note the time, the loss and the text."""
        self.rows.append((time.perf_counter() - self.began, metrics["nats_per_token"], sample))


def main() -> None:
    """Train, then draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--minutes", type=float, default=1.6)
    parser.add_argument("--title", default="")
    given = parser.parse_args()
    settings = elman.LanguageModel(minutes=given.minutes)
    markov = next(compare_language_models(given.text, ["ngram:5"], settings))
    recorder = Recorder()
    model = settings.fit(given.text, progress=recorder)
    draw(recorder.rows, markov.nats_per_token, model.metrics_["valid"]["nats_per_token"], given)


def draw(rows, markov_nats, final_nats, given) -> None:
    """Put the curve and three samples side by side."""
    matplotlib.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 11})
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    curve, writing = figure.subplots(1, 2, width_ratios=[1.15, 1])
    seconds, nats, samples = zip(*rows, strict=True)
    curve.plot(seconds, nats, color="#c2410c", marker="o", linewidth=2, label=f"LSTM: {final_nats:.2f} at the end")
    curve.axhline(markov_nats, color="#64748b", linestyle="--", label=f"Markov 5-gram, Kneser-Ney: {markov_nats:.2f}")
    curve.set_xlabel("seconds on two processor cores")
    curve.set_ylabel("nats per held-out character")
    curve.set_title(given.title, loc="left")
    curve.legend(frameon=False)
    curve.spines[["top", "right"]].set_visible(False)
    writing.axis("off")
    shown = sorted({0, min(1, len(rows) - 1), len(rows) - 1})
    for place, index in enumerate(shown):
        top = 1 - place / len(shown)
        writing.text(0, top, f"after {seconds[index]:.0f} s it writes", va="top", color="#c2410c", weight="bold")
        lines = "\n".join(line[:52] for line in samples[index].strip().splitlines()[:4])
        writing.text(0, top - 0.07, lines, va="top", family="monospace", fontsize=10, linespacing=1.35)
    given.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(given.picture, metadata={"Date": None})


if __name__ == "__main__":
    main()
