"""``elman inspect DIR... INPUT``: what a model computes at every step of an input, and how far back gradients reach."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Annotated, Any, NamedTuple

import tyro

from elman.cli.arguments import parse
from elman.cli.flags import flag
from elman.cli.help import About
from elman.cli.inputs import check_model_and_files, is_model, open_input, resolve
from elman.cli.interventions import Interventions, set_units
from elman.documents import write_json
from elman.errors import DataError, UsageError

STEPS = 500


@dataclass(kw_only=True)
class Inspect(Interventions):
    """Look inside a saved model while it reads one input: states, gates, outputs, and gradients by lag.

    Without --out, --json or --npz, print how far back the gradients reach, and a setting to change if there is a fault.

    The targets are the labels, tags or translations in INPUT if it is a file that has them, otherwise the model's own
    predictions.

    Several models are shown side by side in one report: every leading folder that holds a model is one; -- ends them.
    """

    folder: tyro.conf.Positional[Annotated[Path, About(metavar="DIR...")]]
    """The saved model, or several."""
    files: tyro.conf.Positional[Annotated[tuple[str, ...], About(metavar="INPUT", default="-")]] = ()
    """What to read, as for elman predict; - reads standard input, sample:NAME is a built-in data set."""
    text: str | None = None
    """Read this text instead of INPUT."""
    input_format: Annotated[str | None, About(metavar="NAME", default="recognized from the file")] = None
    """Format of INPUT; elman predict --help lists the names."""
    record: int = 1
    """The sentence, text, picture or tune of INPUT to inspect, counted from 1."""
    steps: int = STEPS
    """Inspect only this many steps of the input."""
    out: Annotated[Path | None, About(metavar="HTML")] = None
    """Write a report with pictures into this file; open it in any browser."""
    json: bool = False
    """Print all numbers as one JSON object."""
    train: Annotated[str | None, About(metavar="FILE")] = None
    """Training data for n-gram models, whose loss stands beside the model's loss with limited context."""
    npz: Annotated[Path | None, About(metavar="NPZ")] = None
    """Write all numbers into this NumPy file."""


def run(words: Sequence[str]) -> int:
    """Look inside a model; see ``elman inspect --help``."""
    words, marked = _cut_marked_input(words)
    command = parse(Inspect, words, "elman inspect")
    folders, file = _split(command, marked)
    _check(command, folders, file)
    from elman.inspection import gradient_by_lag, inspect, model_report, save_report, trace
    from elman.models import load

    reports = []
    for folder in folders:
        model = set_units(load(folder), command)
        given = read_record(model, command, file)
        inputs: Any = model, given.inputs, given.targets
        options: dict[str, Any] = {"steps": command.steps, "record": given.record}
        if not (command.out or command.npz or command.json):
            found = trace(*inputs, **options)
            _print_summary(found, gradient_by_lag(*inputs, **options) if _has_several_steps(found) else None)
            return 0
        options["train"] = None if command.train is None else resolve(command.train, model.task)
        if command.npz is not None:
            inspect(*inputs, **options).save(command.npz)
            return 0
        if command.json:
            print(write_json({"record": command.record, **inspect(*inputs, **options).to_json()}))
            return 0
        source = "" if command.text is not None else "standard input" if file == "-" else file
        reports.append(model_report(*inputs, name=str(folder), source=source, **options))
    assert command.out is not None
    save_report(command.out, *reports)
    print(f"wrote {command.out}; open it in a browser")
    return 0


def _cut_marked_input(words: Sequence[str]) -> tuple[list[str], str | None]:
    """Remove ``--`` and the word after it, which is the input even if a model is in it."""
    if "--" not in words:
        return list(words), None
    place = list(words).index("--")
    rest = list(words[place + 1 :])
    return [*words[:place], *rest[1:]], rest[0] if rest else None


def _split(command: Inspect, marked: str | None) -> tuple[list[Path], str]:
    """Return the folders of the models, and the input.

    Raises:
        UsageError: there are several inputs.
    """
    others = list(takewhile(is_model, command.files))
    inputs = [*command.files[len(others) :], *([] if marked is None else [marked])]
    if len(inputs) > 1:
        raise UsageError(f"{shlex.join(inputs)}: give one input; --record N chooses one of a file")
    if inputs and command.text is not None:
        raise UsageError(f"{inputs[0]} and --text are both given: one of them is the input")
    return [command.folder, *map(Path, others)], inputs[0] if inputs else "-"


def _check(command: Inspect, folders: Sequence[Path], file: str) -> None:
    """Check what can be checked before a model is loaded."""
    given = [name for name in ("out", "json", "npz") if getattr(command, name)]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(map(flag, given))} are given; choose one")
    if command.train is not None and not given:
        raise UsageError("--train needs --json, --npz or --out; add one, or leave --train out")
    if command.out is not None and command.out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {command.out}: the report is HTML; name it {command.out.with_suffix('.html')}")
    if len(folders) > 1:
        if command.out is None:
            raise UsageError(f"{len(folders)} models are compared in a report; add --out compared.html")
        if command.text is None and (file == "-" or Path(file).is_fifo()):
            raise UsageError("a pipe can be read by one model only; save it to a file, or give --text")
    for folder in folders:
        check_model_and_files("inspect", folder, [file])
    for name in ("record", "steps"):
        if getattr(command, name) < 1:
            raise UsageError(f"{flag(name)} is {getattr(command, name)}; it must be at least 1")


class Given(NamedTuple):
    """What is inspected, as ``inspect`` takes it."""

    inputs: Any
    targets: Any
    """None if the input has no labels."""
    record: int
    """The number of the input among these, counted from 1."""


def read_record(model: Any, command: Inspect, file: str) -> Given:
    """Read the input of a command: its text, or a file.

    Raises:
        DataError: the input cannot be read, is empty, or has no such record.
    """
    if command.text == "":
        raise DataError("--text is empty; give a text")
    if command.text is not None:
        return _read(model, command.text, "--text", command.input_format or _text_format(model), command.record)
    with open_input(file, model.task) as data:
        return _read(model, data, None if file == "-" else file, command.input_format, command.record)


def _text_format(model: Any) -> str | None:
    """Return the format of --text: one sentence or text per line; None, for ABC, with a composer.

    Raises:
        UsageError: the model reads no text.
    """
    from elman.data.formats.table import FORMATS

    if model.formats == "composer":
        return None
    rows = FORMATS[model.formats].rows
    if not rows["text"].reads:
        names = ", ".join(name for name, row in rows.items() if row.reads)
        raise UsageError(f"--text: this {model.task} reads no text but {names}; name a file")
    return "text"


def _read(model: Any, source: Path | str | IO[bytes], name: str | None, input_format: str | None, record: int) -> Given:
    from elman.data.formats.table import FORMATS
    from elman.data.lines import Lines, Problems
    from elman.data.records import Passage, Problem

    formats, problems = FORMATS[model.formats], Problems(shown=0)
    lines = Lines(source, model.encoding, problems, name=None if isinstance(source, Path) else name)
    settings = SimpleNamespace(**{**model.get_params(), "task": model.task})
    reader = formats.reader(input_format, lines.source, settings)
    items = reader.read(lines, problems)
    first = next(items, None)
    if isinstance(first, Passage):  # a text arrives in passages
        return Given("".join([first.text, *(passage.text for passage in items)]), None, record)
    items = iter([] if first is None else [first, *islice(items, record - 1)])
    read = list(items)
    if len(read) < record:
        raise DataError(problems.first or f"{lines.name}: there is no record {record}: it has {len(read):,}")
    item = read[record - 1]
    if isinstance(item, Problem):
        raise DataError(f"{lines.name}: record {record} cannot be read: {item.what}")
    label = None
    if formats.labels and isinstance(source, Path | str):
        label = _read_label(reader, Lines(source, model.encoding, Problems(shown=0)), formats.labels, item.line)
    return Given([_value(item)], None if label is None else [label], 1)


def _read_label(reader: Any, lines: Any, argument: str, line: int) -> Any:
    """Read a file again, with its labels; return that of the record in this line, or None if it has none."""
    from elman.data.lines import Problems

    try:
        labelled = reader.read(lines, Problems(shown=0), **{argument: True})
        item = next((item for item in labelled if item.line >= line), None)
    except (DataError, UsageError):  # no column of labels
        return None
    if item is None or item.line != line:
        return None
    return item.tags if argument == "tagged" else item.label


def _value(item: Any) -> Any:
    """Return the part of a record that ``trace`` takes."""
    for name in ("words", "text", "values", "array"):
        if hasattr(item, name):
            return getattr(item, name)
    return item  # a tune


def _has_several_steps(found: Any) -> bool:
    return len(found.tokens) > 1 or len(found.source_tokens) > 1


def _print_summary(found: Any, gradients: Any) -> None:
    """Print the number of steps, how far back gradients reach, and the verdict."""
    read = f"{len(found.source_tokens):,} source tokens, " if found.source_tokens else ""
    steps = "1 step" if len(found.tokens) == 1 else f"{len(found.tokens):,} steps"
    sys.stdout.write(f"{read}{steps}, {len(found.arrays)} arrays\n")
    if gradients is None:
        sys.stdout.write("one step only: there are no gradients through time\n")
        return
    width = max(map(len, gradients.reach))
    sys.stdout.write(f"\ngradients fall below {'1/e':>{width - 12}}      1 %\n")
    for name, reach in gradients.reach.items():
        below = (f"lag {lag}" if lag else "never" for lag in reach.values())
        sys.stdout.write(f"  {name:<{width}}  {'  '.join(f'{word:>7}' for word in below)}\n")
    sys.stdout.write(f"\n{gradients.verdict.kind}: {gradients.verdict.text}\n")
