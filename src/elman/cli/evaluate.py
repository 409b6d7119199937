"""``elman evaluate DIR FILE``: judge a model on a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from elman.cli.arguments import parse, source
from elman.models import load


@dataclass(kw_only=True)
class Evaluate:
    """Judge a saved model on a text: every token but the first is predicted."""

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]
    """The saved model."""
    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]]
    """The text; sample:NAME names a built-in one."""
    json: bool = False
    """Print one flat JSON object."""


def run(words: Sequence[str]) -> int:
    """Judge what ``words`` say; see ``elman evaluate --help``."""
    command = parse(Evaluate, words, "elman evaluate")
    metrics = load(command.folder).evaluate(source(command.file))
    if command.json:
        print(json.dumps(metrics))
    else:
        for name, value in metrics.items():
            print(f"{name:<20} {value:,}" if isinstance(value, int) else f"{name:<20} {value:.4f}")
    return 0
