"""How the shell names settings: ``beam_size`` is ``--beam-size``."""

from __future__ import annotations

import re
from collections.abc import Iterable


def with_flags(message: str, names: Iterable[str] = ()) -> str:
    """Write the settings that a message names as flags.

    Args:
        message: names settings in backquotes.
        names: settings that are written as flags wherever they occur.

    Example:
        >>> with_flags("beam_size is 0; see `n_best`", ["beam_size"])
        '--beam-size is 0; see --n-best'
    """
    words = "|".join(names) or "(?!)"
    return re.sub(rf"`([a-z][a-z_]*)`|\b({words})\b", lambda found: flag(found[1] or found[2]), message)


def flag(setting: str) -> str:
    """Return the flag that sets a setting."""
    return f"--{setting.replace('_', '-')}"
