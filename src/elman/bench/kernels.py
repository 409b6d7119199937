"""``elman bench kernels``: layers of elman.nn against the same layers of torch.nn, with and without padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from elman.bench import limits
from elman.bench.peers import Peer
from elman.bench.rows import Shape, TableRow, arithmetic_figures, count_layer_flops, make_row
from elman.bench.timing import Stopwatch, in_turn, timed
from elman.nn.backends import choose_backend
from elman.nn.cells import CELLS

PASSES = ("forward", "forward+backward")
FULL = [
    Shape(32, 64, 128), Shape(32, 64, 256), Shape(32, 64, 512), Shape(64, 128, 256), Shape(8, 128, 256),
    Shape(1, 256, 128),
]  # fmt: skip
PADDED = Shape(64, 60, 256)
SHORTEST = 5  # time steps of the shortest sequence in the table ``padded``
TORCH: dict[str, Any] = {name: getattr(nn, cell.layer.__name__) for name, cell in CELLS.items() if cell.torch}


def bench_kernels(
    repeats: int, peers: Sequence[Peer] = (), shapes: Sequence[Shape] = tuple(FULL), padded: Shape = PADDED
) -> Iterator[TableRow]:
    """Time the tables ``full`` and ``padded`` on as many threads as torch uses.

    Args:
        repeats: rounds for each row.
        peers: other libraries to time in the table ``full``.
        shapes: the rows of the table ``full``; the input size is the hidden size.
        padded: the sizes of the table ``padded``, with the length of its longest sequence.

    Yields:
        Each row as soon as it is measured.
    """
    limit = limits.arithmetic_limit()
    watch_limit = timed(limit.work)
    for shape in shapes:
        for cell in CELLS:
            for part in PASSES:
                yield _full_row(cell, part, shape, repeats, peers, limit, watch_limit)
    for cell in CELLS:
        yield _padded_row(cell, padded, repeats, limit, watch_limit)


def _full_row(
    cell: str,
    part: str,
    shape: Shape,
    repeats: int,
    peers: Sequence[Peer],
    limit: limits.Limit,
    watch_limit: Stopwatch,
) -> TableRow:
    batch, time, size, _ = shape
    x = torch.randn(time, batch, size, requires_grad=True)
    gradient = torch.randn(time, batch, size)
    layers = _pair(cell, size)
    watches = {name: _watch(layer, part, x, lambda layer: layer(x)[0], gradient) for name, layer in layers.items()}
    watches |= {peer.name: timed(peer.runs[cell](shape)[part]) for peer in peers if cell in peer.runs}
    watches["limit"] = watch_limit
    seconds = in_turn(watches, repeats)
    flops = count_layer_flops(cell, part, batch * time, size, size)
    figures = arithmetic_figures(flops, seconds, limit) | {"backend": _backend(cell, part, x, size, None)}
    return make_row("full", cell, part, shape, torch.get_num_threads(), seconds, figures)


def _padded_row(cell: str, shape: Shape, repeats: int, limit: limits.Limit, watch_limit: Stopwatch) -> TableRow:
    batch, time, size, _ = shape
    part = "forward+backward"
    lengths = torch.randint(min(SHORTEST, time), time + 1, (batch,), generator=torch.Generator().manual_seed(0))
    x = torch.randn(time, batch, size, requires_grad=True)
    gradient = torch.randn(time, batch, 2 * size)

    def packed(layer: nn.Module) -> Tensor:
        outputs = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))[0]
        return pad_packed_sequence(outputs, total_length=time)[0]

    layers = _pair(cell, size, bidirectional=True)
    passes: dict[str, Callable[[Any], Tensor]] = {"elman": lambda layer: layer(x, lengths=lengths)[0], "torch": packed}
    watches = {name: _watch(layer, part, x, passes[name], gradient) for name, layer in layers.items()}
    seconds = in_turn({**watches, "limit": watch_limit}, repeats)
    flops = 2 * count_layer_flops(cell, part, int(lengths.sum()), size, size)
    figures = arithmetic_figures(flops, seconds, limit) | {"backend": _backend(cell, part, x, size, lengths)}
    return make_row("padded", cell, part, shape, torch.get_num_threads(), seconds, figures)


def _pair(cell: str, size: int, **options: Any) -> dict[str, nn.Module]:
    """Create Elman's layer and torch's, if there is one, with the same weights."""
    layers: dict[str, nn.Module] = {"elman": CELLS[cell].layer(size, size, **options)}
    if cell in TORCH:
        layers["torch"] = TORCH[cell](size, size, **options)
        layers["torch"].load_state_dict(layers["elman"].state_dict())
    return layers


def _watch(layer: nn.Module, part: str, x: Tensor, run: Callable[[Any], Tensor], gradient: Tensor) -> Stopwatch:
    """Create a stopwatch for a layer; gradients are cleared before each backward pass."""

    def forward() -> None:
        with torch.inference_mode():
            run(layer)

    def forward_and_backward() -> None:
        torch.autograd.backward(run(layer), gradient)

    def clear() -> None:
        layer.zero_grad()
        x.grad = None

    return timed(forward) if part == "forward" else timed(forward_and_backward, prepare=clear)


def _backend(cell: str, part: str, x: Tensor, size: int, lengths: Tensor | None) -> str:
    """Return the backend of Elman's layer."""
    return choose_backend("auto", CELLS[cell], x, size, lengths, part != "forward")[0]
