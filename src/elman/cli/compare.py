"""``elman compare TASK``: models side by side on the same data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, make_dataclass
from typing import Annotated, Any, TypeVar

import tyro

from elman.cli.arguments import Switch, parse, source
from elman.cli.settings import setting_fields, settings_of
from elman.comparison.labels import LabelRow
from elman.comparison.language_models import LanguageModelRow
from elman.documents import write_json
from elman.errors import UsageError, suggest
from elman.models.tasks import TASKS, Comparison, TaskRow
from elman.training.progress import progress_for
from elman.training.schedule import TrainingSettings

Settings = TypeVar("Settings", bound=TrainingSettings)


@dataclass(kw_only=True)
class Compare:
    """What every ``elman compare TASK`` takes; :func:`command_of` adds a task's own files and settings."""

    json: Switch = False
    """Print a JSON list, one object a model."""


def command_of(row: TaskRow, comparison: Comparison) -> type[Compare]:
    """Return the dataclass of a task's command: its flags, and their help."""
    files, argument = row.files, tyro.conf.arg
    conf: Any = tyro.conf
    metavar, valid = files.metavar.rstrip("."), "File to evaluate on, in place of a part of the data."
    default = "(default: a tenth of the data; see --valid-fraction)"
    fields: list[tuple[str, Any, Any]] = [
        ("file", conf.Positional[Annotated[str, argument(metavar=metavar, help=files.help)]], MISSING),
        ("models", Annotated[str, argument(help=comparison.models_help)], comparison.models),
        ("valid", Annotated[str | None, argument(metavar="FILE", help=valid, help_behavior_hint=default)], None),
        *setting_fields(row.settings_class, row.settings_class(minutes=1)),
    ]
    command = make_dataclass(f"Compare{row.class_name}", fields, bases=(Compare,), kw_only=True)
    command.__doc__ = comparison.help
    return command


def run(words: Sequence[str]) -> int:
    """Compare what ``words`` say; see ``elman compare TASK --help``."""
    comparisons = {task: row.comparison for task, row in TASKS.items() if row.comparison is not None}
    listed = ", ".join(comparisons)
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: elman compare TASK ...\n\nTASK is one of: {listed}; elman compare TASK --help tells more")
        return 0
    task = words[0]
    if task not in comparisons:
        raise UsageError(f"elman compare has no task {task}{suggest(task, comparisons) or ';'} it has {listed}")
    command: Any = parse(command_of(TASKS[task], comparisons[task]), words[1:], f"elman compare {task}")
    settings = TASKS[task].model_class(**settings_of(command, TASKS[task].settings_class).get_params())
    rows = list(
        comparisons[task].compare(
            source(command.file, task),
            [name.strip() for name in command.models.split(",")],
            _with_budget(settings),
            valid=None if command.valid is None else source(command.valid, task),
            progress=progress_for(sys.stderr),
        )
    )
    if command.json:
        print(write_json([asdict(row) for row in rows], indent=2))
    elif isinstance(rows[0], LabelRow):
        print_label_comparison(rows)
    else:
        print_comparison(rows)
    return 0


def print_comparison(rows: Sequence[LanguageModelRow]) -> None:
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


def print_label_comparison(rows: Sequence[LabelRow]) -> None:
    """Print the rows as a table, the best last."""
    from rich.console import Console
    from rich.table import Table

    titles = {
        "model": "model",
        "accuracy": "accuracy",
        "accuracy_unseen": "unseen words",
        "macro_f1": "macro F1",
        "span_f1": "span F1",
        "parameters": "parameters",
        "seconds": "seconds to learn",
        "targets_per_second": "predicted a second",
    }
    shown = [name for name in titles if any(getattr(row, name) is not None for row in rows)]
    table = Table(box=None, pad_edge=False)
    for name in shown:
        table.add_column(titles[name], justify="left" if name == "model" else "right")
    for row in sorted(rows, key=lambda row: row.accuracy if row.span_f1 is None else row.span_f1):
        table.add_row(*(_cell(name, getattr(row, name)) for name in shown))
    Console().print(table)


def _cell(name: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return (
        f"{value:,.0f}"
        if name in ("parameters", "targets_per_second")
        else f"{value:.{1 if name == 'seconds' else 4}f}"
    )


def _with_budget(settings: Settings) -> Settings:
    """Let --steps or --epochs stand in place of the default minute."""
    if settings.minutes == 1 and (settings.steps is not None or settings.epochs is not None):
        settings.minutes = None
    return settings
