"""The report of what a model does with one input: its numbers, as :mod:`elman.drawing.report` draws them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.drawing import report as drawn
from elman.families.base import Model
from elman.families.saved.description import named_shapes, num_parameters
from elman.families.unrolled import Stack, Unrolled
from elman.inspection.holding import measure_holding
from elman.inspection.traces import Trace, check_model, run_recorded, select, trace_unrolled
from elman.nn.recording import LayerRun

STEPS = 500  # of an input, unless more are asked for
_READS = {"char": "character", "word": "word"}  # by level; others read tokens
SMALL = 16  # units up to which the equation stands there with its numbers


def report(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    steps: int | None = STEPS,
    record: int = 1,
    name: str = "",
    source: str = "",
) -> drawn.ModelReport:
    r"""Look at what a model does with one input.

    Args:
        model: a fitted model of any task.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        y: the answers, for the models that learn from them.
        steps: how many steps of the input to look at.
        record: which input, counted from 1.
        name: of the model, for the head of the page.
        source: where the input comes from.

    Returns:
        What ``elman.drawing.report.html`` makes a page of, of one model or of several.

    Raises:
        UsageError: the model has no recurrent layers, is not fitted, or an argument does not fit.
        DataError: there is no such record, or no token that the model knows.

    Example:
        >>> from elman import LanguageModel
        >>> from elman.drawing.report import html
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit("to be or not to be\n" * 80)
        >>> html(report(lm, "to be"))[:15]
        '<!DOCTYPE html>'
    """
    check_model(model)
    (unrolled,) = select(model, X, y, steps=steps, record=record)
    found = trace_unrolled(model, unrolled, steps, top=10)
    with torch.no_grad():
        recording, _, _ = run_recorded(model, unrolled, unrolled.inputs[None])
    tokens = {key: list(stack.tokens[:steps]) for key, stack in unrolled.stacks.items()}
    return drawn.ModelReport(
        name=name or type(model).__name__,
        task=type(model).__name__,
        source=_describe_source(source, unrolled, found, steps),
        network=_plan(model, unrolled),
        runs={
            key: drawn.StackRun(tokens=tokens[key], layers=[_states(run, steps) for run in recording.of(stack.layer)])
            for key, stack in unrolled.stacks.items()
        },
        outputs=_outputs(found, unrolled),
        attention=found.attention[0] if found.attention else None,
        holding=measure_holding(model, unrolled) if not unrolled.last.is_aligned else (),
        figures=_figures(model, unrolled, found),
    )


# ---------------------------------------------------------------- the network


def _plan(model: Model, unrolled: Unrolled) -> drawn.NetworkPlan:
    network: Any = model.network_
    attention = getattr(getattr(network, "decoder", None), "attention", None)
    pooling, front = getattr(network, "pooling", None), getattr(network, "front", None)
    embedding = next((module for module in network.modules() if isinstance(module, nn.Embedding)), None)
    places = len(unrolled.places)
    side = math.isqrt(places)
    regions = (side, side) if side * side == places else (1, places)
    return drawn.NetworkPlan(
        stacks=tuple(_stack_plan(name, stack) for name, stack in unrolled.stacks.items()),
        parameters=tuple(
            drawn.ParameterRow(name=name, symbol=symbol, shape=shape) for name, shape, symbol in named_shapes(network)
        ),
        num_outputs=len(unrolled.names),
        reads=_READS.get(getattr(model, "level", ""), "token"),
        vocabulary=None if embedding is None else embedding.num_embeddings,
        pooling=None if pooling is None else pooling.kind,
        crf=getattr(network, "crf", None) is not None,
        attention=None if attention is None else attention.kind,
        regions=regions if places else None,
        features=front.place_size if places and front is not None else 0,
    )


def _stack_plan(name: str, stack: Stack) -> drawn.StackPlan:
    layer = stack.layer
    return drawn.StackPlan(
        name=name,
        cell=layer.cell_name,
        gates=layer.cell.gates,
        state=layer.cell.state,
        input_size=layer.input_size,
        hidden_size=layer.hidden_size,
        num_layers=layer.num_layers,
        directions=layer.num_directions,
        merge=layer.merge,
        reads_hidden=layer.cell.reads_hidden,
    )


# ---------------------------------------------------------------- one input


def _states(run: LayerRun, steps: int | None) -> drawn.LayerStates:
    """Take one layer and direction, and what it added up at every step."""
    cell, hidden = run.layer.cell, _array(run.states["hidden"], steps)  # (T, H)
    weights = {name: weight.detach().float() for name, weight in run.weights.items()}
    sizes = terms = None
    if {"weight_ih", "weight_hh"} <= set(weights) or not cell.reads_hidden:
        from_input = run.inputs[:steps, 0].float() @ weights["weight_ih"].T  # (T, G·H)
        from_hidden = torch.zeros_like(from_input)
        if cell.reads_hidden:
            from_hidden = run.before["hidden"][:steps, 0].float() @ weights["weight_hh"].T  # (T, G·H)
        sizes = torch.stack((from_input.norm(dim=1), from_hidden.norm(dim=1)), dim=1).cpu().numpy()  # (T, 2)
        if run.layer.hidden_size <= SMALL and cell.reference is not None:
            nothing = torch.zeros(from_input.shape[1])
            biases = [weights.get(name, nothing) for name in ("bias_ih", "bias_hh")]
            terms = drawn.Terms(
                from_input=from_input.cpu().numpy(),
                from_hidden=from_hidden.cpu().numpy(),
                bias_input=biases[0].cpu().numpy(),
                bias_hidden=(biases[1] if cell.reads_hidden else nothing).cpu().numpy(),
            )
    return drawn.LayerStates(
        layer=run.number,
        is_reverse=run.is_reverse,
        hidden=hidden,
        cell=_array(run.states["cell"], steps) if "cell" in run.states else None,
        gates={name: _array(gate, steps) for name, gate in run.gates.items()} if len(cell.gates) > 1 else {},
        sizes=sizes,
        terms=terms,
    )


def _array(values: Tensor, steps: int | None) -> NDArray[Any]:
    found: NDArray[Any] = values[:steps, 0].detach().float().cpu().numpy()
    return found


def _outputs(found: Trace, unrolled: Unrolled) -> drawn.Outputs:
    """Take the likeliest outputs and, where answers are known, the losses; a model's own answers are no targets."""
    number = len(found.targets)
    losses = [None if np.isnan(loss) or unrolled.targets is None else float(loss) for loss in found.losses]
    return drawn.Outputs(
        steps=list(range(number)) if unrolled.last.is_aligned else [len(found.tokens) - 1] * number,
        names=found.top_tokens.tolist(),
        probabilities=found.top_probabilities.tolist(),
        targets=[None if unrolled.targets is None else target for target in found.targets],
        losses=losses,
        target_probabilities=[None if loss is None else math.exp(-loss) for loss in losses],
    )


# ---------------------------------------------------------------- words


def _describe_source(source: str, unrolled: Unrolled, found: Trace, steps: int | None) -> str:
    number = len(found.source_tokens) or len(found.tokens)
    is_cut = unrolled.is_cut or any(len(stack.tokens) > (steps or math.inf) for stack in unrolled.stacks.values())
    shown = f"{'the first ' if is_cut else ''}{number:,} {'step' if number == 1 else 'steps'}"
    return f"{source}: {shown}" if source else shown


def _figures(model: Model, unrolled: Unrolled, found: Trace) -> dict[str, str]:
    layer = unrolled.last.layer
    layers = f"{layer.num_layers} × " if layer.num_layers > 1 else ""
    both = ", both directions" if layer.num_directions == 2 else ""
    figures = {
        "Recurrent layers": f"{layers}{layer.cell_name.upper()} of {layer.hidden_size:,}{both}",
        "Parameters": f"{num_parameters(model.network_):,}",
    }
    known = found.losses[~np.isnan(found.losses)]
    if not unrolled.last.is_aligned and len(found.top_tokens):
        figures["Answer"] = f"{found.top_tokens[0][0]} ({100 * found.top_probabilities[0][0]:.0f} %)"
    elif len(known) and unrolled.targets is not None:
        nats = float(known.mean())
        figures["Loss on this input"] = f"{nats:.3f} nats per output"
        figures["Perplexity"] = f"{math.exp(min(nats, 700)):.2f}"
    return figures


def save_report(path: Path, *reports: drawn.ModelReport) -> None:
    """Write the page of one model, or of several side by side.

    Raises:
        StorageError: it cannot be written.
    """
    from elman.files import replacing

    with replacing(path, "name another file") as beside:
        beside.write_text(drawn.html(*reports), encoding="utf-8")
