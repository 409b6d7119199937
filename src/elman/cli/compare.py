"""``elman compare TASK``: models side by side on the same data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, TypeVar

import tyro

from elman.cli.arguments import parse, source
from elman.comparison.labels import LabelRow, compare_classifiers, compare_taggers
from elman.comparison.language_models import Row, compare_language_models
from elman.documents import write_json
from elman.errors import UsageError, nearest
from elman.models.classifier import Classifier
from elman.models.language_model import LanguageModel
from elman.models.tagger import Tagger
from elman.training.progress import progress_for
from elman.training.schedule import TrainingSettings

Settings = TypeVar("Settings", bound=TrainingSettings)


@dataclass(kw_only=True)
class CompareLanguageModels:
    """Train several models on one text, each with the same time, and judge them on the same held-out part."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]]
    """The text; sample:NAME names a built-in one."""
    models: str = "ngram:5,window:5,rnn,gru,lstm"
    """Which, with commas between: ngram:ORDER, window:TOKENS, and rnn, gru, lstm or mingru, alone or as
    lstm:LAYERSxUNITS."""
    valid: str | None = None
    """Text file to judge on, in place of the end of the text."""
    json: bool = False
    """Print a JSON list, one object a model."""
    settings: tyro.conf.OmitArgPrefixes[LanguageModel] = field(default_factory=lambda: LanguageModel(minutes=1))


@dataclass(kw_only=True)
class CompareTaggers:
    """Train several taggers on the same sentences, each with the same time, and judge them on the same others."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="TRAIN")]]
    """Tagged sentences; sample:sentences is built in."""
    models: str = "majority,frequent,hmm,rnn,bilstm"
    """Which, with commas between: majority, frequent (each word's most frequent tag), hmm, and networks: rnn, gru,
    lstm or mingru, read from both sides with bi in front (bilstm), alone or as bilstm:LAYERSxUNITS."""
    valid: str | None = None
    """Tagged sentences to judge on, in place of a part of the others."""
    json: bool = False
    """Print a JSON list, one object a model."""
    settings: tyro.conf.OmitArgPrefixes[Tagger] = field(default_factory=lambda: Tagger(minutes=1))


@dataclass(kw_only=True)
class CompareClassifiers:
    """Train several classifiers on the same texts, each with the same time, and judge them on the same others."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="TRAIN")]]
    """Labelled texts; sample:messages is built in."""
    models: str = "majority,logreg,logreg2,mlp,mlp2,rnn,bilstm"
    """Which, with commas between: majority; of word counts logreg and mlp (with pairs of words logreg2, mlp2); and
    networks: rnn, gru, lstm or mingru, read from both sides with bi in front (bilstm), alone or as
    bilstm:LAYERSxUNITS."""
    valid: str | None = None
    """Labelled texts to judge on, in place of a part of the others."""
    json: bool = False
    """Print a JSON list, one object a model."""
    settings: tyro.conf.OmitArgPrefixes[Classifier] = field(default_factory=lambda: Classifier(minutes=1))


def run(words: Sequence[str]) -> int:
    """Compare what ``words`` say; see ``elman compare TASK --help``."""
    tasks: dict[str, tuple[type[Any], Callable[..., Iterator[Any]], Callable[[Sequence[Any]], None]]] = {
        "lm": (CompareLanguageModels, compare_language_models, print_comparison),
        "tagger": (CompareTaggers, compare_taggers, print_label_comparison),
        "classifier": (CompareClassifiers, compare_classifiers, print_label_comparison),
    }
    listed = ", ".join(tasks)
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: elman compare TASK ...\n\nTASK is one of: {listed}; elman compare TASK --help tells more")
        return 0
    if words[0] not in tasks:
        raise UsageError(f"elman compare has no task {words[0]}{nearest(words[0], tasks) or ';'} it has {listed}")
    kind, compare, show = tasks[words[0]]
    command: Any = parse(kind, words[1:], f"elman compare {words[0]}")
    comparison = compare(
        source(command.file, words[0]),
        [name.strip() for name in command.models.split(",")],
        _with_budget(command.settings),
        valid=None if command.valid is None else source(command.valid, words[0]),
        progress=progress_for(sys.stderr),
    )
    rows = list(comparison)
    if command.json:
        print(write_json([asdict(row) for row in rows], indent=2))
    else:
        show(rows)
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
