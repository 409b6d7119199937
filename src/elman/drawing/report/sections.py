"""The sections of the page: each picture with its caption and a table of its values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import NamedTuple, TypeAlias

import numpy as np

from elman.drawing.report.captions import CAPTIONS, SECTIONS
from elman.drawing.report.charts import context_chart, describe_ends, gradient_chart, holding_chart, saturation_chart
from elman.drawing.report.equations import equations_html
from elman.drawing.report.network import CELL_NAMES, recursive_diagram, unrolled_diagram
from elman.drawing.report.values import ModelReport, UnitScore

_ROWS = 1000  # in the table of inputs and outputs
_LAGS = (1, 2, 4, 8, 16, 32, 64)  # in the table of gradients


class Section(NamedTuple):
    """A section of the page."""

    name: str
    title: str
    lead: str
    content: str


def sections(reports: Sequence[ModelReport]) -> list[Section]:
    """Return the sections that the reports have data for."""
    diagrams = _figure("recursive", reports, _recursive) + _figure("unrolled", reports, _unrolled)
    curves = _gradients(reports) + _context(reports)
    contents = {
        "network": f'<div class="diagrams">{diagrams}</div>{_parameters(reports)}',
        "steps": _figure("step", reports, _view("steps", "One time step, chosen with a slider", _has_runs))
        + _figure("attention", reports, _view("attention", "Attention of the decoder", _has_attention)),
        "memory": _figure("heat", reports, _view("heat", "Units by time", _has_runs))
        + _figure("text", reports, _view("text", "The input, coloured by one unit", _has_runs))
        + _figure("saturation", reports, _saturation)
        + (f'<div class="pair">{curves}</div>' if curves else "")
        + _figure("holding", reports, _holding),
        "bptt": _figure("back", reports, _view("bptt", "Gradients back from a chosen step", _has_gradients)),
        "units": _figure("scores", reports, _units),
        "attribution": _figure("inputs", reports, _attribution),
    }
    made = [Section(name, *SECTIONS[name], content) for name, content in contents.items()]
    return [section for section in made if section.content]


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str) -> str:
    """Return a table whose first column names the rows."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(_cell(cell, is_first=not place) for place, cell in enumerate(row)) + "</tr>" for row in rows
    )
    inside = f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return _make_scrollable(f"<table>{inside}</table>", caption)


def _cell(value: object, *, is_first: bool) -> str:
    if is_first:
        return f'<th scope="row">{escape(str(value))}</th>'
    if isinstance(value, float):
        return f'<td class="number">{value:.4g}</td>' if np.isfinite(value) else '<td class="number">–</td>'
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{escape('–' if value is None else str(value))}</td>"


def _make_scrollable(content: str, label: str, data: str = "") -> str:
    """Make wide content scroll, also by keyboard."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(label)}"{data}>{content}</div>'


class _Picture(NamedTuple):
    """The picture of one model in a figure."""

    body: str
    behind: str = ""
    """A table of the same values."""


Builder: TypeAlias = Callable[[ModelReport, int], _Picture | None]
"""Takes a report and its index, and makes its picture; None if the report has no data for it."""


def _figure(name: str, reports: Sequence[ModelReport], build: Builder) -> str:
    """Return a figure with the pictures of all models side by side; empty if there are none."""
    pictures = [build(report, place) for place, report in enumerate(reports)]
    if not any(pictures):
        return ""
    bodies = [_add_table(picture) for picture in pictures]
    if len(reports) == 1:
        return _add_caption(name, bodies[0])
    columns = "".join(
        f'<div class="model"><p class="model-name">{escape(report.name)}</p>{body}</div>'
        for report, body in zip(reports, bodies, strict=True)
    )
    return _add_caption(name, f'<div class="models">{columns}</div>')


def _add_caption(name: str, body: str) -> str:
    title, reads, lacks = CAPTIONS[name]
    return (
        f'<figure class="figure" id="{name}" aria-labelledby="{name}-title">'
        f'<figcaption id="{name}-title">{escape(title)}</figcaption>{body}'
        f'<dl class="reading"><div><dt>How to read it</dt><dd>{escape(reads)}</dd></div>'
        f"<div><dt>What it does not show</dt><dd>{escape(lacks)}</dd></div></dl></figure>"
    )


def _add_table(picture: _Picture | None) -> str:
    if picture is None:
        return '<p class="missing">Not available for this model.</p>'
    if not picture.behind:
        return picture.body
    return f'{picture.body}<details class="table"><summary>As a table</summary>{picture.behind}</details>'


def _view(kind: str, label: str, has_numbers: Callable[[ModelReport], bool]) -> Builder:
    """Return a builder for a picture and a table that the script of the page fills in."""

    def build(report: ModelReport, place: int) -> _Picture | None:
        if not has_numbers(report):
            return None
        data = f' data-view="{kind}" data-model="{place}"'
        body = f'<div class="view" role="group" aria-label="{escape(label)}"{data}></div>'
        return _Picture(body, _make_scrollable("", f"{label}: table", f' data-table="{kind}" data-model="{place}"'))

    return build


def _has_runs(report: ModelReport) -> bool:
    return bool(report.runs)


def _has_attention(report: ModelReport) -> bool:
    return bool(report.runs) and report.attention is not None and report.outputs is not None


def _has_gradients(report: ModelReport) -> bool:
    return bool(report.runs) and report.gradients is not None


def _has_attributions(report: ModelReport) -> bool:
    return bool(report.attributions)


def _attribution(report: ModelReport, place: int) -> _Picture | None:
    picture = _view("attribution", "What each input adds", _has_attributions)(report, place)
    if picture is None or not report.attributed:
        return picture
    return picture._replace(body=f'{picture.body}<p class="remark">{escape(report.attributed)}</p>')


# ---------------------------------------------------------------- the network


def _recursive(report: ModelReport, place: int) -> _Picture:
    sizes = [
        (f"{stack.name}, layer {layer + 1}", size, stack.rows, stack.hidden_size, stack.directions, stack.output_size)
        for stack in report.network.stacks
        for layer, size in enumerate([stack.input_size, *[stack.output_size] * (stack.num_layers - 1)])
    ]
    head = ("Layer", "input size", "rows of W and U", "units", "directions", "output size")
    body = _make_scrollable(recursive_diagram(report.network), "The network with its loop")
    return _Picture(body, table(head, sizes, "Sizes of the recurrent layers"))


def _unrolled(report: ModelReport, place: int) -> _Picture:
    same = '<p class="remark">The same <b class="w">W</b>, <b class="u">U</b>, <b class="v">V</b> at every step.</p>'
    body = _make_scrollable(unrolled_diagram(report), "The network unrolled over this input") + same
    outputs, stack = report.outputs, report.network.stacks[-1].name
    if outputs is None or stack not in report.runs:
        return _Picture(body)
    tokens = report.runs[stack].tokens
    rows = [
        (step + 1, tokens[step], names[0], float(shares[0]), target, loss)
        for step, names, shares, target, loss in zip(
            outputs.steps, outputs.names, outputs.probabilities, outputs.targets, outputs.losses, strict=True
        )
    ]
    head = ("Step", "input", "most likely output", "probability", "target", "loss (nats)")
    caption = "Inputs and outputs" if len(rows) <= _ROWS else f"The first {_ROWS:,} inputs and outputs"
    return _Picture(body, table(head, rows[:_ROWS], caption))


def _parameters(reports: Sequence[ModelReport]) -> str:
    columns = []
    for report in reports:
        parameters = report.network.parameters
        total = sum(row.count for row in parameters)
        rows = [
            (
                row.name,
                row.symbol,
                " × ".join(map(str, row.shape)),
                row.count,
                f"{100 * row.count / max(total, 1):.1f} %",
            )
            for row in parameters
        ]
        name = f'<p class="model-name">{escape(report.name)}</p>' if len(reports) > 1 else ""
        rows_table = table(("Name", "symbol", "shape", "parameters", "share"), rows, f"Parameters of {report.name}")
        columns.append(f'<div class="model">{name}<p class="remark">{total:,} parameters.</p>{rows_table}</div>')
    cells = dict.fromkeys(stack.cell for report in reports for stack in report.network.stacks)
    equations = "".join(
        f'<details class="table"><summary>The equations of {escape(CELL_NAMES.get(cell, cell))}</summary>'
        f"{equations_html(cell)}</details>"
        for cell in cells
    )
    return (
        '<section class="figure" id="parameters"><h3 class="figcaption">Parameters</h3><p class="remark">No shape '
        "depends on the number of time steps: 5 steps and 5,000 steps use the same parameters.</p>"
        f'<div class="models">{"".join(columns)}</div>{equations}</section>'
    )


# ---------------------------------------------------------------- memory


def _saturation(report: ModelReport, place: int) -> _Picture | None:
    charts, rows = [], []
    for name, run in report.runs.items():
        for states in run.layers:
            where = f"{name}, {states.name}" if len(report.runs) > 1 else states.name
            drawn = []
            for gate, values in states.gates.items():
                if gate == "candidate":
                    continue
                left, right = (values < 0.1).mean(axis=0), (values > 0.9).mean(axis=0)  # (H,) each
                drawn.append(saturation_chart(gate, left, right))
                rows.append((f"{where}: {gate}", float(left.mean()), float(right.mean()), float(values.mean())))
            if drawn:
                charts.append(f'<div class="multiples"><h3>{escape(where)}</h3>{"".join(drawn)}</div>')
    if not charts:
        return None
    behind = table(("Gate", "share closed", "share open", "mean"), rows, "Share of steps with closed and open gates")
    return _Picture("".join(charts), behind)


def _gradients(reports: Sequence[ModelReport]) -> str:
    named = [(report.name, report.gradients) for report in reports if report.gradients is not None]
    if not named:
        return ""
    is_several = len(named) > 1
    verdicts = "".join(
        f'<p class="verdict {escape(gradients.verdict.split()[0])}"><strong>'
        f"{escape(f'{name}: {gradients.verdict}' if is_several else gradients.verdict.capitalize())}.</strong> "
        f"{escape(gradients.explanation)} {escape(gradients.remedy)}</p>"
        for name, gradients in named
    )
    rows = [
        (
            f"{name} · {curve.name}" if is_several else curve.name,
            *(float(curve.mean[lag - 1]) if lag <= len(curve.mean) else None for lag in _LAGS),
            "beyond" if curve.reach is None else curve.reach,
            "beyond" if curve.reach_percent is None else curve.reach_percent,
        )
        for name, gradients in named
        for curve in gradients.curves
    ]
    head = ("State", *(f"lag {lag}" for lag in _LAGS), "below 1/e at lag", "below 1 % at lag")
    chart = verdicts + _make_scrollable(gradient_chart(named), "Gradient by lag")
    picture = _Picture(chart, table(head, rows, "Mean size of the gradient by lag"))
    return _add_caption("gradients", _add_table(picture))


def _context(reports: Sequence[ModelReport]) -> str:
    named = [(report.name, report.context) for report in reports if report.context is not None]
    if not named:
        return ""
    rows: list[tuple[object, ...]] = []
    for name, use in named:
        ngrams = [*(use.ngram_losses or ()), *[None] * len(use.lags)]
        before = f"{name}: " if len(named) > 1 else ""
        found = zip(use.lags, use.losses, ngrams, strict=False)
        rows += [(f"{before}{lag}", loss, other) for lag, loss, other in found]
        if use.whole is not None:
            rows.append((f"{before}all", use.whole, None))
    behind = table(("Context (tokens)", "network", "n-grams"), rows, f"Loss by context, {named[0][1].unit}")
    picture = _Picture(_make_scrollable(context_chart(named), "Loss by context"), behind)
    return _add_caption("context", _add_table(picture))


def _holding(report: ModelReport, place: int) -> _Picture | None:
    if not report.holding:
        return None
    tokens = next(iter(report.runs.values())).tokens if report.runs else ()
    words = "".join(
        f'<p class="remark"><strong>{escape(held.name)}</strong>: {describe_ends(held)}.</p>' for held in report.holding
    )
    rows = [
        (step + 1, tokens[step] if step < len(tokens) else "", *(float(held.shares[step]) for held in report.holding))
        for step in range(len(report.holding[0].shares))
    ]
    behind = table(("Step", "token", *(held.name for held in report.holding)), rows, "Shares by time step")
    return _Picture(words + _make_scrollable(holding_chart(report.holding), "Shares by time step"), behind)


# ---------------------------------------------------------------- units


def _units(report: ModelReport, place: int) -> _Picture | None:
    if not report.units:
        return None
    has_effects = any(unit.effect for unit in report.units)
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in (
            "Feature",
            "unit",
            "score",
            "measure",
            "chance level",
            *["loss with the unit at zero"] * has_effects,
        )
    )
    rows = "".join(_unit_row(unit, place, has_effects) for unit in report.units)
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return _Picture(_make_scrollable(body, "Units that follow a feature"))


def _unit_row(unit: UnitScore, place: int, has_effects: bool) -> str:
    choice = f"{unit.layer},{int(unit.is_reverse)},{unit.part},{unit.unit}"
    name = f"layer {unit.layer + 1}{', backward' if unit.is_reverse else ''} · {unit.part} · {unit.unit}"
    bound = "–" if unit.bound is None else f"{unit.bound:.3f}"
    kind = "" if unit.bound is None or unit.score > unit.bound else ' class="chance"'
    effect = f"<td>{escape(unit.effect or '– (a gate)')}</td>" if has_effects else ""
    return (
        f'<tr{kind}><th scope="row">{escape(unit.feature)}</th>'
        f'<td><button type="button" data-choose="{escape(choice)}" data-model="{place}">{escape(name)}</button></td>'
        f'<td class="number">{unit.score:.3f}</td><td>{escape(unit.measure)}</td>'
        f'<td class="number">{bound}</td>{effect}</tr>'
    )
