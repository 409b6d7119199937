"""``elman predict DIR FILE``: for a language model, every token with its surprisal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from elman.cli.arguments import parse, source
from elman.models import load


@dataclass(kw_only=True)
class Predict:
    r"""Print every token of a text with its surprisal in nats, tab-separated; NA for a first token that has none.

    Line breaks, tabs and backslashes in a token are written \n, \t and \\.
    """

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]
    """The saved model."""
    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]]
    """The text; sample:NAME names a built-in one."""


def run(words: Sequence[str]) -> int:
    """Print what ``words`` say; see ``elman predict --help``."""
    command = parse(Predict, words, "elman predict")
    model = load(command.folder)
    for index, (token, surprisal) in enumerate(model.predict(source(command.file))):
        if index == 0:
            print("token\tsurprisal")
        written = token.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
        print(f"{written}\t{'NA' if surprisal is None else f'{surprisal:.6f}'}")
    return 0
