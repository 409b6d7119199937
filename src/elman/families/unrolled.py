"""A network laid out over one input: what it reads at each step, what it gives, and how to run it again.

    X ──Model.unroll──▶ Unrolled(stacks, inputs (T, E), targets) ──run──▶ logits (R, T_out, V), attention (R, T_out, S)

Every task lays itself out the same way, so that what looks into a model knows no task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import IGNORED
from elman.errors import DataError, UsageError
from elman.nn.stack import Recurrent


def _log_softmax(logits: Tensor) -> Tensor:
    """Normalise in float32 at least."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Recurrent layers, and what they read."""

    layer: Recurrent
    tokens: Sequence[str]
    """What is read at each of its T steps, for people to see."""
    is_aligned: bool
    """Whether output t is computed at step t; otherwise every output comes after all steps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Unrolled:
    """One input of a model, ready to be run."""

    stacks: dict[str, Stack]
    """The recurrent layers by name: ``rnn``, or ``encoder`` and ``decoder``, in the order in which they run."""
    inputs: Tensor
    """What the network computes with, of one input: vectors or numbers (T, E), a picture (S, S, 3), features (R, F)."""
    run: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    """Takes R such inputs; returns the logits (R, T_out, V) and, where the model attends to something, the weights
    (R, T_out, S)."""
    names: Sequence[str]
    """Of the V outputs: tokens or labels."""
    targets: Tensor | None
    """(T_out,) int64, what the outputs are to be; IGNORED where that is unknown. None where no answer is given: the
    model's own takes its place then."""
    log_probabilities: Callable[[Tensor], Tensor] = _log_softmax
    """Takes logits (R, T_out, V); returns how likely each output is."""
    places: Sequence[str] = ()
    """The S things that attention looks at, where no stack reads them, such as the places of a picture."""
    run_from: Callable[[Tensor, Any], Tensor] | None = None
    """Takes such inputs and the state before their first step; returns the logits. None where a network does not read
    step by step only."""
    run_steps: Callable[[Tensor], Tensor] | None = None
    """Takes steps (R, W) of a decoder, each row some that follow each other; returns the logits (R, W, V) of a decoder
    that reads only these. None for other models, whose ``run`` takes fewer inputs."""
    is_cut: bool = False
    """Whether there is more of the input than was asked for."""

    @property
    def last(self) -> Stack:
        """The stack that the outputs come from."""
        return list(self.stacks.values())[-1]


def recurrent(layer: Any, model: Any) -> Recurrent:
    """Return recurrent layers as such; raise UsageError for a network without."""
    if not isinstance(layer, Recurrent):
        raise UsageError(
            f'cell is "{model.cell}", which has no recurrent state to look at; train a model with another `cell`'
        )
    return layer


def check_no_targets(y: Any, model: Any) -> None:
    """Raise UsageError where targets are given to a model that predicts its own input."""
    if y is not None:
        raise UsageError(f"y is given, but a {type(model).__name__} predicts what X itself says next; leave y out")


def check_any_known(ids: NDArray[Any], unknown_id: int) -> None:
    """Raise DataError where no token is one that the model knows."""
    if len(ids) and bool((ids == unknown_id).all()):
        known = "the token of the input is not" if len(ids) == 1 else f"none of the input's {len(ids):,} tokens is"
        raise DataError(f"{known} one that the model knows; is this the kind of text that it was trained on?")


def shifted(ids: Tensor, is_whole: bool) -> tuple[Tensor, Tensor]:
    """Return what is read (T,) and what is to come next (T,) of the ids of a sequence.

    Args:
        ids: the whole sequence.
        is_whole: whether its last id is its end, which is predicted and not read.

    Example:
        >>> shifted(torch.tensor([7, 8, 9]), is_whole=False)
        (tensor([7, 8, 9]), tensor([   8,    9, -100]))
    """
    if is_whole:
        return ids[:-1], ids[1:]
    return ids, torch.cat((ids[1:], ids.new_tensor([IGNORED])))
