"""``elman info DIR``: a model's settings and parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from elman.cli.arguments import parse
from elman.cli.help import About
from elman.cli.inputs import check_model


@dataclass(kw_only=True)
class Info:
    """Show a saved model's settings and figures, and every parameter with its shape and its name in the equations."""

    folder: tyro.conf.Positional[Annotated[Path, About(metavar="DIR")]]
    """The saved model."""


def run(words: Sequence[str]) -> int:
    """Show a model; see ``elman info --help``."""
    command = parse(Info, words, "elman info")
    check_model(command.folder)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from elman.drawing.report.equations import equations_text
    from elman.families.saved.description import named_shapes, num_parameters
    from elman.models import load

    model = load(command.folder)
    console = Console(markup=False, emoji=False)
    console.print(Text.assemble((type(model).__name__, "bold"), f" in {command.folder}"))
    console.print("\n".join(f"  {line}" for line in equations_text(model.cell)), highlight=False)
    table = Table("parameter", "shape", "count", "symbol", box=None, pad_edge=False)
    for name, shape, symbol in named_shapes(model.network_):
        table.add_row(name, " x ".join(map(str, shape)), f"{math.prod(shape):,}", symbol)
    console.print(table)
    total = num_parameters(model.network_)
    console.print(f"{total:,} parameters, the same for any number of time steps", highlight=False)
    settings = Table("setting", "value", box=None, pad_edge=False)
    for name, value in model.to_json().items():
        if name in model.chosen_:
            settings.add_row(name, f"{model.chosen_[name]} (chosen from the data)")
        elif value is not None:
            settings.add_row(name, str(value))
    console.print(settings)
    for part in ("valid", "train"):
        figures = ", ".join(f"{name} {value:,.6g}" for name, value in model.metrics_.get(part, {}).items())
        if figures:
            console.print(f"{part}: {figures}", highlight=False)
    if verdict := model.metrics_.get("verdict"):
        console.print(f"gradients by lag: {verdict}", highlight=False)
    return 0
