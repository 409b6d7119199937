"""The base class of every model: settings, fit, and the estimator protocol of scikit-learn.

    file ──read──▶ records ──encode──▶ ids ──batches──▶ Batch(inputs (B,T), lengths (B,), targets)
         ──Embedding──▶ (B,T,E) ──RNN | GRU | LSTM (x, state)──▶ (B,T,H·D), state
              (batch first everywhere except inside torch's kernels, which run time first:
               the only transposition is in nn/stack.py)
         ──head──▶ logits (B,T,V) ──┬── loss(logits, targets, lengths) ──▶ nats per target
                                    └── sample ──▶ ids ──decode──▶ text

A model is a keyword-only dataclass of settings. A setting is written once, in :mod:`elman.settings`, as a typed field
with a docstring; the constructor, the shell's flags and help, ``config.json`` and the documentation all come from it.
What ``fit`` learns is stored in attributes whose names end in an underscore; families/saved/storable.py saves them.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, Self

from elman.draws import drawing
from elman.errors import ModelError, StorageError, UsageError
from elman.families.endings import Ending, affordable_seconds
from elman.families.gradients import TrainingGradients
from elman.families.plan import Traits, plan
from elman.families.reports import Report
from elman.families.saved.description import library_versions, num_parameters
from elman.families.saved.folder import is_finished, open_run, read_model, serialize, write_folder
from elman.families.saved.resuming import check_same_architecture, check_same_data, check_same_settings
from elman.families.saved.storable import StorableModel
from elman.families.unrolled import Unrolled
from elman.files import remove_file, working_in
from elman.training.checkpoint import FILE_NAME
from elman.training.computing import check_device, computing, seeded
from elman.training.loop import describe_run, predict_cost, train
from elman.training.progress import Progress
from elman.training.state import RunState
from elman.training.task import GRADIENT_REACH, Batches, Task

logger = logging.getLogger(__name__)

WRITING_SECONDS = 2.0  # of a time budget, kept for drawing the curves and writing the folder; measured: 1 to 2 s


@dataclass(kw_only=True, eq=False)
class Model(StorableModel):
    """The base class of every model: a dataclass of settings that is also a scikit-learn estimator."""

    answer_batch_size: ClassVar[int] = 1024
    """The maximum number of items that :meth:`answer` is given in one batch."""
    compared: ClassVar[tuple[str, ...]] = ()
    """The figures in which a model is compared with its baselines, the most important first."""

    # What each model implements.

    @abstractmethod
    def _prepare(self, X: Any, y: Any, valid: Any, previous: Model | None) -> tuple[Task, Batches]:  # noqa: N803
        """Read the data, build the network, and return task and batches; reuse the vocabulary of ``previous``."""

    @abstractmethod
    def _final_metrics(self) -> dict[str, float | int]:
        """Evaluate the trained network on the validation data."""

    @abstractmethod
    def _final_seconds(self) -> float:
        """Predict, from a measurement, how many seconds :meth:`_final_metrics` will take."""

    @abstractmethod
    def _evaluate_baselines(self, seconds: float) -> Iterator[tuple[str, dict[str, float | int]]]:
        """Yield the name and the figures of simple models on the validation data, within about so many seconds."""

    @abstractmethod
    def _count_duplicates(self) -> tuple[int, int]:
        """Return how many held-out items are also in the training data, and how many there are."""

    @property
    def held_out_noun(self) -> str:
        """What :meth:`_count_duplicates` counts, in the plural."""
        return "items"

    def _generated(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the texts generated for the validation data and some true texts, for models that generate texts."""
        return (), ()

    @abstractmethod
    def evaluate(self, X: Any) -> dict[str, float | int]:  # noqa: N803
        """Evaluate the model on data and return the figures by name."""

    def report(self, X: Any, y: Any = None) -> Report:  # noqa: N803
        """Evaluate the model and return the figures and, for models that predict labels, a confusion matrix.

        Args:
            X: as for :meth:`evaluate`.
            y: as for :meth:`evaluate`.

        Raises:
            UsageError: the model is not fitted, or X or y is of the wrong type.
            DataError: the data cannot be read.
        """
        return Report(self.evaluate(X))

    @abstractmethod
    def unroll(self, X: Any, y: Any = None, *, steps: int | None = None) -> Iterator[Unrolled]:  # noqa: N803
        """Unroll the network over each input, for :mod:`elman.inspection`.

        Args:
            X: the inputs, as for ``predict``; for a language model or a composer, as for ``evaluate``.
            y: the targets, for models that have them; by default the model's own predictions.
            steps: the maximum number of steps to read, for models that read only forward.

        Yields:
            The unrolled network for each input, in order.
        """

    @abstractmethod
    def _unroll_held_out(self, number: int, steps: int) -> Iterator[Unrolled]:
        """Unroll the network over some held-out inputs, while it trains.

        Args:
            number: the maximum number of inputs, evenly spaced.
            steps: stop reading each after so many, where a model reads only forward.
        """

    @abstractmethod
    def answer(self, batches: Iterable[Sequence[Any]], *args: Any, **options: Any) -> Iterator[Any]:
        """Yield a record for each item, in order, as the items arrive.

        Args:
            batches: batches of items of any size, with a problem in place of each item that could not be read; see
                :mod:`elman.data.records` and :func:`elman.data.lines.group_available`.
            args: not used.
            options: options of this call; each task has its own.

        Yields:
            The records; problems are passed through.
        """

    @property
    def formats(self) -> str:
        """The name, in :mod:`elman.data.formats.table`, of the group of formats that the inputs come in."""
        return self.task

    # What follows from the data.

    def setting(self, name: str) -> Any:
        """Return the value of a setting or, if it is None, what the plan chose for it."""
        value = getattr(self, name)
        return self.chosen_[name] if value is None else value

    def settled(self) -> Self:
        """Return an unfitted copy in which what the plan chose stands in place of None."""
        return replace(self, **self.chosen_)

    def _plan(self, traits: Traits, previous: Model | None) -> None:
        """Choose the settings that are None.

        Args:
            traits: what is known about the training data.
            previous: the interrupted run, all of whose choices hold; or the model to start from, whose architecture
                holds; or None.
        """
        choices = plan(traits, self)
        if previous is not None:
            kept = previous.architecture if previous.__sklearn_is_fitted__() else previous.planned
            settled = previous.settled().get_params()  # None: an earlier version did not have the setting
            choices |= {name: settled[name] for name in previous.planned if name in kept and settled[name] is not None}
        self.chosen_: dict[str, Any] = {name: choices[name] for name in self.planned if getattr(self, name) is None}
        self._summary = traits.describe({name: self.setting(name) for name in self.planned})

    # The estimator protocol; it works without scikit-learn installed.

    def __sklearn_tags__(self) -> Any:
        """Return the estimator tags of scikit-learn."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(two_d_array=False, string=True),
        )

    # Fit.

    def check(self) -> None:
        """Raise UsageError if a setting is outside its limits or a name is unknown."""
        super().check()
        self.check_training()
        if not 0 < self.valid_fraction < 1:
            raise UsageError(f"valid_fraction is {self.valid_fraction}; it must be above 0 and below 1")

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
        """Train the model on data.

        The weights that ``keep`` names are kept: by default, those of the best validation. With ``out``, the run writes
        a checkpoint regularly, from which an interrupted training can be resumed, and then saves the model there.

        Args:
            X: the training data; a ``Path`` names a file, a ``str`` is text.
            y: the targets, for models that have them.
            valid: the validation data; a pair (X, y) for models with targets. By default a part of X is held out.
            out: the folder for checkpoints and the model; by default nothing is written.
            resume: resume from the checkpoint in ``out``.
            overwrite: replace the model or the unfinished run in ``out``.
            init_from: folder of a saved model whose weights to start from.
            progress: receives reports on the training; by default there are none.
            stop: an event that ends the training after the current step when another thread sets it; the run can be
                resumed.

        Returns:
            The model itself, fitted.

        Raises:
            UsageError: a setting or an argument is outside its limits or of the wrong type.
            DataError: the data cannot be read, or is too small.
            ModelError: ``out`` holds another model, or a checkpoint that does not fit this one.
            StorageError: ``out`` cannot be written.
            DivergedError: the loss became NaN or exploded.
            Interrupted: a signal or ``stop`` ended the training; with ``out`` it can be resumed.
        """
        started = time.perf_counter() if progress is None or progress.started is None else progress.started
        self.check()
        check_device(self.device)
        if stop is not None and not isinstance(stop, Event):
            raise UsageError(f"stop is of type {type(stop).__name__}; give a threading.Event")
        if resume and overwrite:
            raise UsageError("resume continues the run in the folder and overwrite deletes it: give only one of them")
        progress = progress or Progress()
        folder = Path(out) if out is not None else None
        with ExitStack() as stack:
            saved = None
            if folder is not None:
                if is_finished(folder, resume):
                    finished = read_model(folder, lambda saved: type(self).from_saved(saved, folder))
                    check_same_settings(finished.to_json(), self.to_json(), self.free_to_change, folder)
                    with suppress(ModelError, StorageError), working_in(folder):
                        pass  # completes the work of a process that was killed while moving its files
                    progress.note(f"{folder}: the training is finished; there is nothing to resume")
                    learned = vars(finished).keys() - self.get_params().keys()
                    vars(self).update({name: vars(finished)[name] for name in learned})
                    return self
                stack.enter_context(working_in(folder))
                unfinished = open_run(folder, resume, overwrite)
                if unfinished is not None:
                    saved = self._load_unfinished(unfinished)
                    progress.note(f"{folder}: resuming after step {saved['state']['step']:,}")
                elif resume:
                    progress.note(f"{folder}: no checkpoint yet, starting from the beginning")
            stack.enter_context(computing(self))
            self.chosen_ = {}
            self._summary = ""
            with seeded(self.seed):
                previous = self._find_previous(saved, init_from)
                if saved is not None:
                    assert previous is not None
                    check_same_settings(previous.to_json(), self.to_json(), self.free_to_change, folder)
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
                serialize(self._to_saved({}))  # fails before training if the model cannot be saved
                if overwrite:
                    remove_file(folder / FILE_NAME)  # otherwise --resume would continue the previous run
            self._measure_baselines(progress)
            state = train(
                task,
                batches,
                self.settled(),
                progress=progress,
                summary=self._summary,
                gradients=TrainingGradients(self),
                started=started,
                reserve=lambda: WRITING_SECONDS + self._final_seconds(),
                checkpoint=folder / FILE_NAME if folder is not None else None,
                identity={"config": self._config(), "texts": self._texts()},
                resume=saved,
                stop=stop,
            )
            self._finish(state, state.step / len(batches))
            if folder is not None:
                write_folder(folder, self._to_saved(self._draw()), removed=[FILE_NAME])
        return self

    def _find_previous(self, saved: dict[str, Any] | None, init_from: Path | str | None) -> Model | None:
        """Return the model whose vocabulary to reuse: the interrupted run, the model to start from, or None."""
        if saved is not None:
            return self._restore_unfinished(saved)
        if init_from is not None:
            return read_model(Path(init_from), lambda saved: type(self).from_saved(saved, Path(init_from)))
        return None

    def _measure_baselines(self, progress: Progress) -> None:
        """Evaluate the baselines and count duplicates; what fails is left out, as training does not depend on it."""
        self._baselines: dict[str, dict[str, float | int]] = {}
        self._duplicates = 0, 0
        try:
            self._duplicates = self._count_duplicates()
            if self._duplicates[0]:
                number, held_out = self._duplicates
                noun = self.held_out_noun
                progress.note(f"{number:,} of {held_out:,} held-out {noun} are also in the training data")
            for name, figures in self._evaluate_baselines(affordable_seconds(self)):
                self._baselines[name] = figures
        except Exception as error:
            logger.debug("the baselines are left out: %s: %s", type(error).__name__, error)
        vars(self).pop("_train", None)  # the training data, which only they need

    def _describe_ending(self, final: dict[str, float | int], passes: float) -> dict[str, Any]:
        """Return ``baseline``, ``duplicates`` and, if the model falls short, ``warning`` and ``remedy``."""
        duplicates, held_out = self._duplicates
        found: dict[str, Any] = {"baseline": self._baselines, "duplicates": duplicates}
        try:
            generated, references = self._generated()
            ending = Ending(
                figures=final,
                compared=self.compared,
                baselines=self._baselines,
                passes=passes,
                held_out=held_out,
                duplicates=duplicates,
                noun=self.held_out_noun,
                generated=generated,
                references=references,
            )
            settings = self.settled()
            if warning := ending.warning(settings):
                found.update(warning=warning, remedy=ending.remedy(settings))
        except Exception as error:
            logger.debug("the ending is not described: %s: %s", type(error).__name__, error)
        return found

    def _finish(self, state: RunState, passes: float) -> None:
        """Load the weights to keep, evaluate them, and record the cost of the training."""
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
                **({GRADIENT_REACH: reach} if (reach := state.gradient_reach) is not None else {}),
            },
            **self._describe_ending(final, passes),
            **({"verdict": state.verdict} if state.verdict else {}),
            "parameters": num_parameters(self.network_),
            "versions": library_versions(),
        }

    def dry_run(self, X: Any, y: Any = None, *, valid: Any = None) -> dict[str, Any]:  # noqa: N803
        """Predict the cost of ``fit`` by measuring a few steps; the model itself is not changed.

        Args:
            X: the training data, as for :meth:`fit`.
            y: the targets, as for :meth:`fit`.
            valid: the validation data, as for :meth:`fit`.

        Returns:
            ``parameters``, ``memory_bytes`` (weights, gradients and AdamW's two moments), ``steps``,
            ``batches_per_epoch``, ``seconds_per_step`` (measured), ``seconds``, ``passes`` over the data, ``plan`` (one
            line) and ``chosen``, the settings that follow from the data, by name.

        Raises:
            UsageError: a setting or an argument is outside its limits or of the wrong type.
            DataError: the data cannot be read, or is too small.
        """
        self.check()
        check_device(self.device)
        with computing(self):
            trial = type(self)(**self.get_params())  # so that this model does not change
            trial.chosen_, trial._summary = {}, ""
            with seeded(self.seed):
                task, batches = trial._prepare(X, y, valid, None)
            steps, seconds = predict_cost(task, batches, trial.settled())
        parameters = num_parameters(task.network)
        return {
            "parameters": parameters,
            "memory_bytes": 4 * 4 * parameters,
            "steps": steps,
            "batches_per_epoch": len(batches),
            "seconds_per_step": seconds,
            "seconds": steps * seconds,
            "passes": steps / len(batches),
            "plan": describe_run(trial._summary, steps / len(batches), self),
            "chosen": trial.chosen_,
        }
