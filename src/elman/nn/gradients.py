"""Gradients by lag: how much the error at one step still depends on the state k steps before.

For a loss at step t and a lag k this is |d loss_t / d s|, where s is the state that step t - k hands to step t - k + 1:
for each layer and direction, and for each part of its state. Only the path through time counts: that s is also an
output, which the layer above reads at step t - k, is left out. In a direction that reads from the end, lags are counted
to the right.

Each loss has its own row in a batch of equal rows, so one forward and one backward pass give all lags of all losses.
Where a layer ran as a whole, autograd goes back to its outputs, and the steps inside are those of nn/reference.py,
which need only the gates that were recorded. Where it ran one step at a time, autograd goes all the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman.nn.lengths import flip
from elman.nn.recording import LayerRun, recording
from elman.nn.stack import Recurrent
from elman.nn.state import State


class Place(NamedTuple):
    """Where a stack is in a network, and where its lags are counted from."""

    prefix: str
    """What the names of its figures begin with."""
    layer: Recurrent
    origins: tuple[Tensor, Tensor]
    """(R,) each: for every loss, the position of lag 0 in the forward and in the reverse direction."""


def gradients_by_lag(run: Callable[[], Tensor], places: Sequence[Place], num_lags: int) -> dict[str, Tensor]:
    """Measure gradients by lag.

    Args:
        run: runs the network over R equal rows and returns the sum of their losses, row r's being the r-th loss.
        places: the stacks of recurrent layers to measure.
        num_lags: K.

    Returns:
        By name, such as ``layer0.forward.hidden``, the 2-norms (R, K), column k - 1 for lag k; NaN where the sequence
        does not reach that far, infinity where a gradient is not finite. Parameters and their gradients do not change.

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
    needs_steps = any(place.layer.cell.reference is None for place in places)
    with torch.enable_grad(), recording(by_step=needs_steps) as record:
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
    """Differentiate a loss with respect to the states that steps hand on.

    Args:
        loss: a scalar that was computed from them.
        runs: what the layers computed.

    Returns:
        For each run, each part (T, B, H): row t is for the state that the step at position t handed on; zero where the
        loss does not depend on it.
    """
    handed = [part for run in runs for state in run.handed for part in state.values()]
    returned = [part for run in runs for outputs, final in run.calls for part in (outputs, *final.values())]
    slopes = _differentiate(loss, [*handed, *returned])
    results = []
    for run in runs:
        states = [state.map(lambda part: slopes[id(part)]) for state in run.handed] or _go_back(run, slopes)
        in_order = State.join(states, torch.cat)  # each (T, B, H)
        if run.is_reverse:
            in_order = in_order.map(partial(flip, lengths=run.lengths))
        results.append(in_order)
    return results


def _differentiate(loss: Tensor, tensors: Iterable[Tensor]) -> dict[int, Tensor]:
    """Return the gradients with respect to tensors by their id, zeros where the loss does not depend on one."""
    by_id = {id(tensor): tensor for tensor in tensors}
    wanted = {number: tensor for number, tensor in by_id.items() if tensor.requires_grad}
    found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True) if wanted else ()
    slopes = {number: slope for number, slope in zip(wanted, found, strict=True) if slope is not None}
    return {number: slopes.get(number, torch.zeros_like(tensor)) for number, tensor in by_id.items()}


def _go_back(run: LayerRun, slopes: dict[int, Tensor]) -> list[State]:
    """Go back through the steps of a layer that ran as a whole.

    Args:
        run: what it computed.
        slopes: the gradients with respect to what it returned, by id.

    Returns:
        The gradients with respect to the state that each step handed on, each part (1, B, H), in step order.
    """
    cell, direction, saved = run.layer.cell.reference, int(run.is_reverse), run.saved  # each (T, B, ·)
    if run.is_reverse:
        saved = tuple(values[::-1] for values in saved)
    dtype = saved[0].dtype
    u = _array(run.weights["weight_hh"], dtype) if "weight_hh" in run.weights else None  # (G·H, H)
    found: list[State] = []
    step = len(run.inputs)
    for outputs, final in reversed(run.calls):
        arriving = _array(slopes[id(outputs)].chunk(run.layer.num_directions, dim=-1)[direction], dtype)  # (T, B, H)
        arriving = arriving[::-1] if run.is_reverse else arriving
        edge = tuple(_array(slopes[id(part)][direction], dtype) for part in final.values())  # each (B, H)
        for d_output in arriving[::-1]:
            found.append(State(zip(final, (torch.from_numpy(part)[None] for part in edge), strict=True)))
            step -= 1
            _, d_from_hidden, past = cell.backward((edge[0] + d_output, *edge[1:]), [values[step] for values in saved])
            edge = (past[0] if u is None else past[0] + d_from_hidden @ u, *past[1:])
    return found[::-1]


def _array(tensor: Tensor, dtype: np.dtype[Any]) -> Any:
    return tensor.detach().cpu().numpy().astype(dtype, copy=False)
