"""Sequences of numbers, a row a time step: from NumPy's .npz, from long CSV, or from arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from elman.data.lines import Lines, Problems
from elman.data.tables import Delimited
from elman.data.text import open_file
from elman.errors import DataError, UsageError, nearest

Array = NDArray[np.float32]


class Series(NamedTuple):
    """Sequences, and the label of each; None where they have none."""

    sequences: list[Array]
    """(T, F) each: a row a time step, a column a feature."""
    labels: list[str] | None


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
    if isinstance(source, Path) and source.suffix == ".npz":
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
    for row, values in enumerate(inputs):
        try:
            array = np.asarray(values, np.float32)
        except (TypeError, ValueError) as error:
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
    open_file(path).close()
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("inputs", "lengths", "labels") if name in file.files}
            names = ", ".join(file.files)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = "it holds Python objects, which are never loaded" if "pickle" in str(error) else str(error)
        raise DataError(f"{path}: cannot be read as .npz: {reason}; save plain arrays with numpy.savez") from None
    for name in ("inputs", "labels") if labelled else ("inputs",):
        if name not in arrays:
            raise DataError(f'{path}: holds no array "{name}"; it has {names or "none"}')
    inputs, lengths = arrays["inputs"], arrays.get("lengths")
    if inputs.dtype.kind not in "fiub":
        raise DataError(f"{path}: inputs are {inputs.dtype}, expected numbers")
    if lengths is not None and (lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any()):
        raise DataError(f"{path}: lengths must be whole numbers above zero, one for each sequence")
    if lengths is not None and inputs.ndim == 2 and lengths.sum() == len(inputs):
        sequences = np.split(inputs, np.cumsum(lengths)[:-1])
    elif inputs.ndim in (2, 3):
        inputs = inputs[:, :, None] if inputs.ndim == 2 else inputs  # (N, T, F)
        if lengths is None:
            lengths = np.full(len(inputs), inputs.shape[1])
        if len(lengths) != len(inputs) or (lengths > inputs.shape[1]).any():
            raise DataError(
                f"{path}: inputs have shape {inputs.shape}; {len(lengths)} lengths up to {lengths.max()} do not fit"
            )
        sequences = [values[:length] for values, length in zip(inputs, lengths.tolist(), strict=True)]
    else:
        raise DataError(f"{path}: inputs have shape {inputs.shape}, expected (N, T), (N, T, F), or rows with lengths")
    labels = [str(label) for label in arrays["labels"].tolist()] if labelled else None
    if labels is not None and len(labels) != len(sequences):
        raise DataError(f"{path}: {len(sequences):,} sequences, but {len(labels):,} labels")
    finite = [bool(np.isfinite(values).all()) for values in sequences]
    for row, is_finite in enumerate(finite):
        if not is_finite:
            problems.add(str(path), row, "this sequence (counted from 0) holds NaN or infinity; it is left out")
    kept = [np.asarray(values, np.float32) for values, is_finite in zip(sequences, finite, strict=True) if is_finite]
    return Series(kept, None if labels is None else [label for label, good in zip(labels, finite, strict=True) if good])


def _from_csv(lines: Lines, problems: Problems, label: str, labelled: bool) -> Series:
    sequences: list[Array] = []
    labels: list[str] = []
    for _, rows, own, problem, line in _grouped(lines, label, labelled):
        if problem:
            problems.add(lines.name, line, f"{problem}; the sequence is left out")
        else:
            sequences.append(np.array(rows, np.float32))
            labels.append(own)
    return Series(sequences, labels if labelled else None)


def _grouped(lines: Lines, label: str, labelled: bool) -> Iterator[tuple[str, list[list[float]], str, str, int]]:
    """Yield each sequence: its name, its rows, its label, what is wrong with it and where."""
    names: list[str] = []
    features: list[int] = []
    now, rows, own, problem, at = "", list[list[float]](), "", "", 0
    done: set[str] = set()
    for line, cells, broken in Delimited(",")._records(lines):
        if not names:
            names = [cell.strip() for cell in cells]
            for wanted in ("sequence", label) if labelled else ("sequence",):
                if wanted not in names:
                    meant = nearest(wanted, names) or ";"
                    raise DataError(f'{lines.name}: no column is called "{wanted}"{meant} it has {", ".join(names)}')
            features = [index for index, name in enumerate(names) if name not in ("sequence", label)]
            continue
        if broken or len(cells) != len(names):
            problem = problem or broken or f"{len(cells)} cells where the first line has {len(names)}"
            at = at or line
            continue
        name = cells[names.index("sequence")]
        if name != now and (rows or problem):
            yield now, rows, own, problem, at
            done.add(now)
            rows, problem, at = [], "", 0
        if not rows:
            now, own = name, cells[names.index(label)] if labelled else ""
            if name in done:
                problem, at = f"sequence {name!r} went on before; its rows must stand together", line
        if labelled and cells[names.index(label)] != own:
            problem, at = problem or f"sequence {name!r} has two labels", at or line
        try:
            values = [float(cells[index]) for index in features]
            if not np.isfinite(values).all():
                raise ValueError("not a finite number")
            rows.append(values)
        except ValueError as error:
            problem, at = problem or str(error), at or line
            rows.append([0.0] * len(features))
    if rows or problem:
        yield now, rows, own, problem, at
