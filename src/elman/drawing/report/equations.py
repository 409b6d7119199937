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
    lines = _EQUATIONS.get(cell, ["h{t} = g( W x{t} + U h{t−1} + b )"])
    if has_outputs:
        lines = [*lines, "y{t} = softmax( V h{t} + b{y} )"]
    items = "".join(f"<li>{_format_equation(line)}</li>" for line in lines)
    return f'<ul class="equations">{items}</ul>'


def _format_equation(line: str) -> str:
    line = re.sub(r"\{([^}]*)\}", r"<sub>\1</sub>", line)
    return re.sub(r"\b([WUV])\b(?![^<]*>)", lambda found: f'<b class="{found[0].lower()}">{found[0]}</b>', line)
