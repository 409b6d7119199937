"""Sequences of numbers from files and arrays, good and bad."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from elman.data.formats.series import detect_series_format
from elman.data.lines import Lines, Problems
from elman.data.records import Problem
from elman.data.values.numbers import NumberSequences, take_series
from elman.errors import DataError, UsageError


def read_series(source, problems, label="label", *, labelled=True):
    """Read a file, or the text of a CSV; return the usable sequences, and the record in the place of each sequence."""
    found = list(detect_series_format(source, label).read(Lines(source), problems, labelled=labelled))
    usable = [one for one in found if not isinstance(one, Problem)]
    each = [(one.where, one.what) if isinstance(one, Problem) else (0, "") for one in found]
    labels = [one.label for one in usable] if labelled else None
    return SimpleNamespace(sequences=[one.values for one in usable], labels=labels, each=lambda: each)


CSV = "sequence,x,label,y\na,1,up,2\na,3,up,4\nb,5,down,6\n"


def test_long_csv():
    series = read_series(CSV, Problems())
    assert [sequence.tolist() for sequence in series.sequences] == [[[1, 2], [3, 4]], [[5, 6]]]
    assert series.labels == ["up", "down"]
    assert read_series(CSV.replace(",label", ",kind"), Problems(), label="kind").labels == ["up", "down"]


def test_npz_in_all_shapes(tmp_path):
    path = tmp_path / "s.npz"
    padded = np.arange(12.0).reshape(2, 3, 2)
    lengths = np.array([2, 3])
    ragged = np.concatenate([padded[0, :2], padded[1]])
    for arrays, expected in (
        ({"inputs": padded}, [padded[0], padded[1]]),
        ({"inputs": padded, "lengths": lengths}, [padded[0, :2], padded[1]]),
        ({"inputs": ragged, "lengths": lengths}, [padded[0, :2], padded[1]]),
        ({"inputs": padded[:, :, 0]}, [padded[0, :, :1], padded[1, :, :1]]),
    ):
        np.savez(path, labels=np.array([1, 0]), **arrays)
        series = read_series(path, Problems())
        assert series.labels == ["1", "0"]
        for found, wanted in zip(series.sequences, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_a_bad_sequence_is_reported_and_skipped(tmp_path):
    problems = Problems()
    text = "sequence,x,label\na,1,up\nb,zwei,up\nb,3,up\nc,nan,up\nd,4,up\nd,5,down\ne,6,up\na,7,up\nf,8\ng,9,up\n"
    series = read_series(text, problems)
    assert [sequence.tolist() for sequence in series.sequences] == [[[1]], [[6]], [[9]]]
    assert problems.first.startswith("text:3: ")
    assert problems.count == 5
    np.savez(tmp_path / "s.npz", inputs=np.array([[1.0, np.inf], [1, 2]]), labels=["a", "b"])
    problems = Problems()
    assert read_series(tmp_path / "s.npz", problems).labels == ["b"]
    assert problems.count == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("b,,2", "the label is empty"),
        ("b,up,1e300", "a number too large"),
        ("b,up,", "could not convert"),
        ('"b" x,up,2', "not CSV"),
    ],
)
def test_the_reason_why_a_sequence_of_a_csv_is_skipped(row, message):
    problems = Problems()
    series = read_series(f"sequence,label,x\nb,up,0\n{row}\nc,down,3\n", problems)
    assert (series.labels, [sequence.tolist() for sequence in series.sequences]) == (["down"], [[[3]]])
    assert (problems.count, problems.first.startswith("text:3: sequence 'b': ")) == (1, True)
    assert message in problems.first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text: is empty"),
        ("sequence,label\na,up\n", "has no column of numbers"),
        ("sequence,label,x,x\na,up,1,2\n", 'two columns are called "x"'),
        ('sequence,label,"x" y\n', "text:1: the names of the columns cannot be read"),
    ],
)
def test_unusable_csv_is_refused(text, message):
    with pytest.raises(DataError, match=message):
        read_series(text, Problems())


def test_numbers_beyond_float32_and_padding_that_is_nan(tmp_path):
    problems = Problems()
    inputs = np.array([[1.0, 1e300], [2, np.nan], [3, 4], [5, 6]])
    np.savez(tmp_path / "s.npz", inputs=inputs, lengths=[2, 1, 2, 1], labels=np.array([b"a", b"b", b"c", b""]))
    series = read_series(tmp_path / "s.npz", problems)
    assert (series.labels, [sequence.tolist() for sequence in series.sequences]) == (["b", "c"], [[[2]], [[3], [4]]])
    assert problems.count == 2


def test_a_damaged_npz_is_at_most_a_data_error(tmp_path):
    path = tmp_path / "s.npz"
    np.savez_compressed(path, inputs=np.random.default_rng(0).normal(size=(3, 4)), labels=np.arange(3))
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]):
            path.write_bytes(content)
            with contextlib.suppress(DataError):
                read_series(path, Problems(shown=0))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": [1]}, 'no array "inputs"'),
        ({"inputs": np.ones((2, 3))}, 'no array "labels"'),
        ({"inputs": np.array([{}, {}]), "labels": [1, 2]}, "Python objects, which are never loaded"),
        ({"inputs": np.array(["a", "b"]), "labels": [1, 2]}, "expected numbers"),
        ({"inputs": np.ones(3), "labels": [1, 2, 3]}, r"expected \(N, T\)"),
        ({"inputs": np.ones((2, 3)), "labels": [1]}, "2 sequences, but 1 labels"),
        ({"inputs": np.ones((2, 3)), "labels": 1}, r"labels are int64 of shape \(\)"),
        ({"inputs": np.ones((2, 3)), "labels": [1j, 2]}, "labels are complex128"),
        ({"inputs": np.ones((2, 3)), "labels": [1, 2], "lengths": np.zeros(0, int)}, "0 lengths up to 0 do not fit"),
        ({"inputs": np.ones((2, 0, 3)), "labels": [1, 2]}, "there are no numbers"),
        ({"inputs": np.ones((2, 3)), "labels": [1, 2], "lengths": [4, 1]}, "do not fit"),
        ({"inputs": np.ones((2, 3)), "labels": [1, 2], "lengths": [0, 1]}, "above zero"),
    ],
)
def test_unusable_npz_is_refused(tmp_path, arrays, message):
    path = tmp_path / "s.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message):
        read_series(path, Problems())


def test_unreadable_files_are_refused(tmp_path):
    path = tmp_path / "s.npz"
    path.write_bytes(b"PK no zip")
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read_series(path, Problems())
    with pytest.raises(DataError, match='no column is called "sequence"; did you mean "sequenz"'):
        read_series("sequenz,x,label\n", Problems())


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["text"], "not an array of numbers"),
        ([[1.0], [np.nan]], r"X\[1\] contains NaN"),
        ([np.ones((2, 3)), np.ones((2, 2))], "has 2 features, but"),
        ([np.ones((0, 2))], "at least one time step"),
        ([[1e300]], "too large"),
    ],
)
def test_unusable_arrays_are_refused(inputs, message):
    with pytest.raises(UsageError, match=message):
        take_series(inputs)


def test_batches_are_padded_with_zeros():
    sequences = [np.full((length, 2), length, np.float32) for length in (3, 1, 2)]
    words, inputs, lengths = NumberSequences(sequences).gather(np.array([1, 0]))
    assert words is None
    assert lengths.tolist() == [1, 3]
    assert inputs[:, :, 0].tolist() == [[1, 0, 0], [3, 3, 3]]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ", "])
def test_any_separator_and_spaces_around_labels(tmp_path, separator):
    path = tmp_path / "s.csv"
    path.write_text("sequence,x,label,y\na,1,up ,2\na ,3,up,4\nb,5,down,6\n".replace(",", separator))
    series = read_series(path, Problems())
    assert [sequence.tolist() for sequence in series.sequences] == [[[1, 2], [3, 4]], [[5, 6]]]
    assert series.labels == ["up", "down"]
    np.savez(tmp_path / "s.NPZ.npz", inputs=np.ones((3, 2)), labels=["up", " up", "up "])
    assert set(read_series(tmp_path / "s.NPZ.npz", Problems()).labels) == {"up"}


def test_an_unusable_sequence_keeps_its_position(tmp_path):
    text = "sequence,x\na,1\nb,2\nb,nan\nc,x\nd,4\na,5\ne,6,7\n"
    problems = Problems(shown=0)
    series = read_series(text, problems, labelled=False)
    assert [sequence.tolist() for sequence in series.sequences] == [[[1]], [[4]]]
    assert [line for line, _ in series.each()] == [0, 4, 5, 0, 7, 8]
    assert [bool(problem) for _, problem in series.each()] == [False, True, True, False, True, True]
    assert problems.count == 4
    assert problems.first.endswith("it gets no label")
    np.savez(tmp_path / "s.npz", inputs=np.array([[1.0, np.inf], [1, 2], [np.nan, 3]]))
    series = read_series(tmp_path / "s.npz", Problems(shown=0), labelled=False)
    assert [bool(problem) for _, problem in series.each()] == [True, False, True]


@pytest.mark.parametrize("cell", ["9" * 5000, "1e999", "-inf", "x" * 100_000, "1,5", ""])
def test_any_cell_is_at_most_a_problem(cell):
    problems = Problems(shown=0)
    series = read_series(f"sequence;x;label\na;1;u\nb;{cell};u\n{cell};nan;u\n", problems)
    assert [sequence.tolist() for sequence in series.sequences] == [[[1]]]
    assert (problems.count, len(problems.first) < 1000) == (2, True)


@pytest.mark.parametrize("lengths", [[2**62] * 4 + [3], [2**63 - 1, 2**63 - 1, 5]])
def test_lengths_that_only_add_up_when_they_overflow(tmp_path, lengths):
    rows = int(np.sum(np.array(lengths, np.int64)))
    np.savez(tmp_path / "s.npz", inputs=np.ones((rows, 2)), lengths=lengths, labels=np.arange(len(lengths)))
    with pytest.raises(DataError, match="do not fit"):
        read_series(tmp_path / "s.npz", Problems())


def test_labels_that_are_numbers_are_the_same_from_either_format(tmp_path):
    path = tmp_path / "s.npz"
    table = "sequence,x,label\na,1,0.5\nb,2,1\nc,3,-1.5\nd,4,\n"
    np.savez(path, inputs=np.ones((4, 2)), labels=np.array([0.5, 1.0, -1.5, np.nan], np.float32))
    problems = Problems()
    assert read_series(path, problems).labels == read_series(table, Problems()).labels == ["0.5", "1", "-1.5"]
    assert "has an empty label" in problems.first


def test_each_sequence_knows_its_line(tmp_path):
    lines = [one.line for one in detect_series_format(CSV).read(Lines(CSV), Problems())]
    assert lines == [2, 4]
