"""``elman predict DIR [FILE|-]``: what a model makes of a file, a sample or a pipe, as it comes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import tyro

from elman.cli.arguments import parse, source
from elman.cli.streams import standard_input
from elman.data.lines import Lines, Problems
from elman.errors import DataError, UsageError
from elman.files import write_files
from elman.models import load


@dataclass(kw_only=True)
class Predict:
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
    """text (one sentence or text a line), conllu, columns, csv, tsv or jsonl; found out from a file where not given."""
    output_format: str | None = None
    """jsonl, conllu, columns or text; where not given, a tagger writes as it read, a classifier jsonl, others text."""
    beam_size: int | None = None
    """Texts that are kept at every step of the search; what the model was trained with where not given, as the next
    three (translator and captioner only)."""
    n_best: int | None = None
    """How many texts to write for each input, the best first."""
    length_penalty: float | None = None
    """Log-probabilities are divided by the length to this power when texts are compared."""
    temperature: float | None = None
    """Above 0: draw the tokens, their logits divided by this, in place of searching."""
    attention: Path | None = None
    """Draw where a translator looked while it wrote about the first source, as an SVG, into this file."""
    encoder: Path | None = None
    """The ONNX encoder of a captioner that learned with one, where its file lies elsewhere now."""


SETTINGS = ("beam_size", "n_best", "length_penalty", "temperature", "encoder")  # of the model, for this time


def run(words: Sequence[str]) -> int:
    """Print what ``words`` say; see ``elman predict --help``."""
    command = parse(Predict, words, "elman predict")
    model = load(command.folder)
    given = {name: value for name in SETTINGS if (value := getattr(command, name)) is not None}
    model.set_params(**given)
    model.check()
    if model.task == "captioner" and command.file.startswith("sample:"):
        name = command.file.removeprefix("sample:")
        raise UsageError(f"pictures come as files: elman data show {name} --pictures DIR writes those of a sample")
    with _opened(command.file, model.task) as data:
        _print_answers(command, model, data)
    return 0


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


def _print_answers(command: Predict, model: Any, data: Path | str | IO[bytes]) -> None:
    problems = Problems()
    is_pipe = not isinstance(data, Path | str)
    lines = Lines(data, model.encoding, problems, name=command.file if is_pipe and command.file != "-" else None)
    if command.attention is not None:
        if model.task != "translator" or is_pipe:
            raise UsageError("--attention draws what a translator does with the first source of a FILE")
        unseen = Problems(shown=0)
        sources = model.sources(Lines(data, model.encoding, unseen), unseen, command.input_format)
        first = next((source.text for source in sources if source.text.strip()), None)
        if first is None:
            raise DataError(f"{command.file}: holds no source to draw the attention of")
        write_files({command.attention: model.attention_picture(first).encode()})
    for written in model.annotate(lines, problems, command.input_format, command.output_format):
        sys.stdout.write(written)
        if lines.is_waiting:
            sys.stdout.flush()
    problems.close()
