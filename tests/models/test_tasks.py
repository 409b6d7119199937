"""The table of tasks agrees with the classes, the samples and the tables in the documentation."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import elman
from elman.data.samples import sample_names
from elman.families.base import Model
from elman.models.tasks import TASKS
from elman.nn.cells import CELLS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("task", TASKS)
def test_a_row_leads_to_the_class_that_is_saved_under_its_name(task):
    model = TASKS[task].model_class
    assert issubclass(model, Model)
    assert model.task == task
    assert getattr(elman, TASKS[task].class_name) is model
    assert TASKS[task].class_name in elman.__all__
    assert dataclasses.is_dataclass(model)


@pytest.mark.parametrize("task", TASKS)
def test_a_row_names_the_options_of_an_answer(task):
    arguments = inspect.signature(TASKS[task].model_class.answer).parameters.values()
    options = [argument.name for argument in arguments if argument.kind is inspect.Parameter.KEYWORD_ONLY]
    assert list(TASKS[task].answer_options) == options
    assert ("search" in options) == ("search" in inspect.signature(TASKS[task].model_class.report).parameters)


def test_every_sample_belongs_to_one_task():
    assert sorted(name for row in TASKS.values() for name in row.samples) == sample_names()


@pytest.mark.parametrize(("file", "folder"), [("README.md", "docs/"), ("docs/index.md", "")])
def test_the_tables_in_the_documentation_agree(file, folder):
    lines = re.findall(r"^\| .* \|$", (ROOT / file).read_text(), re.MULTILINE)
    shown = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    for row in TASKS.values():
        link = f"[{Path(row.page).stem.replace('-', ' ')}s]({folder}{row.page}): {row.purpose}"
        (cells,) = (cells for cells in shown if link in cells)
        assert cells[-1] == row.formats
        above = [other[0] for other in shown[: shown.index(cells) + 1] if other[0]]
        assert above[-1] == row.architecture


@pytest.mark.parametrize("task", [task for task, row in TASKS.items() if row.comparison is not None])
def test_the_models_compared_by_default_are_explained(task):
    comparison = TASKS[task].comparison
    assert callable(comparison.compare)
    for name in comparison.models.split(","):
        kind = name.partition(":")[0]
        assert kind in comparison.models_help or kind.removeprefix("bi") in CELLS
