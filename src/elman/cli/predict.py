"""``elman predict DIR [FILE|-]``: what a model makes of a file, a sample or a pipe, as it comes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from elman.cli.arguments import parse, source
from elman.data.lines import Lines, Problems
from elman.models import load


@dataclass(kw_only=True)
class Predict:
    r"""Print what a saved model makes of a file, in the file's order.

    A tagger gives every word its tag, a classifier every text its label; what cannot be read is told by its line, and
    the rest goes on. A language model prints every token with its surprisal in nats, tab-separated, NA for a first
    token that has none; line breaks, tabs and backslashes in a token are written \\n, \\t and \\\\.
    """

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]
    """The saved model."""
    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]] = "-"
    """The data; - reads standard input as it comes, sample:NAME names a built-in one."""
    input_format: str | None = None
    """text (one sentence or text a line), conllu, columns, csv, tsv or jsonl; found out from a file where not given."""
    output_format: str | None = None
    """jsonl, conllu, columns or text; a tagger writes what it read, others jsonl, where not given."""


def run(words: Sequence[str]) -> int:
    """Print what ``words`` say; see ``elman predict --help``."""
    command = parse(Predict, words, "elman predict")
    model = load(command.folder)
    problems = Problems()
    data = sys.stdin.buffer if command.file == "-" else source(command.file)
    lines = Lines(data, model.encoding, problems)
    for written in model.annotate(lines, problems, command.input_format, command.output_format):
        sys.stdout.write(written)
        if lines.is_waiting:
            sys.stdout.flush()
    problems.close()
    return 0
