"""The models that pages share: trained once by their recipes, and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman.errors import ElmanError, ModelError, StorageError, UsageError, suggest
from elman.files import cache_root, make_folder
from elman.models.tasks import TASKS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a shared model is trained: for a fixed number of steps, so that the time budget is the same everywhere."""

    task: str
    """As ``elman train`` names it."""
    sample: str
    """The built-in data set."""
    settings: Mapping[str, Any]
    """Of the model; ``steps`` is among them."""

    @property
    def digest(self) -> str:
        """A name for exactly this model, by which an older recipe's model is not taken for it."""
        from elman import __version__

        return hashlib.sha256(
            repr((__version__, self.task, self.sample, sorted(self.settings.items()))).encode()
        ).hexdigest()


_STUDIES = {
    **{"level": "word", "lines": True, "hidden_size": 48, "embedding_size": 24, "dropout": 0.0},
    **{"batch_size": 4, "learning_rate": 0.02, "weight_decay": 0.0, "evaluations": 4, "threads": 1},
}

_TOPICS = {"hidden_size": 192, "valid_characters": 20_000, "evaluations": 2, "threads": 1}
_STACK = {
    **{"cell": "rnn", "embedding_size": 24, "dropout": 0.0, "batch_size": 8, "bptt_length": 32, "steps": 300},
    **{"learning_rate": 0.006, "valid_characters": 6_000, "evaluations": 6, "threads": 1},
}
_TUNES = {"events": "remi", "embedding_size": 32, "dropout": 0.0, "transpose": 0, "batch_size": 4, "evaluations": 1}

SHARED: Mapping[str, Recipe] = {
    "studies-window": Recipe("lm", "studies", {**_STUDIES, "cell": "window", "window": 5, "steps": 300}),
    "studies-rnn": Recipe("lm", "studies", {**_STUDIES, "cell": "rnn", "steps": 2500}),
    "studies-lstm": Recipe("lm", "studies", {**_STUDIES, "cell": "lstm", "forget_bias": 6.0, "steps": 2500}),
    "topics-rnn": Recipe("lm", "topics", {**_TOPICS, "cell": "rnn", "steps": 600}),
    **{
        f"stack-{layers}x{units}": Recipe("lm", "studies", {**_STACK, "num_layers": layers, "hidden_size": units})
        for layers, units in ((1, 48), (2, 48), (3, 48), (2, 33), (3, 27))
    },
    "tunes-lstm": Recipe(
        "composer", "tunes", {**_TUNES, "hidden_size": 96, "learning_rate": 0.01, "steps": 300, "threads": 1}
    ),
}
"""The recipes by name: the data and what is trained on them."""

_models: dict[str, Any] = {}  # by digest: what this process has trained or loaded


def shared(name: str) -> Any:
    """Return a model that several pages use. It is loaded from the cache folder, or else trained now and kept there.

    Args:
        name: one of ``SHARED``.

    Raises:
        UsageError: there is no such model.

    Example:
        >>> shared("studies-lstn")
        Traceback (most recent call last):
        elman.errors.UsageError: the lecture shares no model studies-lstn; did you mean "studies-lstm"?
    """
    if name not in SHARED:
        hint = suggest(name, SHARED) or f"; it has {', '.join(SHARED)}"
        raise UsageError(f"the lecture shares no model {name}{hint}")
    recipe = SHARED[name]
    if recipe.digest not in _models:
        _models[recipe.digest] = _load(name, recipe) or _train(name, recipe)
    return _models[recipe.digest]


def lecture_folder() -> Path:
    """Return the folder where shared models, and the times of pages, are kept."""
    return cache_root() / "lecture"


def is_prepared(name: str) -> bool:
    """Tell whether a shared model is in the cache folder."""
    return (_folder(name, SHARED[name]) / "model.safetensors").exists()


def check_writable() -> None:
    """Raise StorageError if shared models cannot be kept."""
    try:
        make_folder(lecture_folder())
        with tempfile.TemporaryFile(dir=lecture_folder()):
            pass
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"{lecture_folder()}: cannot be written ({reason}); name another cache folder in ELMAN_CACHE_DIR"
        ) from error


def _folder(name: str, recipe: Recipe) -> Path:
    return lecture_folder() / f"{name}-{recipe.digest[:12]}"


def _load(name: str, recipe: Recipe) -> Any:
    """Load a model from the cache folder; None if it is not there, or damaged."""
    from elman.models import load

    if not is_prepared(name):
        return None
    try:
        return load(_folder(name, recipe))
    except ModelError as error:
        logger.warning("%s; it is trained again", error)
        return None


def _train(name: str, recipe: Recipe) -> Any:
    """Train a model, and keep it in the cache folder if that can be written."""
    from elman.data.samples import sample_pictures, sample_text

    logger.info("training %s, which several pages use; elman lecture --prepare trains all such models at once", name)
    row = TASKS[recipe.task]
    pictures = sample_pictures(recipe.sample) if row.files.of_pictures else None
    model = row.model_class(**recipe.settings).fit(*row.files.arrange([sample_text(recipe.sample)], pictures))
    try:
        check_writable()
        model.save(_folder(name, recipe))
    except ElmanError as error:
        logger.warning("%s; until then each run trains %s again", error, name)
    return model
