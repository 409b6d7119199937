"""The help of a command, from the dataclass that holds its options: names, docstrings and defaults, in groups."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from itertools import groupby, pairwise
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

from elman.cli.flags import flag, with_flags
from elman.cli.layout import bold, column_for, listing, paragraphs
from elman.cli.values import metavar_of

HELP = ("-h", "--help", "--help-all")
GROUPS = ("options", "data", "network", "training", "output")  # come first, in this order


@dataclass(frozen=True, kw_only=True)
class About:
    """What help says of a field that its docstring, type and default do not; it stands in the field's Annotated."""

    text: str = ""
    """What the field does, where it has no docstring."""
    metavar: str = ""
    """What stands for a value, in place of the type's."""
    default: str | None = None
    """The default in words."""
    group: str = "options"
    """The title that it stands under."""
    is_advanced: bool = False
    """Whether only --help-all shows it."""


@dataclass(frozen=True)
class Argument:
    """An option of a command, or a word without a flag, as help shows it."""

    field: str
    name: str
    """``--out``, or the metavar of a word without a flag."""
    metavar: str
    text: str
    default: str
    """In words; empty where the text says what happens."""
    group: str
    is_positional: bool
    is_advanced: bool

    @property
    def usage(self) -> str:
        """How it is written: ``--out DIR``."""
        return f"{self.name} {self.metavar}".rstrip()

    @property
    def explanation(self) -> str:
        """The text with the default."""
        return f"{self.text} (default: {self.default})" if self.default else self.text


def print_help(command: type, program: str, default: Any = None, *, everything: bool = False) -> None:
    """Print what a command does and what its options are.

    Args:
        command: the dataclass of its options.
        program: how the command is called.
        default: an instance whose values are the defaults; the dataclass's own where not given.
        everything: list the advanced options, too.
    """
    arguments = list(arguments_of(command, default))
    words = [argument for argument in arguments if argument.is_positional]
    options = [argument for argument in arguments if not argument.is_positional]
    shown = [argument for argument in options if everything or not argument.is_advanced]
    print(bold(f"usage: {' '.join([program, '[OPTIONS]', *(word.name for word in words)])}"))
    print(f"\n{paragraphs(inspect.cleandoc(command.__doc__ or ''))}")
    if words:
        print(f"\n{listing((word.name, word.explanation) for word in words)}")
    titles = list(dict.fromkeys([*GROUPS, *(argument.group for argument in options)]))
    shown.sort(key=lambda argument: (titles.index(argument.group), argument.is_advanced))
    column = column_for(argument.usage for argument in shown)
    for title, group in groupby(shown, key=lambda argument: argument.group):
        rows = ((argument.usage, argument.explanation) for argument in group)
        print(f"\n{bold(f'{title.capitalize()}:')}\n{listing(rows, column)}")
    if len(shown) < len(options):
        print(f"\n{paragraphs(f'{len(options) - len(shown)} more options: {program} --help-all')}")


def arguments_of(command: type, default: Any = None, group: str = "") -> Iterator[Argument]:
    """Yield the options of a command, those of a dataclass within it among them."""
    texts, hints = docstrings(command), get_type_hints(command, include_extras=True)
    for field in fields(command):
        kind, metadata = _unwrapped(hints[field.name])
        about = next((one for one in metadata if isinstance(one, About)), About())
        value = _default_of(field) if default is None else getattr(default, field.name)
        if is_dataclass(kind) and isinstance(kind, type):
            yield from arguments_of(kind, value, about.group)
            continue
        is_positional = tyro.conf.Positional in metadata
        metavar = about.metavar or metavar_of(kind)
        text = with_flags(about.text or texts.get(field.name, ""))
        if value is True:
            text = f"Switch this off: {text}"
        yield Argument(
            field=field.name,
            name=metavar if is_positional else flag(f"no_{field.name}" if value is True else field.name),
            metavar="" if is_positional or kind is bool else metavar,
            text=text,
            default=_in_words(value) if about.default is None else about.default,
            group=group or about.group,
            is_positional=is_positional,
            is_advanced=about.is_advanced,
        )


def docstrings(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass; a field that only has another default keeps its base's."""
    found: dict[str, str] = {}
    for part in reversed([part for part in kind.__mro__ if is_dataclass(part)]):
        for line, below in pairwise(_classes(part.__module__).get(part.__name__, [])):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(below, ast.Expr):
                found[line.target.id] = " ".join(ast.literal_eval(below.value).split())
    return found


@cache
def _classes(module: str) -> dict[str, list[ast.stmt]]:
    """Return the bodies of the classes in a module's source."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {one.name: one.body for one in tree.body if isinstance(one, ast.ClassDef)}


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Split a type from what Annotated adds to it."""
    return (get_args(hint)[0], hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


def _default_of(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _in_words(value: Any) -> str:
    """Return a default as help shows it; where nothing is the default, the docstring says what that means."""
    if value is MISSING or value is None or isinstance(value, bool) or value in ("", ()):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
