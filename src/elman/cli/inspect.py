"""``elman inspect DIR INPUT``: what a model computes at every step of an input, and how far back it learns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Annotated, Any

import tyro

from elman.cli.arguments import parse
from elman.cli.flags import flag
from elman.cli.help import About
from elman.cli.inputs import check_model_and_files, open_input
from elman.documents import write_json
from elman.errors import DataError, UsageError

STEPS = 500


@dataclass(kw_only=True)
class Inspect:
    """Look inside a saved model while it reads one input: states, gates, outputs, and gradients by lag.

    Without --json or --npz, print how far back the gradients reach, and what to change where that is a fault.
    """

    folder: tyro.conf.Positional[Annotated[Path, About(metavar="DIR")]]
    """The saved model."""
    file: tyro.conf.Positional[Annotated[str | None, About(metavar="INPUT", default="-")]] = None
    """What to read, as for elman predict; - reads standard input, sample:NAME is a built-in data set."""
    text: str | None = None
    """Read this text in place of INPUT."""
    input_format: Annotated[str | None, About(metavar="NAME", default="recognized from the file")] = None
    """Format of INPUT; elman predict --help lists the names."""
    record: int = 1
    """Which sentence, text, picture or tune of INPUT to look at, counted from 1."""
    steps: int = STEPS
    """Look at the first so many steps."""
    json: bool = False
    """Print all numbers as one JSON object."""
    npz: Annotated[Path | None, About(metavar="NPZ")] = None
    """Write all numbers into this NumPy file."""


def run(words: Sequence[str]) -> int:
    """Look inside a model; see ``elman inspect --help``."""
    command = parse(Inspect, words, "elman inspect")
    if command.text is not None and command.file is not None:
        raise UsageError(f"{command.file} and --text are both given: one of them is the input")
    if command.json and command.npz is not None:
        raise UsageError("--json and --npz are both given: choose one")
    check_model_and_files("inspect", command.folder, [command.file or "-"])
    for name in ("record", "steps"):
        if getattr(command, name) < 1:
            raise UsageError(f"{flag(name)} is {getattr(command, name)}; it must be at least 1")
    from elman.inspection import gradient_by_lag, trace
    from elman.models import load

    model = load(command.folder)
    inputs, record = read_record(model, command)
    options: dict[str, Any] = {"steps": command.steps, "record": record}
    found = trace(model, inputs, **options)
    gradients = gradient_by_lag(model, inputs, **options) if _has_lags(found) else None
    if command.npz is not None:
        found.save(command.npz, gradients.named_arrays() if gradients else {})
    elif command.json:
        figures = gradients.to_json() if gradients else {}
        print(write_json({"record": command.record, **found.to_json(), **figures}))
    else:
        _print_summary(found, gradients)
    return 0


def read_record(model: Any, command: Inspect) -> tuple[Any, int]:
    """Read what a command looks at.

    Returns:
        It, as ``trace`` takes it, and which of its records is meant, counted from 1.

    Raises:
        DataError: it cannot be read, or there is no such record.
    """
    if command.text is not None:
        return _read(model, command.text, "--text", command.input_format or _text_format(model), command.record)
    with open_input(command.file or "-", model.task) as data:
        name = command.file if command.file not in (None, "-") else None
        return _read(model, data, name, command.input_format, command.record)


def _text_format(model: Any) -> str | None:
    """Return the format of --text: one sentence or text a line; of a composer ABC."""
    return None if model.formats == "composer" else "text"


def _read(
    model: Any, source: Path | str | IO[bytes], name: str | None, input_format: str | None, record: int
) -> tuple[Any, int]:
    from elman.data.formats.table import FORMATS
    from elman.data.lines import Lines, Problems
    from elman.data.records import Passage, Problem

    problems = Problems(shown=0)
    lines = Lines(source, model.encoding, problems, name=None if isinstance(source, Path) else name)
    settings = SimpleNamespace(**{**model.get_params(), "task": model.task})
    items = FORMATS[model.formats].reader(input_format, lines.source, settings).read(lines, problems)
    first = next(items, None)
    if isinstance(first, Passage):  # a running text comes in pieces
        return "".join([first.text, *(passage.text for passage in items)]), record
    items = iter([] if first is None else [first, *islice(items, record - 1)])
    read = list(items)
    if len(read) < record:
        raise DataError(problems.first or f"{lines.name}: there is no record {record}: it has {len(read):,}")
    item = read[record - 1]
    if isinstance(item, Problem):
        raise DataError(f"{lines.name}: record {record} cannot be read: {item.what}")
    return [_value(item)], 1


def _value(item: Any) -> Any:
    """Return what ``trace`` takes of a record that was read."""
    for name in ("words", "text", "values", "array"):
        if hasattr(item, name):
            return getattr(item, name)
    return item  # a tune


def _has_lags(found: Any) -> bool:
    return len(found.tokens) > 1 or len(found.source_tokens) > 1


def _print_summary(found: Any, gradients: Any) -> None:
    """Print how much was read, how far back gradients reach, and the verdict."""
    read = f"{len(found.source_tokens):,} read, " if found.source_tokens else ""
    sys.stdout.write(f"{read}{len(found.tokens):,} steps, {len(found.arrays)} arrays\n")
    if gradients is None:
        sys.stdout.write("one step only: there are no gradients through time\n")
        return
    width = max(map(len, gradients.reach))
    sys.stdout.write(f"\ngradients fall below {'1/e':>{width - 12}}      1 %\n")
    for name, reach in gradients.reach.items():
        below = (f"lag {lag}" if lag else "never" for lag in reach.values())
        sys.stdout.write(f"  {name:<{width}}  {'  '.join(f'{word:>7}' for word in below)}\n")
    sys.stdout.write(f"\n{gradients.verdict.kind}: {gradients.verdict.text}\n")
