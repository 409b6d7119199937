"""Which labels are equal: a table written by hand, and properties of any labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.spelling import Spelling, format_label, unify_labels


@pytest.mark.parametrize(
    ("known", "label", "wanted"),
    [
        ([0, 1], "1", 1),
        ([0, 1], 1.0, 1),
        ([0, 1], "1.0", 1),
        ([0, 1], "-0.0", 0),
        ([0, 1], True, "True"),  # a boolean is not a number, although they are equal in Python
        ([0, 1], "01", "01"),
        ([0, 1], "x", "x"),
        ([0.0, 1.0], 1, 1.0),
        ([0.0, 1.0], "1", 1.0),
        (["0", "1"], 1, "1"),
        (["0.0", "1.0"], 1, "1.0"),
        (["1", "1.0"], "1.0", "1.0"),  # both are known: each matches itself
        (["1", "1.0"], "1", "1"),
        (["1", "spam"], "1.0", "1.0"),  # not all are numbers, so all are strings
        (["1", "spam"], 1.0, "1"),
        ([False, True], "true", True),
        ([False, True], "TRUE", True),
        ([False, True], 1, "1"),
        (["false", "true"], True, "true"),
        (["false", "true"], "True", "true"),
        (["True", "false", "word"], "true", "true"),  # among words, capitals matter
        ([0.5, 1.5], "0.5", 0.5),  # from a model of an earlier version
        ([], "x", "x"),
    ],
)
def test_a_label_is_matched_with_a_known_one(known, label, wanted):
    found = Spelling(known).match(label)
    assert found == wanted
    assert type(found) is type(wanted)


LABELS = st.one_of(
    st.integers(-3, 3), st.integers(-3, 3).map(float), st.booleans(), st.sampled_from(["1", "1.0", "true", "a", "-1"])
)


@given(st.lists(st.integers(-30, 30), unique=True), LABELS)
def test_known_labels_match_themselves_and_others_become_strings(known, label):
    spelling = Spelling(known)
    assert [spelling.match(one) for one in known] == known
    assert [spelling.match(str(one)) for one in known] == known
    assert [spelling.match(float(one)) for one in known] == known
    found = spelling.match(label)
    assert (type(found) is int) == (found in known)
    assert type(found) in (int, str)


@given(st.lists(LABELS))
def test_equal_labels_of_several_types_become_equal_strings(labels):
    texts = unify_labels(labels)
    for label, text in zip(labels, texts, strict=True):
        for other, its in zip(labels, texts, strict=True):
            if type(label) is type(other):
                assert label != other or text == its
            if {type(label), type(other)} == {int, float}:
                assert (label == other) == (text == its)


def test_numpy_numbers_are_written_as_numbers():
    assert format_label(np.float64(2.0)) == "2"
