"""A network unrolled over one input: its inputs, its targets, and a function that runs it again.

    X ──Model.unroll──▶ Unrolled(stacks, inputs (T, E), targets) ──run──▶ logits (R, T_out, V), attention (R, T_out, S)

Every task unrolls in the same way, so the code that inspects a model does not depend on the task.
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
    """Recurrent layers and the tokens that they read."""

    layer: Recurrent
    tokens: Sequence[str]
    """A readable name for the input of each of the T steps."""
    is_aligned: bool
    """Whether output t is computed at step t; otherwise outputs are computed after all steps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Unrolled:
    """One input of a model, ready to be run."""

    stacks: dict[str, Stack]
    """The recurrent layers by name: ``rnn``, or ``encoder`` and ``decoder``, in the order in which they run."""
    inputs: Tensor
    """The input in numbers: vectors or numbers (T, E), a picture (S, S, 3), or features (R, F)."""
    run: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    """Takes R such inputs and returns the logits (R, T_out, V) and, with attention, the weights (R, T_out, S)."""
    names: Sequence[str]
    """The names of the V outputs: tokens or labels."""
    targets: Tensor | None
    """(T_out,) int64, the targets of the outputs, IGNORED where unknown. None if no targets are given: the model's own
    predictions are used instead."""
    log_probabilities: Callable[[Tensor], Tensor] = _log_softmax
    """Takes logits (R, T_out, V) and returns the log-probability of each output."""
    places: Sequence[str] = ()
    """The names of the S positions that attention covers, if no stack reads them, such as regions of a picture."""
    run_from: Callable[[Tensor, Any], Tensor] | None = None
    """Takes such inputs and the state before their first step, and returns the logits. None if the network does not
    read its inputs in one direction."""
    run_steps: Callable[[Tensor], Tensor] | None = None
    """Takes steps (R, W) of a decoder, consecutive in each row, and returns the logits (R, W, V) of the decoder reading
    only these steps. None for other models, whose ``run`` takes shorter inputs."""
    is_cut: bool = False
    """Whether the input continues beyond the requested steps."""

    @property
    def last(self) -> Stack:
        """The stack that computes the outputs."""
        return list(self.stacks.values())[-1]

    @property
    def num_steps(self) -> int:
        """The number of steps of the longest stack."""
        return max(len(stack.tokens) for stack in self.stacks.values())

    @property
    def prefixes(self) -> dict[str, str]:
        """The prefix of the names of each stack's arrays."""
        return {name: f"{name}." if len(self.stacks) > 1 else "" for name in self.stacks}


def require_recurrent(layer: Any, model: Any) -> Recurrent:
    """Return the recurrent layers; raise UsageError if the network has none."""
    if not isinstance(layer, Recurrent):
        raise UsageError(
            f'cell is "{model.cell}", which has no recurrent state to inspect; train a model with another `cell`'
        )
    return layer


def check_no_targets(y: Any, model: Any) -> None:
    """Raise UsageError if targets are given to a model that predicts its own input."""
    if y is not None:
        raise UsageError(f"y is given, but the targets of a {type(model).__name__} come from X; leave y out")


def check_any_known(ids: NDArray[Any], unknown_id: int) -> None:
    """Raise DataError if the model knows none of the tokens."""
    if len(ids) and bool((ids == unknown_id).all()):
        known = "the token of the input is not" if len(ids) == 1 else f"none of the input's {len(ids):,} tokens is"
        raise DataError(f"{known} one that the model knows; is this the kind of text that it was trained on?")


def shift(ids: Tensor, is_whole: bool) -> tuple[Tensor, Tensor]:
    """Return the inputs (T,) and the targets (T,), the next ids, of a sequence of ids.

    Args:
        ids: the whole sequence.
        is_whole: whether its last id is an end token, which is a target but not an input.

    Example:
        >>> shift(torch.tensor([7, 8, 9]), is_whole=False)
        (tensor([7, 8, 9]), tensor([   8,    9, -100]))
    """
    if is_whole:
        return ids[:-1], ids[1:]
    return ids, torch.cat((ids[1:], ids.new_tensor([IGNORED])))


def choose_evenly(number: int, most: int) -> list[int]:
    """Choose at most ``most`` of the rows 0 … number - 1, evenly spaced.

    Example:
        >>> choose_evenly(9, 3), choose_evenly(2, 3)
        ([0, 4, 8], [0, 1])
    """
    return [row * (number - 1) // max(most - 1, 1) for row in range(most)] if number > most else [*range(number)]
