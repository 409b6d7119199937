"""From words on the command line to a dataclass of options, by tyro; a mistake is answered in one line."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from typing import NoReturn, TypeVar

import tyro
import tyro._arguments
import tyro._errors  # its errors are values, but private: pyproject.toml pins the version

from elman.cli.help import HELP, Argument, arguments_of, print_help
from elman.cli.values import REGISTRY
from elman.errors import UsageError

Command = TypeVar("Command")


def parse(command: type[Command], words: Sequence[str], program: str) -> Command:
    """Parse words into an instance of a dataclass, or print its help.

    Args:
        command: the dataclass; its fields are the options, their docstrings the help.
        words: what the user wrote.
        program: how the command is called, in help and errors.

    Raises:
        UsageError: an option is unknown, missing, or has a value that it cannot have.
        SystemExit: with code 0, after help was printed.
    """
    if asked := set(HELP).intersection(words):
        print_help(command, program, everything="--help-all" in asked)
        sys.stdout.flush()  # help that cannot be written is an error, too
        raise SystemExit(0)

    def refuse(event: tyro._errors.ParseErrorEvent) -> NoReturn:
        problem = _describe(event, list(arguments_of(command)))
        raise UsageError(f"{problem}{'' if problem.endswith('?') else ';'} see {program} --help")

    with tyro._errors.on_parse_error(refuse):
        parsed: Command = tyro.cli(
            command,
            prog=program,
            args=list(words),
            registry=REGISTRY,
            config=(tyro.conf.FlagCreatePairsOff,),
            add_help=False,
        )
    return parsed


def _describe(event: tyro._errors.ParseErrorEvent, arguments: Sequence[Argument]) -> str:
    """Return what is wrong with the words that tyro refuses."""
    errors = tyro._errors
    if isinstance(event, errors.MissingArgs):
        if event.unrecognized_tokens:
            return _describe_unknown(event.unrecognized_tokens[0], arguments)
        return " and ".join(_describe_missing(_find(one.arg, arguments)) for one in event.missing_arguments)
    if isinstance(event, errors.UnrecognizedArgs):
        return _describe_unknown(event.tokens[0], arguments)
    if isinstance(event, errors.InstantiationFailure) and event.argument is not None:
        return f"{_find(event.argument, arguments).name}: {event.message}"
    if isinstance(event, errors.BadValue):
        argument = _find(event.argument, arguments)
        return _describe_missing(argument) if argument.is_positional else f"{argument.name} needs a value"
    return str(getattr(event, "message", "these words do not go together"))


def _find(definition: tyro._arguments.ArgumentDefinition, arguments: Sequence[Argument]) -> Argument:
    return next(argument for argument in arguments if argument.field == definition.field.intern_name)


def _describe_missing(argument: Argument) -> str:
    """Say that an argument is missing; of a word without a flag, whose name says little, also what it is."""
    if not argument.is_positional:
        return f"{argument.name} is missing"
    text = argument.text.rstrip(".")
    text = text[:1].lower() + text[1:] if text[1:2].islower() else text  # MIDI stays as it is
    return f"{argument.name} is missing ({text})"


def _describe_unknown(word: str, arguments: Sequence[Argument]) -> str:
    """Say that a word is not an option, or is one too many; suggest the nearest option."""
    if not word.startswith("-"):
        return f"{word!r} is one word too many"
    word = word.partition("=")[0]
    options = [argument.name for argument in arguments if not argument.is_positional]
    close = difflib.get_close_matches(word, options, n=1)
    return f"there is no option {word}{f'; did you mean {close[0]}?' if close else ''}"
