"""How far back three cells learn: RNN, GRU and LSTM of equal size, trained alike to remember over 5 to 80 steps.

    python benchmarks/memory_lags.py PICTURE.svg [--lags 5 10 20 40 80] [--steps 400] [--seeds 3]

The label of a sentence is its first word; as many words as the lag says come after it. In the task "noise" they mean
nothing; in the task "distractors" they are words of the same two kinds, so that the network has to hold on to the first
one. Elman starts all weights as torch.nn does, uniform within 1/sqrt(H). Each cell also has a row with the start
that is known to help it: an orthogonal U, or gates that keep the state.

The learning rate of each network is the one of three with the lowest held-out loss at lag 10 of the task "noise", seed
1. For each network and lag: the accuracy on held-out sentences, and the gradient of the loss with respect to the state
after the first word, relative to that at lag 1: the median over the seeds, and the smallest and the largest.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from verdict_trials import Change, Data, first_word, starting

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


def open_gates(layer: Recurrent) -> None:
    """Shift the gates that keep the state (f of an LSTM, z of a GRU), so that they begin at 0.98 instead of 0.5."""
    layer.shift_gate("forget" if "forget" in layer.cell.gates else "update", 4.0)


NETWORKS = {
    "RNN": Network("rnn", None, "#c2410c"),
    "RNN, orthogonal U": Network("rnn", make_orthogonal, "#d97706"),
    "GRU": Network("gru", None, "#1d4ed8"),
    "GRU, open gates": Network("gru", open_gates, "#0e7490"),
    "LSTM": Network("lstm", None, "#15803d"),
    "LSTM, open gates": Network("lstm", open_gates, "#65a30d"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("picture", type=Path)
    parser.add_argument("--lags", type=int, nargs="+", default=[5, 10, 20, 40, 80])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    chosen_on = first_word(10)
    rates = {}
    for name, network in NETWORKS.items():
        losses = {
            rate: float(fit(network, chosen_on, 10, rate, arguments.steps, 1).metrics_["valid"]["nats_per_target"])
            for rate in RATES
        }
        rates[name] = min(losses, key=lambda rate: losses[rate])
    print("| task | lag | network | learning rate | accuracy | gradient at that lag / at lag 1 |")
    print("|---|---|---|---|---|---|", flush=True)
    for task, fillers in {"noise": "abcd", "distractors": "yn"}.items():
        own = found[task] = {name: [] for name in NETWORKS}
        for lag in arguments.lags:
            data = first_word(lag, fillers)
            for name, network in NETWORKS.items():
                models = [
                    fit(network, data, lag, rates[name], arguments.steps, seed)
                    for seed in range(1, arguments.seeds + 1)
                ]
                own[name].append(np.array([measure(model, data, lag) for model in models]))  # (seeds, 2)
                gradient, accuracy = (np.sort(column) for column in own[name][-1].T)
                middle = len(models) // 2
                print(
                    f"| {task} | {lag} | {name} | {rates[name]:g} | {accuracy[middle]:.3f} ({accuracy[0]:.3f} to "
                    f"{accuracy[-1]:.3f}) | {gradient[middle]:.1e} ({gradient[0]:.1e} to {gradient[-1]:.1e}) |",
                    flush=True,
                )
    draw(arguments.picture, arguments.lags, found)


def fit(network: Network, data: Data, lag: int, rate: float, steps: int, seed: int) -> Classifier:
    """Train a network with batches of 16 sentences."""
    model = Classifier(
        cell=network.cell, learning_rate=rate, steps=steps, seed=seed, batch_tokens=16 * (lag + 1), **SETTINGS
    )
    with starting(network.start):
        return model.fit(data.train, data.train_targets, valid=(data.held_out, data.held_out_targets))


def measure(model: Classifier, data: Data, lag: int) -> tuple[float, float]:
    """Return the gradient at a lag, relative to that at lag 1, and the accuracy, on held-out sentences."""
    mean = gradient_by_lag(model, data.held_out[:300], data.held_out_targets[:300], lags=lag, losses=32).mean["forward"]
    return float(mean[-1] / mean[0]), model.metrics_["valid"]["accuracy"]


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
        axes_of_row[0].set(
            ylabel="gradient at that lag / at lag 1", yscale="log", ylim=(1e-12, 1e2), title=f"{task}: gradient"
        )
        axes_of_row[1].set(ylabel="accuracy", ylim=(0.4, 1.02), title=f"{task}: accuracy")
        for axes in axes_of_row:
            axes.set(xlabel="steps between the word and its use", xscale="log")
            axes.set_xticks(lags, list(map(str, lags)))
            axes.minorticks_off()
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*rows[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
