"""Time series of the UEA archive, written by hand."""

import numpy as np
import pytest

from elman.data.formats.table import FORMATS
from elman.data.formats.ts import SeriesLines
from elman.data.lines import Lines, Problems
from elman.data.records import NumberSequence, Problem
from elman.errors import DataError

HEAD = "# a comment\n@problemName Basic\n@timeStamps false\n@univariate false\n@classLabel true up down\n@data\n"


def test_dimensions_and_labels(tmp_path):
    path = tmp_path / "Basic_TRAIN.ts"
    path.write_text(HEAD + "1,2,3:4,5,6:up\n7.5:-8:down\n\n")
    reader = FORMATS["numbers"].reader(None, path, None)
    found = list(reader.read(Lines(path), Problems(), labelled=True))
    np.testing.assert_array_equal(found[0].values, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(found[1].values, [[7.5, -8]])
    assert [(item.label, item.line) for item in found] == [("up", 7), ("down", 8)]


def test_without_labels():
    text = HEAD.replace("true up down", "false") + "1,2\n3,4\n"
    found = list(SeriesLines().read(Lines(text), Problems()))
    assert [item.values.tolist() for item in found] == [[[1], [2]], [[3], [4]]]
    with pytest.raises(DataError, match="has no labels"):
        list(SeriesLines().read(Lines(text), Problems(), labelled=True))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,?:2,3:up", "a value is missing"),
        ("1,2:3:up", "its dimensions have 1 to 2 values"),
        ("1,x:2,3:up", "could not convert string to float: 'x'"),
        ("1,nan:2,3:up", "NaN, infinity"),
        ("1,1e99:2,3:up", "NaN, infinity or a number too large"),
        ("up", "NaN"),
        (":up", "could not convert"),
    ],
)
def test_a_bad_line_keeps_its_position(line, said):
    problems = Problems()
    found = list(SeriesLines().read(Lines(HEAD + line + "\n1:2:up\n"), problems))
    assert [type(item) for item in found] == [Problem, NumberSequence]
    assert said in problems.first
    assert problems.first.startswith("text:7: ")
    assert len(list(SeriesLines().read(Lines(HEAD + line + "\n1:2:up\n"), Problems(), labelled=True))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2:up\n", "no line @data"),
        (HEAD.replace("@timeStamps false", "@timeStamps true"), "time stamps"),
        ("", "no line @data"),
    ],
)
def test_unreadable_files_are_refused(text, said):
    with pytest.raises(DataError, match=said):
        list(SeriesLines().read(Lines(text), Problems()))
