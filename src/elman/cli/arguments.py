"""From words on the command line to typed values, by tyro; a wrong word ends in a line that says what to do."""

from __future__ import annotations

import difflib
import math
import shlex
import stat
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro
import tyro._arguments
import tyro._errors  # what is wrong with the words, as values: its interface is private, so the version is pinned

from elman.errors import UsageError, suggest
from elman.models.tasks import TASKS
from elman.settings.base import LARGEST, ModelSettings, Settings

Command = TypeVar("Command")

Switch = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
"""A flag that is off where it is not given; help need not say so."""

OTHER_PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".pdf", ".eps"}
MOST_CONFIG = 16 << 10  # bytes; tomllib's time and memory grow with their square


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
    defaults: dict[str, Any] = {} if default is None else {"default": default}

    def refuse(event: tyro._errors.ParseErrorEvent) -> NoReturn:
        raise UsageError(f"{_problem(event, command)}; {program} --help tells more")

    try:
        with tyro._errors.on_parse_error(refuse):
            parsed: Command = tyro.cli(
                command,
                prog=program,
                args=list(words),
                registry=_REGISTRY,
                config=(tyro.conf.FlagCreatePairsOff,),
                **defaults,
            )
            return parsed
    except SystemExit:
        sys.stdout.flush()  # the help is an answer, too
        raise


def source(word: str, task: str) -> Path | str:
    """Return what a FILE on the command line stands for: a path, or the text of ``sample:NAME`` or ``hub:NAME``."""
    from elman.data.hub import load_hub_text
    from elman.data.samples import sample_text

    if word == "-":
        raise UsageError(
            "-: the data are read several times, which a pipe cannot be; save them in a file and name that"
        )
    if not word:
        raise UsageError("the name of a FILE is empty; is a variable of the shell not set?")
    if word.startswith("hub:"):
        form = TASKS[task].hub
        if form is None:
            raise UsageError(f"{word}: a {task} reads files only; download the data and name their folder")
        return load_hub_text(word.removeprefix("hub:"), form)
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
    from elman.data.samples import sample_pictures

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


def check_there(*sources: Any) -> None:
    """Raise DataError where a file of the data is missing: that comes before what stands in the folder for the run."""
    from elman.data.files import open_file

    for part in sources:
        for path in part if isinstance(part, list) else [part]:
            if isinstance(path, Path) and not path.exists():
                open_file(path).close()


def check_order(verb: str, folder: Path, files: Sequence[str]) -> None:
    """Raise UsageError where a model's folder is named after a file, and not before it."""
    if not folder.is_dir():
        for word in files:
            if (Path(word) / "config.json").is_file():
                others = [str(folder), *(other for other in files if other != word)]
                raise UsageError(f"{word} is the model, and it comes first: elman {verb} {shlex.join([word, *others])}")


def check_svg(flag: str, path: Path | None) -> None:
    """Raise UsageError where a picture, which is an SVG, is to go into a file named as another format."""
    if path is not None and path.suffix.lower() in OTHER_PICTURES:
        raise UsageError(f"{flag} {path}: the picture is an SVG; name it {path.with_suffix('.svg')}")


def settings_from_toml(path: Path, model: type[ModelSettings]) -> dict[str, Any]:
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
            raise UsageError(f"--config {path}: no setting is called {written!r}{suggest(name, known)}")
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


def _problem(event: tyro._errors.ParseErrorEvent, command: type) -> str:
    """Say in a line what is wrong with the words that tyro refuses."""
    errors = tyro._errors
    if isinstance(event, errors.MissingArgs):
        if event.unrecognized_tokens:
            return _unknown(event.unrecognized_tokens[0], command)
        return " and ".join(_missing(one.arg) for one in event.missing_arguments)
    if isinstance(event, errors.UnrecognizedArgs):
        return _unknown(event.tokens[0], command)
    if isinstance(event, errors.InstantiationFailure) and event.argument is not None:
        return f"{event.argument.display_name()}: {event.message}"
    if isinstance(event, errors.BadValue):
        if event.argument.is_positional():
            return _missing(event.argument)
        return f"{event.argument.display_name()} needs a value"
    return str(getattr(event, "message", "these words do not go together"))


def _missing(argument: tyro._arguments.ArgumentDefinition) -> str:
    """Say that an argument is missing; of a word without a flag, whose name says little, also what it is."""
    if not argument.is_positional():
        return f"{argument.display_name()} is missing"
    told = argument.field.helptext
    told = str((told() if callable(told) else told) or "").strip().rstrip(".")
    told = told[:1].lower() + told[1:] if told[1:2].islower() else told  # MIDI stays as it is
    return f"{argument.lowered.metavar} is missing ({told})"


def _unknown(word: str, command: type) -> str:
    """Say that a word is no option, or one too many; name the nearest option."""
    if not word.startswith("-"):
        return f"{word!r} is one word too many"
    word = word.partition("=")[0]
    close = difflib.get_close_matches(word, list(_flags(command)), n=1)
    return f"there is no option {word}{f'; did you mean {close[0]}?' if close else ''}"


def _flags(command: type) -> Iterator[str]:
    """Yield the flags of a command and of the settings in it."""
    hints = get_type_hints(command)
    for field in fields(command):
        if is_dataclass(hints[field.name]):
            yield from _flags(hints[field.name])
        else:
            yield f"--{'no-' if field.default is True else ''}{field.name.replace('_', '-')}"


def named_path(word: str) -> Path:
    """Return the path that a word names; an empty one, which Python takes for the current folder, names none."""
    if not word:
        raise ValueError("the name is empty; is a variable of the shell not set?")
    return Path(word)


def _whole_number(word: str) -> int:
    """Read a whole number that machines count with: torch and numpy take 64 bits."""
    try:
        value = int(word[:40])
    except ValueError:
        raise ValueError(f"{word[:40]!r} is no whole number") from None
    if len(word) > 30 or abs(value) > LARGEST:
        raise ValueError(f"{word[:30]} is too large; it must be at most {LARGEST:,}")
    return value


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word[:40]!r} is no number") from None


_VALUES: dict[Any, tuple[str, Callable[[str], Any]]] = {
    Path: ("PATH", named_path),
    int: ("INT", _whole_number),
    float: ("NUMBER", _number),
    str: ("TEXT", str),
}


def _one_word(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Read what is one word: a path, a number, a text, or a name, which the model checks; each may be optional."""
    kinds = [kind for kind in get_args(info.type) if kind is not type(None)]
    is_optional = get_origin(info.type) in (Union, UnionType) and len(kinds) == 1
    kind = kinds[0] if is_optional else info.type
    if get_origin(kind) is Literal:
        metavar, read = "|".join(get_args(kind)), _VALUES[str][1]
    elif kind in _VALUES:
        metavar, read = _VALUES[kind]
    else:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: None if is_optional and words[0] == "None" else read(words[0]),
        is_instance=lambda value: True,
        str_from_instance=lambda value: ["none" if value is None else str(value) or "empty"],
    )


_REGISTRY = tyro.constructors.ConstructorRegistry()
_REGISTRY.primitive_rule(_one_word)
