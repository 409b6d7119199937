"""The base of the models that learn a target for every input: reading examples, holding some out, evaluating."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from elman.counting.copies import count_duplicates
from elman.data.examples import Examples
from elman.errors import DataError, UsageError
from elman.families.reports import Report
from elman.families.unrolled import Unrolled, choose_evenly
from elman.training.clock import predict_seconds


def check_readable(examples: Examples, least: float) -> Examples:
    """Return examples; raise DataError if less than a share ``least`` of them could be read."""
    number = len(examples.inputs)
    total = number + examples.num_skipped
    if number < least * total:
        raise DataError(f"only {number:,} of {total:,} examples can be read (see above); is it the right file?")
    return examples


class Supervised(ABC):
    """Adds to a model what learning from pairs of an input and a target needs."""

    min_readable: ClassVar[float] = 0.1
    """The share of examples that must be readable; with fewer, it is likely the wrong file."""

    # Defined in Model.
    seed: int
    valid_fraction: float
    data_: dict[str, Any]
    _check_fitted: Callable[[], None]
    unroll: Callable[..., Iterator[Unrolled]]

    def read(self, X: Any, y: Any = None, *, valid: Any = None) -> tuple[Examples, Examples]:  # noqa: N803
        """Read the training and the validation examples, as ``fit`` does.

        Args:
            X: the inputs, or a file of examples.
            y: the targets; None if X holds them.
            valid: a file of validation examples, or a pair (X, y); by default a part of the examples is held out.

        Returns:
            The training examples and the validation examples.

        Raises:
            UsageError: an argument is of the wrong type.
            DataError: the data cannot be read, or has too few examples.
        """
        train = check_readable(self._read(X, y), self.min_readable)
        left_out = train.num_skipped
        if valid is None:
            train, held_out = train.split(self.valid_fraction, self.seed, self._strata(train))
        else:
            held_out = check_readable(self._read_valid(valid), self.min_readable)
        others = valid if isinstance(valid, tuple) else (valid,)
        self.data_ = {
            "train": train.describe(X, y),
            "valid": held_out.describe(*((X, y) if valid is None else others)),
            "left_out": left_out,
        }
        self._train, self._valid = train, held_out
        return train, held_out

    def _read_valid(self, valid: Any) -> Examples:
        """Read the validation examples; name them in error messages."""
        if isinstance(valid, Path | str):
            return self._read(valid)
        pair = valid[:2] if isinstance(valid, Examples) else valid
        if not isinstance(pair, tuple) or len(pair) != 2:
            number = f" with {len(pair)} items" if isinstance(pair, tuple) else ""
            raise UsageError(
                f"valid is of type {type(valid).__name__}{number}; give a pair, valid=(X, y), or the Path of a file"
            )
        try:
            return self._read(*pair)
        except (DataError, UsageError) as error:
            if any(isinstance(part, Path | str) for part in pair):  # the message names the file
                raise
            raise type(error)(f"valid: {error}") from None

    @abstractmethod
    def _read(self, source: Any, labels: Any = None) -> Examples:
        """Read labelled examples; report, skip and count those that cannot be read."""

    def _read_test(self, source: Any, labels: Any = None) -> Examples:
        """Read the examples for an evaluation."""
        return self._read(source, labels)

    @abstractmethod
    def _strata(self, examples: Examples) -> Sequence[Hashable]:
        """Return the group of each example; the same share of every group is held out."""

    @abstractmethod
    def _evaluate(self, examples: Examples) -> Report:
        """Evaluate the network on examples."""

    @abstractmethod
    def evaluate(self, X: Any, y: Any = None) -> dict[str, float | int]:  # noqa: N803
        """Evaluate the model on labelled examples; return the figures by name."""

    def report(self, X: Any, y: Any = None) -> Report:  # noqa: N803
        """Evaluate the model; return the figures, the figures of each label, and the confusion matrix."""
        self._check_fitted()
        examples = check_readable(self._read_test(X, y), self.min_readable)
        report = self._evaluate(examples)
        report.metrics["left_out"] = examples.num_skipped
        return report

    def _count_duplicates(self) -> tuple[int, int]:
        return count_duplicates(self._train.inputs, self._valid.inputs), len(self._valid.inputs)

    def _unroll_held_out(self, number: int, steps: int) -> Iterator[Unrolled]:
        some = self._valid.select(choose_evenly(len(self._valid.inputs), number))
        return self.unroll(some.inputs, some.labels)

    def _final_metrics(self) -> dict[str, float | int]:
        self._report = self._evaluate(self._valid)
        return self._report.metrics

    def _final_seconds(self) -> float:
        def evaluate_some(size: int) -> float:
            some = self._valid.select(range(min(size, len(self._valid.inputs))))
            self._evaluate(some)
            return len(some.inputs) / len(self._valid.inputs)

        return predict_seconds(evaluate_some, 200)
