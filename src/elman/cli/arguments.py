"""From words on the command line to typed values, by tyro; a wrong word ends in a line that says what to do."""

from __future__ import annotations

import contextlib
import io
import math
import re
import stat
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import tyro

from elman.data.hub import hub_text
from elman.data.samples import sample_pictures, sample_text
from elman.errors import UsageError, nearest
from elman.families.base import Model
from elman.families.settings import LARGEST, Settings
from elman.models.tasks import TASKS

Command = TypeVar("Command")

MOST_CONFIG = 16 << 10  # bytes; tomllib's time and memory grow with their square

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
    if not word:
        raise UsageError("the name of a FILE is empty; is a variable of the shell not set?")
    if word.startswith("hub:"):
        form = TASKS[task].hub
        if form is None:
            raise UsageError(f"{word}: a {task} reads files only; download the data and name their folder")
        return hub_text(word.removeprefix("hub:"), form)
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
    files = TASKS[task].files
    if files.most is not None and not 1 <= len(words) <= files.most:
        most = "one file" if files.most == 1 else "one or two files"
        raise UsageError(f"a {task} reads {most}, but {len(words)} are given: {' '.join(words)}")
    pictures: Any = images
    if files.of_pictures and images is None:
        if not words[0].startswith("sample:"):
            raise UsageError(f"{words[0]}: the pictures are missing; name their folder, or an .npz, with --images")
        pictures = sample_pictures(words[0].removeprefix("sample:"))
    return files.arrange([source(word, task) for word in words], pictures)


def settings_from_toml(path: Path, model: type[Model]) -> dict[str, Any]:
    """Read settings from a TOML file: ``hidden_size = 256`` (a hyphen will do for an underscore).

    Raises:
        UsageError: the file cannot be read, is no TOML, or names a setting that does not exist.
    """
    try:
        values = tomllib.loads(_read_config(path))
    except RecursionError:
        raise UsageError(
            f"--config {path}: it is nested too deeply; it holds lines such as hidden_size = 256"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {path}: {getattr(error, 'strerror', None) or error}") from error
    known = model().get_params()
    settings: dict[str, Any] = {}
    for written, value in values.items():
        name = written.replace("-", "_")
        if name not in known:
            raise UsageError(f"--config {path}: no setting is called {written!r}{nearest(name, known)}")
        if name in settings:
            raise UsageError(f"--config {path}: {name} is there twice, with a hyphen and with an underscore")
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"--config {path}: {name} is {value}; it must be a finite number")
        settings[name] = value
    settings = model.from_json(settings)
    try:
        Settings.check(model(**settings))
    except UsageError as error:
        raise UsageError(f"--config {path}: {error}") from error
    return settings


def _read_config(path: Path) -> str:
    """Return a small text file, its lines ended by newlines and without a byte order mark."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # to open a pipe may be to wait for ever
        raise ValueError("it is no regular file; save it as one")
    with path.open("rb") as file:
        content = file.read(MOST_CONFIG + 1)
    if len(content) > MOST_CONFIG:
        raise ValueError(f"it has more than {MOST_CONFIG:,} bytes; are these settings?")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not valid UTF-8 in line {line}; save it in UTF-8") from None


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


def named_path(word: str) -> Path:
    """Return the path that a word names; an empty one, which Python takes for the current folder, names none."""
    if not word:
        raise ValueError("the name is empty; is a variable of the shell not set?")
    return Path(word)


def _path(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    if info.type not in (Path, Path | None):  # None is the default of some, and never a word
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: named_path(words[0]),
        is_instance=lambda value: value is None or isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    )


def _whole_number(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Refuse whole numbers that no machine counts with: torch and numpy take 64 bits."""
    if info.type is not int:
        return None

    def number(words: list[str]) -> int:
        if len(words[0]) > 30 or abs(value := int(words[0])) > LARGEST:
            raise ValueError(f"{words[0][:30]} is too large; it must be at most {LARGEST:,}")
        return value

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=number,
        is_instance=lambda value: isinstance(value, int) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


_REGISTRY = tyro.constructors.ConstructorRegistry()
_REGISTRY.primitive_rule(_literal)
_REGISTRY.primitive_rule(_path)
_REGISTRY.primitive_rule(_whole_number)
