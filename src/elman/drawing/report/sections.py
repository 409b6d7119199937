"""The sections of the page: each picture with a sentence on how to read it, one on what it does not show, and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from elman.drawing.report.charts import context_chart, ends, gradient_chart, holding_chart, saturation_chart
from elman.drawing.report.equations import equations_html
from elman.drawing.report.network import CELL_NAMES, recursive_diagram, unrolled_diagram
from elman.drawing.report.values import ModelReport, StackPlan


class Section(NamedTuple):
    """A section: of each model its own pictures, or one picture of all."""

    name: str
    title: str
    lead: str
    content: str


def sections(reports: Sequence[ModelReport]) -> list[Section]:
    """Return the sections that there are numbers for."""
    entries: list[tuple[str, str, str, Callable[[Sequence[ModelReport]], str]]] = [
        (
            "network",
            "The network",
            "One step computes a new state from an input and the state before it. The same weights do it at every step.",
            lambda all_: _beside(all_, _network),
        ),
        (
            "steps",
            "Step by step",
            "What one time step computes, with this input’s numbers.",
            lambda all_: _beside(all_, _steps),
        ),
        (
            "memory",
            "Memory",
            "What the state keeps, for how long, and how far back training and prediction reach.",
            _memory,
        ),
        (
            "bptt",
            "Back-propagation through time",
            "The loss of one step, sent back through the states before it.",
            lambda all_: _beside(all_, _bptt),
        ),
        (
            "units",
            "Units",
            "Single units whose value follows something in the input.",
            lambda all_: _beside(all_, _units),
        ),
        (
            "attribution",
            "Attribution",
            "Which inputs decided an output.",
            lambda all_: _beside(all_, _attribution),
        ),
    ]
    made = [Section(name, title, lead, build(reports)) for name, title, lead, build in entries]
    return [section for section in made if section.content]


def figure(name: str, title: str, body: str, reads: str, lacks: str, table: str = "") -> str:
    """Return a picture with its title, how to read it, what it does not show, and the table behind it."""
    behind = f'<details class="table"><summary>As a table</summary>{table}</details>' if table else ""
    return (
        f'<figure class="figure" id="{name}" aria-labelledby="{name}-title"><figcaption id="{name}-title">{escape(title)}'
        f'</figcaption>{body}<dl class="reading"><div><dt>How to read it</dt><dd>{escape(reads)}</dd></div>'
        f"<div><dt>What it does not show</dt><dd>{escape(lacks)}</dd></div></dl>{behind}</figure>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str) -> str:
    """Return a table whose first column names the rows."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(_cell(cell, is_first=not place) for place, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}'
        f"</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: object, *, is_first: bool) -> str:
    if is_first:
        return f'<th scope="row">{escape(str(value))}</th>'
    if isinstance(value, float):
        return f'<td class="number">{value:.4g}</td>' if np.isfinite(value) else '<td class="number">–</td>'
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{escape('–' if value is None else str(value))}</td>"


def _beside(reports: Sequence[ModelReport], build: Callable[[ModelReport, int], str]) -> str:
    """Set what each model has side by side; nothing where none has anything."""
    parts = [build(report, place) for place, report in enumerate(reports)]
    if not any(parts):
        return ""
    if len(reports) == 1:
        return parts[0]
    columns = "".join(
        f'<div class="model"><h3 class="model-name">{escape(report.name)}</h3>{part or _MISSING}</div>'
        for report, part in zip(reports, parts, strict=True)
    )
    return f'<div class="models">{columns}</div>'


_MISSING = '<p class="missing">No numbers of this model.</p>'


def _view(kind: str, place: int, label: str) -> str:
    """A picture that the page's script draws."""
    return f'<div class="view" data-view="{kind}" data-model="{place}" role="group" aria-label="{escape(label)}"></div>'


def _drawn(svg: str, label: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">{svg}</div>'


# ---------------------------------------------------------------- the network


def _network(report: ModelReport, place: int) -> str:
    network = report.network
    shapes = [
        (f"{stack.name}, layer {layer + 1}", size, stack.rows, stack.hidden_size, stack.directions, stack.output_size)
        for stack in network.stacks
        for layer, size in enumerate([stack.input_size, *[stack.output_size] * (stack.num_layers - 1)])
    ]
    recursive = figure(
        f"recursive-{place}",
        "With its loop",
        _drawn(recursive_diagram(network), "The network with its loop"),
        "Follow one step from bottom to top. The state leaves a layer and comes back one step later: the square marked 1 "
        "is that delay.",
        "What the weights have learned; a trained network and an untrained one look the same here.",
        table(
            ("Layer", "reads", "rows of W and U", "units", "directions", "hands on"),
            shapes,
            "Sizes of the recurrent layers",
        ),
    )
    unrolled = figure(
        f"unrolled-{place}",
        "Unrolled over this input",
        _drawn(unrolled_diagram(report), "The network unrolled over this input")
        + '<p class="remark">The same <b class="w">W</b>, <b class="u">U</b>, <b class="v">V</b> at every step.</p>',
        "One column for each time step. Arrows with the same letter are the same matrix, so the columns differ only in "
        "what they read and remember.",
        "The steps that are left out. They are computed in the same way.",
        _tokens_table(report),
    )
    total = sum(row.count for row in network.parameters)
    rows = [
        (row.name, row.symbol, " × ".join(map(str, row.shape)), row.count, f"{100 * row.count / max(total, 1):.1f} %")
        for row in network.parameters
    ]
    parameters = (
        f'<section class="figure" id="parameters-{place}"><h3 class="figcaption">Parameters</h3>'
        f'<p class="remark">{total:,} numbers. None of the shapes holds a time: the network has as many parameters for '
        "5 steps as for 5,000.</p>"
        f"{table(('Name', 'letter', 'shape', 'numbers', 'share'), rows, f'Parameters of {report.name}')}"
        f"{equations_block(network.stacks)}</section>"
    )
    return recursive + unrolled + parameters


def equations_block(stacks: Sequence[StackPlan]) -> str:
    """Return the equations of every cell that the stacks have."""
    cells = dict.fromkeys(stack.cell for stack in stacks)
    return "".join(
        f'<details class="table"><summary>The equations of {CELL_NAMES.get(cell, cell)}</summary>{equations_html(cell)}</details>'
        for cell in cells
    )


def _tokens_table(report: ModelReport) -> str:
    outputs = report.outputs
    stack = report.network.stacks[-1].name
    if outputs is None or stack not in report.runs:
        return ""
    tokens = report.runs[stack].tokens
    rows = [
        (step + 1, tokens[step], names[0], float(shares[0]), target, loss)
        for step, names, shares, target, loss in zip(
            outputs.steps, outputs.names, outputs.probabilities, outputs.targets, outputs.losses, strict=True
        )
    ]
    return table(
        ("Step", "reads", "likeliest output", "probability", "target", "loss, nats"), rows, "Inputs and outputs"
    )


# ---------------------------------------------------------------- step by step, and memory


def _steps(report: ModelReport, place: int) -> str:
    if not report.runs:
        return ""
    return figure(
        f"step-{place}",
        "One time step",
        _view("steps", place, "One time step, chosen with a slider"),
        "Move the slider, or press the arrow keys on it. Bars are the values of single units at that step, slow units on "
        "the left; on the right is what the network expects.",
        "Why a unit has its value. What a unit stands for only shows over many steps and texts.",
        '<div class="scroll" tabindex="0" role="region" aria-label="Values at this step" data-table="steps" '
        f'data-model="{place}"></div>',
    )


def _memory(reports: Sequence[ModelReport]) -> str:
    return "".join(
        (
            _beside(reports, _states),
            _beside(reports, _saturation),
            _gradients(reports),
            _context(reports),
            _beside(reports, _holding),
        )
    )


def _states(report: ModelReport, place: int) -> str:
    if not report.runs:
        return ""
    return figure(
        f"heat-{place}",
        "All units over time",
        _view("heat", place, "Units by time"),
        "One row for each unit, one column for each time step. Units that change every step are at the top, units that "
        "stay as they are for long at the bottom. Arrow keys move the cursor.",
        "Which units matter: V may ignore a unit that moves a lot.",
        '<div class="scroll" tabindex="0" role="region" aria-label="Units" data-table="heat" '
        f'data-model="{place}"></div>',
    ) + figure(
        f"text-{place}",
        "The input, coloured by one unit",
        _view("text", place, "The input, coloured by one unit"),
        "The colour of a token is the value of the chosen unit after it has read that token.",
        "Whether the unit does the same elsewhere. What fits one text may be chance; section Units measures it.",
        '<div class="scroll" tabindex="0" role="region" aria-label="Values of the unit" data-table="text" '
        f'data-model="{place}"></div>',
    )


def _saturation(report: ModelReport, place: int) -> str:
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
                charts.append(f'<div class="multiples"><h4>{escape(where)}</h4>{"".join(drawn)}</div>')
    if not charts:
        return ""
    return figure(
        f"saturation-{place}",
        "Open and closed gates",
        "".join(charts),
        "One dot for each unit. Far right: its gate is closed (below 0.1) most of the time. High up: it is open (above "
        "0.9) most of the time. A forget or update gate that stays open keeps its memory.",
        "When a gate opens, and at which token.",
        table(("Gate", "closed, share", "open, share", "mean"), rows, "How often gates are closed and open"),
    )


def _gradients(reports: Sequence[ModelReport]) -> str:
    named = [(report.name, report.gradients) for report in reports if report.gradients is not None]
    if not named:
        return ""
    verdicts = "".join(
        f'<p class="verdict {escape(gradients.verdict.split()[0])}"><strong>'
        f"{escape(name) + ': ' if len(named) > 1 else ''}{escape(gradients.verdict)}</strong> "
        f"{escape(gradients.explanation)} {escape(gradients.remedy)}</p>"
        for name, gradients in named
    )
    rows = [
        (
            f"{name} · {curve.name}" if len(named) > 1 else curve.name,
            *(float(curve.mean[lag - 1]) if lag <= len(curve.mean) else None for lag in _LAGS),
            "beyond" if curve.reach is None else curve.reach,
            "beyond" if curve.reach_percent is None else curve.reach_percent,
        )
        for name, gradients in named
        for curve in gradients.curves
    ]
    return figure(
        "gradients",
        "Gradient by lag",
        verdicts + _drawn(gradient_chart(named), "Gradient by lag"),
        "How strongly the loss at one step depends on the state k steps before. The scale is logarithmic: a straight "
        "falling line is a gradient that shrinks by the same factor at every step.",
        "Whether the network uses what lies far back. A small gradient does not rule that out, a large one does not prove "
        "it; the loss by context measures it.",
        table(
            ("State", *(f"lag {lag}" for lag in _LAGS), "1/e after", "1 % after"),
            rows,
            "Mean size of the gradient by lag",
        ),
    )


_LAGS = (1, 2, 4, 8, 16, 32, 64)


def _context(reports: Sequence[ModelReport]) -> str:
    named = [(report.name, report.context) for report in reports if report.context is not None]
    if not named:
        return ""
    rows: list[tuple[object, ...]] = []
    for name, use in named:
        ngrams = use.ngram_losses or [None] * len(use.lags)
        before = f"{name}: " if len(named) > 1 else ""
        rows += [
            (f"{before}{lag}", loss, other) for lag, loss, other in zip(use.lags, use.losses, ngrams, strict=False)
        ]
        if use.whole is not None:
            rows.append((f"{before}all", use.whole, None))
    return figure(
        "context",
        "Loss by context",
        _drawn(context_chart(named), "Loss by context"),
        "The state is set back so that the network sees only the last k tokens. Where the line stops falling, it makes no "
        "use of what lies further back.",
        "What a network trained on short contexts would reach: this one was never trained to begin in the middle.",
        table(("Tokens", "the network", "n-grams"), rows, f"Loss by context, {named[0][1].unit}"),
    )


def _holding(report: ModelReport, place: int) -> str:
    if not report.holding:
        return ""
    tokens = next(iter(report.runs.values())).tokens if report.runs else ()
    words = "".join(
        f"<p class='remark'><strong>{escape(held.name)}</strong> holds {ends(held)}.</p>" for held in report.holding
    )
    rows = [
        (step + 1, tokens[step] if step < len(tokens) else "", *(float(held.shares[step]) for held in report.holding))
        for step in range(len(report.holding[0].shares))
    ]
    return figure(
        f"holding-{place}",
        "What the last state holds",
        words + _drawn(holding_chart(report.holding, tokens), "What the last state holds"),
        "How much the vector from which the classifier decides would move if one input changed, as a share of all inputs.",
        "Whether the beginning or the end should count more for this input.",
        table(("Step", "token", *(held.name for held in report.holding)), rows, "Shares by time step"),
    )


# ---------------------------------------------------------------- what flows back, units, inputs


def _bptt(report: ModelReport, place: int) -> str:
    if report.gradients is None or not report.runs:
        return ""
    return figure(
        f"back-{place}",
        "Arrows back from one loss",
        _view("bptt", place, "Gradients sent back from a chosen step"),
        "The thickness of an arrow is the size of the gradient that arrives at that state; the number below is its share "
        "of the largest.",
        "The direction of the gradient, and the losses of other steps: training adds all of them.",
        '<div class="scroll" tabindex="0" role="region" aria-label="Gradients sent back" data-table="bptt" '
        f'data-model="{place}"></div>',
    )


def _units(report: ModelReport, place: int) -> str:
    if not report.units:
        return ""
    rows = "".join(
        "<tr>"
        f'<th scope="row">{escape(unit.feature)}</th>'
        f'<td><button type="button" data-choose="{unit.layer},{int(unit.is_reverse)},{escape(unit.part)},{unit.unit}" '
        f'data-model="{place}">layer {unit.layer + 1}{" ←" if unit.is_reverse else ""} · {escape(unit.part)} · {unit.unit}</button></td>'
        f'<td class="number">{unit.score:.3f}</td><td>{escape(unit.measure)}</td>'
        f'<td class="number">{"–" if unit.bound is None else f"{unit.bound:.3f}"}</td><td>{escape(unit.effect)}</td></tr>'
        for unit in report.units
    )
    body = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Units that follow something"><table><thead><tr>'
        '<th scope="col">Follows</th><th scope="col">unit</th><th scope="col">score</th><th scope="col">measure</th>'
        f'<th scope="col">chance reaches</th><th scope="col">when it is changed</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
    return figure(
        f"unit-scores-{place}",
        "Units that follow something",
        body,
        "AUC 1 means that the value of this one unit tells exactly where the feature holds, 0.5 that it tells nothing. "
        "Chance is what the best unit reaches on shuffled labels. Choose a unit to colour the text by it.",
        "Cause. That a unit follows a feature does not mean that the network uses it; the last column changes the unit "
        "and looks.",
    )


def _attribution(report: ModelReport, place: int) -> str:
    if not report.attributions:
        return ""
    return figure(
        f"inputs-{place}",
        "What each input adds",
        _view("attribution", place, "Inputs coloured by what they add to an output"),
        "One colour speaks for the output, the other against it; the stronger, the more. Together they add up to what the "
        "whole input changes.",
        "How inputs work together. Another method may divide the same sum in another way.",
        '<div class="scroll" tabindex="0" role="region" aria-label="What each input adds" data-table="attribution" '
        f'data-model="{place}"></div>',
    )
