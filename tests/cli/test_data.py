"""``elman data``: the list, the contents, and the errors for wrong words."""

import json

import pytest

from elman.data.samples import SAMPLES, sample_names, sample_text
from elman.models.tasks import TASKS


def test_without_words_it_prints_its_usage(shell):
    answer = shell("data")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("usage: elman data list | elman data show NAME")


def test_list_has_a_line_for_every_data_set(shell):
    lines = shell("data", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == sample_names()
    for line, name in zip(lines, sample_names(), strict=True):
        sample = SAMPLES[name]
        (task,) = (task for task, row in TASKS.items() if name in row.samples)
        assert f" {task} " in line
        assert f" {sample.size} " in line
        assert line.endswith(f" {sample.description}")


def test_list_as_json(shell):
    rows = json.loads(shell("data", "list", "--json").out)
    assert [row["name"] for row in rows] == sample_names()
    for row in rows:
        name = row.pop("name")
        assert name in TASKS[row.pop("task")].samples
        assert row == {part: getattr(SAMPLES[name], part) for part in ("size", "description")}


@pytest.mark.parametrize("name", sample_names())
def test_show_prints_the_text_or_its_first_lines(shell, name):
    text = sample_text(name)
    assert shell("data", "show", name).out == text
    assert shell("data", "show", name, "--lines", 3).out.split("\n") == [*text.split("\n")[:3], ""]
    assert shell("data", "show", name, "--lines", 10**6).out == text


WRONG = {
    "data lst": ["lst", 'did you mean "list"', "list, show"],
    "data show": ["NAME"],
    "data show mesages": ["mesages", 'did you mean "messages"'],
    "data show messages topics": ["topics"],
    "data show messages --lines 0": ["lines is 0", "above zero"],
    "data show messages --lines few": ["--lines", "'few'"],
    "data list --jsn": ["--jsn", "did you mean --json?"],
    "data --json": ["list, show"],
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_usage_is_reported(shell, command):
    answer = shell(*command.split())
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("elman: ")
    for part in WRONG[command]:
        assert part in answer.err


@pytest.mark.parametrize("words", [["show", "sentences"], ["show", "sentences", "--lines", "1"], ["list"]])
def test_a_closed_pipe_is_not_an_error(start_elman, words):
    before = """
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 1)
sys.stdout = open(1, "w", closefd=False)
"""
    answer = start_elman("data", *words, before=before).wait()
    assert (answer.code, answer.err) == (0, "")
