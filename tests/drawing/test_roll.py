"""The piano roll has a bar for each note, and the primer has its own colour."""

import xml.etree.ElementTree as ET

import numpy as np

from elman.drawing.roll import piano_roll

NOTES = np.array([[0.0, 1.0, 60, 100], [1.0, 0.5, 64, 20], [1.5, 1.0, 67, 127]])


def patches(svg):
    """Count the rectangles of notes by their colour."""
    root = ET.fromstring(svg)
    found = {}
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        style = path.get("style", "")
        for colour in ("#6b7280", "#c2410c"):
            if f"fill: {colour}" in style:
                found[colour] = found.get(colour, 0) + 1
    return found


def test_each_note_is_a_bar():
    assert patches(piano_roll(NOTES)) == {"#c2410c": 3}


def test_the_primer_has_another_colour():
    counts = patches(piano_roll(NOTES, primer_seconds=1.0))
    assert counts["#6b7280"] == 1 + 1  # and one in the legend
    assert counts["#c2410c"] == 2 + 1
    assert "C4" in piano_roll(NOTES)


def test_a_tune_without_notes_is_an_empty_roll():
    ET.fromstring(piano_roll(np.zeros((0, 4))))
