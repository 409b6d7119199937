"""What every model shares: settings that check themselves, fit, save, load, and scikit-learn's manners.

    file ──read──▶ records ──encode──▶ ids ──batches──▶ Batch(inputs (B,T), lengths (B,), targets)
         ──Embedding──▶ (B,T,E) ──RNN | GRU | LSTM (x, state)──▶ (B,T,H·D), state
              (batch first everywhere but inside torch's kernels, which run time first:
               the one transposition is in nn/stack.py)
         ──head──▶ logits (B,T,V) ──┬── loss(logits, targets, lengths) ──▶ nats per target
                                    └── sample ──▶ ids ──decode──▶ text

A model is a keyword-only dataclass of settings. A setting is written once, in :mod:`elman.settings`, as a typed field
with a docstring; the constructor, the shell's flags and help, ``config.json`` and the documentation all come from it.
What ``fit`` learns stands in attributes that end in an underscore.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, Self

import torch

from elman.draws import drawing
from elman.errors import ModelError, StorageError, UsageError
from elman.families.reports import Report
from elman.families.saved.description import library_versions, model_card, num_parameters
from elman.families.saved.folder import (
    SavedModel,
    StoredWeights,
    Texts,
    check_finite,
    check_fit,
    is_finished,
    open_run,
    read_model,
    serialize,
    write_folder,
)
from elman.families.saved.resuming import check_same_architecture, check_same_data, check_same_settings
from elman.families.unrolled import Unrolled
from elman.files import remove_file, working_in
from elman.settings.base import ModelSettings, saved_settings
from elman.training.checkpoint import FILE_NAME, Stored
from elman.training.computing import check_device, computing, seeded
from elman.training.loop import predict_cost, train
from elman.training.progress import Progress
from elman.training.state import RunState
from elman.training.task import Batches, Task

logger = logging.getLogger(__name__)

WRITING_SECONDS = 2.0  # of a time budget are left for drawing the curves and writing the folder: 1 to 2 s measured


@dataclass(kw_only=True, eq=False)
class Model(ModelSettings, ABC):
    """The base of every model: a dataclass of settings that is also an estimator."""

    answer_batch_size: ClassVar[int] = 1024
    """Items that are answered together, where so many are at hand."""

    # What a model says about itself.

    @abstractmethod
    def _prepare(self, X: Any, y: Any, valid: Any, previous: Model | None) -> tuple[Task, Batches]:  # noqa: N803
        """Read the data, build the network and return what the loop asks for; ``previous`` lends its vocabulary."""

    @abstractmethod
    def _build(self) -> Any:
        """Return the network with fresh weights, once the vocabulary is known."""

    @abstractmethod
    def _final_metrics(self) -> dict[str, float | int]:
        """Judge the trained network on the validation data."""

    @abstractmethod
    def _final_seconds(self) -> float:
        """Predict, from a measurement, how long :meth:`_final_metrics` will take."""

    @abstractmethod
    def evaluate(self, X: Any) -> dict[str, float | int]:  # noqa: N803
        """Judge the model on data; return the figures by name."""

    def report(self, X: Any, y: Any = None) -> Report:  # noqa: N803
        """Judge the model as :meth:`evaluate` does and, where it gives labels, tell which was taken for which."""
        return Report(self.evaluate(X))

    @abstractmethod
    def unroll(self, X: Any, y: Any = None, *, steps: int | None = None) -> Iterator[Unrolled]:  # noqa: N803
        """Lay the network out over each input, for :mod:`elman.inspection`.

        Args:
            X: the inputs, as ``predict`` takes them; of a language model and a composer, as ``evaluate`` does.
            y: the answers, for the models that learn from them; the model's own take their place where not given.
            steps: stop reading after so many, where a model reads only forward.
        """

    @abstractmethod
    def answer(self, batches: Iterable[Sequence[Any]], *args: Any, **options: Any) -> Iterator[Any]:
        """Yield a record for each item, in order, as the items come.

        Args:
            batches: the items, and problems in place of those that could not be read, as many together as are there;
                see :mod:`elman.data.records` and :func:`elman.data.lines.group_available`.
            args: none.
            options: how to answer, in this call; each task has its own.

        Returns:
            The records; a problem stays in its place.
        """

    def _pictures(self) -> dict[str, str]:
        """Return further SVG documents to save, by file name."""
        return {}

    @abstractmethod
    def _texts(self) -> dict[str, str]:
        """Return the files that a saved model needs besides its weights, such as ``tokenizer.json``."""

    @abstractmethod
    def _restore_texts(self, texts: Texts) -> None:
        """Take back what :meth:`_texts` returned."""

    @property
    def formats(self) -> str:
        """The formats that the model's inputs come in, by their name in :mod:`elman.data.formats.table`."""
        return self.task

    # The estimator's protocol, spoken without importing scikit-learn.

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator; only scikit-learn asks."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(two_d_array=False, string=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        """Tell whether ``fit`` or ``load`` has been called."""
        return hasattr(self, "network_")

    # Fit, save, load.

    def check(self) -> None:
        """Raise UsageError where a setting is outside its limits or a name is unknown."""
        super().check()
        self.check_training()
        if not 0 < self.valid_fraction < 1:
            raise UsageError(f"valid_fraction is {self.valid_fraction}; it is a share: above 0 and below 1")

    def fit(
        self,
        X: Any,  # noqa: N803 (scikit-learn's name)
        y: Any = None,
        *,
        valid: Any = None,
        out: Path | str | None = None,
        resume: bool = False,
        overwrite: bool = False,
        init_from: Path | str | None = None,
        progress: Progress | None = None,
        stop: Event | None = None,
    ) -> Self:
        """Learn from data.

        Args:
            X: the training data; a ``Path`` names a file, a ``str`` is text.
            y: the targets, for the models that have them.
            valid: data for choosing, a pair (X, y) where there are targets; where not given, a part of X is held out.
            out: the folder to keep the run and then the model in; none where not given.
            resume: go on from the checkpoint in ``out``.
            overwrite: replace the model or the unfinished run in ``out``.
            init_from: a saved model whose weights to begin from.
            progress: who is told; nobody where not given.
            stop: ends the training after the step in which another thread sets it; it can be resumed.

        Returns:
            Itself, fitted: ``network_``, ``metrics_``, ``history_`` and what else the model learns.

        Raises:
            UsageError: a setting is outside its limits.
            DataError: the data cannot be read, or is too little.
            ModelError: ``out`` holds another model, or a checkpoint does not fit.
            DivergedError: the loss became NaN or exploded.
            Interrupted: a signal, or ``stop``, stopped the training; it can be resumed.
        """
        started = time.perf_counter()
        self.check()
        check_device(self.device)
        if stop is not None and not isinstance(stop, Event):
            raise UsageError(f"stop is of type {type(stop).__name__}; give a threading.Event")
        if resume and overwrite:
            raise UsageError("resume goes on with what the folder holds, overwrite throws it away: give one of them")
        progress = progress or Progress()
        folder = Path(out) if out is not None else None
        with ExitStack() as stack:
            saved = None
            if folder is not None:
                if is_finished(folder, resume):
                    finished = read_model(folder, lambda saved: type(self).from_saved(saved, folder))
                    check_same_settings(finished.to_json(), self.to_json(), self.free_to_change, folder)
                    with suppress(ModelError, StorageError), working_in(folder):
                        pass  # completes what a process left that was killed while it moved its files
                    progress.note(f"{folder}: the training is finished; nothing to resume")
                    learned = vars(finished).keys() - self.get_params().keys()
                    vars(self).update({name: vars(finished)[name] for name in learned})
                    return self
                stack.enter_context(working_in(folder))
                unfinished = open_run(folder, resume, overwrite)
                if unfinished is not None:
                    saved = self._load_unfinished(unfinished)
                    progress.note(f"{folder}: going on after step {saved['state']['step']:,}")
                elif resume:
                    progress.note(f"{folder}: no checkpoint yet, starting afresh")
            stack.enter_context(computing(self))
            with seeded(self.seed):
                previous = self._find_previous(saved, init_from)
                if saved is not None:
                    check_same_settings(saved["config"]["settings"], self.to_json(), self.free_to_change, folder)
                elif previous is not None:
                    check_same_architecture(previous, self, init_from)
                task, batches = self._prepare(X, y, valid, previous)
            if saved is not None:
                check_same_data(saved["config"]["data"], self.data_, folder)
            elif previous is not None:
                self.network_.load_state_dict(previous.network_.state_dict())
            self.metrics_: dict[str, Any] = {}
            self.history_: list[dict[str, Any]] = []
            if folder is not None:
                serialize(self._to_saved({}))  # what cannot be written is to fail now, not after the last step
                if overwrite:
                    remove_file(folder / FILE_NAME)  # or --resume would go on with the previous run
            state = train(
                task,
                batches,
                self,
                progress=progress,
                started=started,
                reserve=lambda: WRITING_SECONDS + self._final_seconds(),
                checkpoint=folder / FILE_NAME if folder is not None else None,
                identity={"config": self._config(), "texts": self._texts()},
                resume=saved,
                stop=stop,
            )
            self._finish(state)
            if folder is not None:
                write_folder(folder, self._to_saved(self._draw()), removed=[FILE_NAME])
        return self

    def save(self, folder: Path | str) -> None:
        """Write the fitted model into a folder: see :mod:`elman.families.saved.folder`.

        Raises:
            UsageError: the model has not been fitted.
            StorageError: the folder cannot be written.
        """
        self._check_fitted()
        with working_in(Path(folder)):
            write_folder(Path(folder), self._to_saved(self._draw()))

    def _to_saved(self, pictures: dict[str, str]) -> SavedModel:
        """Return what a folder is to hold."""
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
        """Draw the pictures; a model is not lost because one of them fails."""
        from elman.drawing.curves import loss_curves

        try:
            curves = {"curves.svg": loss_curves(self.history_)} if self.history_ else {}
            return {**curves, **self._pictures()}
        except Exception as error:
            logger.warning("the pictures are left out: %s: %s", type(error).__name__, error)
            return {}

    @classmethod
    def from_saved(cls, saved: SavedModel, folder: Path) -> Self:
        """Build a fitted model from what a folder holds.

        Raises:
            ModelError: a setting is unknown, or the weights do not fit the settings.
        """
        settings = saved_settings(cls, saved.config, folder)
        try:
            model = cls(**settings)
            model.check()
            return model._adopt(saved)
        except (ModelError, UsageError) as error:  # some do not know where the folder stands
            said = str(error)
            raise ModelError(said if said.startswith(str(folder)) else f"{folder}: {said}") from error

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
        """Raise ModelError unless weights of these shapes fit the settings; no memory is taken for the network."""
        with torch.device("meta"):
            expected = {name: tuple(part.shape) for name, part in self._build().state_dict().items()}
        check_fit(expected, found)

    def _load_unfinished(self, stored: Stored) -> dict[str, Any]:
        """Read the checkpoint to go on from, once its header fits the settings that it says.

        Raises:
            ModelError: it does not.
        """
        previous = self._restore_unfinished(stored.skeleton)
        previous._check_shapes(stored.shapes_of("network"))
        if stored.skeleton["state"]["best"] is not None:
            previous._check_shapes(stored.shapes_of("state", "best", "network"))
        return stored.load()

    def _restore_unfinished(self, saved: dict[str, Any]) -> Self:
        """Return a model with the settings and the vocabulary of an interrupted run."""
        previous = type(self)(**saved_settings(type(self), saved["config"], Path(FILE_NAME)))
        previous._restore_texts(Texts(saved["texts"]))
        return previous

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise UsageError(
                f"this {type(self).__name__} has not learned anything yet: call fit, or elman.load a folder"
            )

    def _config(self) -> dict[str, Any]:
        return {"task": self.task, "settings": self.to_json(), "data": self.data_}

    def _find_previous(self, saved: dict[str, Any] | None, init_from: Path | str | None) -> Model | None:
        """Return the model whose vocabulary this run uses: the interrupted one, or the one to begin from."""
        if saved is not None:
            return self._restore_unfinished(saved)
        if init_from is not None:
            return read_model(Path(init_from), lambda saved: type(self).from_saved(saved, Path(init_from)))
        return None

    def _finish(self, state: RunState) -> None:
        """Take the best weights, judge them, and note what it cost."""
        assert state.best is not None, "the last step always validates"
        self.network_.load_state_dict(state.best["network"])
        self.network_.eval()
        self.history_ = state.history
        with drawing(self.seed):
            final = self._final_metrics()
        self.metrics_ = {
            "valid": final,
            "train": {
                "seconds": round(state.seconds, 2),
                "tokens_per_second": round(state.targets / max(state.step_seconds, 1e-9), 1),
                "steps": state.step,
                "best_step": state.best["step"],
            },
            "parameters": num_parameters(self.network_),
            "versions": library_versions(),
        }

    def dry_run(self, X: Any, y: Any = None, *, valid: Any = None) -> dict[str, float | int]:  # noqa: N803
        """Predict what ``fit`` would cost, without training.

        Returns:
            ``parameters``, ``memory_bytes`` (weights, gradients and AdamW's two moments), ``steps``,
            ``seconds_per_step`` (measured) and ``seconds``.
        """
        self.check()
        check_device(self.device)
        with computing(self):
            trial = type(self)(**self.get_params())  # this model stays as it is
            with seeded(self.seed):
                task, batches = trial._prepare(X, y, valid, None)
            steps, seconds = predict_cost(task, batches, trial)
        parameters = num_parameters(task.network)
        return {
            "parameters": parameters,
            "memory_bytes": 4 * 4 * parameters,
            "steps": steps,
            "batches_per_epoch": len(batches),
            "seconds_per_step": seconds,
            "seconds": steps * seconds,
        }
