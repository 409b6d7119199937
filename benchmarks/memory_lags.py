"""How far back three cells learn: RNN, GRU and LSTM of equal size, trained alike to remember over 5 to 80 steps.

    python benchmarks/memory_lags.py PICTURE.svg [--lags 5 10 20 40 80] [--steps 300] [--seeds 3]

The label of a sentence is its first word; as many words as the lag says come after it. In the task "noise" they mean
nothing; in the task "distractors" they are words of the same two kinds, so that the network has to hold on to the first
one. Elman starts all weights as torch.nn does, uniform within 1/sqrt(H); for the simple network there is also a row
that starts with an orthogonal U.

The learning rate is the one of three with the lowest held-out loss with seed 1; it is then used with all seeds. For
each network and lag: the accuracy on held-out sentences, and the gradient of the loss with respect to the state after
the first word, relative to that at lag 1: the median over the seeds, from the smallest to the largest.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from verdict_trials import Change, first_word, starting

from elman import Classifier
from elman.inspection import gradient_by_lag
from elman.nn.stack import Recurrent

RATES = [2e-3, 8e-3, 3.2e-2]
SETTINGS: dict[str, Any] = {
    "hidden_size": 32, "embedding_size": 8, "num_layers": 1, "bidirectional": False, "pooling": "last", "dropout": 0.0,
    "word_dropout": 0.0, "evaluations": 1, "patience": 0, "threads": 1,
}  # fmt: skip


class Network(NamedTuple):
    """A row of the table: a cell and how it starts."""

    cell: str
    start: Change | None
    colour: str


def make_orthogonal(layer: Recurrent) -> None:
    """Make U orthogonal."""
    torch.nn.init.orthogonal_(layer.get_parameter("weight_hh_l0"))


NETWORKS = {
    "RNN": Network("rnn", None, "#c2410c"),
    "RNN, orthogonal U": Network("rnn", make_orthogonal, "#d97706"),
    "GRU": Network("gru", None, "#1d4ed8"),
    "LSTM": Network("lstm", None, "#15803d"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("picture", type=Path)
    parser.add_argument("--lags", type=int, nargs="+", default=[5, 10, 20, 40, 80])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    print("| task | lag | network | learning rate | accuracy | gradient at that lag / at lag 1 |")
    print("|---|---|---|---|---|---|", flush=True)
    for task, fillers in {"noise": "abcd", "distractors": "yn"}.items():
        own = found[task] = {name: [] for name in NETWORKS}
        for lag in arguments.lags:
            for name, network in NETWORKS.items():
                rate, results = measure(network, lag, fillers, arguments.steps, arguments.seeds)
                own[name].append(results)
                (gradient, accuracy) = (np.sort(column) for column in results.T)
                middle = len(results) // 2
                print(
                    f"| {task} | {lag} | {name} | {rate:g} | {accuracy[middle]:.3f} ({accuracy[0]:.3f} to "
                    f"{accuracy[-1]:.3f}) | {gradient[middle]:.1e} ({gradient[0]:.1e} to {gradient[-1]:.1e}) |",
                    flush=True,
                )
    draw(arguments.picture, arguments.lags, found)


def measure(network: Network, lag: int, fillers: str, steps: int, seeds: int) -> tuple[float, np.ndarray]:
    """Return the learning rate that was chosen, and for each seed (seeds, 2) the gradient and the accuracy."""
    data = first_word(lag, fillers)
    held_out = data.held_out, data.held_out_targets

    def fit(rate: float, seed: int) -> Classifier:
        model = Classifier(
            cell=network.cell, learning_rate=rate, steps=steps, seed=seed, batch_tokens=16 * (lag + 1), **SETTINGS
        )
        with starting(network.start):
            return model.fit(data.train, data.train_targets, valid=held_out)

    trials = {rate: fit(rate, 1) for rate in RATES}
    rate = min(trials, key=lambda rate: float(trials[rate].metrics_["valid"]["nats_per_target"]))
    models = [trials[rate], *(fit(rate, seed) for seed in range(2, seeds + 1))]
    results = []
    for model in models:
        mean = gradient_by_lag(model, *held_out, lags=lag, losses=64).mean["forward"]
        results.append((float(mean[-1] / mean[0]), model.metrics_["valid"]["accuracy"]))
    return rate, np.array(results)


def draw(path: Path, lags: list[int], found: dict[str, dict[str, list[np.ndarray]]]) -> None:
    """Draw gradient and accuracy by lag: the median, and a band from the smallest to the largest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 3 * len(found)), layout="constrained")
    rows = figure.subplots(len(found), 2, squeeze=False)
    for axes_of_row, (task, own) in zip(rows, found.items(), strict=True):
        for name, results in own.items():
            for axes, values in zip(axes_of_row, np.stack(results).transpose(2, 0, 1), strict=True):  # (lags, seeds)
                colour = NETWORKS[name].colour
                axes.plot(lags, np.median(values, axis=1), marker="o", markersize=3, color=colour, label=name)
                axes.fill_between(lags, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.12, linewidth=0)
        axes_of_row[0].set(ylabel="gradient at that lag / at lag 1", yscale="log", title=f"{task}: gradient")
        axes_of_row[1].set(ylabel="accuracy", ylim=(0.4, 1.02), title=f"{task}: accuracy")
        for axes in axes_of_row:
            axes.set(xlabel="steps between the word and its use", xscale="log")
            axes.set_xticks(lags, list(map(str, lags)))
            axes.minorticks_off()
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*rows[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
