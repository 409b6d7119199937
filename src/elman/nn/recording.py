"""Record what recurrent layers compute at every step, and set units of their states while they run.

    with recording() as record:
        network(inputs)
    run = record.of(network.rnn)[0]          the first layer, forward
    run.states["hidden"]                     (T, B, H), after every step
    run.gates["forget"]                      (T, B, H)

All of it comes from the layers themselves: ``Recurrent._run_stack`` asks :func:`observed` how to run each layer. Where
nothing is recorded and no unit is set, that is the layer's own ``_run_layer``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from elman.nn.backends import LayerWeights, run_fused
from elman.nn.lengths import flip
from elman.nn.state import State

if TYPE_CHECKING:
    from elman.nn.stack import Recurrent

RunLayer = Callable[[Tensor, State, list[LayerWeights], Tensor | None, str], tuple[Tensor, State]]
"""Runs one layer in all its directions; see ``Recurrent._run_layer``."""


@dataclass(frozen=True, eq=False)
class Intervention:
    """Units of one layer and direction that are set after every step."""

    layer: int
    """Counted from 0."""
    is_reverse: bool
    """Whether the units are those of the direction that reads from the end."""
    part: str
    """The part of the state that they belong to: ``hidden`` or ``cell``."""
    units: Tensor
    """(N,) int64, which of its H units; or (B, N), others in each row of the batch."""
    values: Tensor
    """(1, N), or (1, B, N), for all steps; or (T, N), for the first T steps of a sequence. Then later steps are left
    alone, and so are all steps of a run that goes on from a state."""


@dataclass(eq=False)
class LayerRun:
    """What one layer computed in one direction."""

    layer: Recurrent
    number: int
    """Which layer of the stack, from 0."""
    is_reverse: bool
    """Whether this direction reads from the end."""
    weights: LayerWeights
    inputs: Tensor
    """(T, B, I), what this layer read."""
    start: State
    """Before the first step, each part (B, H)."""
    states: State
    """After every step, each part (T, B, H), at the position that was read. Beyond a row's length it is what it was at
    the row's end."""
    lengths: Tensor | None
    """(B,), or None where every row has T steps."""
    kept_gates: Tensor | None = None
    """(T, B, 4H), what the kernels keep for the backward pass."""
    handed: list[State] = field(default_factory=list)
    """The states that each step hands to the next, each part (1, B, H), in the order in which they are computed; empty
    where all steps ran at once. In autograd's graph each is a tensor of its own: see :mod:`elman.nn.gradients`."""
    calls: list[tuple[Tensor, State]] = field(default_factory=list)
    """Where all steps ran at once: what each call of the layer returned for all its directions, outputs (T, B, D·H) and
    final state, each part (D, B, H), as they stand in autograd's graph."""

    @property
    def name(self) -> str:
        """What the names of its parts begin with, such as ``layer0.forward``."""
        return f"layer{self.number}.{'reverse' if self.is_reverse else 'forward'}"

    @property
    def before(self) -> State:
        """The state that each step began with, each part (T, B, H)."""

        def shift(part: Tensor, start: Tensor) -> Tensor:
            if not self.is_reverse:
                return torch.cat((start[None], part[:-1]))
            in_order = torch.cat((start[None], flip(part, self.lengths)[:-1]))
            return flip(in_order, self.lengths)

        return State((name, shift(part, self.start[name])) for name, part in self.states.items())

    @cached_property
    def gates(self) -> dict[str, Tensor]:
        """The gates by their names in the table of cells, each (T, B, H).

        They are those that the kernels computed. Elsewhere they come from the cell's equations in nn/reference.py, in
        float64, from the recorded inputs and states. Empty for a cell without equations there.
        """
        cell = self.layer.cell
        if self.kept_gates is not None:
            return dict(zip(cell.gates, self.kept_gates.chunk(4, dim=-1), strict=False))  # a GRU keeps U_n h + b, too
        if len(cell.gates) == 1:  # the simple network's candidate is its new state
            return {cell.gates[0]: self.states["hidden"]}
        if cell.reference is None:
            return {}
        found = (torch.from_numpy(values).to(self.inputs.dtype) for values in self._compute_saved())
        return dict(zip(cell.gates, found, strict=False))

    @property
    def saved(self) -> tuple[Any, ...]:
        """What the cell's backward step in nn/reference.py needs of every step: arrays (T, B, ·) in its order."""
        if len(self.layer.cell.gates) == 1:
            found: tuple[Tensor, ...] = (self.states["hidden"],)
        elif self.kept_gates is None:
            return self._compute_saved()
        else:
            past = self.before
            beside = (self.states["cell"], past["cell"]) if "cell" in past else (past["hidden"],)
            found = (*self.kept_gates.chunk(4, dim=-1), *beside)
        return tuple(tensor.detach().cpu().numpy() for tensor in found)

    def _compute_saved(self) -> tuple[Any, ...]:
        """Compute all steps at once with the cell's equations in nn/reference.py, from the recorded states."""
        cell = self.layer.cell
        w = _double(self.weights["weight_ih"])
        from_input = _affine(self.inputs, w, self.weights.get("bias_ih"))  # (T · B, G·H)
        past = [_double(part).reshape(-1, part.shape[-1]) for part in self.before.values()]
        from_hidden = np.zeros((len(from_input), 0))
        if cell.reads_hidden:
            from_hidden = _affine(
                self.before["hidden"], _double(self.weights["weight_hh"]), self.weights.get("bias_hh")
            )
        _, saved = cell.reference.forward(from_input, from_hidden, tuple(past))
        return tuple(values.reshape(*self.inputs.shape[:2], values.shape[-1]) for values in saved)


class Recording:
    """What all layers computed while it was active."""

    def __init__(self, by_step: bool, interventions: Mapping[Recurrent, Sequence[Intervention]]) -> None:
        self.by_step = by_step
        self.interventions = interventions
        self._runs: dict[tuple[int, int, bool], list[LayerRun]] = {}

    def add(self, run: LayerRun) -> None:
        """Keep one run; one that goes on from an earlier run of its layer follows it."""
        self._runs.setdefault((id(run.layer), run.number, run.is_reverse), []).append(run)

    def of(self, layer: Recurrent) -> list[LayerRun]:
        """Return what a stack computed: layer by layer, of each the forward direction first.

        Several calls one after the other, each from the state that the last one left, become one run.
        """
        own = [runs for (key, _, _), runs in self._runs.items() if key == id(layer)]
        return [runs[0] if len(runs) == 1 else _join(runs) for runs in own]


_current: ContextVar[Recording | None] = ContextVar("recording", default=None)


@contextmanager
def recording(
    by_step: bool = False, interventions: Mapping[Recurrent, Sequence[Intervention]] | None = None
) -> Iterator[Recording]:
    """Record what all recurrent layers compute here, in this thread.

    Args:
        by_step: run one step at a time, and keep what each step hands to the next.
        interventions: units of some stacks to be set here, besides those that the stacks have themselves.

    Example:
        >>> from elman.nn import LSTM
        >>> layer = LSTM(3, 5)
        >>> with recording() as record:
        ...     outputs, _ = layer(torch.ones(4, 1, 3))
        >>> (run,) = record.of(layer)
        >>> torch.equal(run.states["hidden"], outputs), list(run.gates)
        (True, ['input', 'forget', 'candidate', 'output'])
    """
    record = Recording(by_step, interventions or {})
    token = _current.set(record)
    try:
        yield record
    finally:
        _current.reset(token)


def is_recording() -> bool:
    """Whether what layers compute is recorded."""
    return _current.get() is not None


def observed(run_layer: RunLayer, layer: Recurrent, number: int, is_start: bool) -> RunLayer:
    """Return how to run one layer of a stack: as it is, unless it is recorded or some of its units are set.

    Args:
        run_layer: runs it.
        layer: the stack.
        number: which of its layers, from 0.
        is_start: whether sequences begin here, and do not go on from a state.
    """
    record = _current.get()
    interventions = [*layer.interventions, *(record.interventions.get(layer, ()) if record else ())]
    own = [each for each in interventions if each.layer == number and (is_start or len(each.values) == 1)]
    if record is None and not own:
        return run_layer

    def run(
        inputs: Tensor, state: State, weights: list[LayerWeights], lengths: Tensor | None, backend: str
    ) -> tuple[Tensor, State]:
        about = (inputs, state, weights, lengths, backend)
        is_whole = not own and not (record and record.by_step) and lengths is None
        if is_whole and backend == "fused":
            runs, outputs, final = _run_kernels(layer, number, *about[:3])
        elif is_whole and len(state) == 1:
            outputs, final = run_layer(*about)
            parts = outputs.chunk(len(weights), dim=-1)
            starts = _by_direction(state)
            runs = [
                LayerRun(
                    layer, number, bool(direction), own_weights, inputs, start, State(hidden=part), None,
                    calls=[(outputs, final)],
                )
                for direction, (own_weights, start, part) in enumerate(zip(weights, starts, parts, strict=True))
            ]  # fmt: skip
        else:
            runs, outputs, final = _run_by_step(run_layer, layer, number, own, *about)
        if record is not None:
            for each in runs:
                record.add(each)
        return outputs, final

    return run


def _run_kernels(
    layer: Recurrent, number: int, inputs: Tensor, state: State, weights: list[LayerWeights]
) -> tuple[list[LayerRun], Tensor, State]:
    """Run all steps at once through the kernels, and keep what they keep for the backward pass."""
    outputs, final, gates, cells = run_fused(layer.cell, inputs, state, weights, None, needs_gates=True)
    shape, runs = (*inputs.shape[:2], -1), []
    parts = outputs.chunk(len(weights), dim=-1)
    for direction, start in enumerate(_by_direction(state)):
        states = State(hidden=parts[direction])
        if "cell" in state:
            past, last = cells[direction].view(shape), final["cell"][direction][None]  # c before each step
            states["cell"] = torch.cat((last, past[:-1])) if direction else torch.cat((past[1:], last))
        kept = gates[direction].view(shape) if gates.numel() else None
        own = (weights[direction], inputs, start, states)
        runs.append(LayerRun(layer, number, bool(direction), *own, None, kept, calls=[(outputs, final)]))
    return runs, outputs, final


def _run_by_step(
    run_layer: RunLayer,
    layer: Recurrent,
    number: int,
    interventions: list[Intervention],
    inputs: Tensor,
    state: State,
    weights: list[LayerWeights],
    lengths: Tensor | None,
    backend: str,
) -> tuple[list[LayerRun], Tensor, State]:
    """Run one direction after the other, one step at a time; set units after each step."""
    runs, all_outputs, finals = [], [], []
    is_running = None
    if lengths is not None:
        is_running = (torch.arange(len(inputs))[:, None] < lengths).to(inputs.device)[..., None]  # (T, B, 1)
    for direction, start in enumerate(_by_direction(state)):
        own = [each for each in interventions if each.is_reverse == bool(direction)]
        current = start.map(lambda part: part[None])  # each (1, B, H)
        outputs: list[Tensor] = []  # in the order in which they are computed
        handed: list[State] = []
        read = flip(inputs, lengths) if direction else inputs
        for step in range(len(read)):
            output, after = run_layer(read[step : step + 1], current, [weights[direction]], None, backend)
            if own:
                position = _position(step, len(inputs), lengths, bool(direction))
                output = _set_units(State(hidden=output), own, position)["hidden"]
                after = _set_units(after, own, position)
            if is_running is not None:
                running = is_running[step]
                output = torch.where(running, output, 0.0)
                after = State((name, torch.where(running, part, current[name])) for name, part in after.items())
            outputs.append(output)
            handed.append(after)
            current = after
        joined = State.join(handed, torch.cat)  # each (T, B, H)
        back: Callable[[Tensor], Tensor] = (lambda part: flip(part, lengths)) if direction else (lambda part: part)
        runs.append(
            LayerRun(
                layer, number, bool(direction), weights[direction], inputs, start, joined.map(back), lengths,
                handed=handed,
            )
        )  # fmt: skip
        all_outputs.append(back(torch.cat(outputs)))
        finals.append(current)
    return runs, torch.cat(all_outputs, dim=-1), State.join(finals, torch.cat)


def _position(step: int, num_steps: int, lengths: Tensor | None, is_reverse: bool) -> Tensor | int:
    """Return the position that a step reads: a number, or one for each row (B,)."""
    if not is_reverse:
        return step
    return num_steps - 1 - step if lengths is None else (lengths - 1 - step).clamp(min=0)


def _set_units(state: State, interventions: list[Intervention], position: Tensor | int) -> State:
    """Set units of a state, each part (1, B, H), to what they are to be at a position."""
    state = State(state)
    for each in interventions:
        if each.part not in state:
            continue
        part, values = state[each.part], each.values
        units = each.units.to(part.device).expand(part.shape[1], -1)[None]  # (1, B, N)
        positions = torch.as_tensor(position, device=values.device).expand(part.shape[1])  # (B,)
        if len(values) == 1:
            new = values[0].to(part).expand_as(units)
        else:
            is_left_alone = (positions >= len(values)).to(part.device)[:, None]  # (B, 1)
            new = values[positions.clamp(max=len(values) - 1)].to(part)  # (B, N)
            new = torch.where(is_left_alone, part.gather(-1, units), new)
        state[each.part] = part.scatter(-1, units, new)
    return state


def _by_direction(state: State) -> list[State]:
    """Take a layer's state (D, B, H) apart: one for each direction, each part (B, H)."""
    parts = [part.unbind(0) for part in state.values()]
    return [State(zip(state, own, strict=True)) for own in zip(*parts, strict=True)]


def _join(runs: list[LayerRun]) -> LayerRun:
    """Make one run of several, each of which goes on from the one before."""
    kept = [run.kept_gates for run in runs if run.kept_gates is not None]
    return replace(
        runs[0],
        inputs=torch.cat([run.inputs for run in runs]),
        states=State.join([run.states for run in runs], torch.cat),
        kept_gates=torch.cat(kept) if len(kept) == len(runs) else None,
        handed=[state for run in runs for state in run.handed],
        calls=[call for run in runs for call in run.calls],
    )


def _double(tensor: Tensor) -> Any:
    return tensor.detach().to("cpu", torch.float64).numpy()


def _affine(inputs: Tensor, weight: Any, bias: Tensor | None) -> Any:
    """Compute inputs (T, B, I) times weight (N, I), plus a bias where there is one: (T · B, N)."""
    product = _double(inputs).reshape(-1, inputs.shape[-1]) @ weight.T
    return product if bias is None else product + _double(bias)
