"""``elman predict DIR [FILE|-]``: a model's predictions for a file, a sample or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from elman.cli.arguments import parse
from elman.cli.help import About
from elman.cli.inputs import check_model_and_files, check_svg, open_input
from elman.cli.interventions import Interventions, set_units
from elman.cli.searching import Searching, search_of
from elman.errors import UsageError
from elman.models.tasks import TASKS


@dataclass(kw_only=True)
class Predict(Interventions, Searching):
    r"""Print a saved model's predictions for a file, in the file's order.

    A tagger tags every word, a classifier labels every text, a translator translates every line, and a captioner
    describes every picture of a folder. What cannot be read is reported with its line, and skipped.

    A language model prints every token with its surprisal in nats, separated by a tab, NA for a first token that has
    none; line breaks, tabs and backslashes in a token are written \n, \t and \\.
    """

    folder: tyro.conf.Positional[Annotated[Path, About(metavar="DIR")]]
    """The saved model."""
    file: tyro.conf.Positional[Annotated[str, About(metavar="FILE", default="-")]] = "-"
    """The data; - reads standard input line by line, sample:NAME is a built-in data set."""
    input_format: Annotated[str | None, About(metavar="NAME", default="recognized from the file")] = None
    """text (one sentence or text per line), conllu, columns, csv, tsv, jsonl, npz, ts, pictures or music."""
    output_format: Annotated[
        str | None, About(metavar="NAME", default="a tagger's input format; jsonl of a classifier; text of others")
    ] = None
    """jsonl, conllu, columns or text."""
    n_best: Annotated[int | None, About(group="search")] = None
    """Number of texts to write for each input, the best first."""
    attention: Annotated[Path | None, About(metavar="SVG")] = None
    """Draw a translator's attention to the first source into this file."""
    encoder: Annotated[Path | None, About(metavar="ONNX")] = None
    """A captioner's ONNX encoder, where it is no longer where it was in training."""


def run(words: Sequence[str]) -> int:
    """Print predictions; see ``elman predict --help``."""
    command = parse(Predict, words, "elman predict")
    check_svg("--attention", command.attention)
    check_model_and_files("predict", command.folder, [command.file])
    from elman.cli.answers import answers
    from elman.data.lines import Lines, Problems
    from elman.models import load

    model = set_units(load(command.folder), command)
    options = _options(command, model)
    if TASKS[model.task].files.of_pictures and command.file.startswith("sample:"):
        name = command.file.removeprefix("sample:")
        raise UsageError(f"pictures come as files: elman data show {name} --pictures DIR writes those of a sample")
    with open_input(command.file, model.task) as data:
        problems, is_pipe = Problems(), not isinstance(data, Path | str)
        if command.attention is not None and (is_pipe or not hasattr(model, "attention_picture")):
            raise UsageError("`attention` draws the attention of a translator to the first source of a FILE")
        lines = Lines(data, model.encoding, problems, name=command.file if is_pipe and command.file != "-" else None)
        for text in answers(
            model, lines, problems, command.input_format, command.output_format, command.attention, **options
        ):
            sys.stdout.write(text)
            if lines.is_waiting:
                sys.stdout.flush()
        problems.close()
    return 0


def _options(command: Predict, model: Any) -> dict[str, Any]:
    """Return the options that the user gave, as the model's ``answer`` takes them.

    Raises:
        UsageError: the model has no such option, or it is outside its limits.
    """
    if command.encoder and "encoder" not in TASKS[model.task].answer_options:
        raise UsageError(f"`encoder` is no option of a model of task {model.task}; leave it out")
    encoder = {"encoder": command.encoder} if command.encoder else {}
    return {**encoder, **search_of(command, model)}
