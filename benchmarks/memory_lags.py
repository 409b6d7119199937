"""How far back three cells learn: RNN, GRU and LSTM of equal size, trained alike to remember over 5 to 80 steps.

    python benchmarks/memory_lags.py PICTURE.svg [--lags 5 10 20 40 80] [--seed 1]

The label of a sentence is its first word; after it come as many words as the lag says, which mean nothing. For each
cell and lag: the gradient of the loss with respect to the state after that first word, relative to that at lag 1, and
the accuracy, both on held-out sentences.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from verdicts import first_word, sentences

from elman import Classifier
from elman.inspection import gradient_by_lag

CELLS = {"rnn": "#c2410c", "gru": "#1d4ed8", "lstm": "#15803d"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("picture", type=Path)
    parser.add_argument("--lags", type=int, nargs="+", default=[5, 10, 20, 40, 80])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {cell: [] for cell in CELLS}
    print("| lag | " + " | ".join(f"{cell}: gradient | accuracy" for cell in CELLS) + " |", flush=True)
    print("|---|" + "---|" * 2 * len(CELLS))
    for lag in arguments.lags:
        data = first_word(lag)
        for cell, results in found.items():
            model = Classifier(
                cell=cell, **sentences(lag, steps=arguments.steps, seed=arguments.seed, learning_rate=8e-3)
            )
            model.fit(data.train, data.train_labels, valid=(data.held_out, data.held_out_labels))
            mean = gradient_by_lag(model, data.held_out, data.held_out_labels, lags=lag, losses=64).mean["forward"]
            results.append((float(mean[-1] / mean[0]), model.score(data.held_out, data.held_out_labels)))
        row = (f"{gradient:.1e} | {accuracy:.3f}" for gradient, accuracy in (own[-1] for own in found.values()))
        print(f"| {lag} | {' | '.join(row)} |", flush=True)
    draw(arguments.picture, arguments.lags, {cell: np.array(results) for cell, results in found.items()})


def draw(path: Path, lags: list[int], found: dict[str, np.ndarray]) -> None:
    """Draw gradient and accuracy by lag."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for cell, results in found.items():
        for axes, values in ((left, results[:, 0]), (right, results[:, 1])):
            axes.plot(lags, values, marker="o", markersize=3, color=CELLS[cell], label=cell.upper())
    left.set(ylabel="gradient at that lag / at lag 1", yscale="log")
    right.set(ylabel="accuracy", ylim=(0.4, 1.02))
    for axes in (left, right):
        axes.set(xlabel="steps between the word and its use", xscale="log")
        axes.set_xticks(lags, list(map(str, lags)))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
