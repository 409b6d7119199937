"""The picture's letters, cells and colours as read back from the SVG; the terminal's lines against lines by hand."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from elman.drawing.confusion import confusion_table, confusion_text

ODD = ["$no$ maths", "<b> & 'co'", "\N{CJK UNIFIED IDEOGRAPH-6B63}\N{CJK UNIFIED IDEOGRAPH-9762}", ""]


def texts(svg):
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def fills(svg):
    """The colours of the non-empty cells, row by row."""
    cells = svg[svg.index("PolyCollection") : svg.index("matplotlib.axis")]
    return re.findall(r"fill: (#\w+)", cells)


def width(svg):
    return float(ElementTree.fromstring(svg).get("width").removesuffix("pt"))


def random_confusion(size):
    return np.random.default_rng(size).integers(100, 999, size=(size, size))


@pytest.mark.parametrize("size", [1, 2, 20, 21, 50])
def test_every_label_twice_and_counts_where_there_is_room(size):
    confusion, labels = random_confusion(size), [f"label {number}" for number in range(size)]
    svg = confusion_table(confusion, labels)
    counts = [str(count) for count in confusion.flat] if size <= 20 else []
    assert sorted(texts(svg)) == sorted([*labels, *labels, "true", "predicted", *counts])
    assert len(fills(svg)) == size**2
    if size < 20:  # drawing more takes its time
        assert svg == confusion_table(confusion, labels)


def test_the_picture_grows_with_labels_and_with_digits():
    widths = [width(confusion_table(random_confusion(size), ["x"] * size)) for size in (2, 6, 12)]
    assert widths == sorted(widths)
    assert width(confusion_table(random_confusion(40), ["x"] * 40)) > width(
        confusion_table(random_confusion(25), ["x"] * 25)
    )
    assert width(confusion_table(np.full((9, 9), 10**8), ["x"] * 9)) > width(
        confusion_table(np.full((9, 9), 10), ["x"] * 9)
    )


def test_colours_are_shares_of_a_row():
    confusion = np.array([[6, 2, 2], [0, 5, 5], [1, 0, 9]])
    colours = fills(confusion_table(confusion, ["a", "b", "c"]))
    assert colours == fills(confusion_table(confusion * [[1], [30], [7]], ["a", "b", "c"]))
    a_a, a_b, a_c, b_b, b_c, c_a, c_c = ([int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours)
    assert all(blue > red for red, _, blue in (a_a, b_b, c_c))  # right
    assert all(red > blue for red, _, blue in (a_b, a_c, b_c, c_a))  # wrong
    assert a_b == a_c
    assert sum(c_c) < sum(a_a) < sum(b_b)  # the larger its share, the darker
    assert sum(b_c) < sum(a_b) < sum(c_a)


def test_odd_labels_and_rows_without_anything():
    svg = confusion_table(np.diag([3, 2, 1, 0]), ODD)
    assert [texts(svg).count(label) for label in ODD[:3]] == [2, 2, 2]
    assert fills(confusion_table(np.zeros((2, 2), int), ["a", "b"])) == []


def test_a_table_of_few_labels():
    assert confusion_text(np.array([[1200, 3, 0], [0, 0, 0], [40, 5, 6]]), ["N", "PROPN", "VERB"]).splitlines() == [
        "true down, predicted across",
        "          N  PROPN  VERB",
        "N      1200      3     .",
        "PROPN     .      .     .",
        "VERB     40      5     6",
    ]


def many(confused):
    """13 labels, each right 100 times, and some confusions."""
    confusion = np.diag(np.full(13, 100))
    for place, count in confused.items():
        confusion[place] = count
    return confusion, [f"L{number}" for number in range(13)]


def test_the_most_frequent_confusions_of_many_labels():
    confused = {(0, 12): 25, (3, 4): 1, (12, 0): 1300, (5, 6): 25, (5, 7): 75}
    assert confusion_text(*many(confused)).splitlines() == [
        "L12 taken for L0   1,300 times (92.9 % of L12)",
        "L5  taken for L7      75 times (37.5 % of L5)",
        "L0  taken for L12     25 times (20.0 % of L0)",
        "L5  taken for L6      25 times (12.5 % of L5)",
        "L3  taken for L4       1 time  (1.0 % of L3)",
    ]
    assert len(confusion_text(*many(confused), most=2).splitlines()) == 2
    assert confusion_text(*many({})) == "no label was taken for another"


def test_labels_too_long_for_a_table():
    labels = ["a" * 60, "b" * 60]
    assert confusion_text(np.array([[3, 1], [0, 9]]), labels) == (
        f"{labels[0]} taken for {labels[1]}  1 time  (25.0 % of {labels[0]})"
    )
