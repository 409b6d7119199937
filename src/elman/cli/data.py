"""``elman data list|show``: the small data sets that come with Elman."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import tyro

from elman.cli.arguments import parse
from elman.data.images.decoding import write_picture
from elman.data.samples import SAMPLES, sample_pictures, sample_text
from elman.documents import write_json
from elman.errors import UsageError, suggest
from elman.files import make_folder, write_files
from elman.models.tasks import TASKS
from elman.training.schedule import check_positive


@dataclass(kw_only=True)
class List:
    """Tell each data set's name, its task (of elman train), its size, and what it is."""

    json: bool = False
    """Print a JSON list, one object a data set."""


@dataclass(kw_only=True)
class Show:
    """Print a data set as the file that it is: elman data show sentences > sentences.conllu."""

    name: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="NAME")]]
    """Which one, of those that elman data list names."""
    lines: int | None = None
    """Print this many lines, from the first on; all where not given."""
    pictures: Path | None = None
    """Write its pictures into this folder, as PNG files (shapes and unseen-shapes)."""


ACTIONS: dict[str, type[Any]] = {"list": List, "show": Show}


def run(words: Sequence[str]) -> int:
    """List or show what ``words`` say; see ``elman data --help``."""
    if not words or words[0] in ("-h", "--help"):
        print("usage: elman data list | elman data show NAME; elman data list --help and show --help tell more")
        if words:
            raise SystemExit(0)  # as help of every other command ends
        return 0
    if words[0] not in ACTIONS:
        raise UsageError(f"elman data has no {words[0]}{suggest(words[0], ACTIONS) or ';'} it has {', '.join(ACTIONS)}")
    action: Any = parse(ACTIONS[words[0]], words[1:], f"elman data {words[0]}")
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
