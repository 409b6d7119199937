"""Strict JSON and its shapes."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.documents import check_shape, read_json, write_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def without_nan(value):
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@given(values)
def test_written_values_are_json_and_can_be_read_back(value):
    written = write_json(value)
    assert json.loads(written, parse_constant=refuse) == without_nan(value)
    assert read_json(written) == without_nan(value)


@pytest.mark.parametrize(
    ("content", "shape", "words"),
    [
        ("[1, 2", object, "delimiter"),
        ("NaN", object, "NaN is not a finite number"),
        ('{"a": Infinity}', object, "Infinity is not a finite number"),
        ("1e999", object, "1e999 is not a finite number"),
        ("9" * 5000, object, "is too large"),
        ({"a": 10**400}, {"a": int}, "a is a number too large, expected a whole number"),
        ("[" * 100_000, object, "nested too deeply"),
        (b"\xff\xfe", object, "utf"),
        ('{"a": 1}', {"b": int}, 'it has no "b"'),
        ('{"a": {"c": 1}}', {"a": {"b": int}}, 'a has no "b"'),
        ('{"a": true}', {"a": int}, "a is true, expected a whole number"),
        ('{"a": 1.5}', {"a": int}, "a is 1.5, expected a whole number"),
        ('{"a": [1, "x"]}', {"a": [int]}, r'a\[1\] is "x", expected a whole number'),
        ('{"a": 1}', {"a": [int]}, "a is 1, expected a list"),
        ('{"a": []}', {"a": {str: int}}, "a is .., expected an object"),
        ('{"a": {"x": null}}', {"a": {str: (int, str)}}, "a.x is null, expected a whole number or a string"),
        ('{"a": "x"}', {"a": ([int], None)}, 'a is "x", expected a list'),
        ('{"a": 1}', {"a": bool}, "a is 1, expected true or false"),
        ('"' + "x" * 999 + '"', int, r"it is \"xxxx.*\.\.\., expected"),
    ],
)
def test_a_value_of_another_shape_is_refused_with_its_place(content, shape, words):
    with pytest.raises(ValueError, match=words):
        check_shape(content, shape) if isinstance(content, dict) else read_json(content, shape)


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        ('{"a": 1, "more": []}', {"a": float}),
        ("{}", {"a?": int}),
        ('{"a": null}', {"a": ([int], None)}),
        ('{"a": {"x": 1, "y": "z"}}', {"a": {str: (int, str)}}),
        ("false", bool),
        ("null", None),
    ],
)
def test_a_value_of_the_right_shape_is_returned(content, shape):
    assert read_json(content, shape) == json.loads(content)
