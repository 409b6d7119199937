"""The equations of a cell, with the letters W, U and V in the colours of the diagrams."""

from __future__ import annotations

import re

_EQUATIONS = {
    "rnn": ["h{t} = tanh( W x{t} + U h{t−1} + b )"],
    "gru": [
        "r{t} = σ( W{r} x{t} + U{r} h{t−1} + b{r} )",
        "z{t} = σ( W{z} x{t} + U{z} h{t−1} + b{z} )",
        "n{t} = tanh( W{n} x{t} + b{n} + r{t} ⊙ ( U{n} h{t−1} + b'{n} ) )",
        "h{t} = ( 1 − z{t} ) ⊙ n{t} + z{t} ⊙ h{t−1}",
    ],
    "lstm": [
        "i{t} = σ( W{i} x{t} + U{i} h{t−1} + b{i} )",
        "f{t} = σ( W{f} x{t} + U{f} h{t−1} + b{f} )",
        "g{t} = tanh( W{g} x{t} + U{g} h{t−1} + b{g} )",
        "o{t} = σ( W{o} x{t} + U{o} h{t−1} + b{o} )",
        "c{t} = f{t} ⊙ c{t−1} + i{t} ⊙ g{t}",
        "h{t} = o{t} ⊙ tanh( c{t} )",
    ],
    "mingru": [
        "z{t} = σ( W{z} x{t} + b{z} )",
        "n{t} = W{n} x{t} + b{n}",
        "h{t} = ( 1 − z{t} ) ⊙ h{t−1} + z{t} ⊙ n{t}",
    ],
}


def equations_html(cell: str, *, has_outputs: bool = True) -> str:
    """Return the equations of a cell as an HTML list; the general form for a cell without equations here."""
    items = "".join(f"<li>{_format_equation(line)}</li>" for line in _equations(cell, has_outputs))
    return f'<ul class="equations">{items}</ul>'


def equations_text(cell: str, *, has_outputs: bool = True) -> list[str]:
    """Return the equations of a cell as lines of plain text.

    Example:
        >>> equations_text("rnn")
        ['h_t = tanh( W x_t + U h_{t-1} + b )', 'y_t = softmax( V h_t + b_y )']
    """
    subscript = {"t−1": "_{t-1}"}
    return [
        re.sub(r"\{([^}]*)\}", lambda found: subscript.get(found[1], f"_{found[1]}"), line)
        for line in _equations(cell, has_outputs)
    ]


def _equations(cell: str, has_outputs: bool) -> list[str]:
    lines = _EQUATIONS.get(cell, ["h{t} = g( W x{t} + U h{t−1} + b )"])
    return [*lines, "y{t} = softmax( V h{t} + b{y} )"] if has_outputs else lines


def _format_equation(line: str) -> str:
    line = re.sub(r"\{([^}]*)\}", r"<sub>\1</sub>", line)
    return re.sub(r"\b([WUV])\b(?![^<]*>)", lambda found: f'<b class="{found[0].lower()}">{found[0]}</b>', line)
