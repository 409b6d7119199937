"""Checks that a run fits the run that it resumes, or the model whose weights it starts from."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

from elman.errors import UsageError


def check_same_data(before: dict[str, Any], now: dict[str, Any], folder: Path | None) -> None:
    """Raise UsageError if a resumed run has other data than before; the files may have moved."""
    if any(before.get(part) != {**now[part], "files": before[part]["files"]} for part in ("train", "valid")):
        raise UsageError(
            f"{folder}: this training started with other data ({before['train']}); resume with the same data, or "
            "start over with `overwrite`"
        )


def check_same_settings(
    before: dict[str, Any], now: dict[str, Any], free_to_change: Container[str], folder: Path | None
) -> None:
    """Raise UsageError if a resumed run has other settings than before."""
    changed = [name for name in now if name not in free_to_change and before.get(name) != now[name]]
    if changed:
        name = changed[0]
        raise UsageError(
            f"{folder}: this training started with {name} {before.get(name)!r}, not {now[name]!r}; resume with the "
            "same settings, or start over with `overwrite`"
        )


def check_same_architecture(previous: Any, model: Any, init_from: Path | str | None) -> None:
    """Raise UsageError if a model cannot start from the weights of another."""
    for name in model.architecture:
        if name in model.planned and getattr(model, name) is None:  # it follows the previous model's
            continue
        there = previous.setting(name) if name in model.planned else getattr(previous, name)
        here = getattr(model, name)
        if there != here:
            raise UsageError(f"{init_from}: {name} is {there!r} there and {here!r} here; they must be equal")
