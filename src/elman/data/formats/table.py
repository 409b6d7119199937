"""The table of the formats that each task reads and writes.

Lines ──a format's read──▶ items ──Model.answer──▶ records ──a format's write──▶ text

A new format is a module beside this one, with ``read`` or ``write`` or both, and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.data.formats.captions import CaptionLines
from elman.data.formats.columns import Columns
from elman.data.formats.conllu import Conllu
from elman.data.formats.delimited import Delimited, column_number
from elman.data.formats.detection import detect_example_format, detect_pair_format, detect_sentence_format
from elman.data.formats.examples import SOURCE_AND_TARGET
from elman.data.formats.json_lines import JsonLines
from elman.data.formats.passages import Passages
from elman.data.formats.pictures import PictureFiles
from elman.data.formats.series import SeriesArchive, SeriesTable, detect_series_format
from elman.data.formats.text_lines import SentenceLines, SourceLines, TextLines
from elman.data.formats.ts import SeriesLines
from elman.data.formats.tunes import Tunes
from elman.data.images.onnx_encoder import encoder_size
from elman.errors import UsageError, suggest


@dataclass(frozen=True, kw_only=True)
class Row:
    """One format of a task."""

    make: Callable[[Any], Any]
    """Makes the format from the model's settings."""
    reads: bool = True
    """Whether it can be read."""
    writes: bool = False
    """Whether it can be written."""
    endings: tuple[str, ...] = ()
    """The endings of its files, if no other format of the task has them."""


@dataclass(frozen=True, kw_only=True)
class Formats:
    """The formats of a task."""

    rows: Mapping[str, Row]
    """The formats by name."""
    detect: Callable[[Path | str, Any], Any]
    """Detects the format of a file or a string, given the model's settings, if no row has the file's ending."""
    piped: str
    """The default format of a pipe."""
    written: str
    """The default output format, unless the input format copies what it reads."""
    labels: str = ""
    """The argument of ``read`` that asks for the labels, too; empty if the formats have none."""

    def reader(self, name: str | None, source: Any, settings: Any) -> Any:
        """Return the reader of a source.

        Args:
            name: the name of the format; None to detect it.
            source: a ``Path`` names a file, a ``str`` is text, anything else is a stream.
            settings: the settings of the model.

        Raises:
            UsageError: the task reads no such format.
        """
        if name is None and isinstance(source, Path | str):
            ending = source.suffix.lower() if isinstance(source, Path) else ""
            own = next((row for row in self.rows.values() if ending and ending in row.endings), None)
            return own.make(settings) if own else self.detect(source, settings)
        return self._make("input_format", name or self.piped, "reads", settings)

    def writer(self, name: str | None, reader: Any, settings: Any) -> Any:
        """Return the writer of the answers.

        Args:
            name: the name of the format; None for the default.
            reader: the reader of the inputs.
            settings: the settings of the model, overridden by the options of the call.

        Raises:
            UsageError: the task writes no such format.
        """
        if name is None and getattr(reader, "copies", False):
            return reader
        return self._make("output_format", name or self.written, "writes", settings)

    def _make(self, option: str, name: str, does: str, settings: Any) -> Any:
        known = [key for key, row in self.rows.items() if getattr(row, does)]
        if name not in known:
            listed = ", ".join(known)
            raise UsageError(f"`{option}` {name}: no such format{suggest(name, known) or ';'} there are {listed}")
        return self.rows[name].make(settings)


def _make_columns(settings: Any) -> Columns:
    number = column_number(settings.column or "")
    return Columns(settings.word_column, -1 if number is None else number)


def _make_conllu(settings: Any) -> Conllu:
    named = settings.column and column_number(settings.column) is None
    return Conllu(settings.column) if named else Conllu()


def _detect_source_format(source: Path | str, settings: Any) -> Any:
    """Detect the format of sources: one source on each line, unless the file's ending is that of a table."""
    if isinstance(source, Path) and source.suffix not in (".tsv", ".csv", ".jsonl"):
        return SourceLines()
    return detect_pair_format(source, (settings.source, settings.target), not settings.no_header, settings.encoding)


def _make_table_of_examples(delimiter: str) -> Callable[[Any], Delimited]:
    return lambda settings: Delimited(delimiter, settings.text, settings.label, header=not settings.no_header)


def _make_table_of_pairs(delimiter: str) -> Callable[[Any], Delimited]:
    return lambda settings: Delimited(
        delimiter, settings.source, settings.target, header=not settings.no_header, nouns=SOURCE_AND_TARGET
    )


def _make_pictures(settings: Any) -> PictureFiles:
    return PictureFiles((encoder_size(settings.encoder) if settings.encoder else None) or settings.picture_size)


def _make_passages(settings: Any) -> Passages:
    return Passages(settings.lines, settings.level)


FORMATS: Mapping[str, Formats] = {
    "lm": Formats(
        rows={"text": Row(make=_make_passages, writes=True)},
        detect=lambda source, settings: _make_passages(settings),
        piped="text",
        written="text",
    ),
    "tagger": Formats(
        rows={
            "conllu": Row(make=_make_conllu, writes=True),
            "columns": Row(make=_make_columns, writes=True),
            "text": Row(make=lambda settings: SentenceLines(), writes=True),
            "jsonl": Row(make=lambda settings: JsonLines(), reads=False, writes=True),
        },
        detect=lambda source, settings: detect_sentence_format(
            source, settings.column, settings.word_column, settings.encoding
        ),
        labels="tagged",
        piped="text",
        written="jsonl",
    ),
    "classifier": Formats(
        rows={
            "jsonl": Row(make=lambda settings: JsonLines(settings.text, settings.label), writes=True),
            "text": Row(make=lambda settings: TextLines(), writes=True),
            "csv": Row(make=_make_table_of_examples(",")),
            "tsv": Row(make=_make_table_of_examples("\t")),
        },
        detect=lambda source, settings: detect_example_format(
            source, settings.text, settings.label, not settings.no_header, encoding=settings.encoding
        ),
        labels="labelled",
        piped="text",
        written="jsonl",
    ),
    "numbers": Formats(
        rows={
            "csv": Row(make=lambda settings: SeriesTable(settings.label)),
            "npz": Row(make=lambda settings: SeriesArchive()),
            "ts": Row(make=lambda settings: SeriesLines(), endings=(".ts",)),
            "jsonl": Row(make=lambda settings: JsonLines(), reads=False, writes=True),
            "text": Row(make=lambda settings: TextLines(), reads=False, writes=True),
        },
        detect=lambda source, settings: detect_series_format(source, settings.label),
        labels="labelled",
        piped="csv",
        written="jsonl",
    ),
    "translator": Formats(
        rows={
            "text": Row(make=lambda settings: SourceLines(settings.n_best), writes=True),
            "csv": Row(make=_make_table_of_pairs(",")),
            "tsv": Row(make=_make_table_of_pairs("\t")),
            "jsonl": Row(
                make=lambda settings: JsonLines(settings.source, settings.target, SOURCE_AND_TARGET), writes=True
            ),
        },
        detect=_detect_source_format,
        labels="labelled",
        piped="text",
        written="text",
    ),
    "captioner": Formats(
        rows={
            "pictures": Row(make=_make_pictures),
            "text": Row(make=lambda settings: CaptionLines(settings.n_best), reads=False, writes=True),
            "jsonl": Row(make=lambda settings: JsonLines(), reads=False, writes=True),
        },
        detect=lambda source, settings: _make_pictures(settings),
        piped="pictures",
        written="text",
    ),
    "composer": Formats(
        rows={
            "music": Row(make=lambda settings: Tunes()),
            "text": Row(make=lambda settings: Tunes(), reads=False, writes=True),
        },
        detect=lambda source, settings: Tunes(),
        piped="music",
        written="text",
    ),
}
"""The formats by the shell's name of the task; a classifier of numbers has its own."""
