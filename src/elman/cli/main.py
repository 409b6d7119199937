"""The shell command ``elman``: runs a verb, and turns an error into one or two lines and an exit code."""

from __future__ import annotations

import logging
import shlex
import sys
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import fields
from importlib import import_module

from elman import __version__
from elman.cli.flags import with_flags
from elman.cli.layout import bold, listing, paragraphs
from elman.cli.streams import ReaderGone, standard_streams
from elman.decoding.options import Sampling
from elman.errors import ElmanError, UsageError, suggest
from elman.models.tasks import TASKS

VERBS = {
    "demo": "see it all in a minute; needs no data",
    "train": "train a model on your own data",
    "generate": "write text or music with a model",
    "predict": "tag, classify, translate, caption or score a file",
    "evaluate": "measure a model on a file",
    "inspect": "look inside a model: states, gates, how far back it learns",
    "compare": "train several models on the same data, and compare them",
    "info": "show a model's settings and parameters",
    "lecture": "read a lecture on recurrent networks, as pages that run",
    "data": "list and print the built-in data sets",
    "bench": "time Elman against torch.nn",
    "doctor": "show what Elman finds on this machine",
}

EXAMPLES = (
    "elman train lm input.txt --minutes 3",
    'elman generate runs/lm-1 --prompt "Once "',
)

EXIT_CODES = {
    "0": "done",
    "1": "failed",
    "2": "wrong usage",
    "3": "unreadable data",
    "4": "no such model, or a damaged one",
    "5": "the loss diverged",
    "6": "output could not be written",
    "130": "interrupted (143: terminated, 129: the terminal was closed)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after ``elman``; the process's own where not given.

    Returns:
        The exit code, see :mod:`elman.errors`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with standard_streams():
        try:
            _show_log()
            code = _run(words)
            sys.stdout.flush()  # report here what cannot be written, not when Python exits
            return code
        except ReaderGone:
            return 0
        except ElmanError as error:
            _HANDLER.print_error(str(error))
            return error.exit_code
        except KeyboardInterrupt:
            print("elman: interrupted", file=sys.stderr)
            return 130


class _ToStandardError(logging.Handler):
    """Prints log records, without repeating recent ones, and errors, without repeating the line just printed."""

    def __init__(self) -> None:
        super().__init__()
        self.printed: deque[str] = deque(maxlen=32)

    def emit(self, record: logging.LogRecord) -> None:
        self._print(record.getMessage(), self.printed)

    def print_error(self, message: str) -> None:
        """Print the error that ends a command."""
        self._print(message, list(self.printed)[-1:])

    def _print(self, message: str, known: Container[str]) -> None:
        line = f"elman: {_escape(with_flags(message, _setting_names()))}"
        if line not in known:
            print(line, file=sys.stderr)
            self.printed.append(line)


_HANDLER = _ToStandardError()


def _setting_names() -> set[str]:
    """Return the names of all settings, and of the options of generation."""
    return {one.name for kind in (Sampling, *(row.settings_class for row in TASKS.values())) for one in fields(kind)}


def _escape(message: str) -> str:
    """Escape control characters, which a terminal obeys: messages quote names and data from anywhere."""
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in message)


def _show_log() -> None:
    """Print warnings, and that kernels are being compiled or a model is trained first, which takes seconds."""
    logger = logging.getLogger("elman")
    if not logger.handlers:
        logger.addHandler(_HANDLER)
    _HANDLER.printed.clear()
    logging.getLogger("elman.kernels").setLevel(logging.INFO)
    logging.getLogger("elman.lecture").setLevel(logging.INFO)
    logging.getLogger("elman.nn").setLevel(logging.NOTSET)  # train shows which backend computes the layers


def _run(words: list[str]) -> int:
    verb = words[0] if words else "--help"
    if verb == "help" and words[1:]:  # elman help train lm
        words = [*words[1:], "--help"]
        verb = words[0]
    if verb in ("-h", "--help", "--help-all", "help"):
        _print_help()
        return 0
    if verb in ("-V", "--version"):
        print(f"elman {__version__}")
        return 0
    if verb in TASKS:
        raise UsageError(f"{verb} is a task, and a command comes first: elman train {shlex.join(words)}")
    if verb not in VERBS:
        raise UsageError(
            f"no such command: {verb}{suggest(verb, (*VERBS, '--help', '--version')) or ';'} see elman --help"
        )
    code: int = import_module(f"elman.cli.{verb}").run(words[1:])
    return code


def _print_help() -> None:
    print("Elman: recurrent neural networks on your own sequences, trained on a laptop.")
    print(f"\n{bold('usage: elman COMMAND ...')}\n\n{bold('Commands:')}\n{listing(VERBS.items())}")
    print("\n" + paragraphs("elman COMMAND --help shows the options of a command."))
    print(f"\n{bold('Examples:')}\n" + "\n".join(f"  {example}" for example in EXAMPLES))
    print(f"\n{bold('Exit codes:')}\n{listing(EXIT_CODES.items())}")
