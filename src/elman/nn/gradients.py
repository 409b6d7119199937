"""Gradients by lag: how much the error at one step still says about the state k steps before.

For a loss at step t and a lag k this is |d loss_t / d s|, where s is the state that step t - k hands to step t - k + 1:
of each layer and direction by itself, and each part of its state. s counts as it is handed on through time; that it is
also an output, which the layer above reads at step t - k, is not part of it. In a direction that reads from the end,
lags are counted to the right.

Every loss has a row of its own in one batch of equal rows, so one pass forward and one backward give all lags of all of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from elman.nn.lengths import flip
from elman.nn.recording import LayerRun, recording
from elman.nn.stack import Recurrent
from elman.nn.state import State


class Place(NamedTuple):
    """Where a stack stands in a network, and from where lags are counted."""

    prefix: str
    """What the names of its figures begin with."""
    layer: Recurrent
    origins: tuple[Tensor, Tensor]
    """(R,) each: of every loss the position at which the forward and the reverse direction are at lag 0."""


def gradients_by_lag(run: Callable[[], Tensor], places: Sequence[Place], num_lags: int) -> dict[str, Tensor]:
    """Measure gradients by lag.

    Args:
        run: runs the network over R equal rows and returns the sum of their losses, row r's being the r-th loss.
        places: the stacks of recurrent layers that are looked at.
        num_lags: K.

    Returns:
        By name, such as ``layer0.forward.hidden``, the 2-norms (R, K), column k - 1 for lag k; NaN where the sequence
        does not reach so far, infinity where a gradient is no number. Parameters and their gradients stay as they are.

    Example:
        >>> from elman.nn import RNN
        >>> layer = RNN(1, 1, bias=False)
        >>> for weight in layer.parameters():
        ...     _ = torch.nn.init.ones_(weight)
        >>> norms = gradients_by_lag(
        ...     lambda: layer(torch.zeros(4, 1, 1))[0][3].sum(), [Place("", layer, (torch.tensor([3]),) * 2)], 4
        ... )
        >>> norms["layer0.forward.hidden"].tolist()
        [[1.0, 1.0, 1.0, nan]]
    """
    with torch.enable_grad(), recording(by_step=True) as record:
        loss = run()
        runs = [record.of(place.layer) for place in places]
        gradients = edge_gradients(loss, [each for some in runs for each in some])
    found: dict[str, Tensor] = {}
    lags = torch.arange(1, num_lags + 1)
    for place, some in zip(places, runs, strict=True):
        for each in some:
            origins = place.origins[each.is_reverse].cpu()[:, None]  # (R, 1)
            positions = origins + lags if each.is_reverse else origins - lags  # (R, K)
            is_there = (positions >= 0) & (positions < len(each.inputs))
            name = f"{place.prefix}{each.name}"
            for part, gradient in gradients.pop(0).items():
                norms = gradient.norm(dim=-1).T.cpu().nan_to_num(nan=torch.inf, posinf=torch.inf)  # (R, T)
                chosen = norms.gather(1, positions.clamp(0, norms.shape[1] - 1))
                found[f"{name}.{part}"] = chosen.masked_fill(~is_there, torch.nan)
    return found


def edge_gradients(loss: Tensor, runs: Sequence[LayerRun]) -> list[State]:
    """Differentiate a loss by the states that steps hand on.

    Args:
        loss: a scalar that was computed from them.
        runs: recorded by step.

    Returns:
        For each run, each part (T, B, H): row t for the state that the step at position t handed on; zero where the
        loss does not depend on it.
    """
    edges = [part for run in runs for state in run.handed for part in state.values()]
    is_used = [part.requires_grad for part in edges]
    wanted = [part for part, used in zip(edges, is_used, strict=True) if used]
    found = iter(torch.autograd.grad(loss, wanted, allow_unused=True) if wanted else ())
    slopes = iter([next(found) if used else None for used in is_used])
    results = []
    for run in runs:
        states = []
        for state in run.handed:
            pairs = [(name, part, next(slopes)) for name, part in state.items()]
            states.append(
                State((name, torch.zeros_like(part) if slope is None else slope) for name, part, slope in pairs)
            )
        in_order = State.join(states, torch.cat)  # each (T, B, H)
        if run.is_reverse:
            in_order = in_order.map(partial(flip, lengths=run.lengths))
        results.append(in_order)
    return results
