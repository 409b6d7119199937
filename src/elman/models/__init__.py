"""One file per architecture: settings, network and the user's object together."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def load(folder: Path | str) -> Any:
    """Read a saved model of any task; nothing in the folder is run or unpickled.

    Args:
        folder: what ``save`` or ``elman train --out`` wrote.

    Returns:
        The fitted model, of the class that was saved.

    Raises:
        ModelError: there is no model, or it is damaged, altered, or from a newer version.
    """
    from elman.errors import ModelError
    from elman.models.folder import CONFIG, read_folder
    from elman.models.language_model import LanguageModel

    folder = Path(folder)
    saved = read_folder(folder)
    tasks = {model.task: model for model in (LanguageModel,)}
    task = saved.config.get("task")
    if task not in tasks:
        raise ModelError(f'{folder / CONFIG}: unknown task "{task}"; this Elman knows {", ".join(tasks)}')
    return tasks[task].from_saved(saved, folder)
