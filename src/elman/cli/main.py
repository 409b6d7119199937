"""The shell command ``elman``: finds the verb, runs it, and turns an error into one or two lines and an exit code."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Sequence
from importlib import import_module

from elman import __version__
from elman.cli.flags import with_flags
from elman.cli.streams import ReaderGone, standard_streams
from elman.errors import ElmanError, UsageError, suggest

VERBS = {
    "train": "train a model on your own data            elman train lm input.txt --out runs/mine",
    "generate": "write on, in text or in music            elman generate runs/mine --prompt ROMEO:",
    "predict": "say what the model makes of a file        elman predict runs/mine text.txt",
    "evaluate": "judge a model on a file                   elman evaluate runs/mine text.txt --json",
    "compare": "set models side by side on the same data  elman compare lm input.txt --models ngram:5,lstm",
    "info": "show a model's settings and parameters    elman info runs/mine",
    "data": "list and show the built-in data sets      elman data show sentences --lines 20",
    "bench": "time Elman against torch.nn               elman bench kernels",
    "doctor": "tell what this machine is and can do      elman doctor",
    "demo": "a minute of everything, nothing needed    elman demo",
}

EXIT_CODES = """\
exit codes: 0 done, 1 failed, 2 wrong usage, 3 unreadable data, 4 no such model or a damaged one,
            5 the loss diverged, 6 nothing could be written, 130 interrupted
            (143: terminated, 129: the terminal was closed)"""


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
            sys.stdout.flush()  # what cannot be written is told here, and not when Python ends
            return code
        except ReaderGone:
            return 0
        except ElmanError as error:
            _HANDLER.say(str(error))
            return error.exit_code
        except KeyboardInterrupt:
            print("elman: interrupted", file=sys.stderr)
            return 130


class _ToStandardError(logging.Handler):
    """Prints what is logged; what has just been said, such as an error that was a warning before, is not said again."""

    def __init__(self) -> None:
        super().__init__()
        self.said: deque[str] = deque(maxlen=32)

    def emit(self, record: logging.LogRecord) -> None:
        self.say(record.getMessage())

    def say(self, message: str) -> None:
        message = f"elman: {_shown(with_flags(message))}"
        if message not in self.said:
            print(message, file=sys.stderr)
        self.said.append(message)


_HANDLER = _ToStandardError()


def _shown(message: str) -> str:
    """Escape what a terminal would obey: messages quote names and data, which may be anybody's."""
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in message)


def _show_log() -> None:
    """Show warnings, that kernels are being compiled (it takes seconds), and what computes the layers."""
    logger = logging.getLogger("elman")
    if not logger.handlers:
        logger.addHandler(_HANDLER)
    _HANDLER.said.clear()
    logging.getLogger("elman.kernels").setLevel(logging.INFO)


def _run(words: list[str]) -> int:
    verb = words[0] if words else "--help"
    if verb == "help" and words[1:]:  # elman help train lm
        words = [*words[1:], "--help"]
        verb = words[0]
    if verb in ("-h", "--help", "help"):
        print(_help())
        return 0
    if verb in ("-V", "--version"):
        print(f"elman {__version__}")
        return 0
    if verb not in VERBS:
        raise UsageError(f"no such command: {verb}{suggest(verb, VERBS) or ';'} elman --help lists them")
    code: int = import_module(f"elman.cli.{verb}").run(words[1:])
    return code


def _help() -> str:
    verbs = "\n".join(f"  {verb:<9} {what}" for verb, what in VERBS.items())
    return (
        "Elman: recurrent neural networks on your own sequences, trained on a laptop.\n\n"
        "usage: elman COMMAND ...      elman COMMAND --help tells all of a command's options\n\n"
        f"{verbs}\n\n{EXIT_CODES}"
    )
