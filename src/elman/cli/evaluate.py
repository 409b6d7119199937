"""``elman evaluate DIR FILE``: judge a model on a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from elman.cli.arguments import Switch, check_order, check_svg, examples, parse
from elman.cli.searching import Searching, search_of
from elman.documents import write_json
from elman.errors import UsageError
from elman.families.reports import Report
from elman.files import write_files
from elman.models import load


@dataclass(kw_only=True)
class Evaluate(Searching):
    """Judge a saved model: of a language model, every token but the first is predicted.

    A translator takes SRC TGT, or one file of pairs; a captioner CAPTIONS --images DIR; a composer a folder of MIDI.
    """

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]
    """The saved model."""
    files: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE...")]]
    """The data, in a format that training reads; sample:NAME names a built-in one."""
    images: Path | None = None
    """The pictures that captions are about: their folder, or an .npz of ready features."""
    encoder: Path | None = None
    """The ONNX encoder of a captioner that learned with one, where its file lies elsewhere now."""
    input_format: str | None = None
    """What the files are written in, by a name of elman predict's; found out from a file where not given."""
    json: Switch = False
    """Print one flat JSON object."""
    confusion: Path | None = None
    """Draw which label was taken for which, as an SVG, into this file."""


def run(words: Sequence[str]) -> int:
    """Judge what ``words`` say; see ``elman evaluate --help``."""
    command = parse(Evaluate, words, "elman evaluate")
    if not command.files:
        raise UsageError("elman evaluate needs a file: elman evaluate DIR FILE")
    check_svg("--confusion", command.confusion)
    check_order("evaluate", command.folder, command.files)
    model = load(command.folder)
    if command.encoder is not None:
        model.set_params(encoder=command.encoder)
    if command.input_format is not None and "input_format" not in model.get_params():
        raise UsageError(f"`input_format` is no option of a model of task {model.task}; leave it out")
    if "input_format" in model.get_params():
        model.set_params(input_format=command.input_format)
    X, y = examples(model.task, command.files, command.images)  # noqa: N806
    report = model.report(X, y, **search_of(command, model, model.report))
    if command.confusion is not None:
        write_files({command.confusion: report.picture().encode()})
    if command.json:
        print(write_json({**report.metrics, **report.signatures}))
        return 0
    for name, value in report.metrics.items():
        print(f"{name:<20} {value:,}" if isinstance(value, int) else f"{name:<20} {value:.4f}")
    for name, text in report.signatures.items():
        print(f"{name:<20} {text}")
    if report.labels:
        print_labels(report)
    return 0


def print_labels(report: Report) -> None:
    """Print each label's figures, and which label was taken for which."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for title in ("label", "precision", "recall", "F1", "support"):
        table.add_column(title, justify="left" if title == "label" else "right")
    for label, rates in report.labels.items():
        shares = (f"{rates['precision']:.4f}", f"{rates['recall']:.4f}", f"{rates['f1']:.4f}")
        table.add_row(label, *shares, f"{rates['support']:,}")
    console.print()
    console.print(table)
    console.print(f"\n{report.confusion_text()}", markup=False)
