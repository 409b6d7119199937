"""``elman bench train``: a training step of the default language model, with Elman's layers and with torch's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from elman.bench import limits
from elman.bench.rows import Shape, TableRow, arithmetic_figures, count_layer_flops, make_row
from elman.bench.timing import Stopwatch, in_turn, timed
from elman.models.language_model import LanguageModel
from elman.nn.cells import CELLS

CHARACTERS = [chr(33 + code) for code in range(62)]  # with three special tokens, a vocabulary of 65
VOCAB_SIZE, EMBEDDING_SIZE = 65, 64
MINUTES = 0.25  # the loop measures the time of a step for 2 % of them


def bench_train(repeats: int, settings: LanguageModel | None = None) -> Iterator[TableRow]:
    """Time the table ``train`` on as many threads as torch uses.

    Args:
        repeats: rounds for each row; in each, the training loop runs some steps and takes their median.
        settings: the model; None for the default one.

    Yields:
        Each row as soon as it is measured.
    """
    model = replace(settings or LanguageModel(), device="cpu", embedding_size=EMBEDDING_SIZE, minutes=MINUTES)
    shape = Shape(model.batch_size, model.bptt_length, model.hidden_size, model.num_layers)
    text = _random_text(4 * shape.batch * shape.time)
    limit = limits.arithmetic_limit()
    for cell in CELLS:
        backends: dict[str, Any] = {"elman": "auto", **({"torch": "torch"} if CELLS[cell].torch else {})}
        networks: dict[str, Any] = {name: {"cell": cell, "backend": backend} for name, backend in backends.items()}
        watches = {name: _watch(replace(model, **network), text) for name, network in networks.items()}
        seconds = in_turn({**watches, "limit": timed(limit.work)}, repeats)
        tokens = shape.batch * shape.time
        figures = arithmetic_figures(count_step_flops(cell, shape), seconds, limit)
        figures |= {f"{name}_tokens_per_s": tokens / seconds[name] for name in backends}
        yield make_row("train", cell, "step", shape, torch.get_num_threads(), seconds, figures)


def count_step_flops(cell: str, shape: Shape) -> int:
    """Count the operations of the layers and the head in one training step."""
    tokens, size = shape.batch * shape.time, shape.hidden_size
    sizes = [EMBEDDING_SIZE, *[size] * (shape.num_layers - 1)]  # the input size of each layer
    layers = sum(count_layer_flops(cell, "forward+backward", tokens, below, size) for below in sizes)
    return layers + 3 * 2 * size * VOCAB_SIZE * tokens


def _watch(model: LanguageModel, text: str) -> Stopwatch:
    """Create a stopwatch for a step, from the training loop's own measurement."""
    return partial(_seconds_per_step, model, text)


def _seconds_per_step(model: LanguageModel, text: str) -> float:
    return float(model.dry_run(text)["seconds_per_step"])


def _random_text(length: int) -> str:
    picks: Any = torch.randint(len(CHARACTERS), (length,), generator=torch.Generator().manual_seed(0)).tolist()
    return "".join([*CHARACTERS, *(CHARACTERS[pick] for pick in picks)])
