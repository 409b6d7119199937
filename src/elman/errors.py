"""The errors that Elman raises on purpose, and the exit code of each one in the shell.

    ElmanError                      1   the base class: catch this one to catch them all
    ├── UsageError (ValueError)     2   a setting, a flag or an argument is wrong
    ├── DataError (ValueError)      3   the user's data cannot be read, or there is too little of it
    ├── ModelError                  4   a saved model is missing, damaged, too new, or in the way
    ├── DivergedError               5   the loss became NaN or exploded
    ├── StorageError (OSError)      6   a file cannot be written: disk full, no permission
    └── Interrupted               130   Ctrl-C (143 for SIGTERM, 129 for SIGHUP): progress is saved

Each message is one or two lines long: the value, the limit and the remedy, with the file and line where there is one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_MESSAGE = 900  # characters


class ElmanError(Exception):
    """The base class of every error that Elman raises on purpose."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        if message.count("\n") > 2:  # it quotes a name with line breaks
            message = " ".join(message.split())
        if len(message) > LONGEST_MESSAGE:  # it quotes data of any length
            message = f"{message[: LONGEST_MESSAGE - 300]} ... {message[-300:]}"
        super().__init__(message)


class UsageError(ElmanError, ValueError):
    """A setting, a flag or an argument is wrong; nothing was read or written."""

    exit_code = 2


class DataError(ElmanError, ValueError):
    """The user's data cannot be read, or there is too little of it."""

    exit_code = 3


class ModelError(ElmanError):
    """A saved model is missing, damaged, from a newer version, or in the way of a new one."""

    exit_code = 4


class DivergedError(ElmanError):
    """The loss became NaN or exploded; the best weights so far are kept."""

    exit_code = 5


class StorageError(ElmanError, OSError):
    """A file cannot be written; its previous content is intact."""

    exit_code = 6


class Interrupted(ElmanError):  # noqa: N818 (not an error: the user asked for it)
    """A signal stopped the training, after its state was saved."""

    exit_code = 130

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def suggest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name closest to ``name``, as the end of an error message.

    Args:
        name: the name that the user gave.
        known: the names that exist.

    Returns:
        ``'; did you mean "lstm"?'``, or an empty string if no name is close.

    Example:
        >>> suggest("lstn", ["rnn", "gru", "lstm"])
        '; did you mean "lstm"?'
        >>> suggest("transformer", ["rnn", "gru", "lstm"])
        ''
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra, as the end of an error message.

    Example:
        >>> how_to_install("music")
        "in Elman's clone run .venv/bin/pip install -e '.[music]'"
    """
    return f"in Elman's clone run .venv/bin/pip install -e '.[{extra}]'"
