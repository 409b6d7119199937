"""Comparisons of taggers or classifiers with baselines: the same split and the same training time for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from elman.comparison.networks import BOTH_DIRECTIONS, parse_network
from elman.counting.memory import count_bytes
from elman.counting.tag_counts import HiddenMarkovModel, MajorityTagger, MostFrequentTagger
from elman.counting.word_counts import TEXT_BASELINES, text_baseline
from elman.data.values.texts import take_texts
from elman.errors import DataError
from elman.families.saved.description import num_parameters
from elman.models.classifier import Classifier
from elman.models.tagger import Tagger
from elman.training.progress import Progress

TAGGING_BASELINES: dict[str, Callable[[], Any]] = {
    "majority": MajorityTagger,
    "frequent": MostFrequentTagger,
    "hmm": HiddenMarkovModel,
}


@dataclass(frozen=True)
class LabelRow:
    """The result of one model on the held-out data; rates are between 0 and 1."""

    model: str
    accuracy: float
    accuracy_unseen: float | None  # on words that are not in the training data; taggers only
    macro_f1: float
    span_f1: float | None  # only for tags of entities
    parameters: int | None  # None for baselines that do not count them
    seconds: float  # of training
    targets_per_second: float  # of prediction: words or texts
    memory_bytes: int | None = None  # of a network's weights, or of everything that a baseline stores
    held_out: int = 0  # the number of words or texts that the rates are of

    @property
    def figure(self) -> str:
        """The name of the figure in which models are compared."""
        return "accuracy" if self.span_f1 is None else "span_f1"

    @property
    def is_network(self) -> bool:
        """Whether the model is a network."""
        return self.model.partition(":")[0] in BOTH_DIRECTIONS


def compare_taggers(
    X: Any,  # noqa: N803
    models: Sequence[str],
    settings: Tagger,
    *,
    valid: Any = None,
    progress: Progress | None = None,
) -> Iterator[LabelRow]:
    """Train several taggers on the same sentences and evaluate each on the same held-out sentences.

    Args:
        X: the training data, as for :meth:`Tagger.fit`.
        models: names of baselines and networks: ``majority``, ``frequent`` (each word's most frequent tag), ``hmm``
            (first order), or a cell, with the prefix ``bi`` for both directions and an optional size, such as ``rnn``,
            ``bilstm`` or ``bilstm:2x256`` (layers x hidden size).
        settings: all other settings, including the time budget.
        valid: the data to evaluate on; by default a part of X is held out.
        progress: receives reports on the training.

    Yields:
        A row for each model, as soon as it is evaluated.

    Raises:
        UsageError: a model's name or size is not valid.
        DataError: the data cannot be read.
    """
    yield from _compare(X, models, settings, TAGGING_BASELINES, valid, progress)


def compare_classifiers(
    X: Any,  # noqa: N803
    models: Sequence[str],
    settings: Classifier,
    *,
    valid: Any = None,
    progress: Progress | None = None,
) -> Iterator[LabelRow]:
    """Train several classifiers on the same texts and evaluate each on the same held-out texts.

    This works like :func:`compare_taggers`. The baselines are ``majority`` and, from scikit-learn, ``logreg`` (logistic
    regression) and ``mlp`` (a multi-layer perceptron) on word counts, ``logreg2`` and ``mlp2`` on counts of words and
    pairs of words, and ``tfidf`` (logistic regression) on TF-IDF of words, pairs of words and characters.
    """
    baselines: dict[str, Callable[[], Any]] = {
        name: partial(text_baseline, name, settings.seed) for name in TEXT_BASELINES
    }
    yield from _compare(X, models, settings, baselines, valid, progress)


def _compare(
    X: Any,  # noqa: N803
    names: Sequence[str],
    settings: Any,
    baselines: dict[str, Callable[[], Any]],
    valid: Any,
    progress: Progress | None,
) -> Iterator[LabelRow]:
    settings.check()
    names = take_texts(names, "models")
    networks = {name: parse_network(name, settings, baselines) for name in names if name not in baselines}
    made = {name: baselines[name]() for name in names if name in baselines}  # fails at once if a package is missing
    train, held_out = settings.read(X, valid=valid)
    is_tagger = isinstance(settings, Tagger)
    seen = set(chain(*train.inputs)) if is_tagger else set()
    held_out = held_out.respell(set(chain(*train.labels) if is_tagger else train.labels))
    for name in names:
        if progress is not None:
            progress.note(f"-- {name}")
        model = networks.get(name) or made[name]
        began = time.perf_counter()
        if name in networks:
            model.fit(*train[:2], valid=held_out, progress=progress)
        else:
            try:
                model.fit(*train[:2])
            except ValueError as error:  # from scikit-learn, for instance of texts without words
                raise DataError(f"model {name} cannot be trained on these texts: {error}") from error
        learned = time.perf_counter()
        predicted = model.predict(held_out.inputs)
        done = time.perf_counter()
        metrics = settings.compare_predictions(held_out, list(predicted), seen).metrics
        targets = metrics.get("tokens", metrics.get("examples", 0))
        yield LabelRow(
            model=name,
            accuracy=metrics["accuracy"],
            accuracy_unseen=metrics.get("accuracy_unseen"),
            macro_f1=metrics["macro_f1"],
            span_f1=metrics.get("span_f1"),
            parameters=num_parameters(model.network_) if name in networks else getattr(model, "num_parameters", None),
            seconds=learned - began,
            targets_per_second=targets / (done - learned),
            memory_bytes=4 * num_parameters(model.network_) if name in networks else count_bytes(model),
            held_out=int(targets),
        )
