"""``elman bench generate``: generating one character at a time, against a loop around torch.nn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from elman.bench import limits
from elman.bench.kernels import TORCH
from elman.bench.rows import Shape, TableRow, count_weight_bytes, make_row, reading_figures
from elman.bench.timing import Work, computing_on, in_turn, timed
from elman.decoding.options import Sampling
from elman.decoding.sampling import lay_out_options
from elman.kernels.generate import Writer
from elman.nn.cells import CELLS

VOCAB_SIZE, EMBEDDING_SIZE = 65, 64
SHAPES = (Shape(1, 1, 128), Shape(1, 1, 128, 2), Shape(1, 1, 512), Shape(1, 1, 512, 3))
CHARACTERS_PER_CALL = {"elman": 256, "torch": 32}  # written in one go


class TorchModel(nn.Module):
    """A character model built from torch.nn, for one stream."""

    def __init__(self, cell: str, shape: Shape) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, EMBEDDING_SIZE)
        self.rnn = TORCH[cell](EMBEDDING_SIZE, shape.hidden_size, shape.num_layers)
        self.head = nn.Linear(shape.hidden_size, VOCAB_SIZE)

    def write(self, count: int) -> Tensor:
        """Generate ``count`` characters with a plain loop; return their ids, (count,)."""
        token, state, ids = torch.zeros(1, dtype=torch.int64), None, []
        with torch.inference_mode():
            for _ in range(count):
                hidden, state = self.rnn(self.embedding(token)[None], state)  # (1, 1, H)
                probs = self.head(hidden[0]).softmax(-1)  # (1, V)
                token = torch.multinomial(probs, 1)[0]  # (1,)
                ids.append(token)
        return torch.cat(ids)


def bench_generate(repeats: int, threads: Sequence[int], shapes: Sequence[Shape] = SHAPES) -> Iterator[TableRow]:
    """Time the table ``generate``.

    Args:
        repeats: rounds for each row.
        threads: the numbers of threads to try. Elman gets a row for each; torch's time is the best of them.
        shapes: the sizes.

    Yields:
        Each row as soon as it is measured, with the times of one character.
    """
    for cell in (name for name, cell in CELLS.items() if cell.kernels and cell.torch):
        for shape in shapes:
            yield from _rows(cell, shape, repeats, threads)


def _warm_up(work: Work, threads: int) -> None:
    """Run the work once, as in the middle of a long text: the threads are awake and the caches warm."""
    torch.set_num_threads(threads)
    work()


def _rows(cell: str, shape: Shape, repeats: int, threads: Sequence[int]) -> Iterator[TableRow]:
    network = TorchModel(cell, shape)
    weights: Any = network.rnn.all_weights
    writer = Writer(
        CELLS[cell].kernels or "", network.embedding.weight, weights, network.head.weight, network.head.bias
    )
    options = lay_out_options([Sampling(temperature=1.0)])  # as the loop draws
    logits = torch.zeros(1, VOCAB_SIZE)
    state = tuple(torch.zeros(shape.num_layers, 1, shape.hidden_size) for _ in CELLS[cell].state)

    def write() -> None:
        uniforms = torch.rand(1, CHARACTERS_PER_CALL["elman"], dtype=torch.float64)
        writer.write(logits, state, uniforms, options)

    num_bytes = count_weight_bytes(cell, shape, VOCAB_SIZE)
    reads = {
        count: limits.reading_limit(num_bytes, shape.hidden_size, count, CHARACTERS_PER_CALL["elman"])
        for count in threads
    }
    watches = {}
    for count in threads:
        works: dict[str, tuple[Work, int]] = {
            "elman": (write, CHARACTERS_PER_CALL["elman"]),
            "torch": (partial(network.write, CHARACTERS_PER_CALL["torch"]), CHARACTERS_PER_CALL["torch"]),
            "limit": (reads[count].work, 1),
        }
        for name, (work, parts) in works.items():
            prepare = partial(_warm_up, work, count)
            watches[f"{name} {count}"] = timed(work, prepare=prepare, parts=parts)
    with computing_on(None):  # restores the number of threads
        found = in_turn(watches, repeats)
    best = min(found[f"torch {count}"] for count in threads)
    for count in threads:
        seconds = {"elman": found[f"elman {count}"], "torch": best, "limit": found[f"limit {count}"]}
        figures = reading_figures(num_bytes, seconds, reads[count])
        yield make_row("generate", cell, "forward", shape, count, seconds, figures)
