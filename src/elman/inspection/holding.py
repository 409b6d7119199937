"""How much of the beginning and of the end the last state of a sequence holds."""

from __future__ import annotations

import torch
from torch import Tensor

from elman.drawing.report import Holding
from elman.families.base import Model
from elman.families.unrolled import Unrolled
from elman.inspection.inputs import run_recorded
from elman.nn.recording import Recording
from elman.nn.stack import Recurrent

_ROWS = 32  # inputs in a batch


@torch.no_grad()
def measure_holding(model: Model, unrolled: Unrolled) -> list[Holding]:
    """Measure how far the top layer's last state moves when each input in turn is replaced by zeros.

    The last state usually holds more of the end of a sequence than of its beginning. A second direction makes up for
    this: its last state is that at the first token.

    Args:
        model: a fitted model.
        unrolled: one input of T steps.

    Returns:
        For each direction, the shares (T,) of the sum over all inputs; zeros if nothing moves.
    """
    inputs = unrolled.inputs  # (T, E)
    layer = unrolled.last.layer
    whole = _find_last_states(run_recorded(model, unrolled, inputs[None])[0], layer)  # each (1, H)
    moved: list[list[Tensor]] = [[] for _ in whole]
    for start in range(0, len(inputs), _ROWS):
        rows = min(_ROWS, len(inputs) - start)
        without = inputs.expand(rows, *inputs.shape).clone()  # (R, T, E)
        without[torch.arange(rows), start + torch.arange(rows)] = 0
        states = _find_last_states(run_recorded(model, unrolled, without)[0], layer)
        for found, changed, own in zip(moved, states, whole, strict=True):
            found.append((changed - own).norm(dim=1))  # (R,)
    names = ["last state"] if len(whole) == 1 else ["last state, forward", "last state, backward"]
    shares = [torch.cat(found).double() for found in moved]  # (T,) each
    return [
        Holding(name=name, shares=(found / found.sum().clamp(min=1e-30)).cpu().numpy())
        for name, found in zip(names, shares, strict=True)
    ]


def _find_last_states(record: Recording, layer: Recurrent) -> list[Tensor]:
    """Return the last state of the top layer in each direction, (R, H) each."""
    top = [run for run in record.of(layer) if run.number == layer.num_layers - 1]
    return [run.states["hidden"][0 if run.is_reverse else -1] for run in top]
