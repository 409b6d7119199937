"""Trace a model: run it over its inputs and keep what its layers compute."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import IGNORED
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.unrolled import Unrolled
from elman.inspection.inputs import check_model, run_recorded, select
from elman.inspection.traces import Trace, join_traces
from elman.nn.recording import Recording
from elman.nn.stack import Recurrent

logger = logging.getLogger(__name__)

UNKNOWN_MEMORY = 2 << 30  # bytes assumed to be free if the system does not report it


def trace(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    steps: int | None = None,
    record: int | None = None,
    top: int = 10,
) -> Trace:
    r"""Record what a model computes at every step.

    Args:
        model: a fitted model of any task.
        X: the inputs, as ``predict`` takes them; a text for a language model, tunes for a composer.
        y: the targets, for supervised models; by default the model's own predictions.
        steps: record only this many steps of each input. A language model and a composer stop reading there.
        record: trace this input only, counted from 1.
        top: how many of the most likely outputs to record.

    Returns:
        The states, cells and gates of every layer and direction, the most likely outputs, losses and attention.

    Raises:
        UsageError: the model has no recurrent layers, is not fitted, or an argument is outside its limits.
        DataError: there is no such record, or no token that the model knows.

    Example:
        >>> from elman import LanguageModel
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit("to be or not to be\n" * 80)
        >>> found = trace(lm, "to be")
        >>> found.states.shape, list(found.arrays)[:2]
        ((1, 5, 16), ['layer0.forward.hidden', 'layer0.forward.cell'])
    """
    check_model(model)
    if top < 1:
        raise UsageError(f"top is {top}, expected at least 1")
    left = _read_free_memory() // 2
    most = max(left // _estimate_bytes_per_step(model), 1)
    parts: list[Trace] = []
    for unrolled in select(model, X, y, steps=steps, most=most, record=record):
        length = sum(len(stack.tokens) for stack in unrolled.stacks.values())
        if parts and length > most:
            logger.warning("memory is enough for the first %s inputs only; look at fewer at a time", f"{len(parts):,}")
            break
        most -= length
        parts.append(trace_unrolled(model, unrolled, steps, top))
    if not parts:
        raise DataError("X is empty; give at least one input")
    return parts[0] if len(parts) == 1 else join_traces(parts)


def trace_unrolled(model: Model, unrolled: Unrolled, steps: int | None, top: int) -> Trace:
    """Trace one unrolled input; see :func:`trace`."""
    with torch.no_grad():
        record, logits, attention = run_recorded(model, unrolled, unrolled.inputs[None])
    return trace_recorded(model, unrolled, record, logits, attention, steps, top)


@torch.no_grad()
def trace_recorded(
    model: Model,
    unrolled: Unrolled,
    record: Recording,
    logits: Tensor,
    attention: Tensor | None,
    steps: int | None,
    top: int,
) -> Trace:
    """Return the trace of a run that has been recorded; see :func:`trace`."""
    log_probabilities = unrolled.log_probabilities(logits)[0]  # (M, V)
    arrays: dict[str, NDArray[Any]] = {}
    for name, prefix in unrolled.prefixes.items():
        stack = unrolled.stacks[name]
        for run in record.of(stack.layer):
            place = f"{prefix}{run.name}"
            for part, values in run.states.items():
                arrays[f"{place}.{part}"] = _to_array(values, steps)
            gates = run.gates.values() if run.layer.cell.symbols else ()
            for symbol, values in zip(run.layer.cell.symbols, gates, strict=False):
                arrays[f"{place}.gate.{symbol}"] = _to_array(values, steps)
    best = log_probabilities.topk(min(top, log_probabilities.shape[-1]), dim=-1)
    targets = log_probabilities.argmax(dim=-1).cpu() if unrolled.targets is None else unrolled.targets
    known = targets != IGNORED
    losses = np.full(len(targets), np.nan)
    rows = torch.arange(len(targets))[known]
    losses[known.numpy()] = -log_probabilities.cpu()[rows, targets[known]].double().numpy()
    *sources, last = unrolled.stacks.values()
    names = np.array(unrolled.names, np.str_)
    own = slice(0, steps) if last.is_aligned else slice(None)
    tokens, source_tokens = list(last.tokens[:steps]), [token for stack in sources for token in stack.tokens[:steps]]
    weights = [] if attention is None else [attention[0, own, :steps].cpu().numpy()]
    found = [unrolled.names[number] if number != IGNORED else None for number in targets.tolist()][own]
    return Trace(
        task=model.task,
        arrays=arrays,
        tokens=tokens,
        offsets=np.array([0, len(tokens)], np.int64),
        targets=found,
        losses=losses[own],
        top_tokens=names[best.indices.cpu().numpy()][own],
        top_probabilities=best.values.double().exp().cpu().numpy()[own],
        output_offsets=np.array([0, len(found)], np.int64),
        source_tokens=source_tokens,
        source_offsets=np.array([0, len(source_tokens)], np.int64),
        attention=weights,
        places=list(unrolled.places),
    )


def _to_array(values: Tensor, steps: int | None) -> NDArray[Any]:
    found: NDArray[Any] = values[:steps, 0].detach().cpu().numpy()
    return found


def _estimate_bytes_per_step(model: Model) -> int:
    """Estimate the bytes that tracing one step needs: states and gates twice, outputs three times."""
    numbers: int = 3 * model.network_.head.weight.shape[0]
    for layer in model.network_.modules():
        if isinstance(layer, Recurrent):
            parts = len(layer.cell.state) + len(layer.cell.gates)
            numbers += 2 * layer.num_layers * layer.num_directions * parts * layer.hidden_size
    return 4 * numbers


def _read_free_memory() -> int:
    """Return the bytes of memory that are available."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return int(os.sysconf("SC_AVPHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return UNKNOWN_MEMORY
