"""Sequences of numbers, a row a time step: from NumPy's .npz, from long CSV, or from arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from elman.data.files import SHOWN, listed, not_among, reason
from elman.data.lines import Lines, Problems
from elman.data.npz import read_npz, texts_of
from elman.data.tables import Delimited, column_names, separator_of
from elman.data.values.columns import take_rows
from elman.errors import DataError, UsageError

Array = NDArray[np.float32]

_NOT_FINITE = "NaN, infinity or a number too large"


class Series(NamedTuple):
    """Sequences, and the label of each; None where they have none."""

    sequences: list[Array]
    """(T, F) each: a row a time step, a column a feature."""
    labels: list[str] | None
    left_out: dict[int, tuple[int, str]]
    """By its place among all sequences of the file, from 0: the line of one that cannot be used, and why."""

    def each(self) -> Iterator[tuple[int, str]]:
        """Yield, for every sequence of the file, its line and why it cannot be used: (0, "") for one that can."""
        for place in range(len(self.sequences) + len(self.left_out)):
            yield self.left_out.get(place, (0, ""))


def read_series(
    source: Path | str, problems: Problems, *, label: str = "label", encoding: str = "utf-8", labelled: bool = True
) -> Series:
    r"""Read sequences from a file, or from the text of a CSV.

    A ``.npz`` holds ``inputs`` and ``labels``; the inputs are (N, T), (N, T, F), both with ``lengths`` where they are
    padded, or (sum of lengths, F) with ``lengths``. A CSV has a row a time step; its column ``sequence`` says to which
    sequence the row belongs, ``label`` is the same in all of its rows, and every other column is a feature.

    Args:
        source: the file; a ``str`` is the text of a CSV.
        problems: who is told of a sequence that is left out, because a number in it is none.
        label: the CSV's column of labels.
        encoding: how the CSV is encoded.
        labelled: whether labels are wanted.

    Raises:
        DataError: the file cannot be read, or lacks what it must hold.

    Example:
        >>> text = "sequence,label,x\na,up,1\na,up,2\nb,down,5\n"
        >>> series = read_series(text, Problems())
        >>> [sequence.tolist() for sequence in series.sequences], series.labels
        ([[[1.0], [2.0]], [[5.0]]], ['up', 'down'])
    """
    if isinstance(source, Path) and source.suffix.lower() == ".npz":
        return _from_npz(source, problems, labelled)
    return _from_csv(Lines(source, encoding), problems, label, labelled)


def check_series(inputs: Any) -> list[Array]:
    """Take arrays as Python hands them over: (N, T), (N, T, F), or a list of (T, F); return them as (T, F) each.

    Raises:
        UsageError: one is no array of finite numbers, or their numbers of features differ.

    Example:
        >>> [sequence.shape for sequence in check_series([[1, 2, 3], [4, 5]])]
        [(3, 1), (2, 1)]
    """
    sequences: list[Array] = []
    for row, values in enumerate(take_rows(inputs)):
        try:
            if isinstance(values, np.ndarray) and values.dtype.kind in "cmM":  # NumPy would drop a part of them
                raise TypeError(f"they are {values.dtype}")
            array = _float32(values)
        except (TypeError, ValueError, RuntimeError) as error:  # the last is torch's, where gradients are kept
            raise UsageError(f"X[{row}] is no array of numbers: {error}") from None
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or not len(array):
            raise UsageError(f"X[{row}] has shape {np.shape(values)}, expected (T, F) with at least one time step")
        if not np.isfinite(array).all():
            raise UsageError(
                f"X[{row}] holds NaN or infinity (or a number too large); fill in or leave out what is missing"
            )
        if sequences and array.shape[1] != sequences[0].shape[1]:
            raise UsageError(f"X[{row}] has {array.shape[1]} features, where X[0] has {sequences[0].shape[1]}")
        sequences.append(array)
    return sequences


class NumberSequences:
    """Sequences of numbers, put into batches.

    Args:
        sequences: (T, F) each.

    Example:
        >>> sequences = NumberSequences(check_series([[1, 2], [3]]))
        >>> _, inputs, lengths = sequences.gather(np.array([1, 0]))
        >>> inputs.squeeze(-1).tolist(), lengths.tolist()
        ([[3.0, 0.0], [1.0, 2.0]], [1, 2])
    """

    def __init__(self, sequences: Sequence[Array]) -> None:
        self._sequences = sequences
        self.lengths = np.array([len(sequence) for sequence in sequences], np.int64)  # (N,)

    def gather(self, rows: NDArray[np.int64]) -> tuple[None, torch.Tensor, torch.Tensor]:
        """Put some sequences into a batch: no words, (B, T, F) with zeros beyond their lengths, and these (B,)."""
        lengths = self.lengths[rows]
        inputs = np.zeros((len(rows), int(lengths.max()), self._sequences[0].shape[1]), np.float32)  # (B, T, F)
        for row, which in enumerate(rows.tolist()):
            inputs[row, : lengths[row]] = self._sequences[which]
        return None, torch.from_numpy(inputs), torch.from_numpy(lengths)


def _from_npz(path: Path, problems: Problems, labelled: bool) -> Series:
    arrays, names = read_npz(path, ("inputs", "lengths", "labels"))
    for name in ("inputs", "labels") if labelled else ("inputs",):
        if name not in arrays:
            raise DataError(f'{path}: holds no array "{name}"; it has {listed(names) or "none"}')
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
    labels = texts_of(arrays["labels"], f"{path}: labels") if labelled else None
    if labels is not None and len(labels) != len(sequences):
        raise DataError(f"{path}: {len(sequences):,} sequences, but {len(labels):,} labels")
    sequences = [_float32(values) for values in sequences]
    left_out: dict[int, tuple[int, str]] = {}
    for row, values in enumerate(sequences):
        problem = "" if np.isfinite(values).all() else f"holds {_NOT_FINITE}"
        if labels is not None and not labels[row].strip():
            problem = "has an empty label"
        if problem:
            problems.add(str(path), row, f"this sequence (counted from 0) {problem}; {_fate(labelled)}")
            left_out[row] = row, problem
    kept = [row for row in range(len(sequences)) if row not in left_out]
    named = None if labels is None else [labels[row].strip() for row in kept]
    return Series([sequences[row] for row in kept], named, left_out)


def _fate(labelled: bool) -> str:
    return "it is left out" if labelled else "it gets no label"


def _float32(values: Any) -> Array:
    with np.errstate(over="ignore"):  # too large a number becomes infinity, which is then told
        return np.asarray(values, np.float32)


def _from_csv(lines: Lines, problems: Problems, label: str, labelled: bool) -> Series:
    sequences: list[Array] = []
    labels: list[str] = []
    left_out: dict[int, tuple[int, str]] = {}
    seen: set[str] = set()
    for name, rows in groupby(_rows(lines, label, labelled), key=attrgetter("sequence")):
        values, own = [], ""
        problem, at = ("its rows must stand together, and some came before", 0) if name in seen else ("", 0)
        for row in rows:
            own = own or row.label
            if not problem:
                problem = row.problem or ("it has two labels" if row.label != own else "")
            at = at or (row.line if problem else 0)
            values.append(row.values)
        seen.add(name)
        if problem:
            problems.add(lines.name, at, f"sequence {name[:SHOWN]!r}: {problem}; {_fate(labelled)}")
            left_out[len(sequences) + len(left_out)] = at, problem
        else:
            sequences.append(_float32(values))
            labels.append(own)
    return Series(sequences, labels if labelled else None, left_out)


class _Row(NamedTuple):
    """One time step."""

    line: int
    sequence: str
    label: str
    values: list[float]
    problem: str


def _rows(lines: Lines, label: str, labelled: bool) -> Iterator[_Row]:
    separator, spaced = separator_of(lines, ("sequence", label))
    records = Delimited(separator, spaced=spaced).records(lines)
    first, cells, problem = next(records, (0, [], ""))
    if not first:
        raise DataError(f"{lines.name}: is empty; it needs the names of its columns and a row a time step")
    if problem:
        raise DataError(f"{lines.name}:{first}: the names of the columns cannot be read: {problem}")
    names = column_names(cells, lines.name)
    places = {}
    for wanted in ("sequence", label) if labelled else ("sequence",):
        if wanted not in names:
            raise DataError(f'{lines.name}: no column is called "{wanted}"{not_among(names, wanted)}')
        places[wanted] = names.index(wanted)
    features = [index for index, name in enumerate(names) if name not in ("sequence", label)]
    if not features:
        raise DataError(f"{lines.name}: has no column of numbers; it has {listed(names)}")
    sequence = ""
    for line, cells, problem in records:
        if places["sequence"] < len(cells):
            sequence = cells[places["sequence"]].strip()
        if not problem and len(cells) != len(names):
            problem = f"{len(cells)} cells where the first line has {len(names)}"
        values: list[float] = []
        if not problem:
            try:
                values = [float(cells[index]) for index in features]
            except ValueError as error:
                problem = reason(error)
            if not np.isfinite(_float32(values)).all():
                problem = _NOT_FINITE
        own = cells[places[label]].strip() if labelled and not problem else ""
        if labelled and not problem and not own:
            problem = "the label is empty"
        yield _Row(line, sequence, own, values, problem)
