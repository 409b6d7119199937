"""The models, one file for each task, and the table of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def load(folder: Path | str) -> Any:
    """Load a saved model of any task. Loading never unpickles or runs anything from the folder.

    A folder whose training was interrupted gives the best weights so far.

    Args:
        folder: a folder written by ``save``, ``fit(out=...)`` or ``elman train --out``.

    Returns:
        The fitted model, an instance of the class that was saved.

    Raises:
        ModelError: there is no model, or it is damaged, altered, or from a newer version of Elman.

    Example:
        >>> import tempfile, elman
        >>> lm = elman.LanguageModel(hidden_size=8, steps=2, batch_size=2, bptt_length=16).fit("to be or not " * 80)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lm.save(folder)
        ...     elman.load(folder).evaluate("to be") == lm.evaluate("to be")
        True
    """
    from elman.errors import ModelError
    from elman.families.saved.folder import CONFIG, SavedModel, read_model
    from elman.models.tasks import TASKS

    folder = Path(folder)

    def build(saved: SavedModel) -> Any:
        task = saved.config["task"]
        if task not in TASKS:
            raise ModelError(
                f'{folder / CONFIG}: unknown task "{task}"; this version of Elman knows {", ".join(TASKS)}'
            )
        return TASKS[task].model_class.from_saved(saved, folder)

    return read_model(folder, build)
