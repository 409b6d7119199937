"""Labels that are made of parts."""

import pytest

from elman.data.parts import find_parts, part_table


def test_parts_are_found_and_tabled():
    labels = ["A=1|B=1", "A=1|B=2", "A=2|B=1", "A=2|B=2", "_"]
    parts = find_parts(labels)
    assert parts == ("A=1", "A=2", "B=1", "B=2", "_")
    assert part_table(labels, parts).tolist() == [
        [1, 0, 1, 0, 0],
        [1, 0, 0, 1, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 0, 1, 0],
        [0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize(
    "labels",
    [
        ["NOUN", "VERB", "_"],
        ["B-PER", "I-PER", "O"],
        ["A=1|x", "A=1|y", "A=2|x", "A=2|y", "_"],  # x and y are no features
        ["A=1", "A=2"],  # nothing is shared
        ["_"],
        [],
    ],
)
def test_other_labels_have_no_parts(labels):
    assert find_parts(labels) == ()
