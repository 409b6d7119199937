"""``elman compare TASK``: models side by side on the same data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from elman.cli.arguments import parse
from elman.cli.help import About
from elman.cli.settings import setting_fields, settings_of
from elman.cli.tasks import choose_task
from elman.cli.train import as_list, data_fields, training_data
from elman.documents import write_json
from elman.errors import UsageError
from elman.files import write_files
from elman.models.tasks import TASKS, Comparison, TaskRow
from elman.training.progress import progress_for
from elman.training.schedule import TrainingSettings

if TYPE_CHECKING:
    from elman.comparison.conclusion import Outcome
    from elman.comparison.language_models import LanguageModelRow

Settings = TypeVar("Settings", bound=TrainingSettings)


@dataclass(kw_only=True)
class Compare:
    """The options of every ``elman compare TASK``; :func:`compare_command` adds a task's own files and settings."""

    seeds: Annotated[int, About(group="training")] = 1
    """Train each model with this many seeds, from --seed on, and show the mean and the standard deviation."""
    picture: Annotated[Path | None, About(metavar="FILE.svg", group="output")] = None
    """Draw the models, their spread and their cost into this file."""
    json: Annotated[bool, About(group="output")] = False
    """Print a JSON list, one object per model."""


def compare_command(row: TaskRow, comparison: Comparison) -> type[Compare]:
    """Return the dataclass of a task's command."""
    models = About(text=comparison.models_help, metavar="NAME,...", group="network")
    fields: list[tuple[str, Any, Any]] = [
        *data_fields(row),
        ("models", Annotated[str, models], comparison.models),
        *setting_fields(row.settings_class, row.settings_class(minutes=1), minutes="Train each model for this long."),
    ]
    command = make_dataclass(f"Compare{row.class_name}", fields, bases=(Compare,), kw_only=True)
    command.__doc__ = comparison.help
    return command


def run(words: Sequence[str]) -> int:
    """Compare models; see ``elman compare TASK --help``."""
    comparisons = {task: row.comparison for task, row in TASKS.items() if row.comparison is not None}
    task = choose_task("compare", "Train several models on the same data, and compare them.", words, comparisons)
    if task is None:
        return 0
    command: Any = parse(compare_command(TASKS[task], comparisons[task]), words[1:], f"elman compare {task}")
    settings = TASKS[task].model_class(**settings_of(command, TASKS[task].settings_class).get_params())
    if command.seeds < 1:
        raise UsageError(f"`seeds` is {command.seeds}; it must be at least 1")
    if command.picture is not None and not command.picture.parent.is_dir():
        raise UsageError(f"`picture` {command.picture}: there is no folder {command.picture.parent}; create it first")
    settings = _with_budget(settings)
    files = as_list(command.files)
    if not files:
        raise UsageError(f"elman compare {task} needs a file: elman compare {task} FILE")
    data, targets, valid = training_data(task, command)
    by_seed = [
        list(
            comparisons[task].compare(
                data,
                [name.strip() for name in command.models.split(",")],
                replace(settings, seed=settings.seed + number),
                valid=valid,
                **({} if targets is None else {"y": targets}),
                progress=progress_for(sys.stderr),
            )
        )
        for number in range(command.seeds)
    ]
    from elman.comparison.conclusion import conclude, gather

    outcomes = gather(by_seed)
    rows = [outcome.mean for outcome in outcomes]
    if command.picture is not None:
        write_files({command.picture: _draw(outcomes).encode()})
    if command.json:
        spreads = [{"seeds": command.seeds, "spread": outcome.spread} for outcome in outcomes]
        found = [asdict(row) for row in rows]
        print(
            write_json(
                [{**row, **(more if command.seeds > 1 else {})} for row, more in zip(found, spreads, strict=True)],
                indent=2,
            )
        )
        return 0
    if task == "lm":
        print_comparison(rows)
    else:
        print_figures(rows)
    held_out = getattr(rows[0], "held_out", 0) if rows[0].figure == "accuracy" else 0
    if sentence := conclude(outcomes, rows[0].figure, [row.is_network for row in rows], held_out):
        print(sentence)
    return 0


def _draw(outcomes: Sequence[Outcome[Any]]) -> str:
    """Draw the models, the best one first."""
    from elman.drawing.comparison import comparison_bars

    figure = outcomes[0].mean.figure
    sign = 1 if figure.startswith("nats_") else -1
    ranked = sorted(outcomes, key=lambda outcome: sign * float(getattr(outcome.mean, figure)))
    rows = [outcome.mean for outcome in ranked]
    return comparison_bars(
        [row.model for row in rows],
        [getattr(row, figure) for row in rows],
        [outcome.spread[figure] for outcome in ranked],
        [row.seconds for row in rows],
        [row.is_network for row in rows],
        figure,
    )


def print_comparison(rows: Sequence[LanguageModelRow]) -> None:
    """Print the rows as a table, then a sample of each model's text."""
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, emoji=False)
    table = Table(box=None, pad_edge=False)
    likelihoods = ("nats/\ntoken", "bits/\nchar", "perplexity\ntoken / word")
    for title in ("model", *likelihoods, "parameters", "memory", "seconds", "unseen"):
        table.add_column(title, justify="left" if title == "model" else "right")
    for row in sorted(rows, key=lambda row: row.nats_per_token):
        table.add_row(
            row.model,
            f"{row.nats_per_token:.4f}",
            f"{row.bits_per_character:.4f}",
            f"{row.perplexity:,.4g} / {row.perplexity_per_word:,.4g}",
            f"{row.parameters:,}",
            f"{row.memory_bytes / 2**20:.1f} MiB",
            f"{row.seconds:.0f}",
            "" if row.unseen_contexts is None else f"{row.unseen_contexts:.1%}",
        )
    console.print(table)
    if any(row.unseen_contexts is not None for row in rows):
        console.print("unseen: share of held-out contexts that the n-gram model never saw; its parameters are n-grams")
    for row in rows:
        console.rule(f"{row.model} writes", align="left")
        console.print(row.sample.strip("\n"), highlight=False)


def print_figures(rows: Sequence[Any]) -> None:
    """Print the rows as a table, the best one last."""
    from rich.console import Console
    from rich.table import Table

    titles = {
        "model": "model",
        "accuracy": "accuracy",
        "accuracy_unseen": "unseen words",
        "macro_f1": "macro F1",
        "span_f1": "span F1",
        "bleu": "BLEU",
        "chrf": "chrF",
        "rouge_l": "ROUGE-L",
        "cider": "CIDEr",
        "cider_d": "CIDEr-D",
        "nats_per_event": "nats/event",
        "perplexity": "perplexity",
        "parameters": "parameters",
        "memory_bytes": "memory",
        "seconds": "training seconds",
        "targets_per_second": "predictions/s",
    }
    shown = [name for name in titles if any(getattr(row, name, None) is not None for row in rows)]
    table = Table(box=None, pad_edge=False)
    for name in shown:
        table.add_column(titles[name], justify="left" if name == "model" else "right")
    sign = -1 if rows[0].figure.startswith("nats_") else 1
    for row in sorted(rows, key=lambda row: sign * float(getattr(row, row.figure))):
        table.add_row(*(_cell(name, getattr(row, name)) for name in shown))
    Console().print(table)


def _cell(name: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if name == "memory_bytes":
        return f"{value / 2**20:.1f} MiB"
    return (
        f"{value:,.0f}"
        if name in ("parameters", "targets_per_second")
        else f"{value:.{1 if name == 'seconds' else 4}f}"
    )


def _with_budget(settings: Settings) -> Settings:
    """Let --steps or --epochs replace the default minute."""
    if settings.minutes == 1 and (settings.steps is not None or settings.epochs is not None):
        settings.minutes = None
    return settings
