"""One file per task: settings, network and the user's object together; and the table of tasks."""

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
    from elman.families.saved.folder import CONFIG, SavedModel, read_model
    from elman.models.tasks import TASKS

    folder = Path(folder)

    def build(saved: SavedModel) -> Any:
        task = saved.config["task"]
        if task not in TASKS:
            raise ModelError(f'{folder / CONFIG}: unknown task "{task}"; this Elman knows {", ".join(TASKS)}')
        return TASKS[task].model_class.from_saved(saved, folder)

    return read_model(folder, build)
