"""Sequences of numbers, from NumPy's .npz or from a CSV with one row for each time step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.data.files import SHOWN, describe_error, join_names, suggest_among
from elman.data.formats.delimited import Delimited, column_names, detect_separator
from elman.data.formats.npz import convert_to_texts, read_npz
from elman.data.lines import Lines, Problems
from elman.data.records import NumberSequence, Problem
from elman.data.values.numbers import Array, to_float32
from elman.errors import DataError, UsageError

REMEMBERED = 100_000  # names of sequences that are remembered in a stream, which may be endless

_NOT_FINITE = "NaN, infinity or a number too large"


class SeriesTable:
    r"""CSV with one row for each time step; the column ``sequence`` names its sequence, ``label`` the sequence's label.

    Every other column is a feature. A sequence is yielded when the first row of the next one has been read.

    Args:
        label: the column of the labels.

    Example:
        >>> text = "sequence,label,x\na,up,1\na,up,2\nb,down,5\n"
        >>> [item.values.tolist() for item in SeriesTable().read(Lines(text), Problems(), labelled=True)]
        [[[1.0], [2.0]], [[5.0]]]
    """

    def __init__(self, label: str = "label") -> None:
        self._label = label

    def read(self, lines: Lines, problems: Problems, *, labelled: bool = False) -> Iterator[NumberSequence | Problem]:
        """Yield the sequences.

        Args:
            lines: the lines to read.
            problems: collects the sequences that cannot be used, for example because of a missing number.
            labelled: whether to read the labels. If so, an unusable sequence is skipped; otherwise a `Problem` is
                yielded in its place.

        Raises:
            DataError: a column is missing, or the input is empty.
        """
        seen: dict[str, None] = {}
        for name, rows in groupby(_read_rows(lines, self._label, labelled), key=attrgetter("sequence")):
            values, own, first = [], "", 0
            problem, at = ("its rows must be adjacent, but some came earlier", 0) if name in seen else ("", 0)
            for row in rows:
                own, first = own or row.label, first or row.line
                if not problem:
                    problem = row.problem or ("it has two labels" if row.label != own else "")
                at = at or (row.line if problem else 0)
                values.append(row.values)
            seen[name] = None
            if len(seen) > REMEMBERED and not isinstance(lines.source, Path | str):
                del seen[next(iter(seen))]
            if problem:
                problems.add(lines.name, at, f"sequence {name[:SHOWN]!r}: {problem}; {_fate(labelled)}")
                if not labelled:
                    yield Problem(at, problem)
            else:
                yield NumberSequence(to_float32(values), own if labelled else None, first)


class SeriesArchive:
    """An ``.npz`` with ``inputs`` and ``labels``.

    The inputs have shape (N, T) or (N, T, F), with ``lengths`` if they are padded, or shape (sum of lengths, F) with
    ``lengths``.
    """

    def read(self, lines: Lines, problems: Problems, *, labelled: bool = False) -> Iterator[NumberSequence | Problem]:
        """Yield the sequences; see :meth:`SeriesTable.read`.

        Raises:
            UsageError: the input is a pipe.
            DataError: the file cannot be read, or an array is missing.
        """
        if not isinstance(lines.source, Path):
            raise UsageError("an .npz cannot be read from a pipe; name the file instead of -")
        sequences, labels = _read_sequences(lines.source, labelled)
        for row, values in enumerate(sequences):
            problem = "" if np.isfinite(values).all() else f"contains {_NOT_FINITE}"
            if labels is not None and not labels[row].strip():
                problem = "has an empty label"
            if problem:
                problems.add(lines.name, row, f"this sequence (counted from 0) {problem}; {_fate(labelled)}")
                if not labelled:
                    yield Problem(row, problem)
            else:
                yield NumberSequence(values, None if labels is None else labels[row].strip(), row)


def detect_series_format(source: Path | str, label: str = "label") -> SeriesTable | SeriesArchive:
    """Detect the format of a file of sequences, or of the text of a CSV."""
    return SeriesArchive() if isinstance(source, Path) and source.suffix.lower() == ".npz" else SeriesTable(label)


def _fate(labelled: bool) -> str:
    return "it is skipped" if labelled else "it gets no label"


def _read_sequences(path: Path, labelled: bool) -> tuple[list[Array], list[str] | None]:
    """Return the sequences of an archive and their labels."""
    arrays, names = read_npz(path, ("inputs", "lengths", "labels"))
    for name in ("inputs", "labels") if labelled else ("inputs",):
        if name not in arrays:
            raise DataError(f'{path}: contains no array "{name}"; it has {join_names(names) or "none"}')
    inputs, lengths = arrays["inputs"], arrays.get("lengths")
    if inputs.dtype.kind not in "fiub":
        raise DataError(f"{path}: inputs are {inputs.dtype}, expected numbers")
    if 0 in inputs.shape:
        raise DataError(f"{path}: inputs have shape {inputs.shape}, so there are no numbers")
    if lengths is not None and (lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any()):
        raise DataError(f"{path}: lengths must be whole numbers above zero, one for each sequence")
    fits = lengths is not None and lengths.max(initial=0) <= max(inputs.shape[:2], default=0)
    if lengths is not None and fits and inputs.ndim == 2 and lengths.sum() == len(inputs):
        sequences = np.split(inputs, np.cumsum(lengths)[:-1])
    elif inputs.ndim in (2, 3):
        inputs = inputs[:, :, None] if inputs.ndim == 2 else inputs  # (N, T, F)
        if lengths is None:
            lengths = np.full(len(inputs), inputs.shape[1])
        longest = lengths.max(initial=0)
        if len(lengths) != len(inputs) or longest > inputs.shape[1]:
            raise DataError(
                f"{path}: inputs have shape {inputs.shape}; {len(lengths)} lengths up to {longest} do not fit"
            )
        sequences = [values[:length] for values, length in zip(inputs, lengths.tolist(), strict=True)]
    else:
        raise DataError(f"{path}: inputs have shape {inputs.shape}, expected (N, T), (N, T, F), or rows with lengths")
    labels = _convert_labels(arrays["labels"], f"{path}: labels") if labelled else None
    if labels is not None and len(labels) != len(sequences):
        raise DataError(f"{path}: {len(sequences):,} sequences, but {len(labels):,} labels")
    return [to_float32(values) for values in sequences], labels


def _convert_labels(array: NDArray[Any], name: str) -> list[str]:
    """Convert labels to strings: a whole float to an integer, NaN to an empty string."""
    if array.ndim == 1 and array.dtype.kind == "f":
        return ["" if np.isnan(label) else str(label).removesuffix(".0") for label in array]
    return convert_to_texts(array, name)


class _Row(NamedTuple):
    """One time step."""

    line: int
    sequence: str
    label: str
    values: list[float]
    problem: str


def _read_rows(lines: Lines, label: str, labelled: bool) -> Iterator[_Row]:
    separator, spaced = detect_separator(lines, ("sequence", label))
    records = Delimited(separator, spaced=spaced).records(lines)
    first, cells, problem = next(records, (0, [], ""))
    if not first:
        raise DataError(f"{lines.name}: is empty; it needs the names of its columns and one row for each time step")
    if problem:
        raise DataError(f"{lines.name}:{first}: the names of the columns cannot be read: {problem}")
    names = column_names(cells, lines.name)
    places = {}
    for wanted in ("sequence", label) if labelled else ("sequence",):
        if wanted not in names:
            raise DataError(f'{lines.name}: no column is called "{wanted}"{suggest_among(names, wanted)}')
        places[wanted] = names.index(wanted)
    features = [index for index, name in enumerate(names) if name not in ("sequence", label)]
    if not features:
        raise DataError(f"{lines.name}: has no column of numbers; it has {join_names(names)}")
    sequence = ""
    for line, cells, problem in records:
        if places["sequence"] < len(cells):
            sequence = cells[places["sequence"]].strip()
        if not problem and len(cells) != len(names):
            problem = f"{len(cells)} cell{'s' if len(cells) != 1 else ''} where the first line has {len(names)}"
        values: list[float] = []
        if not problem:
            try:
                values = [float(cells[index]) for index in features]
            except ValueError as error:
                problem = describe_error(error)
            if not np.isfinite(to_float32(values)).all():
                problem = _NOT_FINITE
        own = cells[places[label]].strip() if labelled and not problem else ""
        if labelled and not problem and not own:
            problem = "the label is empty"
        yield _Row(line, sequence, own, values, problem)
