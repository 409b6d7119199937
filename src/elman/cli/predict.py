"""``elman predict DIR [FILE|-]``: what a model makes of a file, a sample or a pipe, as it comes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Annotated, Any

import tyro

from elman.cli.arguments import check_order, check_svg, parse, source
from elman.cli.searching import Searching, search_of
from elman.cli.streams import standard_input
from elman.data.formats.table import FORMATS
from elman.data.lines import Lines, Problems, group_available
from elman.data.records import Problem, Translation
from elman.decoding.options import Search
from elman.errors import DataError, UsageError
from elman.files import write_files
from elman.models import load
from elman.models.tasks import TASKS


@dataclass(kw_only=True)
class Predict(Searching):
    r"""Print what a saved model makes of a file, in the file's order.

    A tagger gives every word its tag, a classifier every text its label, a translator every line another, a captioner
    every picture of a folder what it shows; what cannot be read is told by its line, and the rest goes on. A language
    model prints every token with its surprisal in nats, tab-separated, NA for a first token that has none; line breaks,
    tabs and backslashes in a token are written \\n, \\t and \\\\.
    """

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]
    """The saved model."""
    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]] = "-"
    """The data; - reads standard input as it comes, sample:NAME names a built-in one."""
    input_format: str | None = None
    """text (one sentence or text a line), conllu, columns, csv, tsv, jsonl, npz, ts, pictures or music; found out from
    a file where not given."""
    output_format: str | None = None
    """jsonl, conllu, columns or text; where not given, a tagger writes as it read, a classifier jsonl, others text."""
    n_best: int | None = None
    """How many texts to write for each input, the best first."""
    attention: Path | None = None
    """Draw where a translator looked while it wrote about the first source, as an SVG, into this file."""
    encoder: Path | None = None
    """The ONNX encoder of a captioner that learned with one, where its file lies elsewhere now."""


def run(words: Sequence[str]) -> int:
    """Print what ``words`` say; see ``elman predict --help``."""
    command = parse(Predict, words, "elman predict")
    check_svg("--attention", command.attention)
    check_order("predict", command.folder, [command.file])
    model = load(command.folder)
    options = _options(command, model)
    if TASKS[model.task].files.of_pictures and command.file.startswith("sample:"):
        name = command.file.removeprefix("sample:")
        raise UsageError(f"pictures come as files: elman data show {name} --pictures DIR writes those of a sample")
    with _opened(command.file, model.task) as data:
        problems, is_pipe = Problems(), not isinstance(data, Path | str)
        if command.attention is not None and (is_pipe or not hasattr(model, "attention_picture")):
            raise UsageError("`attention` draws what a translator does with the first source of a FILE")
        lines = Lines(data, model.encoding, problems, name=command.file if is_pipe and command.file != "-" else None)
        for written in answers(
            model, lines, problems, command.input_format, command.output_format, command.attention, **options
        ):
            sys.stdout.write(written)
            if lines.is_waiting:
                sys.stdout.flush()
        problems.close()
    return 0


def answers(
    model: Any,
    lines: Lines,
    problems: Problems,
    input_format: str | None = None,
    output_format: str | None = None,
    attention: Path | None = None,
    **options: Any,
) -> Iterator[str]:
    """Write what a model makes of what ``lines`` hold, in order, as it comes.

    Args:
        model: of any task.
        lines: from a file, a text or a pipe.
        problems: who is told of what cannot be read.
        input_format: what they are written in, see :mod:`elman.data.formats.table`; found out where not given.
        output_format: what the answers are written in; the task's usual one where not given.
        attention: where to draw where a translator looked while it wrote about the first source.
        options: of the call, as the model's ``answer`` takes them.

    Raises:
        UsageError: the task has no such format, or an option is outside its limits.
        DataError: what is read holds nothing that can be answered.
    """
    formats = FORMATS[model.formats]
    settings = SimpleNamespace(**{**model.get_params(), "task": model.task})
    if options.get("encoder"):
        settings.encoder = options["encoder"]
    reader = formats.reader(input_format, lines.source, settings)
    vars(settings).update(asdict(options["search"]) if options.get("search") else {})
    writer = formats.writer(output_format, reader, settings)
    if "probabilities" in inspect.signature(model.answer).parameters:
        options["probabilities"] = getattr(writer, "writes_probabilities", False)
    batches = group_available(reader.read(lines, problems), lines, model.answer_batch_size)
    records = _told(model.answer(batches, **options), lines, problems)
    if attention is not None:
        records = _drawn(records, model, attention, lines.name, options.get("search"))
    yield from writer.write(records)


def _options(command: Predict, model: Any) -> dict[str, Any]:
    """Return the options of the call that the user gives, as the model's ``answer`` takes them.

    Raises:
        UsageError: the model has no such option, or it is outside its limits.
    """
    if command.encoder and "encoder" not in inspect.signature(model.answer).parameters:
        raise UsageError(f"`encoder` is no option of a model of task {model.task}; leave it out")
    own = {"encoder": command.encoder} if command.encoder else {}
    return {**own, **search_of(command, model, model.answer)}


def _told(records: Iterable[Any], lines: Lines, problems: Problems) -> Iterator[Any]:
    """Tell of the problems that the model found, and of what it has not read.

    Raises:
        DataError: nothing at all could be read of a file.
    """
    is_read = False
    for record in records:
        if isinstance(record, Problem) and not record.is_reported:
            problems.add_error(str(record.where), DataError(record.what))
        elif isinstance(record, Translation) and record.warning:
            problems.add(lines.name, record.line, record.warning)
        is_read = is_read or not isinstance(record, Problem)
        yield record
    if problems.count > 1 and not is_read and isinstance(lines.source, Path):
        raise DataError(f"{lines.name}: nothing in it could be read; is it the right file?")


def _drawn(records: Iterable[Any], model: Any, path: Path, name: str, search: Search | None) -> Iterator[Any]:
    """Draw where the translator looked while it wrote about the first source that is not blank."""
    is_drawn = False
    for record in records:
        if not is_drawn and isinstance(record, Translation) and record.source.strip():
            write_files({path: model.attention_picture(record.source, search).encode()})
            is_drawn = True
        yield record
    if not is_drawn:
        raise DataError(f"{name}: holds no source to draw the attention of")


@contextmanager
def _opened(word: str, task: str) -> Iterator[Path | str | IO[bytes]]:
    """Open what a FILE stands for: standard input, a named pipe such as <(zcat a.csv.gz), or what ``source`` knows."""
    if word == "-":
        yield standard_input()
    elif Path(word).is_fifo():
        with Path(word).open("rb") as stream:
            yield stream
    else:
        yield source(word, task)
