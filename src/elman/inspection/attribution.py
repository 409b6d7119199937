"""Which inputs decided an output: gradient times input, and integrated gradients."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.batching import IGNORED
from elman.draws import drawing
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.next_token import NextTokenModel
from elman.families.unrolled import Unrolled
from elman.inspection.inputs import check_model, select, to_double

logger = logging.getLogger(__name__)

STEPS_TOGETHER = 1 << 13  # steps in one batch
POINTS, MOST_POINTS = 8, 4096  # of an interval of the path that gradients are integrated along, and of all of it
CLOSE = 0.01  # of the difference of outputs: so much may be missing from the sum of attributions
MOST_SHOWN = 300  # tokens in a notebook


@dataclass(frozen=True, eq=False)
class InputAttribution:
    """How much each position of one input adds to the log-probability of some outputs."""

    record: int
    """The number of the input, from 1."""
    places: list[str]
    """The P places: what is read at each step, or the regions of a picture."""
    outputs: list[str]
    """The N outputs whose log-probability is explained: the targets or, by default, the model's own predictions."""
    steps: NDArray[np.int64]
    """(N,) the step of each output, counted from 0."""
    integrated: NDArray[np.float64]
    """(N, P) integrated gradients, in nats. Over all places they add up to ``values - baseline_values``."""
    gradient_times_input: NDArray[np.float64]
    """(N, P) gradient times input, the first-order approximation, in nats."""
    values: NDArray[np.float64]
    """(N,) log p(output | input)."""
    baseline_values: NDArray[np.float64]
    """(N,) log p(output | baseline)."""
    numbers: NDArray[np.float64] | None
    """(N, T, F) the integrated gradients of each number, if the model reads numbers."""

    @property
    def gaps(self) -> NDArray[np.float64]:
        """(N,) the error of the sum of integrated gradients, as a share of the difference of outputs."""
        differences = self.values - self.baseline_values
        missing = np.abs(self.integrated.sum(axis=1) - differences)
        shares: NDArray[np.float64] = missing / np.maximum(np.abs(differences), np.finfo(np.float64).tiny)
        return np.where(missing == 0, 0.0, shares)

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {
            "record": self.record,
            "places": self.places,
            "outputs": self.outputs,
            "steps": self.steps.tolist(),
            "integrated": self.integrated.tolist(),
            "gradient_times_input": self.gradient_times_input.tolist(),
            "values": self.values.tolist(),
            "baseline_values": self.baseline_values.tolist(),
            **({} if self.numbers is None else {"numbers": self.numbers.tolist()}),
        }

    def named_arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays by name, as in an ``.npz``."""
        found: dict[str, NDArray[Any]] = {
            "places": np.array(self.places, np.str_),
            "outputs": np.array(self.outputs, np.str_),
            "steps": self.steps,
            "integrated": self.integrated,
            "gradient_times_input": self.gradient_times_input,
            "values": self.values,
            "baseline_values": self.baseline_values,
        }
        if self.numbers is not None:
            found["numbers"] = self.numbers
        return {f"attribution.{name}": array for name, array in found.items()}


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """Which places of each input decided some outputs. ``attribution[k]`` is input k."""

    inputs: list[InputAttribution]

    def __len__(self) -> int:
        """Return the number of inputs."""
        return len(self.inputs)

    def __getitem__(self, number: int) -> InputAttribution:
        """Return one input's."""
        return self.inputs[number]

    def to_json(self) -> list[dict[str, Any]]:
        """Return everything as a JSON object."""
        return [own.to_json() for own in self.inputs]

    def __repr__(self) -> str:
        """Show the number of inputs, and what decided the first output."""
        first = self.inputs[0]
        decided = first.places[int(np.abs(first.integrated[0]).argmax())]
        number = "one input" if len(self) == 1 else f"{len(self):,} inputs"
        return f"<Attribution of {number}: {first.outputs[0]!r} depends most on {decided!r}>"

    def _repr_html_(self) -> str:
        """Show, in a notebook, the first input's places shaded by what they add to each output."""
        first, lines = self.inputs[0], []
        for output, row in zip(first.outputs, first.integrated, strict=True):
            largest = max(float(np.abs(row).max()), np.finfo(float).tiny)
            shaded = []
            for place, nats in list(zip(first.places, row, strict=True))[:MOST_SHOWN]:
                color = "30,110,220" if nats > 0 else "220,80,20"
                text = html.escape(place if place.strip() else {"\n": "↵"}.get(place, "␣"))
                style = f"background:rgba({color},{abs(nats) / largest:.2f})"
                shaded.append(f'<span title="{nats:+.3f} nats" style="{style}">{text}</span>')
            lines.append(f"<tr><td><b>{html.escape(output)}</b></td><td>{' '.join(shaded)}</td></tr>")
        return f"<table>{''.join(lines)}</table><p>Blue makes the output more likely, orange less.</p>"


def attribute(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    outputs: int | Sequence[int] | None = None,
    baseline: Any = 0.0,
    steps: int | None = None,
    record: int | None = None,
) -> Attribution:
    r"""Measure how much each place of an input adds to the log-probability of an output.

    It computes in float64, except for pictures, whose convolutions are many times slower in it.

    Integrated gradients follow the straight path from a baseline, an uninformative input, to the input. Their sum
    is the difference of the outputs; points are added until this holds within 1 %, otherwise there is a warning.

    Source: Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks", ICML, equation 1.

    Args:
        model: a fitted model of any task.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        y: the targets, whose log-probability is explained; by default the model's own predictions.
        outputs: the steps of the outputs to explain, counted from 0, or from the end if negative. By default the last
            one of a language model and a composer, and all outputs of other models.
        baseline: the uninformative input: zero, another number, or an array that broadcasts to an input.
        steps: read only this many steps of each input of a language model or a composer.
        record: read this input only, counted from 1.

    Returns:
        For each input the attributions of its tokens, regions, events or numbers. For a translator and a captioner, the
        tokens generated before the output stay fixed.

    Raises:
        UsageError: there is no such output, or the baseline has the wrong shape.
        DataError: there is no input.

    Example:
        >>> from elman import LanguageModel
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit("to be or not to be\n" * 80)
        >>> found = attribute(lm, "to be or")[0]
        >>> found.places, found.integrated.shape
        (['t', 'o', ' ', 'b', 'e', ' ', 'o', 'r'], (1, 8))
    """
    check_model(model)
    is_convolved = any(isinstance(module, nn.Conv2d) for module in model.network_.modules())
    exact = model if is_convolved else to_double(model)
    found = []
    for number, unrolled in enumerate(select(exact, X, y, steps=steps, record=record), start=record or 1):
        with torch.no_grad(), drawing(model.seed):
            log_probabilities = unrolled.log_probabilities(unrolled.run(unrolled.inputs[None])[0])[0]  # (M, V)
        chosen = _choose_outputs(outputs, len(log_probabilities), isinstance(model, NextTokenModel))
        goals = log_probabilities.argmax(dim=-1)
        if unrolled.targets is not None:
            targets = unrolled.targets.to(goals.device)
            goals = torch.where(targets == IGNORED, goals, targets)
        found.append(_attribute_one(exact, unrolled, chosen, goals[chosen], baseline, number))
    if not found:
        raise DataError("X is empty; give at least one input")
    return Attribution(found)


def _choose_outputs(outputs: int | Sequence[int] | None, number: int, is_last: bool) -> Tensor:
    """Choose the outputs to explain."""
    if outputs is None:
        return torch.tensor([number - 1]) if is_last else torch.arange(number)
    wanted = [outputs] if isinstance(outputs, int) else list(outputs)
    for step in wanted:
        if not -number <= step < number:
            raise UsageError(f"there is no output {step}: an input has {number}, counted from 0")
    if not wanted:
        raise UsageError("outputs is empty; name some, such as -1 for the last")
    return torch.tensor([step % number for step in wanted])


def _attribute_one(
    model: Model, unrolled: Unrolled, outputs: Tensor, goals: Tensor, baseline: Any, number: int
) -> InputAttribution:
    inputs = unrolled.inputs
    try:
        start = torch.as_tensor(baseline, dtype=inputs.dtype, device=inputs.device).expand_as(inputs)
    except (RuntimeError, TypeError, ValueError):
        shape = np.shape(baseline)
        raise UsageError(f"the baseline has the shape {shape}, an input {tuple(inputs.shape)}; give a number") from None
    explained = _Explained(model, unrolled, outputs, goals)
    values, gradients = explained.differentiate(torch.stack((start, inputs)))  # (N, 2), (N, 2, …)
    integrated = _integrate(explained, start, inputs - start, values[:, 1] - values[:, 0])
    places, to_places = _name_places(unrolled)
    result = InputAttribution(
        record=number,
        places=places,
        outputs=[str(unrolled.names[goal]) for goal in goals.tolist()],
        steps=outputs.numpy(),
        integrated=to_places(integrated).cpu().numpy(),
        gradient_times_input=to_places((inputs - start) * gradients[:, 1]).cpu().numpy(),
        values=values[:, 1].cpu().numpy(),
        baseline_values=values[:, 0].cpu().numpy(),
        numbers=integrated.cpu().numpy() if getattr(model, "level", "") == "numbers" else None,
    )
    if (result.gaps > CLOSE).any():
        logger.warning(
            "input %d: the integrated gradients lack %.0f %% of the difference of outputs; try another baseline",
            number,
            100 * result.gaps.max(),
        )
    return result


def _integrate(explained: _Explained, start: Tensor, path: Tensor, differences: Tensor) -> Tensor:
    """Multiply a path with the mean of the gradients along it (N, …).

    Each interval of the path is integrated by Gauss-Legendre quadrature. It is halved until its part of the sum is the
    difference of the outputs (N,) at its ends: a network that normalises turns sharply where an input is uniform.
    """
    nodes, weights = (
        torch.as_tensor(one, dtype=path.dtype, device=path.device) / 2
        for one in np.polynomial.legendre.leggauss(POINTS)
    )
    shape = (-1, *[1] * path.dim())
    rounding = 1e-9 if path.dtype == torch.float64 else 1e-4
    left = (0.8 * CLOSE * differences.abs()).clamp(min=rounding)  # (N,) of the error that is allowed
    edges = torch.linspace(0, 1, 3, dtype=path.dtype, device=path.device)
    firsts, widths = edges[:-1], edges.diff()  # (I,)
    total, num_points = torch.zeros_like(path), 0
    while True:
        shares = (firsts[:, None] + widths[:, None] * (nodes + 0.5)).flatten()  # (I · POINTS,)
        _, gradients = explained.differentiate(start + shares.view(shape) * path)
        gradients = gradients.view(-1, len(firsts), POINTS, *path.shape)  # (N, I, POINTS, …)
        means = (gradients * weights.view(shape)).sum(dim=2)  # (N, I, …)
        parts = path * means * widths.view(shape)
        ends = torch.stack((firsts, firsts + widths)).flatten()
        values = explained.evaluate(start + ends.view(shape) * path).reshape(-1, 2, len(firsts))  # (N, 2, I)
        gaps = (parts.flatten(2).sum(dim=2) - (values[:, 1] - values[:, 0])).abs()  # (N, I)
        num_points += len(shares)
        is_done = (gaps <= left[:, None] / (2 * len(firsts))).all(dim=0)
        if num_points >= MOST_POINTS or bool((gaps.sum(dim=1) <= left).all()):
            is_done[:] = True
        left = left - gaps[:, is_done].sum(dim=1)
        total = total + parts[:, is_done].sum(dim=1)
        if bool(is_done.all()):
            return total
        halves = widths[~is_done] / 2
        firsts = torch.cat((firsts[~is_done], firsts[~is_done] + halves))
        widths = torch.cat((halves, halves))


class _Explained:
    """The log-probabilities of N outputs of one input, as a function of the input."""

    def __init__(self, model: Model, unrolled: Unrolled, outputs: Tensor, goals: Tensor) -> None:
        self._seed, self._unrolled, self._outputs, self._goals = model.seed, unrolled, outputs, goals
        cost = max(*(len(stack.tokens) for stack in unrolled.stacks.values()), unrolled.inputs.numel() // 100, 1)
        is_random = any(stack.layer.initial_state == "random" for stack in unrolled.stacks.values())
        self._together = 1 if is_random else max(STEPS_TOGETHER // cost, 1)  # rows would start from different states

    def evaluate(self, inputs: Tensor) -> Tensor:
        """Return the log-probabilities for each of K inputs (N, K)."""
        with torch.no_grad():
            parts = [self._run(some)[:, self._outputs, self._goals] for some in torch.split(inputs, self._together)]
        values: Tensor = torch.cat(parts).T
        return values

    def differentiate(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities for each of K inputs (N, K), and their gradients (N, K, …)."""
        values, gradients = [], []
        for some in torch.split(inputs, self._together):
            own = some.detach().requires_grad_()
            with torch.enable_grad():
                chosen = self._run(own)[:, self._outputs, self._goals]  # (k, N)
                found = [torch.autograd.grad(one.sum(), own, retain_graph=True)[0] for one in chosen.T]
            values.append(chosen.detach().T)
            gradients.append(torch.stack(found))
        return torch.cat(values, dim=1), torch.cat(gradients, dim=1)

    def _run(self, inputs: Tensor) -> Tensor:
        with drawing(self._seed):
            return self._unrolled.log_probabilities(self._unrolled.run(inputs)[0])  # (R, M, V)


def _name_places(unrolled: Unrolled) -> tuple[list[str], Callable[[Tensor], Tensor]]:
    """Name the places of an input; return a function that sums over each: (N, …) to (N, P)."""
    inputs = unrolled.inputs
    if not unrolled.places:
        first = next(iter(unrolled.stacks.values()))
        return list(first.tokens), lambda found: found.sum(dim=-1)
    if inputs.dim() == 2:
        return list(unrolled.places), lambda found: found.sum(dim=-1)
    size, side = len(inputs), round(len(unrolled.places) ** 0.5)
    region = torch.arange(size) * side // size
    numbers = (region[:, None] * side + region).flatten()  # (S · S,)

    def add_up(found: Tensor) -> Tensor:
        pixels = found.sum(dim=-1).flatten(1)  # (N, S · S)
        return pixels.new_zeros(len(pixels), side * side).index_add(1, numbers.to(pixels.device), pixels)

    return list(unrolled.places), add_up
