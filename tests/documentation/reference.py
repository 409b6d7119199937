"""The pages that are written from the source: every setting, every option of every command, and the lecture's contents.

    python -m tests.documentation.reference        writes docs/settings.md, docs/commands.md and docs/lecture.md anew

The pages are committed, so that they can be read in a clone; ``test_reference.py`` fails where they are out of date.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from elman.cli import compare, train
from elman.cli.help import arguments_of, docstrings
from elman.cli.main import VERBS
from elman.lecture.exercises import exercises_of
from elman.lecture.pages import read_pages
from elman.models.tasks import TASKS

from ..lecture.rows import ROWS

ROOT = Path(__file__).parents[2]

SETTINGS_HEAD = """\
# Settings

Every setting has one name and three spellings:

| where | spelling |
|---|---|
| on the command line | `--hidden-size 512`; a switch is `--crf`, and one that is on by default `--no-lowercase` |
| in Python | `hidden_size=512`, an argument of the task's class, such as `elman.Tagger` |
| in a TOML file, read with `--config` | `hidden_size = 512` |

Where the default is "not set", the description says what happens then. `elman train lm --help` shows the common
settings with the same texts, and `elman train lm --help-all` all of them.
"""

COMMANDS_HEAD = """\
# Commands

```
elman train lm input.txt --out runs/mine
elman generate runs/mine --prompt "ROMEO:"
```

`elman --help` lists the commands, and `elman COMMAND --help` the options of one. For `train` and `compare`, `--help`
lists the common options of a task, and `--help-all` all of them. Every command ends with one of the
[exit codes](folders.md#exit-codes), prints its answer on standard output, and sends everything else to standard error.

Where a command takes a file, `sample:NAME` names a built-in data set, `hub:NAME` one of the Hugging Face hub (for this
the extra `hub` is needed), and `-`, for `predict`, standard input.
"""


def write_settings_page() -> str:
    """Write the page of settings: those that all tasks share, then each task's own."""
    kinds = {task: row.settings_class for task, row in TASKS.items()}
    docs = {task: docstrings(kind) for task, kind in kinds.items()}
    first, *others = docs.values()
    shared = [name for name in first if all(other.get(name) == first[name] for other in others)]
    sections = [SETTINGS_HEAD, "## Every task\n", "Where tasks have different defaults, the table names the tasks.\n"]
    sections.append(_format_table(_format_setting(name, first[name], kinds) for name in shared))
    for task, kind in kinds.items():
        row = TASKS[task]
        sections.append(f"## {_make_title(row.page)}\n")
        names = f"`elman train {task} {row.files.metavar}`, `elman.{row.class_name}` ([guide]({row.page}))"
        sections.append(f"{names}. Besides the settings of every task:\n")
        own = [field.name for field in dataclasses.fields(kind) if field.name not in shared]
        sections.append(_format_table(_format_setting(name, docs[task][name], {task: kind}) for name in own))
    return "\n".join(sections)


def _format_setting(name: str, about: str, kinds: dict[str, Any]) -> tuple[str, ...]:
    """Write the row of a setting."""
    (kind, *_) = kinds.values()
    values = _describe_values(typing.get_type_hints(kind)[name], kind.limits.get(name))
    return f"`{name}`", _format_defaults({task: getattr(kind(), name) for task, kind in kinds.items()}), values, about


def _format_defaults(values: dict[str, Any]) -> str:
    """Name the commonest default, and the tasks that have another one."""
    shown = {task: _format_value(value) for task, value in values.items()}
    tasks: dict[str, list[str]] = {}
    for task, text in shown.items():
        tasks.setdefault(text, []).append(task)
    (usual, _), *others = sorted(tasks.items(), key=lambda pair: -len(pair[1]))
    return "; ".join([usual, *(f"{text} for {', '.join(names)}" for text, names in others)])


def _format_value(value: Any) -> str:
    """Write a default as a page shows it."""
    if value in (None, "", ()):
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return f"`{value}`"


def _describe_values(hint: Any, most: float | None = None) -> str:
    """Write the values that a type allows."""
    if typing.get_origin(hint) is typing.Annotated:
        return _describe_values(typing.get_args(hint)[0], most)
    if typing.get_origin(hint) is Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(hint))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _describe_values(next(part for part in typing.get_args(hint) if part is not type(None)), most)
    if typing.get_origin(hint) in (tuple, list):
        return f"{_describe_values(typing.get_args(hint)[0])}, repeatable"
    kind = {int: "integer", float: "number", str: "text", bool: "switch", Path: "path"}[hint]
    return kind if most is None else f"{kind}, at most {'10^12' if most == 10**12 else f'{most:,}'}"


def commands_of_tasks(verb: str) -> dict[str, Any]:
    """Return the dataclass of a verb's command for each task; train and compare have one for each."""
    if verb == "train":
        return {task: train.train_command(row, row.settings_class()) for task, row in TASKS.items()}
    if verb == "compare":
        return {task: compare.compare_command(row, row.comparison) for task, row in TASKS.items() if row.comparison}
    return {}


def commands_of_verb(verb: str) -> dict[str, Any]:
    """Return the dataclasses in a verb's module by the words that call them: predict, or data list and data show."""
    module = import_module(f"elman.cli.{verb}")
    own = [
        kind for kind in vars(module).values() if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    ]
    return {verb if len(own) == 1 else f"{verb} {kind.__name__.lower()}": kind for kind in own}


def write_commands_page() -> str:
    """Write the page of commands: a section for each, with its options."""
    sections = [COMMANDS_HEAD]
    for verb in VERBS:
        if of_tasks := commands_of_tasks(verb):
            sections += _write_tasks(verb, of_tasks)
            continue
        for words, kind in commands_of_verb(verb).items():
            sections += [f"## elman {words}\n", *(f"{paragraph}\n" for paragraph in _split_paragraphs(kind.__doc__))]
            sections.append(_format_table(_collect_options(kind).values(), first="option"))
    return "\n".join(sections)


def _write_tasks(verb: str, commands: dict[str, Any]) -> list[str]:
    """Write the section of a verb that has a command for each task."""
    does, variants = [], {}
    for task, kind in commands.items():
        own = _collect_options(kind, {field.name for field in dataclasses.fields(TASKS[task].settings_class)})
        files = " ".join(name for name in own if not name.startswith("--"))
        does.append(f"- `elman {verb} {task} {files}`: {' '.join(_split_paragraphs(kind.__doc__))}")
        for flag, cells in own.items():
            if flag.startswith("--"):
                variants.setdefault(flag, {}).setdefault(cells, []).append(task)
    options = []
    for tasks_by_cells in variants.values():
        for (name, *cells), tasks in tasks_by_cells.items():
            options.append((name if len(tasks_by_cells) == 1 else f"{name} ({', '.join(tasks)})", *cells))
    also = f"Besides the task's [settings](settings.md), `elman {verb}` takes:"
    return [f"## elman {verb}\n", *does, "", f"{also}\n", _format_table(options, first="option")]


def _split_paragraphs(text: str | None) -> list[str]:
    return [_mark_code(" ".join(paragraph.split())) for paragraph in (text or "").split("\n\n")]


def _collect_options(kind: Any, leave_out: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """Write a row for each argument and option of a command, but for some fields."""
    rows = {}
    for argument in sorted(arguments_of(kind), key=lambda argument: not argument.is_positional):
        if argument.field not in leave_out:
            default = argument.default or ("required" if argument.is_positional else "not set")
            if not argument.is_positional and not argument.metavar:
                default = "off"
            values = f"`{argument.metavar}`" if argument.metavar else "" if argument.is_positional else "switch"
            rows[argument.name] = (f"`{argument.name}`", default, values, argument.text)
    return rows


def _format_table(rows: typing.Iterable[tuple[str, ...]], first: str = "setting") -> str:
    lines = [f"| {first} | default | values | what it does |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(_mark_code(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([*lines, ""])


def _mark_code(text: str) -> str:
    """Put backquotes around what Markdown would read as markup: <unk>, --valid, runs/TASK-N, word_dropout."""
    parts = re.split(r"(`[^`]*`)", text)
    code = r"<\w+>|</\w+>|(?<![\w-])--[a-z][a-z-]*|\b[a-z]+(?:_[a-z]+)+\b|sample:\w+"
    return "".join(part if part.startswith("`") else re.sub(code, r"`\g<0>`", part) for part in parts)


def _make_title(page: str) -> str:
    return page.removesuffix(".md").replace("-", " ").capitalize() + "s"


# ---------------------------------------------------------------- the lecture

LECTURE_HEAD = """\
# The lecture

A lecture on recurrent networks, as pages that run. Every number and every picture on a page is computed when the page
is read, on your machine and with networks trained there.

```
elman lecture
elman lecture 1
elman lecture 1 --notebook counts.ipynb
elman lecture 1 --check my_answer.py
elman lecture --prepare
```

The first command lists the pages, and the second runs one in the terminal: its text, code and output, and the paths of
its pictures. `--notebook` writes it as a Jupyter notebook. `--check` checks your answers to a page's exercises: name a
Python file of yours with the functions that you wrote. Several pages use the same trained models: `--prepare` trains
all of them at once; otherwise each is trained when a page first needs it. They are kept in the cache folder
(`ELMAN_CACHE_DIR` names another one).
Some pages need the extra `sklearn` or `music`.
"""


def write_lecture_page() -> str:
    """Write the page about the lecture: its pages with their exercises, and what covers each row of the outline."""
    pages = read_pages()
    links = {page: f"[{page.number}. {page.title}](../src/elman/lecture/{page.path.name})" for page in pages}
    sections = [LECTURE_HEAD, "## Pages\n"]
    rows = ((links[page], ", ".join(f"`{one.name}`" for one in exercises_of(page))) for page in pages)
    sections.append("\n".join(["| page | exercises |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]) + "\n")
    sections.append("## What is taught where\n")
    covered = (
        (
            row,
            about["kind"],
            about["what the lecture says"],
            ", ".join(links[page] for page in pages if row in page.rows),
        )
        for row, about in ROWS.items()
    )
    table = ["| row | topic | statement | decided on page |", "|---|---|---|---|"]
    table += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in covered]
    return "\n".join([*sections, *table]) + "\n"


PAGES = {
    "docs/settings.md": write_settings_page,
    "docs/commands.md": write_commands_page,
    "docs/lecture.md": write_lecture_page,
}


if __name__ == "__main__":
    for name, write in PAGES.items():
        (ROOT / name).write_text(write(), encoding="utf-8")
