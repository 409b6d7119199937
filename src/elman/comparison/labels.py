"""Taggers and classifiers side by side on the same split, each with the same time: what an RNN must beat, and does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from elman.counting.tag_counts import HiddenMarkovModel, MajorityTagger, MostFrequentTagger
from elman.counting.word_counts import TEXT_BASELINES, text_baseline
from elman.data.values.texts import take_texts
from elman.errors import DataError, UsageError, suggest
from elman.families.saved.description import num_parameters
from elman.models.classifier import Classifier
from elman.models.tagger import Tagger
from elman.nn.cells import CELLS
from elman.training.progress import Progress

NETWORKS = tuple(f"{direction}{cell}" for direction in ("", "bi") for cell in CELLS)
TAGGING_BASELINES: dict[str, Callable[[], Any]] = {
    "majority": MajorityTagger,
    "frequent": MostFrequentTagger,
    "hmm": HiddenMarkovModel,
}


@dataclass(frozen=True)
class LabelRow:
    """How one model did on the held-out data; rates lie between 0 and 1."""

    model: str
    accuracy: float
    accuracy_unseen: float | None  # on words that training never saw; taggers only
    macro_f1: float
    span_f1: float | None  # taggers of entities only
    parameters: int | None  # None where a baseline does not count them
    seconds: float  # to learn
    targets_per_second: float  # to predict: words or texts


def compare_taggers(
    X: Any,  # noqa: N803
    models: Sequence[str],
    settings: Tagger,
    *,
    valid: Any = None,
    progress: Progress | None = None,
) -> Iterator[LabelRow]:
    """Train taggers of several kinds on the same sentences and judge each on the same others.

    Args:
        X: the training data, as :meth:`Tagger.fit` takes it.
        models: ``majority``, ``frequent`` (each word's most frequent tag), ``hmm`` (first order), or a network such as
            ``rnn``, ``bilstm`` or ``bilstm:2x256`` (layers x hidden size).
        settings: everything else, the time budget among it.
        valid: what to judge on; a part of X where not given.
        progress: who is told.

    Yields:
        A row for each model, as soon as it is done.

    Raises:
        UsageError: a model's name or numbers cannot be read.
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
    """Train classifiers of several kinds on the same texts and judge each on the same others.

    As :func:`compare_taggers`, with the baselines ``majority`` and, from scikit-learn, word counts with logistic
    regression or a multi-layer perceptron: ``logreg``, ``mlp``, and with pairs of words too ``logreg2``, ``mlp2``.
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
    networks = {name: _parse_network(name, settings, baselines) for name in names if name not in baselines}
    made = {name: baselines[name]() for name in names if name in baselines}  # a missing package is told at once
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
            except ValueError as error:  # scikit-learn's, of texts that it can make nothing of
                raise DataError(f"model {name} cannot learn from these texts: {error}") from error
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
        )


def _parse_network(name: str, settings: Any, baselines: dict[str, Any]) -> Any:
    """Read ``kind`` or ``kind:LxH``."""
    kind, _, size = name.partition(":")
    if kind not in NETWORKS:
        known = (*baselines, *NETWORKS)
        raise UsageError(f"model {name}: no such kind{suggest(kind, known) or ';'} there are {', '.join(known)}")
    layers, _, hidden = size.rpartition("x")
    try:
        network = replace(
            settings,
            cell=kind.removeprefix("bi"),
            bidirectional=kind.startswith("bi"),
            num_layers=int(layers or 1),
            hidden_size=int(hidden) if hidden else settings.hidden_size,
        )
    except ValueError as error:
        raise UsageError(f"model {name}: {size!r} cannot be read; write {kind}:LAYERSxUNITS") from error
    network.check()
    return network
