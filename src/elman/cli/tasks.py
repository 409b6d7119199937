"""Which task ``elman train`` and ``elman compare`` are about: the first word after them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from elman.cli.help import HELP
from elman.cli.layout import bold, listing, paragraphs
from elman.errors import UsageError, suggest
from elman.models.tasks import TASKS


def choose_task(verb: str, purpose: str, words: Sequence[str], tasks: Collection[str]) -> str | None:
    """Return the task that the first word names; None where there is none, or a request for help: the tasks are listed.

    Args:
        verb: of the command.
        purpose: what the command does, for its help.
        words: what the user wrote after the verb.
        tasks: those that the command has.

    Raises:
        UsageError: the command has no such task.
    """
    if not words or words[0] in (*HELP, "help"):
        rows = ((task, f"{TASKS[task].purpose}; reads {TASKS[task].formats}") for task in tasks)
        print(bold(f"usage: elman {verb} TASK [OPTIONS] FILE"))
        print(f"\n{paragraphs(purpose)}\n\n{bold('Tasks:')}\n{listing(rows)}")
        print(f"\n{paragraphs(f'elman {verb} TASK --help shows the options of a task.')}")
        return None
    if words[0] in tasks:
        return words[0]
    if named := next((word for word in words if word in tasks), None):
        others = [word for word in words if word != named]
        raise UsageError(f"the task comes first: elman {verb} {shlex.join([named, *others])}")
    if Path(words[0]).exists():
        command = f"elman {verb} TASK {shlex.join(words)}"
        raise UsageError(f"the task comes first: {command}, where TASK is one of {', '.join(tasks)}")
    raise UsageError(f"elman {verb} has no task {words[0]}{suggest(words[0], tasks) or ';'} it has {', '.join(tasks)}")
