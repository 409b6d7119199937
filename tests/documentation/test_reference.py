"""The two pages that are written from the source are up to date, and leave nothing out."""

import dataclasses
import re

import pytest

from elman.cli.main import VERBS
from elman.models.tasks import TASKS

from .pages import text_of
from .reference import PAGES
from .test_names import command_kinds, flags_of


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_up_to_date(page):
    assert text_of(page) == PAGES[page](), "run: .venv/bin/python -m tests.documentation.reference"


def rows_of(page, heading):
    """The first two cells of every row in a section."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text_of(page), re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))


@pytest.mark.parametrize("task", TASKS)
def test_every_setting_of_a_task_has_a_row_with_its_default(task):
    model = TASKS[task].model_class()
    heading = TASKS[task].page.removesuffix(".md").replace("-", " ").capitalize() + "s"
    shared, own = rows_of("docs/settings.md", "Every task"), rows_of("docs/settings.md", heading)
    assert not set(shared) & set(own)
    assert set(shared) | set(own) == {field.name for field in dataclasses.fields(model)}
    for name, cell in (shared | own).items():
        default = getattr(model, name)
        if default is None or isinstance(default, bool):
            assert cell == {None: "not set", True: "on", False: "off"}[default], name
        else:  # a task whose default differs from the others' is named after it
            numbers = [part.strip() for part in cell.split(";")]
            (mine,) = [part for part in numbers if re.search(rf"\bfor\b.*\b{task}\b", part)] or numbers[:1]
            value = mine.partition(" for ")[0].strip("`").replace(",", "")
            assert type(default)(value) == default, name


def test_every_verb_has_a_section():
    headings = re.findall(r"^## elman (\w+)", text_of("docs/commands.md"), re.MULTILINE)
    assert set(headings) == set(VERBS)


def test_every_option_of_a_command_has_a_row():
    rows = set(re.findall(r"^\| `(--[a-z-]+)`", text_of("docs/commands.md"), re.MULTILINE))
    settings = set(re.findall(r"^\| `(\w+)` \|", text_of("docs/settings.md"), re.MULTILINE))
    for kind in command_kinds():
        is_of_task = kind.__name__.startswith(("Train", "Compare"))
        for field in dataclasses.fields(kind):
            flag, _ = flags_of(field)
            is_other = dataclasses.is_dataclass(field.type) or re.search("Positional|OmitArgPrefixes", repr(field.type))
            documented = flag in rows or (is_of_task and field.name in settings)
            assert documented or is_other, f"{kind.__name__} {flag}"
