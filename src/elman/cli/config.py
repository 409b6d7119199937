"""``--config FILE``: settings from a TOML file."""

from __future__ import annotations

import math
import stat
import tomllib
from pathlib import Path
from typing import Any

from elman.errors import UsageError, suggest
from elman.settings.base import ModelSettings

LARGEST_FILE = 16 << 10  # bytes; the time and the memory that tomllib needs grow with their square


def settings_from_toml(path: Path, model: type[ModelSettings]) -> dict[str, Any]:
    """Read settings from a TOML file, such as ``hidden_size = 256``; a hyphen may stand for an underscore.

    Raises:
        UsageError: the file cannot be read, is not TOML, or holds a setting that does not exist.
    """
    try:
        values = tomllib.loads(_read(path))
    except RecursionError:
        raise UsageError(
            f"--config {path}: it is nested too deeply; it should hold lines such as hidden_size = 256"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {path}: {getattr(error, 'strerror', None) or error}") from error
    known = model().get_params()
    settings: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise UsageError(f"--config {path}: no setting is called {key!r}{suggest(name, known)}")
        if name in settings:
            raise UsageError(f"--config {path}: {name} is there twice, with a hyphen and with an underscore")
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"--config {path}: {name} is {value}; it must be a finite number")
        settings[name] = value
    try:
        return model.from_json(settings)
    except UsageError as error:
        raise UsageError(f"--config {path}: {error}") from error


def _read(path: Path) -> str:
    """Return the text of a small file, with newlines as line ends and without a byte order mark."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe may block for ever
        raise ValueError("it is not a regular file; save the settings in one")
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"it has more than {LARGEST_FILE:,} bytes; is it a file of settings?")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not valid UTF-8 in line {line}; save it as UTF-8") from None
