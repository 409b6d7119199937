"""Python values as data: accepted values equal a plain list, and refused values are reported with their row."""

import datetime
import enum
import subprocess
import sys
from collections import OrderedDict
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.values.columns import take_rows
from elman.data.values.labels import check_classes, take_labels, take_tags
from elman.data.values.pictures import take_captions, take_pictures
from elman.data.values.texts import take_sentences, take_sources, take_texts
from elman.errors import DataError, UsageError

pd = pytest.importorskip("pandas")
sparse = pytest.importorskip("scipy.sparse")

TEXTS = ["good", "bad", "né"]
ODD_INDEX = [7, 7, -1]

FORMS = {  # every type of column
    "list": lambda values: values,
    "tuple": tuple,
    "array": np.array,
    "objects": lambda values: np.array(values, object),
    "column of an array": lambda values: np.array(values)[:, None],
    "column of objects": lambda values: np.array(values, object)[:, None],
    "masked, nothing masked": np.ma.array,
    "generator": lambda values: (value for value in values),
    "iterator": iter,
    "dict's values": lambda values: dict(enumerate(values)).values(),
    "Series": lambda values: pd.Series(values, index=ODD_INDEX),
    "Series of objects": lambda values: pd.Series(values, index=ODD_INDEX, dtype=object),
    "Categorical": lambda values: pd.Series(values, index=ODD_INDEX, dtype="category"),
    "Index": pd.Index,
    "frame of one column": lambda values: pd.DataFrame({"a": values}, index=ODD_INDEX),
    "frame of one categorical column": lambda values: pd.DataFrame({"a": pd.Categorical(values)}),
}
TEXT_FORMS = {
    "strings": lambda values: pd.Series(values, dtype="string"),
    "strings of pyarrow": lambda values: pd.Series(values, dtype="string[pyarrow]"),
}


@pytest.mark.parametrize("form", FORMS | TEXT_FORMS)
def test_every_container_of_texts_becomes_a_list(form):
    made = (FORMS | TEXT_FORMS)[form]
    assert take_texts(made(TEXTS)) == TEXTS
    assert {type(text) for text in take_texts(made(TEXTS))} == {str}
    assert take_sources(made(TEXTS)) == TEXTS
    assert take_labels(made(TEXTS)) == TEXTS


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("labels", [[1, 0, 1], [True, False, True], [1.0, 0.0, 1.0]], ids=str)
def test_every_container_of_labels_becomes_a_list_and_keeps_the_type(form, labels):
    found = take_labels(FORMS[form](labels))
    assert found == labels
    assert {type(label) for label in found} == {type(labels[0])}


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (pd.Series([1, 0], dtype="Int64"), [1, 0]),
        (pd.Series([True, False], dtype="boolean"), [True, False]),
        (np.array([1, 2], np.int8), [1, 2]),
        ([np.int64(1), 2], [1, 2]),
        ([np.bool_(True), False], [True, False]),
        ([1, 2.0], [1.0, 2.0]),
        ([1, "1", np.float32(1)], ["1", "1", "1"]),
        ([True, "true", "False"], ["True", "True", "False"]),
        (np.array([1, "a"], object), ["1", "a"]),
        (["1", "1.0", "true"], ["1", "1.0", "true"]),  # all strings: they are kept
        ([enum.IntEnum("Mood", ["GOOD"]).GOOD], [1]),
        ([enum.StrEnum("Mood", {"GOOD": "good"}).GOOD], ["good"]),
    ],
)
def test_labels_of_special_types(labels, wanted):
    found = take_labels(labels)
    assert found == wanted
    assert [type(label) for label in found] == [type(label) for label in wanted]


WORDS = [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    "sentences",
    [
        WORDS,
        tuple(map(tuple, WORDS)),
        np.array(WORDS),
        np.array(WORDS, object),
        [np.array(words) for words in WORDS],
        [pd.Series(words, index=[5, 5]) for words in WORDS],
        pd.Series(WORDS, index=[3, 1]),
        pd.DataFrame({"words": WORDS}),
        ((word for word in words) for words in WORDS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_container_of_sentences_becomes_lists(sentences):
    assert take_sentences(sentences) == WORDS


def test_tags_become_strings():
    assert take_tags(np.array([[0, 1], [1, 0]])) == [["0", "1"], ["1", "0"]]
    assert take_tags([[True], [1, "1", 1.0]]) == [["True"], ["1", "1", "1"]]
    assert take_tags([[], ["A"]]) == [[], ["A"]]


NOT_A_COLUMN = {  # for values of any kind: the wrong value and the expected message
    "None": (None, "is None"),
    "number": (5, "single value of type int"),
    "bytes": (b"good", "bytes"),
    "bytearray": (bytearray(b"good"), "bytearray"),
    "path": (Path("a.csv"), "is a path"),
    "dict": ({"text": TEXTS}, r"X\['text'\]"),
    "ordered dict": (OrderedDict(text=TEXTS), "OrderedDict"),
    "set": (set(TEXTS), "no order"),
    "keys": ({"a": 1}.keys(), "no order"),
    "frame": (pd.DataFrame({"text": TEXTS, "label": TEXTS}), r"2 columns \(text, label\).*df\['text'\]"),
    "frame without columns": (pd.DataFrame(index=[1, 2]), "0 columns"),
    "array of one value": (np.array("good"), "single value"),
    "two columns": (np.array([TEXTS, TEXTS]).T, r"shape \(3, 2\)"),
    "one row": (np.array([TEXTS]), r"shape \(1, 3\)"),
    "three dimensions": (np.zeros((1, 2, 3)), r"shape \(1, 2, 3\)"),
    "tensor": (torch.zeros(3), "tensor"),
    "sparse matrix": (sparse.csr_matrix(np.eye(3)), "sparse"),
    "sparse array": (sparse.coo_array(np.eye(3)), "sparse"),
    "object": (object(), "single value of type object"),
    "class": (list, "single value"),
}
MISSING = {
    "None": [None],
    "NaN": [float("nan")],
    "NumPy's NaN": np.array([np.nan]),
    "float32": [np.float32("nan")],
    "NA": [pd.NA],
    "NaT": [pd.NaT],
    "no date": np.array(["NaT"], "M8[s]"),
    "masked": np.ma.array(["a"], mask=[True]),
    "masked constant": [np.ma.masked],
    "Series": pd.Series([None], dtype=object, index=[9]),
    "strings": pd.Series([None], dtype="string"),
    "strings of pyarrow": pd.Series([None], dtype="string[pyarrow]"),
    "whole numbers": pd.Series([None], dtype="Int64"),
    "truth values": pd.Series([None], dtype="boolean"),
    "Categorical": pd.Series([None], dtype="category"),
    "frame": pd.DataFrame({"a": [None]}),
}
TAKERS = [take_texts, take_labels, take_sentences, take_tags, take_sources]


@pytest.mark.parametrize("take", TAKERS)
def test_a_value_that_is_not_a_column_is_refused(take):
    for values, said in NOT_A_COLUMN.values():
        if take is take_sources and isinstance(values, Path):
            continue
        if take in (take_sentences, take_tags) and isinstance(values, np.ndarray) and values.ndim == 2:
            continue  # rows of words
        with pytest.raises(UsageError, match=said):
            take(values, "X")


@pytest.mark.parametrize("take", TAKERS)
@pytest.mark.parametrize("form", MISSING)
def test_a_missing_value_is_reported_with_its_row(take, form):
    with pytest.raises(DataError, match=r"^X\[0\] is missing"):
        take(MISSING[form], "X")


@pytest.mark.parametrize(
    ("take", "values", "error", "said"),
    [
        (take_texts, "good film", UsageError, r"one text.*\['good film'\]"),
        (take_texts, ["a", 5], UsageError, r"X\[1\] is of type int, not a text"),
        (take_texts, ["a", b"b"], UsageError, r"X\[1\] is of type bytes.*decode"),
        (take_texts, ["a", ["b"]], UsageError, r"X\[1\] is of type list"),
        (take_texts, ["a", "b \ud83d"], DataError, r"X\[1\] contains half a character"),
        (take_texts, pd.Series(["a", None], index=[9, 9]), DataError, r"X\[1\] is missing"),
        (take_sources, ["a", 5], UsageError, r"X\[1\] is of type int"),
        (take_sentences, "a b", UsageError, "one text"),
        (take_sentences, ["a b"], UsageError, r"sentence 0 is a text.*\['a', 'b'\]"),
        (take_sentences, [["a", None]], DataError, r"X\[0\]\[1\] is missing"),
        (take_sentences, [["a"], ["b", 5]], UsageError, r"X\[1\]\[1\] is of type int, not a word"),
        (take_sentences, [{"a": 1}], UsageError, r"X\[0\] is a dict"),
        (take_sentences, [{"a"}], UsageError, r"X\[0\] is a set"),
        (take_sentences, [[["a"]]], UsageError, r"X\[0\]\[0\] is of type list"),
        (take_tags, ["NV"], UsageError, r"y\[0\] is one text"),
        (take_tags, [["N", np.nan]], DataError, r"y\[0\]\[1\] is missing"),
        (take_tags, [["N", " "]], DataError, r"y\[0\]\[1\] is empty"),
        (take_tags, [["N", 0.5]], UsageError, r"y\[0\]\[1\] is 0\.5"),
        (take_labels, "ab", UsageError, "one text"),
        (take_labels, ["a", ""], DataError, r"y\[1\] is empty"),
        (take_labels, [0.5], UsageError, "continuous"),
        (take_labels, [np.inf], UsageError, "continuous"),
        (take_labels, [True, 1], UsageError, "several types"),
        (take_labels, [["a"]], UsageError, r"y\[0\] is of type list.*one for each input"),
        (take_labels, [datetime.date(2020, 1, 1)], UsageError, "type date"),
        (take_labels, pd.Series(pd.date_range("2020", periods=2)), UsageError, "datetime64"),
        (take_labels, np.eye(3), UsageError, r"shape \(3, 3\).*one for each input"),
        (take_captions, [None], DataError, r"captions\[0\] is missing"),
        (take_captions, [["a", None]], DataError, r"captions\[0\] is missing"),
        (take_captions, [["a", 5]], UsageError, r"captions\[0\] contains a value of type int"),
        (take_captions, {"x": [pd.NA]}, DataError, r"captions\['x'\] is missing"),
        (take_captions, [{"a"}], UsageError, "no order"),
        (take_pictures, [None], DataError, r"X\[0\] is missing"),
        (take_pictures, {"a": None}, DataError, r"X\['a'\] is missing"),
        (take_pictures, ["a.png"], UsageError, r"X\[0\] is of type str"),
        (take_pictures, "a.png", UsageError, "pictures are of type str"),
        (take_pictures, np.zeros((8, 8, 3), np.uint8), UsageError, "is one array"),
        (take_pictures, np.zeros(3), UsageError, "is one array"),
        (take_rows, "1 2", UsageError, "one text"),
        (take_rows, {"a": [1]}, UsageError, "is a dict"),
        (take_rows, 5, UsageError, "single value"),
    ],
)
def test_wrong_values_are_refused(take, values, error, said):
    with pytest.raises(error, match=said):
        take(values)


def test_rows_of_numbers_from_frames_tensors_and_masked_arrays():
    wanted = np.arange(6.0).reshape(2, 3)
    tensor = torch.from_numpy(wanted).requires_grad_()
    for values in (wanted, pd.DataFrame(wanted), tensor, list(wanted), iter(wanted), wanted.tolist()):
        np.testing.assert_array_equal(take_rows(values), wanted)
    masked = np.ma.array([[1, 2]], mask=[[False, True]])
    np.testing.assert_array_equal(take_rows(masked), [[1, np.nan]])


@given(st.lists(st.text(st.characters(), max_size=5), min_size=3, max_size=3), st.sampled_from(sorted(FORMS)))
def test_any_texts_in_any_container_are_kept_or_refused(texts, form):
    if any(text.endswith("\0") for text in texts) and form in ("array", "column of an array", "masked, nothing masked"):
        return  # NumPy's strings end before a NUL
    halves = [row for row, text in enumerate(texts) if any("\ud800" <= letter <= "\udfff" for letter in text)]
    try:
        values = FORMS[form](texts)
    except UnicodeEncodeError:  # pandas refuses them itself
        return
    if halves:
        with pytest.raises(DataError, match=rf"X\[{halves[0]}\]"):
            take_texts(values)
    else:
        assert take_texts(values) == texts


def test_optional_libraries_are_not_imported():
    code = (
        "import sys; sys.modules.update(pandas=None, sklearn=None, scipy=None, torch=None);"
        "from elman.data.values import columns, labels, pictures, texts"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("labels", "refused"),
    [
        ([f"{number / 7:.3f}" for number in range(40)], True),
        ([f"{number / 7:.3f}" for number in range(40)] * 3, False),  # each occurs three times
        ([f"{number / 7:.3f}" for number in range(15)], False),  # too few to decide
        ([str(number) for number in range(40)], False),
        ([f"{number}.0" for number in range(40)], False),
        ([f"{number / 7:.3f}" for number in range(40)] + ["spam"], False),
        (["0.5", "1", "1.5"] * 10, False),
    ],
)
def test_labels_that_are_measurements_are_refused(labels, refused):
    with pytest.raises(DataError, match="40 different numbers in 40 examples") if refused else nullcontext():
        check_classes(labels)
