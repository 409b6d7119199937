"""What a model keeps in a folder, and how it is restored from one or from a checkpoint."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode

from elman.errors import ModelError, UsageError
from elman.families.saved.description import model_card
from elman.families.saved.folder import SavedModel, StoredWeights, Texts, check_finite, check_fit, write_folder
from elman.files import working_in
from elman.settings.base import ModelSettings, saved_choices, saved_settings
from elman.training.checkpoint import FILE_NAME, Stored

logger = logging.getLogger(__name__)


class _WithoutDraws(TorchFunctionMode):
    """Do not draw weights: for tensors without memory, torch imports its compiler to draw, which takes two seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs.get("tensor", *args[:1])
        return func(*args, **kwargs)


@dataclass(kw_only=True, eq=False)
class StorableModel(ModelSettings, ABC):
    """A model that can be saved to a folder and loaded from it."""

    # What each model implements.

    @abstractmethod
    def _build(self) -> Any:
        """Return the network with newly initialized weights; the vocabulary is known by then."""

    def _pictures(self) -> dict[str, str]:
        """Return SVG documents to save with the model, by file name."""
        return {}

    @abstractmethod
    def _texts(self) -> dict[str, str]:
        """Return the contents of the text files that a saved model needs, such as ``tokenizer.json``, by name."""

    @abstractmethod
    def _restore_texts(self, texts: Texts) -> None:
        """Restore what :meth:`_texts` returned."""

    # Saving and restoring.

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether the model is fitted."""
        return hasattr(self, "network_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise UsageError(
                f"this {type(self).__name__} is not fitted: call fit, or load a saved model with elman.load"
            )

    def save(self, folder: Path | str) -> None:
        """Save the fitted model to a folder, from which :func:`elman.load` loads it.

        All files are replaced in one step: a process that is killed leaves either the old or the new model. See
        :mod:`elman.families.saved.folder` for the files.

        Args:
            folder: it is created if needed; a model in it is replaced.

        Raises:
            UsageError: the model has not been fitted.
            StorageError: the folder cannot be written.
        """
        self._check_fitted()
        with working_in(Path(folder)):
            write_folder(Path(folder), self._to_saved(self._draw()))

    def _to_saved(self, pictures: dict[str, str]) -> SavedModel:
        """Return the contents of the model's folder."""
        return SavedModel(
            config=self._config(),
            weights=StoredWeights.of(self.network_.state_dict()),
            texts=Texts(self._texts()),
            metrics=self.metrics_,
            history=self.history_,
            card=model_card(self),
            pictures=pictures,
        )

    def _draw(self) -> dict[str, str]:
        """Draw the pictures; if that fails, the model is saved without them."""
        from elman.drawing.curves import loss_curves

        try:
            curves = {"curves.svg": loss_curves(self.history_)} if self.history_ else {}
            return {**curves, **self._pictures()}
        except Exception as error:
            logger.warning("the pictures are skipped: %s: %s", type(error).__name__, error)
            return {}

    @classmethod
    def from_saved(cls, saved: SavedModel, folder: Path) -> Self:
        """Build a fitted model from the contents of a folder.

        Raises:
            ModelError: a setting is unknown or not valid, or the weights do not fit the settings.
        """
        settings = saved_settings(cls, saved.config, folder)
        try:
            model = cls(**settings)
            model.check()
            model._restore_choices(saved.config, folder)
            return model._adopt(saved)
        except (ModelError, UsageError) as error:  # some do not name the folder
            message = str(error)
            raise ModelError(message if message.startswith(str(folder)) else f"{folder}: {message}") from error

    def _restore_choices(self, config: dict[str, Any], place: Path) -> None:
        """Restore what the plan chose for the settings that are None."""
        self.chosen_: dict[str, Any] = saved_choices(type(self), config, place)

    def _adopt(self, saved: SavedModel) -> Self:
        self._restore_texts(saved.texts)
        self._check_shapes(saved.weights.shapes)
        weights = saved.weights.load()
        check_finite(weights, ModelError)
        self.network_ = self._build()
        self.network_.load_state_dict(weights)
        self.network_.eval()
        self.metrics_ = saved.metrics
        self.history_ = saved.history
        self.data_ = saved.config.get("data", {})
        return self

    def _check_shapes(self, found: dict[str, tuple[int, ...]]) -> None:
        """Raise ModelError unless weights of these shapes fit the settings; the network is not allocated for this."""
        with torch.device("meta"), _WithoutDraws():
            expected = {name: tuple(part.shape) for name, part in self._build().state_dict().items()}
        check_fit(expected, found)

    def _load_unfinished(self, stored: Stored) -> dict[str, Any]:
        """Load the checkpoint to resume from, after checking its shapes against its settings.

        Raises:
            ModelError: the shapes do not fit.
        """
        previous = self._restore_unfinished(stored.skeleton)
        previous._check_shapes(stored.shapes_of("network"))
        if stored.skeleton["state"]["best"] is not None:
            previous._check_shapes(stored.shapes_of("state", "best", "network"))
        if stored.skeleton["state"].get("average") is not None:
            previous._check_shapes(stored.shapes_of("state", "average", "network"))
        return stored.load()

    def _restore_unfinished(self, saved: dict[str, Any]) -> Self:
        """Return an unfitted model with the settings and the vocabulary of an interrupted run."""
        previous = type(self)(**saved_settings(type(self), saved["config"], Path(FILE_NAME)))
        previous._restore_choices(saved["config"], Path(FILE_NAME))
        previous._restore_texts(Texts(saved["texts"]))
        return previous

    def _config(self) -> dict[str, Any]:
        return {"task": self.task, "settings": self.to_json(), "chosen": self.chosen_, "data": self.data_}
