"""The exercises: a right answer passes, expected mistakes are recognized, and bad files are answered kindly."""

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from elman.errors import DataError
from elman.lecture.exercises import EXERCISES
from elman.lecture.exercises.checking import check_answers
from elman.lecture.exercises.exercise import compare
from elman.lecture.pages import find_page

PAGE = find_page("counts")
MISTAKES = [(name, text) for name, exercise in EXERCISES.items() for text in exercise.mistakes]


@pytest.mark.parametrize("name", EXERCISES)
def test_the_right_answer_passes(name):
    assert EXERCISES[name].review(EXERCISES[name].answer) == ""


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_expects_a_mistake(name):
    assert EXERCISES[name].mistakes


@pytest.mark.parametrize(("name", "text"), MISTAKES)
def test_a_mistake_is_recognized(name, text):
    assert EXERCISES[name].review(EXERCISES[name].mistakes[text]).startswith(text)


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize(
    "given", [lambda *arguments: None, lambda *arguments: "x", lambda *arguments: np.zeros((2, 3, 5))]
)
def test_another_wrong_answer_fails(name, given):
    assert EXERCISES[name].review(given)


RIGHT = """
def count_vector(text, vocabulary):
    words = text.lower().split()
    return [words.count(word) for word in vocabulary]
"""

ANSWERS = {
    "raises": (
        "def count_vector(text, vocabulary):\n    return text.lowr()\n",
        "raised AttributeError in line 2, return text.lowr()",
    ),
    "prints": (
        "def count_vector(text, vocabulary):\n    print('1 2 3')\n",
        'printed "1 2 3" and returned nothing; hand',
    ),
    "returns nothing": ("def count_vector(text, vocabulary):\n    pass\n", "returned nothing; end it with return"),
    "another shape": (
        "def count_vector(text, vocabulary):\n    return [[0, 0, 0, 0, 0]]\n",
        "returned shape (1, 5), but (5,) is right",
    ),
    "another kind": ("def count_vector(text, vocabulary):\n    return {}\n", "returned {}, a dict, where numbers"),
    "other parameters": ("def count_vector(text):\n    return 0\n", "takes 1 argument, but should take 2: (text"),
    "not a function": ("count_vector = 3\n", "raised TypeError"),
    "ends Python": ("import os\ndef count_vector(text, vocabulary):\n    os._exit(3)\n", "ended Python (exit code 3)"),
    "leaves": ("import sys\ndef count_vector(text, vocabulary):\n    sys.exit(0)\n", "raised SystemExit in line 3"),
    "raises what no file can hold": (
        "def count_vector(text, vocabulary):\n    raise ValueError(chr(0xd800))\n",
        "raised ValueError in line 2, raise ValueError(chr(0xd800)): \\ud800",
    ),
    "asks": ("def count_vector(text, vocabulary):\n    return input()\n", "raised EOFError in line 2"),
}


def write(tmp_path, text):
    path = tmp_path / "my_answer.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_file(case, tmp_path):
    source, message = ANSWERS[case]
    (verdict,) = check_answers(PAGE, write(tmp_path, source))
    assert (verdict.name, verdict.is_right) == ("count_vector", False)
    assert message in verdict.text


def test_a_right_file_passes_whatever_it_prints(tmp_path):
    (verdict,) = check_answers(PAGE, write(tmp_path, "print('hello')\n" + RIGHT))
    assert verdict == ("count_vector", True, "")


def test_a_function_may_be_assigned_with_a_type(tmp_path):
    source = (
        "count_vector: object = lambda text, vocabulary: [text.lower().split().count(word) for word in vocabulary]\n"
    )
    (verdict,) = check_answers(PAGE, write(tmp_path, source))
    assert verdict == ("count_vector", True, "")


def test_a_file_may_have_the_name_of_a_module_of_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "random.py"
    path.write_text("from neighbour import count_vector\n")
    (tmp_path / "neighbour.py").write_text(RIGHT)
    (verdict,) = check_answers(PAGE, path)
    assert verdict == ("count_vector", True, "")


def test_a_process_that_fails_after_the_answer_is_not_right(tmp_path):
    source = "import atexit, os\natexit.register(os._exit, 3)\n" + RIGHT
    (verdict,) = check_answers(PAGE, write(tmp_path, source))
    assert (verdict.is_right, verdict.text) == (False, "ended Python (exit code 3) before the check was over")


def test_a_flood_of_output_is_not_kept(tmp_path):
    flood = "import os\nfor stream in (1, 2) * 512:\n    os.write(stream, bytes(2**16))\n"  # 64 MiB
    path = write(tmp_path, flood + RIGHT)
    tracemalloc.start()
    try:
        (verdict,) = check_answers(PAGE, path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert verdict.is_right
    assert most < 2**22


def test_an_answer_that_never_ends_is_stopped(tmp_path):
    source = "def count_vector(text, vocabulary):\n    while True:\n        print('again')\n"
    (verdict,) = check_answers(PAGE, write(tmp_path, source), seconds=3)
    assert verdict.text == "is still running after 3 seconds; is there a loop that never ends?"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "def count_vektor(text): ...\n",
            'defines none of the functions of page 1, count_vector; did you mean "count_vektor"',
        ),
        ("", "defines none of the functions of page 1"),
        ("def f(:\n", r"my_answer\.py:1: is not Python \(invalid syntax\)"),
        ("\0", "is not Python"),
    ],
)
def test_a_file_without_an_answer(source, message, tmp_path):
    with pytest.raises(DataError, match=message):
        list(check_answers(PAGE, write(tmp_path, source)))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read .*; name the Python file with your answer"):
        list(check_answers(PAGE, tmp_path / "none.py"))
    with pytest.raises(DataError, match="cannot be read"):
        list(check_answers(PAGE, tmp_path))


def test_results_are_compared_as_numbers():
    assert compare((1, np.ones(2)), (1, [1.0, 1.0 + 1e-9]), 1e-6) == ""
    assert compare((1, np.ones(3)), (1, [1.0, 1.0]), 1e-6) == "value 2 of 2: returned shape (3,), but (2,) is right"
    assert compare(1.0, (1.0, 2.0), 1e-6) == "returned one float, but should return 2 values"
    assert compare(float("nan"), 1.0, 1e-6) == "returned nan, but 1 is right"
    assert compare("a", "b", 1e-6) == "returned 'a', but 'b' is right"


@pytest.mark.parametrize("given", ["2.5", b"2.5", ["2.5"], np.array("2.5")])
def test_text_is_no_number(given):
    right = [2.5] if isinstance(given, list) else 2.5
    assert compare(given, right, 1e-6).endswith("is text, where numbers are expected; convert it with float")


@pytest.mark.parametrize("given", [[None], [np.timedelta64(1)], np.array([1 + 1j]), np.array(["1"], dtype=object)])
def test_other_values_are_no_numbers(given):
    assert compare(given, [1.0], 1e-6).endswith("where numbers are expected")
    assert compare(given, [float("nan")], 1e-6)


@pytest.mark.parametrize("given", [Fraction(5, 2), np.float32(2.5), np.array(2.5, dtype=object)])
def test_every_kind_of_real_number_is_accepted(given):
    assert compare(given, 2.5, 1e-6) == ""
    assert compare([True, 2**70], [1, 2.0**70], 1e-6) == ""
