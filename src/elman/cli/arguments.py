"""From words on the command line to typed values, by tyro; a wrong word ends in a line that says what to do."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import tyro

from elman.data.hub import hub_text
from elman.data.samples import sample_pictures, sample_text
from elman.errors import UsageError, nearest
from elman.models.base import Model
from elman.models.settings import Settings

Command = TypeVar("Command")

_BORDER = re.compile(r"^[│╭╰]?[─ ]*|[─ ]*[│╮╯]?$")
_RULE = re.compile(r"[─-]{3,}")


def parse(command: type[Command], words: Sequence[str], program: str, default: Command | None = None) -> Command:
    """Turn words into an instance of a dataclass.

    Args:
        command: the dataclass; its fields are the flags, their docstrings the help.
        words: what the user wrote.
        program: how the command is called in help and errors.
        default: the values of what is not given.

    Raises:
        UsageError: a flag is unknown, missing, or has a value that it cannot have.
        SystemExit: with code 0, after help was printed.
    """
    printed = io.StringIO()
    defaults: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(printed):
            parsed: Command = tyro.cli(
                command,
                prog=program,
                args=list(words),
                registry=_REGISTRY,
                config=(tyro.conf.FlagCreatePairsOff,),
                **defaults,
            )
            return parsed
    except SystemExit as stop:
        if not stop.code:
            sys.stdout.flush()  # the help is an answer, too
            raise
        raise UsageError(f"{_summary(printed.getvalue())}; {program} --help tells more") from None


def source(word: str, task: str) -> Path | str:
    """Return what a FILE on the command line stands for: a path, or the text of ``sample:NAME`` or ``hub:NAME``."""
    if word.startswith("hub:"):
        return hub_text(word.removeprefix("hub:"), task)
    return sample_text(word.removeprefix("sample:")) if word.startswith("sample:") else Path(word)


def examples(task: str, words: Sequence[str], images: Path | None = None) -> tuple[Any, Any]:
    """Return what the FILEs of a command stand for, as ``fit`` and ``evaluate`` take it: X, and y where it has one.

    Args:
        task: as ``elman train`` names it.
        words: the FILEs.
        images: the pictures that a file of captions is about.

    Raises:
        UsageError: there are too many of them, or the pictures are missing.
    """
    if task == "lm":
        return (source(words[0], task) if len(words) == 1 else [source(word, task) for word in words]), None
    if task == "translator" and len(words) == 2:
        return source(words[0], task), source(words[1], task)
    if len(words) != 1:
        most = "one or two files" if task == "translator" else "one file"
        raise UsageError(f"a {task} reads {most}, but {len(words)} are given: {' '.join(words)}")
    if task != "captioner":
        return source(words[0], task), None
    if images is None and not words[0].startswith("sample:"):
        raise UsageError(f"{words[0]}: the pictures are missing; name their folder, or an .npz, with --images")
    pictures = sample_pictures(words[0].removeprefix("sample:")) if images is None else images
    return pictures, source(words[0], task)


def settings_from_toml(path: Path, model: type[Model]) -> dict[str, Any]:
    """Read settings from a TOML file: ``hidden_size = 256`` (a hyphen will do for an underscore).

    Raises:
        UsageError: the file cannot be read, or names a setting that does not exist.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {path}: {getattr(error, 'strerror', None) or error}") from error
    known = model().get_params()
    settings = {name.replace("-", "_"): value for name, value in values.items()}
    for name in settings:
        if name not in known:
            raise UsageError(f"--config {path}: no setting is called {name}{nearest(name, known)}")
    settings = model.from_json(settings)
    try:
        Settings.check(model(**settings))
    except UsageError as error:
        raise UsageError(f"--config {path}: {error}") from error
    return settings


def _summary(box: str) -> str:
    """Take the message out of the frame that tyro draws around it, of lines or, where a terminal has none, of -."""
    lines = [_BORDER.sub("", line) for line in box.splitlines()]
    body = [line for line in lines[1:] if line and not _RULE.fullmatch(line)]  # the first line is the title
    ends = ("Perhaps you meant", "Arguments similar to", "Argument helptext", "Got errors", "For full helptext")
    end = next((index for index, line in enumerate(body) if line.startswith(ends)), len(body))
    message = " ".join(body[:end]).strip().rstrip(".")
    meant = [line.split()[0] for line in body[end:] if line.startswith("--")]
    return f"{message}; did you mean {meant[0]}?" if "nrecognized" in message and meant else message


def _literal(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Let a Literal take any word: the model checks it, and names the nearest that exists."""
    if get_origin(info.type) is not Literal:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="|".join(get_args(info.type)),
        instance_from_str=lambda words: words[0],
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda value: [str(value)],
    )


_REGISTRY = tyro.constructors.ConstructorRegistry()
_REGISTRY.primitive_rule(_literal)
