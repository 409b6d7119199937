"""Gradients by lag: how much the loss at one step depends on the state k steps before.

For a loss at step t and a lag k this is |d loss_t / d s|, where s is the state that step t - k passes to step
t - k + 1, for each layer, direction and part of the state. Only the path through time counts: the gradient does not
include s as the output that the layer above reads at step t - k. In a direction that reads from the end, lags count to
the right.

Each loss has its own row in a batch of equal rows, so one forward and one backward pass give all lags of all losses.
If all steps of a layer ran at once, autograd goes back to the layer's outputs, and the backward steps of
nn/reference.py go through its time steps, from the recorded gates. If they ran one at a time, autograd does it all.
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
    """A stack of a network, and the positions from which its lags are counted."""

    prefix: str
    """The prefix of the names of its figures."""
    layer: Recurrent
    origins: tuple[Tensor, Tensor]
    """(R,) each: the position of lag 0 for every loss, in the forward and in the reverse direction."""


def measure_gradients_by_lag(run: Callable[[], Tensor], places: Sequence[Place], num_lags: int) -> dict[str, Tensor]:
    """Measure gradients by lag.

    Args:
        run: runs the network over R equal rows and returns the sum of their losses; row r has loss r.
        places: the stacks of recurrent layers to measure.
        num_lags: K.

    Returns:
        By name, such as ``layer0.forward.hidden``, the 2-norms (R, K), column k - 1 for lag k: NaN beyond the end of
        the sequence, infinity for a gradient that is not finite. Parameters and their gradients do not change.

    Example:
        >>> from elman.nn import RNN
        >>> layer = RNN(1, 1, bias=False)
        >>> for weight in layer.parameters():
        ...     _ = torch.nn.init.ones_(weight)
        >>> norms = measure_gradients_by_lag(
        ...     lambda: layer(torch.zeros(4, 1, 1))[0][3].sum(), [Place("", layer, (torch.tensor([3]),) * 2)], 4
        ... )
        >>> norms["layer0.forward.hidden"].tolist()
        [[1.0, 1.0, 1.0, nan]]
    """
    needs_steps = any(place.layer.cell.reference is None for place in places)
    with torch.enable_grad(), recording(by_step=needs_steps) as record:
        loss = run()
        runs = [record.of(place.layer) for place in places]
        gradients = differentiate_edges(loss, [each for some in runs for each in some])
    found: dict[str, Tensor] = {}
    lags = torch.arange(1, num_lags + 1)
    for place, some in zip(places, runs, strict=True):
        for each in some:
            origins = place.origins[each.is_reverse].cpu()[:, None]  # (R, 1)
            positions = origins + lags if each.is_reverse else origins - lags  # (R, K)
            is_inside = (positions >= 0) & (positions < len(each.inputs))
            name = f"{place.prefix}{each.name}"
            for part, gradient in gradients.pop(0).items():
                norms = gradient.norm(dim=-1).T.cpu().nan_to_num(nan=torch.inf, posinf=torch.inf)  # (R, T)
                chosen = norms.gather(1, positions.clamp(0, norms.shape[1] - 1))
                found[f"{name}.{part}"] = chosen.masked_fill(~is_inside, torch.nan)
    return found


def differentiate_edges(loss: Tensor, runs: Sequence[LayerRun]) -> list[State]:
    """Differentiate a loss with respect to the states that steps pass on.

    Args:
        loss: a scalar computed from these states.
        runs: the recorded runs of the layers.

    Returns:
        For each run, each part (T, B, H): row t is for the state that the step at position t passes on, zero if the
        loss does not depend on it.
    """
    step_states = [part for run in runs for state in run.step_states for part in state.values()]
    returned = [part for run in runs for outputs, final in run.calls for part in (outputs, *final.values())]
    gradients = _differentiate(loss, [*step_states, *returned])
    results = []
    for run in runs:
        states = [state.map(lambda part: gradients[id(part)]) for state in run.step_states] or _backpropagate(
            run, gradients
        )
        in_order = State.join(states, torch.cat)  # each (T, B, H)
        if run.is_reverse:
            in_order = in_order.map(partial(flip, lengths=run.lengths))
        results.append(in_order)
    return results


def _differentiate(loss: Tensor, tensors: Iterable[Tensor]) -> dict[int, Tensor]:
    """Return the gradients with respect to tensors by id; zeros for a tensor that the loss does not depend on."""
    by_id = {id(tensor): tensor for tensor in tensors}
    wanted = {number: tensor for number, tensor in by_id.items() if tensor.requires_grad}
    found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True) if wanted else ()
    gradients = {number: gradient for number, gradient in zip(wanted, found, strict=True) if gradient is not None}
    return {number: gradients.get(number, torch.zeros_like(tensor)) for number, tensor in by_id.items()}


def _backpropagate(run: LayerRun, gradients: dict[int, Tensor]) -> list[State]:
    """Backpropagate through the steps of a layer that ran all of them at once.

    Args:
        run: its recorded run.
        gradients: the gradients with respect to the tensors that it returned, by id.

    Returns:
        The gradients with respect to the state that each step passes on, each part (1, B, H), in step order.
    """
    cell, direction, saved = run.layer.cell.reference, int(run.is_reverse), run.saved  # each (T, B, ·)
    if run.is_reverse:
        saved = tuple(values[::-1] for values in saved)
    dtype = saved[0].dtype
    u = _to_array(run.weights["weight_hh"], dtype) if "weight_hh" in run.weights else None  # (G·H, H)
    found: list[State] = []
    step = len(run.inputs)
    for outputs, final in reversed(run.calls):
        d_outputs = _to_array(
            gradients[id(outputs)].chunk(run.layer.num_directions, dim=-1)[direction], dtype
        )  # (T, B, H)
        d_outputs = d_outputs[::-1] if run.is_reverse else d_outputs
        edge = tuple(_to_array(gradients[id(part)][direction], dtype) for part in final.values())  # each (B, H)
        for d_output in d_outputs[::-1]:
            found.append(State(zip(final, (torch.from_numpy(part)[None] for part in edge), strict=True)))
            step -= 1
            _, d_from_hidden, past = cell.backward((edge[0] + d_output, *edge[1:]), [values[step] for values in saved])
            edge = (past[0] if u is None else past[0] + d_from_hidden @ u, *past[1:])
    return found[::-1]


def _to_array(tensor: Tensor, dtype: np.dtype[Any]) -> Any:
    return tensor.detach().cpu().numpy().astype(dtype, copy=False)
