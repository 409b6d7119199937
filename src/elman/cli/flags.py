"""How the shell names settings: ``beam_size`` is ``--beam-size``."""

from __future__ import annotations

import re
from collections.abc import Collection


def with_flags(message: str, names: Collection[str] = ()) -> str:
    """Write the settings that a message names as flags.

    Args:
        message: names settings in backquotes.
        names: settings that are written as flags where the message is about one, such as "beam_size is 0".

    Example:
        >>> with_flags("beam_size is 0; see `n_best`", ["beam_size"])
        '--beam-size is 0; see --n-best'
    """
    name, verb, rest = message.partition(" is ")
    if verb and name in names:
        message = f"{flag(name)} is {rest}"
    return re.sub(r"`([a-z][a-z_]*)`", lambda found: flag(found[1]), message)


def flag(setting: str) -> str:
    """Return the flag that sets a setting."""
    return f"--{setting.replace('_', '-')}"
