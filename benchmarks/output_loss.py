"""The output layer and its loss, forward and backward: a chunk of rows at a time against torch with the whole logits.

Both take turns, round after round in one process: medians of the processor time, its part in the kernel, and the page
faults of a step. Peak memory, beyond weights and inputs, is measured in a process of its own for each.

    OMP_NUM_THREADS=1 python benchmarks/output_loss.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import resource
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from elman.nn.outputs.heads import SoftmaxHead


class Sizes(NamedTuple):
    """What a step computes."""

    targets: int
    hidden_size: int
    outputs: int
    label_smoothing: float = 0.0


TASKS = {  # the default models, with the targets of a typical batch
    "lm, characters": Sizes(1024, 384, 65),
    "lm, BPE": Sizes(1024, 384, 4096),
    "lm, words": Sizes(1024, 384, 10_000),
    "lm, 50,000 words": Sizes(1024, 384, 50_000),
    "translator": Sizes(900, 256, 8000, 0.1),
    "captioner": Sizes(850, 256, 5000),
}


def main() -> None:
    """Print a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; torch / elman")
    print(f"{'':<18}{'processor ms':>16}{'ratio':>7}{'kernel ms':>14}{'page faults':>18}{'peak MB':>12}")
    for name, sizes in TASKS.items():
        steps = {loss: make_step(loss, sizes) for loss in (whole, chunked)}
        figures: dict[Callable[..., Tensor], list[tuple[float, float, int]]] = {loss: [] for loss in steps}
        for _ in range(given.rounds + 1):
            for loss, step in steps.items():
                figures[loss].append(cost(step))
        torchs, ours = (
            [statistics.median(column) for column in zip(*figures[loss][1:], strict=True)] for loss in steps
        )
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            peaks = pool.starmap(peak, [(loss, sizes) for loss in steps], chunksize=1)
        print(
            f"{name:<18}{f'{1e3 * torchs[0]:.1f} / {1e3 * ours[0]:.1f}':>16}{torchs[0] / ours[0]:>7.2f}"
            f"{f'{1e3 * torchs[1]:.1f} / {1e3 * ours[1]:.1f}':>14}{f'{torchs[2]:,.0f} / {ours[2]:,.0f}':>18}"
            f"{f'{peaks[0]:.0f} / {peaks[1]:.0f}':>12}"
        )


def whole(head: SoftmaxHead, hidden: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    return cross_entropy(head(hidden), targets, reduction="sum", label_smoothing=label_smoothing)


def chunked(head: SoftmaxHead, hidden: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    return head.loss_sum(hidden, targets, label_smoothing)


def make_step(loss: Callable[..., Tensor], sizes: Sizes) -> Callable[[], None]:
    """Return a function that computes the loss and all gradients, which it drops as the optimizer does."""
    draw = torch.Generator().manual_seed(0)
    head = SoftmaxHead(sizes.hidden_size, sizes.outputs)
    hidden = torch.randn(sizes.targets, sizes.hidden_size, generator=draw).requires_grad_()
    targets = torch.randint(sizes.outputs, (sizes.targets,), generator=draw)

    def step() -> None:
        head.zero_grad()
        hidden.grad = None
        (loss(head, hidden, targets, sizes.label_smoothing) / sizes.targets).backward()

    return step


def cost(step: Callable[[], None]) -> tuple[float, float, int]:
    """Return the processor time of a step, its part in the kernel, both in seconds, and its page faults."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    step()
    after = resource.getrusage(resource.RUSAGE_SELF)
    kernel = after.ru_stime - before.ru_stime
    return after.ru_utime - before.ru_utime + kernel, kernel, after.ru_minflt - before.ru_minflt


def peak(loss: Callable[..., Tensor], sizes: Sizes) -> float:
    """Return how much memory steps take beyond weights and inputs, in MB (2^20 bytes)."""
    make_step(loss, sizes._replace(outputs=2))()  # loads torch's libraries
    step = make_step(loss, sizes)
    before = _most_memory()
    for _ in range(4):
        step()
    return _most_memory() - before


def _most_memory() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # getrusage's figure includes the parent's
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


if __name__ == "__main__":
    main()
