"""Record what recurrent layers compute at every step, and set units of their states while they run.

    with recording() as record:
        network(inputs)
    run = record.of(network.rnn)[0]          the first layer, forward
    run.states["hidden"]                     (T, B, H), after every step
    run.gates["forget"]                      (T, B, H)

All values come from the layers themselves: ``Recurrent._run_stack`` runs each layer through :func:`instrument`. If
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
    """Whether the units belong to the direction that reads from the end."""
    part: str
    """The part of the state: ``hidden`` or ``cell``."""
    units: Tensor
    """The numbers of the units, (N,) int64; or (B, N), different units in each row of the batch."""
    values: Tensor
    """(1, N), or (1, B, N), for all steps; or by step (T, N), for the first T steps of a sequence."""
    by_step: bool = False
    """Whether each step has its own values. Later steps do not change then, nor do the steps of a run that continues
    from a state."""


@dataclass(eq=False)
class LayerRun:
    """What one layer computed in one direction."""

    layer: Recurrent
    number: int
    """The layer's number in the stack, from 0."""
    is_reverse: bool
    """Whether this direction reads from the end."""
    weights: LayerWeights
    inputs: Tensor
    """(T, B, I), the inputs of this layer."""
    start: State
    """The state before the first step, each part (B, H)."""
    states: State
    """The state after every step, each part (T, B, H), indexed by the position that was read. Beyond a row's length it
    is the row's last state."""
    lengths: Tensor | None
    """(B,), or None if every row has T steps."""
    kernel_gates: Tensor | None = None
    """(T, B, 4H), the gates that the kernels save for the backward pass."""
    step_states: list[State] = field(default_factory=list)
    """The state that each step passes to the next, each part (1, B, H), in the order of computation; empty if all steps
    ran at once. Each is a separate node of the autograd graph: see :mod:`elman.nn.gradients`."""
    calls: list[tuple[Tensor, State]] = field(default_factory=list)
    """If all steps ran at once: what each call of the layer returned for all its directions, outputs (T, B, D·H) and
    final state, each part (D, B, H), as nodes of the autograd graph."""

    @property
    def name(self) -> str:
        """The prefix of the names of its arrays, such as ``layer0.forward``."""
        return f"layer{self.number}.{'reverse' if self.is_reverse else 'forward'}"

    @property
    def before(self) -> State:
        """The state before each step, each part (T, B, H)."""

        def shift(part: Tensor, start: Tensor) -> Tensor:
            if not self.is_reverse:
                return torch.cat((start[None], part[:-1]))
            in_order = torch.cat((start[None], flip(part, self.lengths)[:-1]))
            return flip(in_order, self.lengths)

        return State((name, shift(part, self.start[name])) for name, part in self.states.items())

    @cached_property
    def gates(self) -> dict[str, Tensor]:
        """The gates by their names in the table of cells, each (T, B, H).

        If the kernels ran, these are their gates. Otherwise they are computed in float64 with the cell's equations in
        nn/reference.py, from the recorded inputs and states. Empty for a cell without equations there.
        """
        cell = self.layer.cell
        if self.kernel_gates is not None:
            return dict(zip(cell.gates, self.kernel_gates.chunk(4, dim=-1), strict=False))  # a GRU also saves U_n h + b
        if len(cell.gates) == 1:  # the simple network's candidate is its new state
            return {cell.gates[0]: self.states["hidden"]}
        if cell.reference is None:
            return {}
        found = (torch.from_numpy(values).to(self.inputs.dtype) for values in self._compute_saved())
        return dict(zip(cell.gates, found, strict=False))

    @property
    def saved(self) -> tuple[Any, ...]:
        """The arrays (T, B, ·) that the cell's backward step in nn/reference.py takes, in its order."""
        if len(self.layer.cell.gates) == 1:
            found: tuple[Tensor, ...] = (self.states["hidden"],)
        elif self.kernel_gates is None:
            return self._compute_saved()
        else:
            past = self.before
            beside = (self.states["cell"], past["cell"]) if "cell" in past else (past["hidden"],)
            found = (*self.kernel_gates.chunk(4, dim=-1), *beside)
        return tuple(tensor.detach().cpu().numpy() for tensor in found)

    def _compute_saved(self) -> tuple[Any, ...]:
        """Compute all steps at once from the recorded states, with the cell's equations in nn/reference.py."""
        cell = self.layer.cell
        w = _to_double(self.weights["weight_ih"])
        from_input = _apply_affine(self.inputs, w, self.weights.get("bias_ih"))  # (T · B, G·H)
        past = [_to_double(part).reshape(-1, part.shape[-1]) for part in self.before.values()]
        from_hidden = np.zeros((len(from_input), 0))
        if cell.reads_hidden:
            from_hidden = _apply_affine(
                self.before["hidden"], _to_double(self.weights["weight_hh"]), self.weights.get("bias_hh")
            )
        _, saved = cell.reference.forward(from_input, from_hidden, tuple(past))
        return tuple(values.reshape(*self.inputs.shape[:2], values.shape[-1]) for values in saved)


class Recording:
    """What all layers compute while it is active."""

    def __init__(self, by_step: bool, interventions: Mapping[Recurrent, Sequence[Intervention]]) -> None:
        self.by_step = by_step
        self.interventions = interventions
        self._runs: dict[tuple[int, int, bool], list[LayerRun]] = {}

    def add(self, run: LayerRun) -> None:
        """Add a run, after the earlier runs of its layer that it continues."""
        self._runs.setdefault((id(run.layer), run.number, run.is_reverse), []).append(run)

    def of(self, layer: Recurrent) -> list[LayerRun]:
        """Return the runs of a stack, layer by layer, the forward direction first.

        Several calls, each from the final state of the call before, become one run.
        """
        own = [runs for (key, _, _), runs in self._runs.items() if key == id(layer)]
        return [runs[0] if len(runs) == 1 else _join(runs) for runs in own]


_current: ContextVar[Recording | None] = ContextVar("recording", default=None)


@contextmanager
def recording(
    by_step: bool = False, interventions: Mapping[Recurrent, Sequence[Intervention]] | None = None
) -> Iterator[Recording]:
    """Record what all recurrent layers compute within this context, in this thread.

    Args:
        by_step: run one step at a time, and record the state that each step passes to the next.
        interventions: units of some stacks to set within this context, after the stacks' own interventions.

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
    """Return whether a recording is active."""
    return _current.get() is not None


def instrument(run_layer: RunLayer, layer: Recurrent, number: int, is_start: bool) -> RunLayer:
    """Wrap the function that runs one layer of a stack so that it records the layer and sets its units.

    Args:
        run_layer: runs the layer; returned unchanged if there is nothing to record or to set.
        layer: the stack.
        number: the layer's number, from 0.
        is_start: whether the sequences begin here; False if they continue from a state.
    """
    record = _current.get()
    interventions = [*layer.interventions, *(record.interventions.get(layer, ()) if record else ())]
    own = [each for each in interventions if each.layer == number and (is_start or not each.by_step)]
    if record is None and not own:
        return run_layer

    def run(
        inputs: Tensor, state: State, weights: list[LayerWeights], lengths: Tensor | None, backend: str
    ) -> tuple[Tensor, State]:
        arguments = (inputs, state, weights, lengths, backend)
        is_whole = not own and not (record and record.by_step) and lengths is None
        if is_whole and backend == "fused":
            runs, outputs, final = _run_kernels(layer, number, *arguments[:3])
        elif is_whole and len(state) == 1:
            outputs, final = run_layer(*arguments)
            parts = outputs.chunk(len(weights), dim=-1)
            starts = _split_directions(state)
            runs = [
                LayerRun(
                    layer, number, bool(direction), own_weights, inputs, start, State(hidden=part), None,
                    calls=[(outputs, final)],
                )
                for direction, (own_weights, start, part) in enumerate(zip(weights, starts, parts, strict=True))
            ]  # fmt: skip
        else:
            runs, outputs, final = _run_by_step(run_layer, layer, number, own, *arguments)
        if record is not None:
            for each in runs:
                record.add(each)
        return outputs, final

    return run


def _run_kernels(
    layer: Recurrent, number: int, inputs: Tensor, state: State, weights: list[LayerWeights]
) -> tuple[list[LayerRun], Tensor, State]:
    """Run all steps at once with the kernels, and record what they save for the backward pass."""
    outputs, final, gates, cells = run_fused(layer.cell, inputs, state, weights, None, needs_gates=True)
    shape, runs = (*inputs.shape[:2], -1), []
    parts = outputs.chunk(len(weights), dim=-1)
    for direction, start in enumerate(_split_directions(state)):
        states = State(hidden=parts[direction])
        if "cell" in state:
            past, last = cells[direction].view(shape), final["cell"][direction][None]  # c before each step
            states["cell"] = torch.cat((last, past[:-1])) if direction else torch.cat((past[1:], last))
        own_gates = gates[direction].view(shape) if gates.numel() else None
        own = (weights[direction], inputs, start, states)
        runs.append(LayerRun(layer, number, bool(direction), *own, None, own_gates, calls=[(outputs, final)]))
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
    """Run one direction after the other, one step at a time, and set units after each step."""
    runs, all_outputs, finals = [], [], []
    is_running = None
    if lengths is not None:
        is_running = (torch.arange(len(inputs))[:, None] < lengths).to(inputs.device)[..., None]  # (T, B, 1)
    for direction, start in enumerate(_split_directions(state)):
        own = [each for each in interventions if each.is_reverse == bool(direction)]
        current = start.map(lambda part: part[None])  # each (1, B, H)
        outputs: list[Tensor] = []  # in the order of computation
        step_states: list[State] = []
        read = flip(inputs, lengths) if direction else inputs
        for step in range(len(read)):
            output, after = run_layer(read[step : step + 1], current, [weights[direction]], None, backend)
            if own:
                position = _find_position(step, len(inputs), lengths, bool(direction))
                output = _set_units(State(hidden=output), own, position)["hidden"]
                after = _set_units(after, own, position)
            if is_running is not None:
                running = is_running[step]
                output = torch.where(running, output, 0.0)
                after = State((name, torch.where(running, part, current[name])) for name, part in after.items())
            outputs.append(output)
            step_states.append(after)
            current = after
        joined = State.join(step_states, torch.cat)  # each (T, B, H)
        back: Callable[[Tensor], Tensor] = (lambda part: flip(part, lengths)) if direction else (lambda part: part)
        runs.append(
            LayerRun(
                layer, number, bool(direction), weights[direction], inputs, start, joined.map(back), lengths,
                step_states=step_states,
            )
        )  # fmt: skip
        all_outputs.append(back(torch.cat(outputs)))
        finals.append(current)
    return runs, torch.cat(all_outputs, dim=-1), State.join(finals, torch.cat)


def _find_position(step: int, num_steps: int, lengths: Tensor | None, is_reverse: bool) -> Tensor | int:
    """Return the position that a step reads: one number, or one per row (B,)."""
    if not is_reverse:
        return step
    return num_steps - 1 - step if lengths is None else (lengths - 1 - step).clamp(min=0)


def _set_units(state: State, interventions: list[Intervention], position: Tensor | int) -> State:
    """Set units of a state, each part (1, B, H), to their values at a position."""
    state = State(state)
    for each in interventions:
        if each.part not in state:
            continue
        part, values = state[each.part], each.values
        units = each.units.to(part.device).expand(part.shape[1], -1)[None]  # (1, B, N)
        positions = torch.as_tensor(position, device=values.device).expand(part.shape[1])  # (B,)
        if not each.by_step:
            new = values[0].to(part).expand_as(units)
        else:
            is_beyond = (positions >= len(values)).to(part.device)[:, None]  # (B, 1)
            new = values[positions.clamp(max=len(values) - 1)].to(part)  # (B, N)
            new = torch.where(is_beyond, part.gather(-1, units), new)
        state[each.part] = part.scatter(-1, units, new)
    return state


def _split_directions(state: State) -> list[State]:
    """Split a layer's state (D, B, H) into one state per direction, each part (B, H)."""
    parts = [part.unbind(0) for part in state.values()]
    return [State(zip(state, own, strict=True)) for own in zip(*parts, strict=True)]


def _join(runs: list[LayerRun]) -> LayerRun:
    """Join several runs, each of which continues from the one before."""
    gates = [run.kernel_gates for run in runs if run.kernel_gates is not None]
    return replace(
        runs[0],
        inputs=torch.cat([run.inputs for run in runs]),
        states=State.join([run.states for run in runs], torch.cat),
        kernel_gates=torch.cat(gates) if len(gates) == len(runs) else None,
        step_states=[state for run in runs for state in run.step_states],
        calls=[call for run in runs for call in run.calls],
    )


def _to_double(tensor: Tensor) -> Any:
    return tensor.detach().to("cpu", torch.float64).numpy()


def _apply_affine(inputs: Tensor, weight: Any, bias: Tensor | None) -> Any:
    """Compute inputs (T, B, I) times weight (N, I), plus a bias where there is one: (T · B, N)."""
    product = _to_double(inputs).reshape(-1, inputs.shape[-1]) @ weight.T
    return product if bias is None else product + _to_double(bias)
