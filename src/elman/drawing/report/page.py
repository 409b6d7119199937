"""The page: one HTML file with its style and script inside; it loads nothing else and runs no other script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from elman.drawing.report.arrays import EXACT_VALUES, MOST_VALUES, pack, time_scales
from elman.drawing.report.sections import Section, sections, table
from elman.drawing.report.values import Array, LayerStates, ModelReport, StackRun


def html(*reports: ModelReport) -> str:
    """Return the report of a model, or of several side by side, as one HTML file.

    The file contains its style, script and data. Its content security policy allows only this script and this style,
    by their hashes, and no requests. All text is escaped.

    Args:
        reports: the report of each model.
    """
    style, script = (_read_asset(name) for name in ("report.css", "report.js"))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    made = sections(reports)
    data = _format_json([_pack_report(report) for report in reports])
    title = "Inside " + ", ".join(report.name for report in reports)
    links = "".join(f'<li><a href="#{section.name}">{escape(section.title)}</a></li>' for section in made)
    body = "".join(_section(section, place) for place, section in enumerate(made, 1))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="generator" content="Elman">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f'<body class="{"several" if len(reports) > 1 else "single"}">'
        '<a class="skip" href="#content">Skip to the report</a>'
        f'{_header(reports)}<nav aria-label="Sections"><ol>{links}</ol></nav>'
        '<noscript><p class="notice">Pictures with a slider need JavaScript; diagrams do not.</p></noscript>'
        f'<main id="content" tabindex="-1">{body}</main>\n'
        "<footer><p>Made with Elman. All numbers come from the layers that the model runs.</p></footer>\n"
        f'<script type="application/json" id="data">{data}</script>\n'
        f"<script>{script}</script></body></html>\n"
    )


def _read_asset(name: str) -> str:
    return files("elman.drawing.report").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _format_json(value: Any) -> str:
    """Return JSON that is safe inside a script element: no tag can begin or end in it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _header(reports: Sequence[ModelReport]) -> str:
    is_several = len(reports) > 1
    tasks, sources = (
        " · ".join(filter(None, dict.fromkeys(values)))
        for values in ([report.task for report in reports], [report.source for report in reports])
    )
    notes = "".join(
        f'<p class="notice">{escape(f"{report.name}: {note}" if is_several else note)}</p>'
        for report in reports
        for note in report.notes
    )
    return (
        f'<header><p class="kicker">Elman · {escape(tasks)}</p>'
        f"<h1>{escape(f'{len(reports)} models, side by side' if is_several else reports[0].name)}</h1>"
        f'<p class="source">{escape(sources)}</p>{_figures(reports)}{notes}</header>'
    )


def _figures(reports: Sequence[ModelReport]) -> str:
    """Return the figures at the top of the page: a list for one model, a table for several."""
    if len(reports) == 1:
        items = reports[0].figures.items()
        inside = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in items)
        return f'<dl class="figures">{inside}</dl>'
    names = dict.fromkeys(name for report in reports for name in report.figures)
    rows = [(name, *(report.figures.get(name) for report in reports)) for name in names]
    return table(("Figure", *(report.name for report in reports)), rows, "Figures")


def _section(section: Section, place: int) -> str:
    return (
        f'<section id="{section.name}" aria-labelledby="{section.name}-heading"><h2 id="{section.name}-heading">'
        f'<span class="ordinal" aria-hidden="true">{place}</span>{escape(section.title)}</h2>'
        f'<p class="lead">{escape(section.lead)}</p>{section.content}</section>'
    )


# ---------------------------------------------------------------- the data for the script


def _pack_report(report: ModelReport) -> dict[str, Any]:
    total = sum(_count_values(states) for run in report.runs.values() for states in run.layers)
    stride = max(1, -(-total // MOST_VALUES))
    return {
        "name": report.name,
        "stacks": [_pack_stack(name, run, stride, is_exact=total <= EXACT_VALUES) for name, run in report.runs.items()],
        "outputs": _pack_outputs(report),
        "attention": None if report.attention is None else pack(report.attention, is_exact=False),
        "firstUnit": _choose_first_unit(report),
        "places": {"regions": report.network.regions},
        "gradients": _pack_gradients(report),
        "attributions": [
            {
                "target": one.target,
                "method": one.method,
                "scores": _round(one.scores),
                "tokens": list(one.tokens),
                "completeness": one.completeness,
                "regions": one.regions,
            }
            for one in report.attributions
        ],
    }


def _choose_first_unit(report: ModelReport) -> list[Any] | None:
    """Choose the unit to show first: the one furthest above its chance level, of a state if possible, not of a gate."""
    beyond = [unit for unit in report.units if unit.bound is not None and unit.score > unit.bound]
    if not beyond:
        return None
    best = max(beyond, key=lambda unit: (unit.part in ("hidden", "cell"), unit.score - (unit.bound or 0.0)))
    return [best.layer, best.is_reverse, best.part, best.unit]


def _count_values(states: LayerStates) -> int:
    return states.hidden.size * (1 + (states.cell is not None) + len(states.gates))


def _pack_stack(name: str, run: StackRun, stride: int, *, is_exact: bool) -> dict[str, Any]:
    return {
        "name": name,
        "tokens": list(run.tokens),
        "layers": [_pack_layer(states, stride, is_exact=is_exact) for states in run.layers],
    }


def _pack_layer(states: LayerStates, stride: int, *, is_exact: bool) -> dict[str, Any]:
    scales = time_scales(states.hidden if states.cell is None else states.cell)  # (H,)
    order = np.argsort(scales, kind="stable")[:: max(1, stride)]  # units to show, from fast to slow
    shown = np.sort(order)
    parts: dict[str, Array] = {"hidden": states.hidden}
    if states.cell is not None:
        parts["cell"] = states.cell
    parts |= {f"gate {gate}": values for gate, values in states.gates.items()}
    terms = states.terms
    return {
        "name": states.name,
        "layer": states.layer,
        "reverse": states.is_reverse,
        "units": shown.tolist(),
        "size": len(scales),
        "order": np.searchsorted(shown, order).tolist(),
        "scales": np.round(scales[shown], 1).tolist(),
        "gates": list(states.gates),
        "parts": {part: pack(values[:, shown], is_exact=is_exact) for part, values in parts.items()},
        "start": {part: _round(values[shown]) for part, values in states.start.items() if np.any(values)},
        "sizes": None if states.sizes is None else [_round(row) for row in states.sizes],
        "terms": None
        if terms is None
        else {
            "input": pack(terms.from_input, is_exact=True),
            "hidden": pack(terms.from_hidden, is_exact=True),
            "biasInput": _round(terms.bias_input),
            "biasHidden": _round(terms.bias_hidden),
        },
    }


def _pack_outputs(report: ModelReport) -> dict[str, Any] | None:
    outputs = report.outputs
    if outputs is None:
        return None
    return {
        "steps": list(map(int, outputs.steps)),
        "names": [list(row) for row in outputs.names],
        "probabilities": [_round(np.asarray(row, np.float64)) for row in outputs.probabilities],
        "targets": list(outputs.targets),
        "losses": [None if loss is None else round(float(loss), 4) for loss in outputs.losses],
        "targetProbabilities": [
            None if share is None else float(f"{share:.4g}") for share in outputs.target_probabilities
        ],
        "pooled": report.network.pooling is not None,
    }


def _pack_gradients(report: ModelReport) -> dict[str, Any] | None:
    gradients = report.gradients
    if gradients is None:
        return None
    return {
        "targets": list(map(int, gradients.targets)),
        "curves": [
            {
                "name": curve.name,
                "stack": curve.stack or report.network.stacks[-1].name,
                "reverse": curve.is_reverse,
                "origins": list(map(int, curve.origins)),
                "norms": [
                    [float(f"{value:.4g}") if np.isfinite(value) else None for value in row] for row in curve.norms
                ],
            }
            for curve in gradients.curves
        ],
    }


def _round(values: Array) -> list[float]:
    return [float(f"{value:.4g}") if np.isfinite(value) else 0.0 for value in np.asarray(values).tolist()]
