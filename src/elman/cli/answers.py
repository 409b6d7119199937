"""What a model predicts for a file, a text or a pipe, written record by record as it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from elman.data.formats.table import FORMATS
from elman.data.lines import Lines, Problems, group_available
from elman.data.records import Problem, Translation
from elman.decoding.options import Search
from elman.errors import DataError
from elman.files import write_files
from elman.models.tasks import TASKS


def answers(
    model: Any,
    lines: Lines,
    problems: Problems,
    input_format: str | None = None,
    output_format: str | None = None,
    attention: Path | None = None,
    **options: Any,
) -> Iterator[str]:
    """Write a model's predictions for ``lines``, in order, as they are read.

    Args:
        model: of any task.
        lines: from a file, a text or a pipe.
        problems: collects what cannot be read.
        input_format: of the lines, see :mod:`elman.data.formats.table`; recognized by default.
        output_format: of the predictions; the task's usual one by default.
        attention: where to draw a translator's attention to the first source.
        options: of the call, as the model's ``answer`` takes them.

    Raises:
        UsageError: the task has no such format, or an option is outside its limits.
        DataError: nothing could be read.
    """
    formats = FORMATS[model.formats]
    settings = SimpleNamespace(**{**model.get_params(), "task": model.task})
    if options.get("encoder"):
        settings.encoder = options["encoder"]
    reader = formats.reader(input_format, lines.source, settings)
    vars(settings).update(asdict(options["search"]) if options.get("search") else {})
    writer = formats.writer(output_format, reader, settings)
    if "probabilities" in TASKS[model.task].answer_options:
        options["probabilities"] = getattr(writer, "writes_probabilities", False)
    batches = group_available(reader.read(lines, problems), lines, model.answer_batch_size)
    records = _report_problems(model.answer(batches, **options), lines, problems)
    if attention is not None:
        records = _draw_attention(records, model, attention, lines.name, options.get("search"))
    yield from writer.write(records)


def _report_problems(records: Iterable[Any], lines: Lines, problems: Problems) -> Iterator[Any]:
    """Pass the records on, and report those that the model could not read.

    Raises:
        DataError: nothing at all in a file could be read.
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


def _draw_attention(records: Iterable[Any], model: Any, path: Path, name: str, search: Search | None) -> Iterator[Any]:
    """Pass the records on, and draw the attention to the first source that is not blank."""
    is_drawn = False
    for record in records:
        if not is_drawn and isinstance(record, Translation) and record.source.strip():
            write_files({path: model.attention_picture(record.source, search).encode()})
            is_drawn = True
        yield record
    if not is_drawn:
        raise DataError(f"{name}: holds no source whose attention could be drawn")
