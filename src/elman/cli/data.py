"""``elman data list|show``: the small data sets that come with Elman."""

from __future__ import annotations

import inspect
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import tyro

from elman.cli.arguments import parse
from elman.cli.help import HELP, About
from elman.cli.layout import bold, listing
from elman.documents import write_json
from elman.errors import UsageError, suggest
from elman.files import make_folder, write_files
from elman.models.tasks import TASKS
from elman.training.schedule import check_positive


@dataclass(kw_only=True)
class List:
    """List the built-in data sets: name, task, size, and what each is."""

    json: bool = False
    """Print a JSON list, one object per data set."""


@dataclass(kw_only=True)
class Show:
    """Print a built-in data set, a file like your own: elman data show sentences > sentences.conllu."""

    name: tyro.conf.Positional[Annotated[str, About(metavar="NAME")]]
    """One of the names that elman data list shows."""
    lines: Annotated[int | None, About(default="all")] = None
    """Print this many lines from the beginning."""
    pictures: Annotated[Path | None, About(metavar="DIR")] = None
    """Write its pictures into this folder, as PNG files (shapes and unseen-shapes)."""


ACTIONS: dict[str, type[Any]] = {"list": List, "show": Show}


def run(words: Sequence[str]) -> int:
    """List or print data sets; see ``elman data --help``."""
    if not words or words[0] in HELP:
        print(bold("usage: elman data list | elman data show NAME"))
        actions = ((name, inspect.getdoc(action) or "") for name, action in ACTIONS.items())
        print(f"\n{bold('Actions:')}\n{listing(actions)}")
        print("\nelman data list --help and elman data show --help show their options.")
        if words:
            raise SystemExit(0)  # as help of every other command ends
        return 0
    if words[0] not in ACTIONS:
        raise UsageError(f"elman data has no {words[0]}{suggest(words[0], ACTIONS) or ';'} it has {', '.join(ACTIONS)}")
    action: Any = parse(ACTIONS[words[0]], words[1:], f"elman data {words[0]}")
    from elman.data.images.decoding import write_picture
    from elman.data.samples import SAMPLES, sample_pictures, sample_text

    tasks = {name: task for task, row in TASKS.items() for name in row.samples}
    if isinstance(action, Show):
        if action.lines is not None:
            check_positive("lines", action.lines)
        if action.pictures is not None:
            pixels = sample_pictures(action.name)
            make_folder(action.pictures)
            write_files({action.pictures / name: write_picture(picture) for name, picture in pixels.items()})
        sys.stdout.writelines(islice(io.StringIO(sample_text(action.name)), action.lines))
    elif action.json:
        rows = [
            {"name": name, "task": task, "size": SAMPLES[name].size, "description": SAMPLES[name].description}
            for name, task in sorted(tasks.items())
        ]
        print(write_json(rows, indent=2))
    else:
        for name, task in sorted(tasks.items()):
            print(f"{name:<15}{task:<12}{SAMPLES[name].size:<17}{SAMPLES[name].description}")
    return 0
