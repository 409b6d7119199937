"""A task's settings as flags: in groups, each with its docstring for help, and with the default in words."""

from __future__ import annotations

import ast
import inspect
import sys
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

from elman.settings.base import ModelSettings
from elman.training.schedule import TrainingSettings

Kind = TypeVar("Kind", bound=ModelSettings)

GROUPS = {  # the others say what the network is
    "data": {
        *("encoding", "valid_fraction", "valid_characters", "level", "lines", "vocab_size", "min_count", "lowercase"),
        *("text", "label", "no_header", "source", "target", "column", "word_column", "max_length", "source_length"),
        *("shared_vocabulary", "events", "transpose", "longest"),
    },
    "network": set(),
    "training": {
        *(field.name for field in fields(TrainingSettings)),
        *("batch_size", "bptt_length", "batch_tokens", "dropout", "word_dropout", "label_smoothing", "class_weights"),
    },
    "writing": {"beam_size", "length_penalty", "n_best", "temperature"},
}


def docstrings(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass; a field that only has another default keeps its base's."""
    found: dict[str, str] = {}
    for part in reversed([part for part in kind.__mro__ if is_dataclass(part)]):
        body = _classes(part.__module__)[part.__name__].body
        for line, below in pairwise(body):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(below, ast.Expr):
                found[line.target.id] = " ".join(ast.literal_eval(below.value).split())
    return found


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """Return the classes that stand in a module's source."""
    return {
        one.name: one for one in ast.parse(inspect.getsource(sys.modules[module])).body if isinstance(one, ast.ClassDef)
    }


def setting_fields(kind: type[ModelSettings], default: ModelSettings) -> list[tuple[str, Any, Any]]:
    """Return the fields of a command that takes a task's settings: a dataclass for each group of flags."""
    told, hints = docstrings(kind), get_type_hints(kind)
    members: dict[str, list[tuple[str, Any, Any]]] = {group: [] for group in GROUPS}
    for one in sorted(fields(kind), key=lambda one: one.name != "cell"):  # the first that one wants to know
        value, help = getattr(default, one.name), told[one.name]
        if value is True:  # the flag is --no-lowercase
            help = f"Switch this off: {help}"
        argument: Any = Annotated[hints[one.name], tyro.conf.arg(help=help, help_behavior_hint=_default_in_words)]
        members[_group(one.name)].append((one.name, argument, field(default=value)))
    command: list[tuple[str, Any, Any]] = []
    for group, settings in members.items():
        if settings:
            conf: Any = tyro.conf
            flags = make_dataclass(group.capitalize(), settings, kw_only=True)
            command.append((group, conf.OmitArgPrefixes[flags], field(default_factory=flags)))
    return command


def settings_of(command: Any, kind: type[Kind]) -> Kind:
    """Return the settings that a parsed command holds in its groups."""
    return kind(**{one.name: getattr(getattr(command, _group(one.name)), one.name) for one in fields(kind)})


def _group(name: str) -> str:
    return next((group for group, names in GROUPS.items() if name in names), "network")


def _default_in_words(value: str) -> str:
    """Say the default where there is one; where not, the docstring says what happens then."""
    return {"none": "", "False": "", "True": "(default: on)"}.get(value, f"(default: {value})")
