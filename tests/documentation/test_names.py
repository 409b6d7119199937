"""What exists is documented, and what the pages name exists."""

import dataclasses
import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from elman import errors
from elman.cli.main import VERBS
from elman.data.formats.table import FORMATS
from elman.decoding.options import Sampling
from elman.models.tasks import TASKS

from .pages import PAGES, ROOT, spans_of, text_of
from .reference import commands_of_tasks, commands_of_verb

EVERYTHING = "\n".join(text_of(page) for page in PAGES)
NAMED = {span for page in PAGES for span in spans_of(page)}


def flags_of(field):
    """The flags that a field of a command's dataclass may become."""
    flag = field.name.replace("_", "-")
    return f"--{flag}", f"--no-{flag}"


def command_kinds():
    """The dataclasses that describe the commands."""
    for verb in VERBS:
        yield from (commands_of_tasks(verb) or commands_of_verb(verb)).values()


def all_flags():
    kinds = [*command_kinds(), Sampling, *(row.model_class for row in TASKS.values())]
    flags = {flag for kind in kinds for field in dataclasses.fields(kind) for flag in flags_of(field)}
    return flags | {"--help", "--help-all", "--version"}


@pytest.mark.parametrize("task", TASKS)
def test_every_setting_is_documented(task):
    """The API page shows the class with inherited members, and every field has a docstring."""
    home = TASKS[task].home.replace(":", ".")
    assert re.search(
        rf"^::: {re.escape(home)}\n    options:\n      inherited_members: true$", text_of("docs/api.md"), re.M
    )
    model = TASKS[task].model_class
    bases = [base for base in model.__mro__ if dataclasses.is_dataclass(base)]
    for field in dataclasses.fields(model):
        texts = [Path(sys.modules[base.__module__].__file__).read_text(encoding="utf-8") for base in bases]
        assert any(re.search(rf'^    {field.name}: [^\n]*\n    """', text, re.M) for text in texts), field.name


def test_every_command_is_documented():
    for verb in VERBS:
        assert re.search(rf"\belman {verb}\b", EVERYTHING), verb


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_documented(name):
    task = {"numbers": "`classifier`, level numbers"}.get(name, f"`{name}`")
    (row,) = re.findall(rf"^\| {re.escape(task)} \|(.*)$", text_of("docs/files.md"), re.M)
    reads, _, writes, _, _ = row.split("|")
    for format, about in FORMATS[name].rows.items():
        assert (format in re.findall(r"\w+", reads)) is about.reads
        assert (format in re.findall(r"\w+", writes)) is about.writes


def test_every_exit_code_is_documented():
    table = text_of("docs/folders.md")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ElmanError)]
    assert len(kinds) == 7
    for kind in kinds:
        code = "130, 143, 129" if kind is errors.Interrupted else kind.exit_code
        assert re.search(rf"^\| {code} \| .* \| `{kind.__name__}` \|$", table, re.M), kind


def test_every_extra_is_documented():
    extras = re.search(r"\[project.optional-dependencies\]\n(.*?)\n\n", (ROOT / "pyproject.toml").read_text(), re.S)
    for name in re.findall(r"^(\w+) =", extras[1], re.M):
        assert name in ("all", "docs", "dev") or re.search(rf"\b{name}\b", EVERYTHING), name


def test_every_flag_that_is_named_exists():
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(NAMED)))
    assert len(named) > 50
    assert named <= all_flags()


def test_every_module_and_file_that_is_named_exists():
    for page in PAGES:
        for name in re.findall(r"^::: ([\w.]+)", text_of(page), re.M) + spans_of(page):
            if re.fullmatch(r"elman(\.\w+)+", name):
                module, _, attribute = name.rpartition(".")
                if not (_exists(name) or hasattr(importlib.import_module(module), attribute)):
                    pytest.fail(f"{page}: there is no {name}")
            elif re.fullmatch(r"(src/|docs/|benchmarks/|tests/|elman/|\w+/)[\w/]+\.(py|md)", name):
                places = (ROOT / name, ROOT / "src" / name, ROOT / "src/elman" / name)
                assert any(place.exists() for place in places), f"{page}: {name}"
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(page)):
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


def _exists(module):
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def test_every_page_is_in_the_navigation():
    named = re.findall(r"^\s+- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(f"docs/{page}" for page in named) == sorted(page for page in PAGES if page != "README.md")


def test_every_package_is_on_its_floor_in_contributing():
    """The table of floors and import-linter's layers, read from the bottom up, name the same packages."""
    floors = {}
    for number, names in re.findall(r"^\| (\d) \| (`.*?`) \|", text_of("CONTRIBUTING.md"), re.MULTILINE):
        floors.setdefault(int(number), set()).update(re.findall(r"`(\w+)`", names))
    (layers,) = re.findall(r'type = "layers"\nlayers = \[\n(.*?)\]', text_of("pyproject.toml"), re.DOTALL)
    lines = [set(re.findall(r"elman\.(\w+)", line)) for line in layers.splitlines()]
    files = [line for line in lines if line <= floors[0]]  # each of the lowest files has a layer of its own
    assert set().union(*files) == floors[0]
    assert [line for line in reversed(lines) if line not in files] == [floors[number] for number in sorted(floors)[1:]]
