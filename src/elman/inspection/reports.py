"""The report on a model and one input: the data that :mod:`elman.drawing.report` draws."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.drawing import report as drawn
from elman.families.base import Model
from elman.families.saved.description import num_parameters
from elman.families.unrolled import Unrolled
from elman.files import replacing
from elman.inspection.gradients import GradientByLag
from elman.inspection.inspections import STEPS, Inspection, inspect
from elman.inspection.plans import find_regions, plan_network
from elman.inspection.units.effects import Effect
from elman.nn.recording import LayerRun

SMALL = 16  # the most units of a layer whose equations are shown with their values


def model_report(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    steps: int | None = STEPS,
    record: int = 1,
    train: Any = None,
    name: str = "",
    source: str = "",
) -> drawn.ModelReport:
    r"""Report what a model does with one input.

    Args:
        model: a fitted model of any task.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        y: the targets, for supervised models.
        steps: the number of steps of the input to show.
        record: the input to show, counted from 1.
        train: what n-gram models learn from, to stand beside; see :func:`~elman.inspection.context_use`.
        name: the name of the model, shown at the top of the page.
        source: the name of the input.

    Returns:
        The report of one model; ``elman.drawing.report.html`` makes a page of one or several.

    Raises:
        UsageError: the model has no recurrent layers, is not fitted, or an argument is outside its limits.
        DataError: there is no such record, or no token that the model knows.

    Example:
        >>> from elman import LanguageModel
        >>> from elman.drawing.report import html
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit("to be or not to be\n" * 80)
        >>> html(model_report(lm, "to be"))[:15]
        '<!DOCTYPE html>'
    """
    found = inspect(model, X, y, steps=steps, record=record, train=train)
    unrolled = found.unrolled
    gradients = _draw_gradients(found)
    return drawn.ModelReport(
        name=name or type(model).__name__,
        task=re.sub("(?<=[a-z])(?=[A-Z])", " ", type(model).__name__).capitalize(),
        source=_describe_source(source, found, steps),
        network=plan_network(model, unrolled),
        runs={
            key: drawn.StackRun(
                tokens=list(stack.tokens[:steps]),
                layers=[_collect_states(run, steps) for run in found.recording.of(stack.layer)],
            )
            for key, stack in unrolled.stacks.items()
        },
        outputs=_collect_outputs(found),
        attention=found.trace.attention[0] if found.trace.attention else None,
        gradients=gradients,
        context=_draw_context(found),
        attributions=_draw_attributions(found),
        units=_draw_units(found),
        holding=found.holding,
        figures=_collect_figures(found) | _describe_reach(gradients),
        notes=found.notes,
        attributed=found.attributed,
    )


# ---------------------------------------------------------------- one input


def _collect_states(run: LayerRun, steps: int | None) -> drawn.LayerStates:
    """Collect the states of one layer and direction, and the terms of its sums at every step."""
    cell, hidden = run.layer.cell, _to_array(run.states["hidden"], steps)  # (T, H)
    weights = {name: weight.detach().float() for name, weight in run.weights.items()}
    sizes = terms = None
    if {"weight_ih", *(("weight_hh",) if cell.reads_hidden else ())} <= set(weights):
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
        cell=_to_array(run.states["cell"], steps) if "cell" in run.states else None,
        gates={name: _to_array(gate, steps) for name, gate in run.gates.items()} if len(cell.gates) > 1 else {},
        start={part: values[0].detach().float().cpu().numpy() for part, values in run.start.items()},
        sizes=sizes,
        terms=terms,
    )


def _to_array(values: Tensor, steps: int | None) -> NDArray[Any]:
    found: NDArray[Any] = values[:steps, 0].detach().float().cpu().numpy()
    return found


def _collect_outputs(inspection: Inspection) -> drawn.Outputs:
    """Collect the most likely outputs and, if targets are given, the losses."""
    found, last, has_targets = inspection.trace, inspection.unrolled.last, inspection.has_targets
    number = len(found.targets)
    losses = [float(loss) if has_targets and not np.isnan(loss) else None for loss in found.losses]
    return drawn.Outputs(
        steps=list(range(number)) if last.is_aligned else [len(found.tokens) - 1] * number,
        names=found.top_tokens.tolist(),
        probabilities=found.top_probabilities.tolist(),
        targets=found.targets if has_targets else [None] * number,
        losses=losses,
        target_probabilities=[None if loss is None else math.exp(-loss) for loss in losses],
    )


# ---------------------------------------------------------------- measures


def _draw_gradients(inspection: Inspection) -> drawn.GradientPlot | None:
    found = inspection.gradients
    if found is None:
        return None
    settings = inspection.model.get_params()
    text = found.verdict.text
    return drawn.GradientPlot(
        targets=found.steps.tolist(),
        curves=[_make_curve(name, found, inspection.unrolled) for name in _sort_curves(found.norms)],
        verdict=found.verdict.kind,
        explanation=f"{text[:1].upper()}{text[1:]}.",
        truncated_at=settings["bptt_length"] if settings.get("lines") is False else None,
    )


def _sort_curves(names: Iterable[str]) -> list[str]:
    """Sort the names of curves: the combined curves of whole directions first, cells last.

    A direction with a single part has no combined curve.
    """
    wholes = [name for name in names if "layer" not in name]
    parts = sorted((name for name in names if "layer" in name), key=lambda name: name.endswith(".cell"))
    return [*(wholes if len(parts) > len(wholes) else ()), *parts]


def _make_curve(name: str, found: GradientByLag, unrolled: Unrolled) -> drawn.GradientCurve:
    """Make one curve, such as ``decoder.layer0.forward.hidden`` or, for a whole direction, ``forward``."""
    words = name.split(".")
    stack = next((key for key in unrolled.stacks if words[0] == key), list(unrolled.stacks)[-1])
    is_reverse = "reverse" in words
    if unrolled.stacks[stack].is_aligned:
        origins = found.steps.tolist()
    else:  # from the last step that this direction reads
        origins = [0 if is_reverse else len(unrolled.stacks[stack].tokens) - 1] * len(found.steps)
    layer = next((f"layer {int(word[5:]) + 1}" for word in words if word.startswith("layer")), "all layers")
    part = {"hidden": " · h", "cell": " · c"}.get(words[-1], "")
    before = f"{stack}, " if len(unrolled.stacks) > 1 else ""
    quartiles = found.quartiles[name]
    return drawn.GradientCurve(
        name=f"{before}{layer}{', backward' if is_reverse else ''}{part}",
        norms=found.norms[name],
        origins=origins,
        mean=found.mean[name],
        lower=quartiles[0],
        upper=quartiles[1],
        reach=found.reach[name]["1/e"],
        reach_percent=found.reach[name]["1%"],
        stack=stack,
        is_reverse=is_reverse,
    )


def _draw_context(inspection: Inspection) -> drawn.ContextPlot | None:
    found = inspection.context
    if found is None:
        return None
    ngrams = [] if found.ngram is None else [None if math.isnan(loss) else loss for loss in found.ngram.tolist()]
    return drawn.ContextPlot(
        lags=found.contexts.tolist(),
        losses=found.losses.tolist(),
        ngram_losses=ngrams or None,
        whole=found.whole,
        unit=f"nats, mean of {found.num_targets:,} outputs",
    )


def _draw_attributions(inspection: Inspection) -> list[drawn.AttributionPlot]:
    found = inspection.attribution
    if found is None:
        return []
    return [
        drawn.AttributionPlot(
            target=f"“{output}” at step {step + 1}" if inspection.unrolled.last.is_aligned else f"“{output}”",
            method="integrated gradients",
            scores=scores,
            tokens=found.places,
            completeness=float(gap),
            regions=find_regions(inspection.unrolled),
        )
        for output, step, scores, gap in zip(
            found.outputs, found.steps.tolist(), found.integrated, found.gaps, strict=True
        )
    ]


def _draw_units(inspection: Inspection) -> list[drawn.UnitScore]:
    """Draw the best unit for each feature, units above chance first."""
    if inspection.units is None:
        return []
    cell = inspection.unrolled.last.layer.cell
    gates = {f"gate {symbol}": gate for symbol, gate in zip(cell.symbols, cell.gates, strict=False)}
    scores = []
    for own in sorted(inspection.units.models[0].values(), key=lambda own: not own.is_beyond_chance):
        *_, layer, direction, part = own.best.array.replace("gate.", "gate ").split(".")
        effect = inspection.effects.get(own.best.address or "")
        scores.append(
            drawn.UnitScore(
                feature=own.feature.replace("_", " "),
                layer=int(layer.removeprefix("layer")),
                part=gates.get(part, part),
                unit=own.best.unit,
                score=own.strength,
                measure=own.measure,
                bound=own.bound,
                is_reverse=direction == "reverse",
                effect="" if effect is None else _describe_effect(effect),
            )
        )
    return scores


def _describe_effect(effect: Effect) -> str:
    found, low, high = (f"{value + 0.0:+.4f}".replace("-", "−") for value in (effect.difference, *effect.interval))
    beside = f"; {effect.rank} of {len(effect.controls)} others as much" if len(effect.controls) else ""
    return f"{found} nats ({low} to {high}){beside}"


# ---------------------------------------------------------------- figures


def _describe_source(source: str, inspection: Inspection, steps: int | None) -> str:
    found, unrolled = inspection.trace, inspection.unrolled
    number = len(found.source_tokens) or len(found.tokens)
    is_cut = unrolled.is_cut or any(len(stack.tokens) > (steps or math.inf) for stack in unrolled.stacks.values())
    shown = f"{'the first ' if is_cut else ''}{number:,} {'step' if number == 1 else 'steps'}"
    return f"{source}: {shown}" if source else shown


def _collect_figures(inspection: Inspection) -> dict[str, str]:
    found, last = inspection.trace, inspection.unrolled.last
    layer = last.layer
    cell = drawn.CELL_NAMES.get(layer.cell_name, layer.cell_name)
    layers = f"{layer.num_layers} layers of " if layer.num_layers > 1 else ""
    both = " in each direction" if layer.num_directions == 2 else ""
    figures = {
        "Cell": f"{cell}, {layers}{layer.hidden_size:,} units{both}",
        "Parameters": f"{num_parameters(inspection.model.network_):,}",
    }
    known = found.losses[~np.isnan(found.losses)]
    if not last.is_aligned and len(found.top_tokens):
        figures["Prediction"] = f"{found.top_tokens[0][0]} ({100 * found.top_probabilities[0][0]:.0f} %)"
    if inspection.has_targets and len(known):
        nats = float(known.mean())
        figures["Loss on this input"] = f"{nats:.3f} nats" + (" per output" if last.is_aligned else "")
        if last.is_aligned:
            figures["Perplexity"] = f"{math.exp(min(nats, 700)):.2f}"
    return figures


def _describe_reach(gradients: drawn.GradientPlot | None) -> dict[str, str]:
    if gradients is None:
        return {}
    curve = gradients.curves[0]
    lags = len(curve.mean)
    far = f"beyond {lags:,} steps" if curve.reach_percent is None else f"{curve.reach_percent - 1:,} of {lags:,} steps"
    return {"Gradients above 1 % of lag 1": far}


def save_report(path: Path, *reports: drawn.ModelReport) -> None:
    """Write the page of one report, or of several side by side.

    Raises:
        StorageError: the file cannot be written.
    """
    with replacing(path, "name another file") as beside:
        beside.write_text(drawn.html(*reports), encoding="utf-8")
