"""One file per architecture: settings, network and the user's object together."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

_HOMES = {
    "lm": ("elman.models.language_model", "LanguageModel"),
    "tagger": ("elman.models.tagger", "Tagger"),
    "classifier": ("elman.models.classifier", "Classifier"),
    "translator": ("elman.models.translator", "Translator"),
    "captioner": ("elman.models.captioner", "Captioner"),
    "composer": ("elman.models.composer", "Composer"),
}


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
    from elman.families.folder import CONFIG, SavedModel, read_folder

    folder = Path(folder)

    def build(saved: SavedModel) -> Any:
        task = saved.config["task"]
        if task not in _HOMES:
            raise ModelError(f'{folder / CONFIG}: unknown task "{task}"; this Elman knows {", ".join(_HOMES)}')
        module, name = _HOMES[task]
        return getattr(import_module(module), name).from_saved(saved, folder)

    return read_folder(folder, build)
