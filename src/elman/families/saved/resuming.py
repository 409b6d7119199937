"""What a run must share with the one that it goes on from, or with the model whose weights it begins from."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

from elman.errors import UsageError


def check_same_data(began: dict[str, Any], now: dict[str, Any], folder: Path | None) -> None:
    """Raise UsageError where a resumed run would not go on with the data that it began with; files may have moved."""
    if any(began.get(part) != {**now[part], "files": began[part]["files"]} for part in ("train", "valid")):
        raise UsageError(
            f"{folder}: this training began with other data ({began['train']}); resume with the same data, or "
            "start afresh with `overwrite`"
        )


def check_same_settings(
    began: dict[str, Any], now: dict[str, Any], free_to_change: Container[str], folder: Path | None
) -> None:
    """Raise UsageError where a resumed run has other settings than it began with."""
    changed = [name for name in now if name not in free_to_change and began.get(name) != now[name]]
    if changed:
        name = changed[0]
        raise UsageError(
            f"{folder}: this training began with {name} {began.get(name)!r}, not {now[name]!r}; resume with the "
            "settings it began with, or start afresh with `overwrite`"
        )


def check_same_architecture(previous: Any, model: Any, init_from: Path | str | None) -> None:
    """Raise UsageError where a model's weights could not be begun from."""
    for name in model.architecture:
        there, here = getattr(previous, name), getattr(model, name)
        if there != here:
            raise UsageError(f"{init_from}: {name} is {there!r} there, {here!r} here; they must be the same")
