"""The picture of attention names every token."""

import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

import numpy as np

from elman.drawing.attention import attention_map


def test_every_token_is_named_and_the_picture_is_well_formed():
    weights = np.float32([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    svg = attention_map(["a$b", " cat", "<unk>"], ["eine", "</s>"], weights)
    ET.fromstring(svg)
    for name in ("a$b", "␣cat", "<unk>", "eine", "</s>"):  # matplotlib says in a comment what it draws as paths
        assert f"<!-- {escape(name)} -->" in svg
