"""Gradients by lag of a model on its own data: what training logs, and what :mod:`elman.inspection` shows.

Model.unroll ──▶ Unrolled ──choose_outputs──▶ the losses to look at ──measure──▶ norms (R, K) by layer and part
    ──add_layers──▶ by direction ──choose_curve──▶ (K,) ──verdicts.diagnose──▶ a verdict
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import IGNORED
from elman.draws import drawing
from elman.errors import DataError, UsageError
from elman.families.missed import MOST_ERRORS, Missed, Outputs, find_missed
from elman.families.unrolled import Unrolled
from elman.families.verdicts import REACHED, diagnose, find_reach
from elman.nn.gradients import Place, measure_gradients_by_lag
from elman.nn.recording import LayerRun, recording
from elman.nn.state import State
from elman.training.task import GRADIENT_REACH, Insight

MOST_NUMBERS = 1 << 24  # numbers in all states of one batch of losses

LOSSES = 8  # measured at a time during training
LAGS = 64  # measured during training
STREAM_IDS = 256  # ids of a stream that are read for a measurement during training
MISSED_SECONDS = 0.02  # to find what STREAM_IDS errors depend on

Norms = dict[str, NDArray[np.float64]]


class TrainingGradients:
    """Measures gradients by lag on held-out data while a model trains; see :class:`elman.training.task.GradientMeter`.

    Args:
        model: the model; its data has been read and its network built.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @cached_property
    def steps_between(self) -> float:
        """The minimum number of training steps between two measurements, so that they take below 1 % of the time.

        It is estimated from sizes, not timed, so that equal runs measure at the same steps. The rates are those of one
        core; for small networks, training is slower than they say, which leaves room for the measurement at the end.
        """
        model, inputs = self._model, self._unroll()
        if not inputs:
            return math.inf
        layers = [stack.layer for stack in inputs[0][0].stacks.values()]
        weights = sum(weight.numel() for layer in layers for weight in layer.parameters())
        per_step: int = (
            model.setting("batch_tokens") if "batch_tokens" in model.planned else model.batch_size * model.bptt_length
        )
        measuring = MISSED_SECONDS
        for unrolled, outputs in inputs:
            for stack in unrolled.stacks.values():
                steps, rows = min(len(stack.tokens), LAGS + 1), len(outputs)
                loops = stack.layer.num_layers * stack.layer.num_directions * steps
                measuring += 3e-3 + 1e-4 * loops + weights * (12 * rows * steps / 3e10 + 4 * len(stack.tokens) / 2e10)
        training = 3e-3 + 6 * weights * per_step / 8e10
        return 100 * measuring / training

    def measure(self, history: Sequence[dict[str, Any]]) -> Insight:
        """Measure gradients by lag with the current weights.

        Args:
            history: the rows of the log so far.
        """
        model, found = self._model, list[Norms]()
        inputs = self._unroll()
        lengths = [unrolled.num_steps for unrolled, _ in inputs]
        num_lags = min(LAGS, max(lengths, default=0) - 1)
        if num_lags < 1:
            return Insight({})
        for unrolled, outputs in inputs:
            found.append(measure(model, unrolled, outputs, num_lags))
        totals = add_layers({name: np.concatenate([norms[name] for norms in found]) for name in found[0]})
        curve = choose_curve(model, totals)
        if not len(curve):
            return Insight({})
        lags = [2**power for power in range(LAGS.bit_length()) if 2**power <= len(curve)]
        figures = {
            GRADIENT_REACH: count_reached_steps(curve),
            **{f"gradient_lag_{lag}": curve[lag - 1] for lag in lags},
        }
        missed = find_missed_token(model, [unrolled for unrolled, _ in inputs], num_lags, STREAM_IDS)
        verdict = diagnose(model, curve, int(np.median(lengths)), missed, history)
        return Insight(
            {name: float(value) if math.isfinite(value) else None for name, value in figures.items()},
            verdict.text,
            bool(verdict.remedies),
        )

    def _unroll(self) -> list[tuple[Unrolled, Tensor]]:
        """Return some held-out inputs and the outputs of each to measure; nothing if they cannot be measured."""
        model = self._model
        try:
            with drawing(model.seed):
                return _choose_positions(list(model._unroll_held_out(LOSSES, STREAM_IDS)), LOSSES)
        except (DataError, UsageError):  # no recurrent layers, or nothing that the model knows
            return []


def count_reached_steps(curve: NDArray[np.float64]) -> float:
    """Return how many steps back a curve (K,) stays above 1 % of its value at lag 1.

    Example:
        >>> count_reached_steps(np.array([2.0, 0.5, 0.01, 0.5])), count_reached_steps(np.array([1.0, np.inf]))
        (2.0, nan)
    """
    if not np.isfinite(curve).all():
        return math.nan
    return float((find_reach(curve, REACHED) or len(curve) + 1) - 1)


def find_missed_token(model: Any, inputs: Sequence[Unrolled], num_lags: int, most: int = MOST_ERRORS) -> Missed | None:
    """Find the tokens that up to ``most`` errors of a model depend on.

    Returns:
        None if there are none, or if it cannot be told: the targets are unknown, outputs depend on several stacks, or
        outputs after the last step depend on the last states of two directions.
    """
    found, left = list[Outputs](), most
    sees_ahead = False
    for unrolled in inputs:
        stack = next(iter(unrolled.stacks.values()))
        sees_ahead = stack.layer.bidirectional
        is_path_known = len(unrolled.stacks) == 1 or _must_encoder_remember(model)
        if unrolled.targets is None or not is_path_known or (sees_ahead and not stack.is_aligned):
            return None
        outputs = torch.tensor(_known_outputs(unrolled)[:left], dtype=torch.long)
        if not len(outputs):
            continue
        left -= len(outputs)
        with torch.no_grad(), drawing(model.seed):
            logits, _ = unrolled.run(unrolled.inputs[None])
            errors = _differentiate_losses(unrolled, logits, outputs).double().cpu().numpy()
        if stack.is_aligned:
            found.append(Outputs(errors, outputs.numpy(), stack.tokens, [0] * len(outputs)))
        else:
            last = np.full(len(outputs), len(stack.tokens) - 1)
            found.append(Outputs(errors, last, stack.tokens, outputs.tolist()))
    return find_missed(found, num_lags, sees_ahead) if found else None


def _must_encoder_remember(model: Any) -> bool:
    """Return whether a decoder, if the model has one, knows the source only by the encoder's last state."""
    return getattr(model, "attention", "none") == "none"


def _known_outputs(unrolled: Unrolled) -> list[int]:
    """Return the outputs of an input whose answer is known; all of them if the model's own answers are taken."""
    if unrolled.targets is None:
        return list(range(len(unrolled.last.tokens) if unrolled.last.is_aligned else 1))
    return [int(place) for place in torch.nonzero(unrolled.targets != IGNORED)]


def _choose_positions(inputs: Sequence[Unrolled], most: int) -> list[tuple[Unrolled, Tensor]]:
    """Choose outputs of each input, early ones in some and late ones in others, so that all lags are seen."""
    chosen, number = [], len(inputs)
    each = max(most // max(number, 1), 1)
    for row, unrolled in enumerate(inputs):
        known = _known_outputs(unrolled)
        share = ((5 * row) % number + 0.5) / number  # of a stretch of the outputs; 5 goes through all rows of up to 8
        places = sorted({known[int((part + share) / each * len(known))] for part in range(each) if known})
        if places:
            chosen.append((unrolled, torch.tensor(places)))
    return chosen


def choose_outputs(inputs: Sequence[Unrolled], most: int) -> list[tuple[int, Tensor]]:
    """Choose losses, evenly spaced over all inputs.

    Returns:
        The numbers of inputs, each with the chosen outputs (R,).

    Raises:
        DataError: no target is known.
    """
    known = [(number, place) for number, unrolled in enumerate(inputs) for place in _known_outputs(unrolled)]
    if not known:
        raise DataError("no loss is known: the input has no target at any step")
    picked = np.unique(np.linspace(0, len(known) - 1, min(most, len(known))).round().astype(int))
    by_input: dict[int, list[int]] = {}
    for index in picked.tolist():
        number, place = known[index]
        by_input.setdefault(number, []).append(place)
    return [(number, torch.tensor(places)) for number, places in by_input.items()]


def measure(model: Any, unrolled: Unrolled, outputs: Tensor, num_lags: int) -> Norms:
    """Measure the losses of some outputs (R,) of one input: norms (R, K) by name."""
    reads_forward = unrolled.run_from is not None
    window = min(num_lags + 1, unrolled.num_steps) if reads_forward else unrolled.num_steps
    runs: list[LayerRun] = []
    if reads_forward:
        with torch.no_grad(), recording() as record, drawing(model.seed):
            logits, _ = unrolled.run(unrolled.inputs[None])
        errors = _differentiate_losses(unrolled, logits, outputs)
        runs = record.of(unrolled.last.layer)
    sizes = sum(
        stack.layer.hidden_size * len(stack.layer.cell.state) * stack.layer.num_layers * stack.layer.num_directions
        for stack in unrolled.stacks.values()
    )
    together = max(MOST_NUMBERS // (6 * sizes * window), 1)
    found: dict[str, list[NDArray[np.float64]]] = {}
    for rows in torch.split(torch.arange(len(outputs)), together):
        if reads_forward:
            norms = _measure_windows(unrolled, runs, outputs[rows], errors[rows], num_lags, window)
        else:
            norms = _measure_rows(model, unrolled, outputs[rows], num_lags)
        for name, values in norms.items():
            found.setdefault(name, []).append(values.double().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _differentiate_losses(unrolled: Unrolled, logits: Tensor, outputs: Tensor) -> Tensor:
    """Return d loss / d logits = probabilities - one-hot of some outputs: (R, V), from the logits (1, M, V)."""
    log_probabilities = unrolled.log_probabilities(logits.detach())[0]  # (M, V)
    targets = log_probabilities.argmax(dim=-1) if unrolled.targets is None else unrolled.targets
    targets = targets.to(log_probabilities.device)[outputs]
    errors = log_probabilities[outputs].exp()
    errors[torch.arange(len(outputs)), targets] -= 1
    return errors


def _measure_rows(model: Any, unrolled: Unrolled, outputs: Tensor, num_lags: int) -> dict[str, Tensor]:
    """Run the whole input once for each loss."""
    rows = torch.arange(len(outputs))

    def run() -> Tensor:
        inputs = unrolled.inputs.expand(len(outputs), *unrolled.inputs.shape).clone().requires_grad_()
        with drawing(model.seed):
            logits, _ = unrolled.run(inputs)  # (R, M, V)
        return (logits[rows, outputs] * _differentiate_losses(unrolled, logits[:1], outputs)).sum()

    places = []
    for name, stack in unrolled.stacks.items():
        last = torch.full_like(outputs, len(stack.tokens) - 1)
        origins = (outputs, outputs) if stack.is_aligned else (last, torch.zeros_like(outputs))
        places.append(Place(unrolled.prefixes[name], stack.layer, origins))
    return measure_gradients_by_lag(run, places, num_lags)


def _measure_windows(
    unrolled: Unrolled, runs: list[LayerRun], outputs: Tensor, errors: Tensor, num_lags: int, window: int
) -> dict[str, Tensor]:
    """Run only the steps that the lags of each loss reach, from the recorded state."""
    assert unrolled.run_from is not None
    run_from, rows = unrolled.run_from, torch.arange(len(outputs))
    firsts = (outputs - (window - 1)).clamp(min=0)  # (R,)
    inputs = unrolled.inputs[firsts[:, None] + torch.arange(window)]  # (R, W, E)
    states = [run.before.map(lambda part: part[firsts, 0]) for run in runs]  # each part (R, H)
    state = State.join(states, torch.stack)
    origins = outputs - firsts

    def run() -> Tensor:
        logits = run_from(inputs.clone().requires_grad_(), state)  # (R, W, V)
        return (logits[rows, origins] * errors).sum()

    return measure_gradients_by_lag(run, [Place("", unrolled.last.layer, (origins, origins))], num_lags)


def add_layers(norms: Norms) -> Norms:
    """Combine the layers and the parts of the state, by stack and direction."""
    squares: Norms = {}
    for name, values in norms.items():
        prefix, _, rest = name.partition("layer")
        direction = f"{prefix}{rest.split('.')[1]}"
        squares[direction] = squares.get(direction, 0.0) + values**2
    return {name: np.sqrt(values) for name, values in squares.items()}


def choose_curve(model: Any, totals: Norms) -> NDArray[np.float64]:
    """Choose the curve for the verdict, the mean of both directions if there are two.

    If a decoder has no attention, this is the curve of the encoder, whose last state must hold the whole source;
    otherwise, that of the stack that computes the outputs.
    """
    prefix = ""
    if any("." in name for name in totals):
        prefix = "encoder." if _must_encoder_remember(model) else "decoder."
    curves = np.stack([summarise(norms, "mean") for name, norms in totals.items() if name.startswith(prefix)])
    is_known = ~np.isnan(curves)
    weights = is_known / np.maximum(is_known.sum(axis=0), 1)  # a lag that only one direction reaches counts alone
    found: NDArray[np.float64] = (np.where(is_known, curves, 0.0) * weights).sum(axis=0)
    return found[is_known.any(axis=0)]


def summarise(norms: NDArray[np.float64], how: str | int) -> NDArray[np.float64]:
    """Return the mean, or a percentile, of the numbers in each column of (N, K) that are not NaN."""
    results = np.full(norms.shape[1], np.nan)
    for column, values in enumerate(norms.T):
        values = values[~np.isnan(values)]
        if len(values):
            results[column] = values.mean() if isinstance(how, str) else np.percentile(values, how)
    return results
