"""``elman compare TASK``: models side by side on the same data."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated

import tyro

from elman.cli.arguments import parse, source
from elman.errors import UsageError, nearest
from elman.models.comparison import Row, compare_language_models
from elman.models.language_model import LanguageModel
from elman.training.progress import progress_for

TASKS = ("lm",)


@dataclass(kw_only=True)
class CompareLanguageModels:
    """Train several models on one text, each with the same time, and judge them on the same held-out part."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]]
    """The text; sample:NAME names a built-in one."""
    models: str = "ngram:5,window:5,rnn,gru,lstm"
    """Which, with commas between: ngram:ORDER, window:TOKENS, and rnn, gru or lstm, alone or as lstm:LAYERSxUNITS."""
    valid: str | None = None
    """Text file to judge on, in place of the end of the text."""
    json: bool = False
    """Print a JSON list, one object a model."""
    settings: tyro.conf.OmitArgPrefixes[LanguageModel] = field(default_factory=lambda: LanguageModel(minutes=1))


def run(words: Sequence[str]) -> int:
    """Compare what ``words`` say; see ``elman compare lm --help``."""
    if not words or words[0] in ("-h", "--help"):
        print(
            f"usage: elman compare TASK ...\n\nTASK is one of: {', '.join(TASKS)}; elman compare lm --help tells more"
        )
        return 0
    if words[0] not in TASKS:
        raise UsageError(f"elman compare has no task {words[0]}{nearest(words[0], TASKS) or ';'} it has {TASKS[0]}")
    command = parse(CompareLanguageModels, words[1:], "elman compare lm")
    rows = []
    comparison = compare_language_models(
        source(command.file),
        [name.strip() for name in command.models.split(",")],
        _with_budget(command.settings),
        valid=None if command.valid is None else source(command.valid),
        progress=progress_for(sys.stderr),
    )
    for row in comparison:
        rows.append(row)
    if command.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print_comparison(rows)
    return 0


def print_comparison(rows: Sequence[Row]) -> None:
    """Print the rows as a table, then what each model writes."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, pad_edge=False)
    for title in ("model", "nats/token", "bits/char", "parameters", "memory", "seconds", "unseen"):
        table.add_column(title, justify="left" if title == "model" else "right")
    for row in sorted(rows, key=lambda row: row.nats_per_token):
        table.add_row(
            row.model,
            f"{row.nats_per_token:.4f}",
            f"{row.bits_per_character:.4f}",
            f"{row.parameters:,}",
            f"{row.memory_bytes / 2**20:.1f} MiB",
            f"{row.seconds:.0f}",
            "" if row.unseen_contexts is None else f"{row.unseen_contexts:.1%}",
        )
    console.print(table)
    if any(row.unseen_contexts is not None for row in rows):
        console.print("unseen: the held-out contexts that the n-gram model never met; its parameters are n-grams")
    for row in rows:
        console.rule(f"{row.model} writes", align="left")
        console.print(row.sample.strip("\n"), highlight=False, markup=False)


def _with_budget(settings: LanguageModel) -> LanguageModel:
    """Let --steps or --epochs stand in place of the default minute."""
    if settings.minutes == 1 and (settings.steps is not None or settings.epochs is not None):
        settings.minutes = None
    return settings
