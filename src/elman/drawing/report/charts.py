"""Charts of the measurements, with labelled axes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np

from elman.drawing.report.svg import Drawing, format_length
from elman.drawing.report.values import Array, ContextPlot, GradientPlot, Holding

_WIDTH, _HEIGHT = 460.0, 230.0
_SHADES = 6  # line colours in report.css


class _Axes:
    """Axes with ticks, each linear or logarithmic."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        size: tuple[float, float] = (_WIDTH, _HEIGHT),
        log_x: bool = False,
        log_y: bool = False,
    ) -> None:
        self.drawing = Drawing()
        self._x, self._y, self._size = x, y, size
        self._log_x, self._log_y = log_x, log_y
        self.drawing.include((0, 0), size)

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (
            self._size[0] * _share(x, self._x, self._log_x),
            self._size[1] * (1 - _share(y, self._y, self._log_y)),
        )

    def draw_frame(self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, y_label: str) -> None:
        width, height = self._size
        for value in y_ticks:
            _, y = self.at(self._x[0], value)
            self.drawing.path([(0, y), (width, y)], "grid", arrow=False)
            self.drawing.text((-8, y + 4), format_tick(value), "tick", "end")
        self.drawing.path([(0, height), (width, height)], "axis", arrow=False)
        for value in x_ticks:
            x, _ = self.at(value, self._y[0])
            self.drawing.path([(x, height), (x, height + 4)], "axis", arrow=False)
            self.drawing.text((x, height + 18), format_tick(value), "tick")
        self.drawing.text((width, height + 36), x_label, "axis-label", "end")
        self.drawing.text((-44, -14), y_label, "axis-label", "start")

    def line(self, xs: Sequence[float], ys: Sequence[float], kind: str, *, dots: bool = False) -> None:
        low = self._y[0] if self._log_y else -math.inf  # a logarithmic axis ends above zero
        points = [self.at(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y) and y >= low]
        if len(points) > 1:
            self.drawing.path(points, kind, arrow=False)
        if dots or len(points) == 1:
            for point in points:
                self.drawing.circle(point, 3, f"dot {kind}")

    def band(self, xs: Sequence[float], lower: Sequence[float], upper: Sequence[float], kind: str) -> None:
        ups = [self.at(x, max(y, self._y[0])) for x, y in zip(xs, upper, strict=True) if math.isfinite(y)]
        downs = [self.at(x, max(y, self._y[0])) for x, y in zip(xs, lower, strict=True) if math.isfinite(y)]
        points = " ".join(f"{format_length(x)},{format_length(y)}" for x, y in [*ups, *reversed(downs)])
        self.drawing.raw(f'<polygon class="band {kind}" points="{points}"/>')

    def upright(self, x: float, words: str, kind: str, level: int = 0) -> None:
        here, _ = self.at(x, self._y[0])
        self.drawing.path([(here, 0), (here, self._size[1])], f"mark {kind}", arrow=False)
        anchor = "end" if here > self._size[0] * 0.7 else "start"
        self.drawing.text((here + (-6 if anchor == "end" else 6), 12 + 16 * level), words, "note", anchor)


def gradient_chart(named: Sequence[tuple[str, GradientPlot]]) -> str:
    """Draw |d loss_t / d state_{t−k}| over the lag k, for one model or several.

    Args:
        named: the name of each model, and its gradients.
    """
    most = 1 if len(named) > 1 else _SHADES  # curves of each model
    curves = [(name, curve) for name, gradients in named for curve in gradients.curves[:most]]
    largest_lag = max(len(curve.mean) for _, curve in curves)
    seen = np.concatenate([_select_positive(curve.mean) for _, curve in curves])
    high = float(seen.max()) if len(seen) else 1.0
    low = max(float(seen.min()) if len(seen) else 1e-3, high * 1e-8)
    ceiling, floor = 10 ** math.ceil(math.log10(high)), 10 ** math.floor(math.log10(low))
    if ceiling == floor:
        ceiling *= 10
    axes = _Axes((1, max(largest_lag, 2)), (floor, ceiling), log_y=True)
    decades = round(math.log10(ceiling / floor))
    y_ticks = [ceiling / 10**step for step in range(0, decades + 1, max(1, math.ceil(decades / 6)))]
    lags = [lag for lag in round_ticks(1, largest_lag) if lag == round(lag)]
    axes.draw_frame(lags, y_ticks, "lag k (steps)", "|d loss_{t} / d state_{t−k}|")
    if len(named) == 1:
        first = curves[0][1]
        lower = np.maximum(np.nan_to_num(first.lower), floor)
        axes.band(range(1, len(lower) + 1), lower.tolist(), np.minimum(first.upper, ceiling).tolist(), "series0")
    for index, (_, curve) in enumerate(curves):
        axes.line(range(1, len(curve.mean) + 1), curve.mean.tolist(), f"series series{index % _SHADES}")
    if len(named) == 1:
        if first.reach is not None:
            axes.upright(first.reach, f"below 1/e at lag {first.reach}", "reach")
        if first.reach_percent is not None:
            axes.upright(first.reach_percent, f"below 1 % at lag {first.reach_percent}", "reach", 1)
        truncated = named[0][1].truncated_at
        if truncated is not None and truncated <= largest_lag:
            axes.upright(truncated, f"training is truncated at {truncated}", "truncated", 2)
    names = [name if len(named) > 1 else curve.name for name, curve in curves]
    label = "Size of the gradient by lag. " + " ".join(
        f"{name}: {curve.mean[0]:.2g} at lag 1, {curve.mean[-1]:.2g} at lag {len(curve.mean)}."
        for name, (_, curve) in zip(names, curves, strict=True)
    )
    return axes.drawing.svg(label, kind="chart") + legend(names)


def context_chart(named: Sequence[tuple[str, ContextPlot]]) -> str:
    """Draw the loss with a context of k tokens only, and the loss of n-gram models if there is one."""
    series: list[tuple[str, Sequence[int], Sequence[float], str]] = []
    for index, (name, use) in enumerate(named):
        before = f"{name} · " if len(named) > 1 else ""
        series.append((f"{before}network", use.lags, use.losses, f"series{index % _SHADES}"))
    for _, use in named[:1]:
        if use.ngram_losses is not None:
            known = {lag: loss for lag, loss in zip(use.lags, use.ngram_losses, strict=False) if loss is not None}
            series.append(("n-grams with the same context", [*known], [*known.values()], "other"))
    every = [value for _, _, values, _ in series for value in values if math.isfinite(value)]
    every += [use.whole for _, use in named if use.whole is not None]
    low, high = min(every), max(every)
    spread = (high - low) or 1.0
    lags = sorted({lag for _, use in named for lag in use.lags})
    axes = _Axes(
        (min(lags), max(max(lags), min(lags) + 1)),
        (max(low - 0.1 * spread, 0), high + 0.08 * spread),
        log_x=min(lags) > 0,
    )
    axes.draw_frame(
        _thin(lags),
        round_ticks(max(low - 0.1 * spread, 0), high + 0.08 * spread, 5),
        "context k (tokens)",
        named[0][1].unit,
    )
    for _, xs, ys, kind in series:
        axes.line(xs, ys, f"series {kind}", dots=True)
    for index, (_, use) in enumerate(named):
        if use.whole is not None:
            _, y = axes.at(min(lags), use.whole)
            axes.drawing.path([(0, y), (_WIDTH, y)], f"mark series{index % _SHADES}", arrow=False)
            if len(named) == 1:
                axes.drawing.text((_WIDTH, y - 6), f"full context: {use.whole:.3f}", "note", "end")
    label = f"Loss by context. From {series[0][2][0]:.3f} to {series[0][2][-1]:.3f} {named[0][1].unit}."
    return axes.drawing.svg(label, kind="chart") + legend(
        [name for name, *_ in series], ["other" if kind == "other" else "" for *_, kind in series]
    )


def saturation_chart(name: str, left: Array, right: Array) -> str:
    """Draw a point for each unit: how often its gate is below 0.1, and how often above 0.9.

    Args:
        name: the name of the gate.
        left: for each unit, the share of the steps at which the gate is below 0.1, (H,).
        right: the same for above 0.9, (H,).
    """
    axes = _Axes((0, 1), (0, 1), size=(170, 170))
    axes.drawing.path([axes.at(0, 1), axes.at(1, 0)], "grid", arrow=False)
    axes.draw_frame((0, 0.5, 1), (0, 0.5, 1), "below 0.1", f"{name}: above 0.9")
    units = Counter(zip(left.tolist(), right.tolist(), strict=True))  # with few steps, many units share a place
    for kind, low, high in (("one", 1, 1), ("few", 2, 9), ("many", 10, math.inf)):
        places = [axes.at(x, y) for (x, y), number in units.items() if low <= number <= high]
        dots = "".join("M{} {}h0".format(*map(format_length, place)) for place in places)
        axes.drawing.raw(f'<path class="points {kind}" d="{dots}"/>' if dots else "")
    label = (
        f"{name}: on average {100 * left.mean():.0f} % of the steps below 0.1 and {100 * right.mean():.0f} % above 0.9."
    )
    return axes.drawing.svg(label, kind="chart small")


def holding_chart(holdings: Sequence[Holding]) -> str:
    """Draw how much of each input the last state holds."""
    largest = max(float(held.shares.max(initial=0.0)) for held in holdings) or 1.0
    length = len(holdings[0].shares)
    axes = _Axes((0.5, length + 0.5), (0, largest), size=(_WIDTH, 170))
    steps = [step for step in round_ticks(1, length) if step == round(step)]
    axes.draw_frame(steps, round_ticks(0, largest, 4), "time step", "share")
    for index, held in enumerate(holdings):
        axes.line(range(1, length + 1), held.shares.tolist(), f"series series{index % _SHADES}", dots=length <= 40)
    label = "; ".join(f"{held.name}: {describe_ends(held)}" for held in holdings)
    return axes.drawing.svg(label, kind="chart") + legend([held.name for held in holdings])


def describe_ends(held: Holding) -> str:
    """Describe how much of the last state comes from the first and from the last third of the input."""
    third = max(len(held.shares) // 3, 1)
    first, last = float(held.shares[:third].sum()), float(held.shares[-third:].sum())
    return f"{100 * first:.0f} % from the first third of the input, {100 * last:.0f} % from the last third"


def legend(names: Sequence[str], kinds: Sequence[str] = ()) -> str:
    """Return the legend of a chart; empty if the chart has only one line."""
    if len(names) < 2:
        return ""
    kinds = kinds or [""] * len(names)
    items = "".join(
        f'<li><span class="key {kind or f"series{index % _SHADES}"}"></span>{escape(name)}</li>'
        for index, (name, kind) in enumerate(zip(names, kinds, strict=True))
    )
    return f'<ul class="legend">{items}</ul>'


def round_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Return up to ``most`` round numbers from low to high; 1 is added if it is the low end.

    Example:
        >>> round_ticks(1, 64)
        [1, 10, 20, 30, 40, 50, 60]
    """
    spread = max(high - low, 1e-9)
    size = 10 ** math.floor(math.log10(spread))
    step = next(
        step for step in (size / 10, size / 5, size / 2, size, 2 * size, 5 * size, 10 * size) if spread / step < most
    )
    first = math.ceil(low / step - 1e-9)
    ticks = [round(place * step, 10) for place in range(first, math.floor(high / step + 1e-9) + 1)]
    return [low, *ticks] if low == 1 and 1 not in ticks else ticks


def format_tick(value: float) -> str:
    """Format the number of a tick in few characters."""
    if value and (abs(value) < 0.001 or abs(value) >= 100_000):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:,.4g}"


def _share(value: float, ends: tuple[float, float], is_log: bool) -> float:
    low, high = ends
    if is_log:
        value, low, high = (math.log(max(one, 1e-300)) for one in (value, low, high))
    return min(max((value - low) / ((high - low) or 1.0), -0.02), 1.02)


def _select_positive(values: Array) -> Array:
    kept: Array = values[np.isfinite(values) & (values > 0)]
    return kept


def _thin(values: Sequence[int]) -> list[float]:
    every = max(1, math.ceil(len(values) / 9))
    return [float(value) for value in values[::every]]
