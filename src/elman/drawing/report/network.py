"""Diagrams of a network: with its loop, and unrolled over the steps of an input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from elman.drawing.report.svg import Drawing, Point
from elman.drawing.report.values import ModelReport, NetworkPlan, StackPlan

CELL_NAMES = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", "mingru": "minGRU"}
_BOX = (132.0, 50.0)
_DECODER = 470.0  # distance from the encoder to the decoder on its right
_FIRST, _LAST = 3, 2  # steps that are drawn at the beginning and at the end of a long input


def recursive_diagram(network: NetworkPlan) -> str:
    """Draw the network once, with a loop from each layer's state back to the layer."""
    drawing = Drawing()
    tops: list[Point] = []
    for index, stack in enumerate(network.stacks):
        is_decoder = stack.name == "decoder"
        x = index * _DECODER + (260.0 if network.regions else 0.0)
        tops.append(_draw_recursive_stack(drawing, network, stack, x))
        if is_decoder or len(network.stacks) == 1:
            _draw_output(drawing, network, tops[-1], stack)
    if network.regions:
        _draw_picture(drawing, network, (0.0, -30.0))
        decoder = network.stacks[-1]
        y = -118.0
        drawing.path([(46, -60), (46, y), (260 - _BOX[0] / 2, y)], "state dashed")
        drawing.text((120, y - 8), "initial state *h*_{0}", "note")
        if network.attention:
            _draw_attention_link(drawing, (20, -60), (260.0, _layer_height(decoder, decoder.num_layers - 1) - 25))
    if len(network.stacks) == 2:
        encoder, decoder = network.stacks
        y = _layer_height(decoder, 0) - 19
        start = (84 if encoder.directions == 2 else 0) + _BOX[0] / 2
        drawing.path([(start, y), (_DECODER - _BOX[0] / 2, y)], "state dashed")
        drawing.text((_DECODER - _BOX[0] / 2 - 12, y - 7), "final states → initial states", "note", "end")
        if network.attention:
            top = _layer_height(decoder, decoder.num_layers - 1) - 25
            x, y = tops[0]
            _draw_attention_link(drawing, (x + 66, y + 10) if encoder.directions == 2 else (x, y), (_DECODER, top))
    return drawing.svg(_describe_network(network), kind="diagram")


def unrolled_diagram(report: ModelReport) -> str:
    """Draw the network over the first and last steps of an input."""
    network, drawing = report.network, Drawing()
    x, columns = 0.0, {}
    for stack in network.stacks:
        tokens = report.runs[stack.name].tokens if stack.name in report.runs else [f"x{t + 1}" for t in range(3)]
        if network.regions and stack.name == "decoder":
            _draw_picture(drawing, network, (x, -20.0))
            x += 170
        first, last = (2, 1) if len(network.stacks) == 2 else (_FIRST, _LAST)
        chosen = _choose_steps(len(tokens), first, last)
        columns[stack.name] = _draw_unrolled_stack(drawing, network, stack, tokens, chosen, x)
        x = max(columns[stack.name].values(), default=x) + 190
    stack = network.stacks[-1]
    places = columns[stack.name]
    top = _unrolled_height(stack, stack.num_layers)
    if network.regions:
        drawing.path([(52, -20), (78, -20), (78, -90), (170 - 75, -90)], "state dashed")
    if len(network.stacks) == 2:
        encoder = network.stacks[0]
        ends = columns[encoder.name]
        start_x, start_y = max(ends.values()) + 25, _unrolled_height(encoder, encoder.num_layers - 1)
        end_x = min(places.values()) - 84
        end_y = _unrolled_height(stack, 0)
        middle = (start_x + end_x) / 2
        drawing.path([(start_x, start_y), (middle, start_y), (middle, end_y), (end_x, end_y)], "state dashed")
        if network.attention:
            _draw_unrolled_attention(drawing, network, ends, places, encoder)
    _draw_unrolled_outputs(drawing, report, places, top)
    return drawing.svg(
        f"The same network unrolled over {_describe_length(report)}; W, U and V are the same at every step.",
        kind="diagram",
    )


# ---------------------------------------------------------------- with its loop


def _layer_height(stack: StackPlan, layer: int) -> float:
    return -118.0 - layer * (152.0 if stack.directions == 2 else 108.0)


def _draw_recursive_stack(drawing: Drawing, network: NetworkPlan, stack: StackPlan, x: float) -> Point:
    """Draw the input and the layers of a stack around x; return the point where its output leaves."""
    is_written = stack.name == "decoder"
    width, height = _BOX
    drawing.box((x, 0), (width + 24, 44), "x")
    drawing.text((x, -2), "*x*_{t}", "label")
    what = (
        f"{stack.input_size} features"
        if network.vocabulary is None
        else f"{'last token' if is_written else network.reads} → {stack.input_size} features"
    )
    drawing.text((x, 14), what, "note")
    if len(network.stacks) == 2:
        drawing.text((x, 44), stack.name, "title")
    below: Point = (x, -22)
    size = stack.input_size
    for layer in range(stack.num_layers):
        y = _layer_height(stack, layer)
        sides = (1,) if stack.directions == 1 else (1, -1)
        above = y - height / 2 - 32
        for side in sides:
            centre = x if stack.directions == 1 else x + side * 84
            start = below if stack.directions == 1 else (below[0] + side * 12, below[1])
            mark = _format_subscript(stack, layer, side < 0)
            drawing.path([start, (centre, y + height / 2)], "w")
            corner, anchor = (centre + side * 10, y + height / 2 + 24), "start" if side > 0 else "end"
            drawing.text(corner, f"*W*{mark}", "letter w", anchor)
            drawing.text((corner[0], corner[1] + 15), f"{stack.rows}×{size}", "note", anchor)
            drawing.box((centre, y), _BOX, "h")
            parts = ", ".join("*c*_{t}" if part == "cell" else "*h*_{t}" for part in stack.state)
            drawing.text((centre, y - 4), f"{CELL_NAMES.get(stack.cell, stack.cell)}  {parts}", "label")
            way = {1: "", 2: " →" if side > 0 else " ←"}[stack.directions]
            drawing.text((centre, y + 14), f"{stack.hidden_size} units{way}", "note")
            _draw_loop(drawing, stack, (centre + side * width / 2, y), side, mark)
            if stack.directions == 2:
                drawing.path([(centre, y - height / 2), (x + side * 12, above)], "plain")
        if stack.directions == 2:
            drawing.box((x, above - 10), (132, 22), "merge", 11)
            drawing.text((x, above - 6), f"{stack.merge}: {stack.output_size}", "note")
            below = (x, above - 21)
        else:
            below = (x, y - height / 2)
        size = stack.output_size
    return below


def _draw_loop(drawing: Drawing, stack: StackPlan, edge: Point, side: int, mark: str) -> None:
    """Draw the loop that feeds a layer's state back to it one step later."""
    x, y = edge
    out = x + side * 40
    drawing.path([(x, y - 13), (out, y - 13), (out, y + 13), (x, y + 13)], "u")
    drawing.box((out, y), (20, 20), "delay", 3)
    drawing.text((out, y + 4), "1", "note")
    if stack.reads_hidden:
        words, shape = f"*U*{mark}", f"{stack.rows}×{stack.hidden_size}"
    else:
        words, shape = "", "state only"
    anchor = "start" if side > 0 else "end"
    if words:
        drawing.text((out + side * 16, y - 2), words, "letter u", anchor)
    drawing.text((out + side * 16, y + 14), shape, "note", anchor)


def _draw_output(drawing: Drawing, network: NetworkPlan, below: Point, stack: StackPlan) -> None:
    x, y = below
    width, height = _BOX
    if stack.name == "decoder" and network.attention:
        drawing.box((x, y - 34), (width, 28), "attention")
        drawing.text((x, y - 30), f"attention: {network.attention}", "note")
        drawing.path([(x, y), (x, y - 20)], "plain")
        y -= 48
    if network.pooling:
        drawing.box((x, y - 44), (width + 24, 30), "merge", 15)
        drawing.text((x, y - 40), _describe_pooling(network.pooling), "note")
        drawing.path([(x, y), (x, y - 29)], "plain")
        y -= 59
    drawing.path([(x, y), (x, y - 50)], "v")
    drawing.text((x + 10, y - 22), "*V*", "letter v", "start")
    drawing.text((x + 28, y - 22), f"{network.num_outputs}×{stack.output_size}", "note", "start")
    centre = (x, y - 50 - height / 2)
    drawing.box(centre, _BOX, "y")
    drawing.text((x, centre[1] - 4), "*y*" if network.pooling else "*y*_{t}", "label")
    drawing.text(
        (x, centre[1] + 14), f"{'scores of' if network.crf else 'softmax over'} {network.num_outputs:,}", "note"
    )
    if network.crf:
        top = centre[1] - height / 2
        drawing.path([(x, top), (x, top - 30)], "plain")
        drawing.box((x, top - 46), (width + 24, 32), "crf")
        drawing.text((x, top - 42), f"CRF: {network.num_outputs}×{network.num_outputs} transitions", "note")


def _draw_attention_link(drawing: Drawing, start: Point, end: Point) -> None:
    """Draw a line from the encoder or picture, around a corner, to the attention above a decoder's layer."""
    y = end[1] - 34
    is_beside = abs(start[1] - y) < 30
    corner = (start[0] + 24, start[1]) if is_beside else start
    drawing.path([start, corner, (corner[0], y), (end[0] - _BOX[0] / 2, y)], "attention")


def _draw_picture(drawing: Drawing, network: NetworkPlan, centre: Point) -> None:
    rows, columns = network.regions or (1, 1)
    side = min(60 / max(rows, columns), 16)
    x, y = centre
    for row in range(rows):
        for column in range(columns):
            drawing.box(
                (x + (column - (columns - 1) / 2) * side, y + (row - (rows - 1) / 2) * side),
                (side - 1, side - 1),
                "x",
                1,
            )
    drawing.text((x, y + rows * side / 2 + 16), f"picture: {rows}×{columns} regions", "note")
    drawing.text((x, y + rows * side / 2 + 31), f"of {network.features} features", "note")


# ---------------------------------------------------------------- unrolled


def _choose_steps(length: int, first: int, last: int) -> list[int | None]:
    """Return the steps to draw, with None for the steps that are left out."""
    if length <= first + last + 1:
        return list(range(length))
    return [*range(first), None, *range(length - last, length)]


def _unrolled_height(stack: StackPlan, layer: int) -> float:
    return -112.0 - layer * (156.0 if stack.directions == 2 else 82.0)


def _draw_unrolled_stack(
    drawing: Drawing,
    network: NetworkPlan,
    stack: StackPlan,
    tokens: Sequence[str],
    chosen: Sequence[int | None],
    left: float,
) -> dict[int, float]:
    """Draw the inputs and layers at the chosen steps; return each step's x."""
    is_double = stack.directions == 2
    width = 124.0 if is_double else 108.0
    at = {step: left + place * width for place, step in enumerate(chosen) if step is not None}
    length = len(tokens)
    if len(network.stacks) == 2:
        drawing.text(((min(at.values()) + max(at.values())) / 2, 46), stack.name, "title")
    for step, x in at.items():
        drawing.box((x, -26), (58, 30), "x")
        drawing.text((x, -22), f"*x*_{{{step + 1}}}", "label")
        drawing.token((x, 12), _shorten(tokens[step]))
    for layer in range(stack.num_layers):
        base = _unrolled_height(stack, layer)
        under = -41.0 if layer == 0 else _unrolled_height(stack, layer - 1) - (118 if is_double else 17)
        for is_reverse in (False, True)[: stack.directions]:
            y = base - (58 if is_reverse else 0)
            shift = (24 if is_reverse else -24) if is_double else 0
            mark = _format_subscript(stack, layer, is_reverse)
            for x in at.values():
                drawing.path([(x + shift, under), (x + shift, y + 17)], "w")
                if not is_reverse:
                    drawing.text((x + shift - 6, base + 36), f"*W*{mark}", "letter small w", "end")
                elif is_double:
                    drawing.text((x + shift + 6, base + 36), f"*W*{mark}", "letter small w", "start")
            _draw_chain(drawing, stack, at, (shift, y), mark, is_reverse=is_reverse, length=length)
            for step, x in at.items():
                drawing.box((x + shift, y), (44 if is_double else 58, 34), "h")
                drawing.text((x + shift, y + 4), f"*h*_{{{step + 1}}}", "label")
        if is_double:
            top = base - 58 - 17
            for x in at.values():
                drawing.path([(x - 24, base - 17), (x - 24, top - 27)], "plain")
                drawing.path([(x + 24, top), (x + 24, top - 27)], "plain")
                drawing.box((x, top - 35), (76, 16), "merge", 8)
                drawing.text((x, top - 31), stack.merge, "note")
    return at


def _draw_chain(
    drawing: Drawing,
    stack: StackPlan,
    at: dict[int, float],
    offset: Point,
    mark: str,
    *,
    is_reverse: bool,
    length: int,
) -> None:
    """Draw the arrows U from state to state, and the state before the first."""
    shift, y = offset
    half = 22.0 if stack.directions == 2 else 29.0
    sign = -1 if is_reverse else 1
    steps = sorted(at, reverse=is_reverse)
    start = at[steps[0]] + shift - sign * half
    name = f"*h*_{{{length + 1 if is_reverse else 0}}}"
    drawing.path([(start - sign * 34, y), (start, y)], "u")
    drawing.text((start - sign * 37, y + 4), name, "note", "end" if sign > 0 else "start")
    letter = f"*U*{mark}" if stack.reads_hidden else ""
    for before, after in pairwise(steps):
        from_x, to_x = at[before] + shift + sign * half, at[after] + shift - sign * half
        if abs(before - after) == 1:
            drawing.path([(from_x, y), (to_x, y)], "u")
            drawing.text(((from_x + to_x) / 2, y - 7), letter, "letter small u")
        else:
            middle = (from_x + to_x) / 2
            drawing.path([(from_x, y), (from_x + sign * 28, y)], "u", arrow=False)
            drawing.text((middle, y + 4), "…", "note")
            drawing.path([(to_x - sign * 28, y), (to_x, y)], "u")
            drawing.text((to_x - sign * 16, y - 7), letter, "letter small u")
            if not is_reverse and y == _unrolled_height(stack, 0):
                drawing.text((middle, -22), f"{abs(after - before) - 1:,} more", "note")


def _draw_unrolled_outputs(drawing: Drawing, report: ModelReport, at: dict[int, float], top: float) -> None:
    network, outputs = report.network, report.outputs
    stack = network.stacks[-1]
    rows = {step: row for row, step in enumerate(outputs.steps)} if outputs else {}
    under = top + (38 if stack.directions == 2 else 65)
    if network.pooling:
        left, right = min(at.values()), max(at.values())
        y = under - 40
        reads = sorted(at)
        if network.pooling == "last":
            reads = [reads[0], reads[-1]] if stack.directions == 2 else [reads[-1]]
        centre = (left + right) / 2
        drawing.box((centre, y), (right - left + 76, 24), "merge", 12)
        drawing.text((centre, y + 4), _describe_pooling(network.pooling), "note")
        for step in reads:
            drawing.path([(at[step], under), (at[step], y + 12)], "plain")
        drawing.path([(centre, y - 12), (centre, y - 46)], "v")
        drawing.text((centre + 8, y - 26), "*V*", "letter small v", "start")
        _draw_prediction(drawing, report, 0 if outputs and outputs.names else None, (centre, y - 61), "*y*")
        return
    previous: float | None = None
    for step, x in sorted(at.items()):
        if outputs is not None and step not in rows:
            continue
        y = under - 50
        drawing.path([(x, under), (x, y + 15)], "v")
        drawing.text((x + 7, under - 14), "*V*", "letter small v", "start")
        _draw_prediction(drawing, report, rows.get(step), (x, y), f"*y*_{{{step + 1}}}")
        if network.crf and previous is not None:
            drawing.path([(previous + 29, y), (x - 29, y)], "crf", arrow=False)
        previous = x


def _draw_prediction(drawing: Drawing, report: ModelReport, row: int | None, centre: Point, name: str) -> None:
    x, y = centre
    drawing.box(centre, (58, 30), "y")
    drawing.text((x, y + 4), name, "label")
    if row is not None and report.outputs is not None:
        best, share = report.outputs.names[row][0], report.outputs.probabilities[row][0]
        drawing.token((x, y - 38), _shorten(best))
        drawing.text((x, y - 23), f"{100 * share:.0f} %", "note")


def _draw_unrolled_attention(
    drawing: Drawing, network: NetworkPlan, read: dict[int, float], written: dict[int, float], encoder: StackPlan
) -> None:
    """Draw lines from every state of the encoder to the decoder's first step."""
    top = _unrolled_height(encoder, encoder.num_layers - 1) - (118 if encoder.directions == 2 else 17)
    decoder = network.stacks[-1]
    to_x = min(written.values())
    base = _unrolled_height(decoder, decoder.num_layers - 1)
    # Bahdanau attention acts before the cell, Luong attention after it.
    to_y = base + 30 if network.attention == "bahdanau" else base - 34
    high = min(top, to_y) - 30
    for x in read.values():
        drawing.path([(x, top), (x, high)], "attention", arrow=False)
    drawing.path([(min(read.values()), high), (to_x - 46, high), (to_x - 46, to_y), (to_x - 2, to_y)], "attention")
    drawing.text(((max(read.values()) + to_x) / 2 - 20, high - 8), f"attention: {network.attention}", "note")


# ---------------------------------------------------------------- labels


def _format_subscript(stack: StackPlan, layer: int, is_reverse: bool) -> str:
    which = (str(layer + 1) if stack.num_layers > 1 else "") + (
        "b" if is_reverse else "f" if stack.directions == 2 else ""
    )
    return f"_{{{which}}}" if which else ""


def _describe_pooling(pooling: str) -> str:
    return {"last": "last state", "mean": "mean over all states", "max": "max over all states"}.get(
        pooling, f"{pooling} over all states"
    )


def _shorten(token: str) -> str:
    """Make spaces and line breaks visible, and cut a long token."""
    visible = token.replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣")
    visible = visible or "∅"
    return visible if len(visible) <= 12 else visible[:11] + "…"


def _describe_length(report: ModelReport) -> str:
    run = report.runs.get(report.network.stacks[-1].name)
    return f"{len(run.tokens):,} steps" if run else "time"


def _describe_network(network: NetworkPlan) -> str:
    stacks = "; ".join(
        f"{stack.name}: {CELL_NAMES.get(stack.cell, stack.cell)}, layers: {stack.num_layers}, "
        f"units: {stack.hidden_size}, {'bidirectional' if stack.directions == 2 else 'forward'}"
        for stack in network.stacks
    )
    return f"The network with its loop. {stacks}; {network.num_outputs} outputs."
