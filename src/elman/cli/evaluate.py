"""``elman evaluate DIR FILE``: a model's figures on a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from elman.cli.arguments import parse
from elman.cli.help import About
from elman.cli.inputs import check_model_and_files, check_svg, examples
from elman.cli.interventions import Interventions, set_units
from elman.cli.searching import Searching, search_of
from elman.documents import write_json
from elman.errors import UsageError
from elman.files import write_files

if TYPE_CHECKING:
    from rich.table import Table

    from elman.families.reports import Report


@dataclass(kw_only=True)
class Evaluate(Interventions, Searching):
    """Evaluate a saved model on a file; a language model predicts every token but the first.

    A translator takes SRC TGT, or one file of pairs; a captioner CAPTIONS --images DIR; a composer a folder of MIDI.
    """

    folder: tyro.conf.Positional[Annotated[Path, About(metavar="DIR")]]
    """The saved model."""
    files: tyro.conf.Positional[Annotated[tuple[str, ...], About(metavar="FILE...")]]
    """The data, in a format that training reads; sample:NAME is a built-in data set."""
    images: Annotated[Path | None, About(metavar="DIR")] = None
    """The pictures that captions describe: their folder, or an .npz of features."""
    encoder: Annotated[Path | None, About(metavar="ONNX")] = None
    """A captioner's ONNX encoder, where it is no longer where it was in training."""
    input_format: Annotated[str | None, About(metavar="NAME", default="as in training")] = None
    """Format of the files; elman predict --help lists the names."""
    json: bool = False
    """Print one JSON object; the figures of each type of entity are in its object "spans"."""
    confusion: Annotated[Path | None, About(metavar="SVG")] = None
    """Draw the confusion matrix of the labels into this file."""


def run(words: Sequence[str]) -> int:
    """Evaluate a model; see ``elman evaluate --help``."""
    command = parse(Evaluate, words, "elman evaluate")
    if not command.files:
        raise UsageError("elman evaluate needs a file: elman evaluate DIR FILE")
    check_svg("--confusion", command.confusion)
    check_model_and_files("evaluate", command.folder, command.files)
    from elman.models import load

    model = load(command.folder)
    if command.encoder is not None:
        model.set_params(encoder=command.encoder)
    if command.input_format is not None:
        if "input_format" not in model.get_params():
            raise UsageError(f"`input_format` is no option of a model of task {model.task}; leave it out")
        model.set_params(input_format=command.input_format)
    X, y = examples(model.task, command.files, command.images)  # noqa: N806
    report = set_units(model, command).report(X, y, **search_of(command, model))
    if command.confusion is not None:
        write_files({command.confusion: report.picture().encode()})
    if command.json:
        spans = {"spans": report.spans} if report.spans else {}
        print(write_json({**report.metrics, **report.signatures, **spans}))
        return 0
    for name, value in report.metrics.items():
        print(f"{name:<20} {value:,}" if isinstance(value, int) else f"{name:<20} {value:{_form(value)}}")
    for name, text in report.signatures.items():
        print(f"{name:<20} {text}")
    if report.labels:
        print_labels(report)
    return 0


def _form(value: float) -> str:
    return ".4f" if value < 1e9 else ".4g"  # a perplexity per word, of a text without white space, has 300 digits


def print_labels(report: Report) -> None:
    """Print the figures of each type of entity, those of each label, and the confusion matrix."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)  # a label may be [red] or :smile:
    if report.spans:
        overall = {name: report.metrics[f"span_{name}"] for name in ("precision", "recall", "f1")}
        support = sum(rates["support"] for rates in report.spans.values())
        typed = {kind or "(no type)": rates for kind, rates in report.spans.items()}
        console.print("\n", _table("entity", {**typed, "all entities": {**overall, "support": support}}), sep="")
    console.print("\n", _table("label", report.labels), sep="")
    console.print(f"\n{report.confusion_text()}")


def _table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """Lay out precision, recall, F1 and support of each row."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in (title, "precision", "recall", "F1", "support"):
        table.add_column(column, justify="left" if column == title else "right")
    for name, rates in rows.items():
        shares = (f"{rates['precision']:.4f}", f"{rates['recall']:.4f}", f"{rates['f1']:.4f}")
        table.add_row(name, *shares, f"{rates['support']:,}")
    return table
