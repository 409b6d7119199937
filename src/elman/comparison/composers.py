"""Comparisons of composers with n-grams of musical events."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from elman.comparison.networks import parse_network
from elman.counting.ngrams import NgramModel
from elman.data.values.texts import take_texts
from elman.errors import UsageError
from elman.families.saved.description import num_parameters
from elman.models.composer import Composer
from elman.nn.cells import CELLS
from elman.training.progress import Progress
from elman.training.schedule import check_positive


@dataclass(frozen=True)
class ComposerRow:
    """The result of one model on the held-out tunes."""

    model: str
    nats_per_event: float
    perplexity: float
    parameters: int
    memory_bytes: int
    seconds: float  # of training and evaluation
    unseen_contexts: float | None  # the share of held-out contexts that are not in the training tunes; n-grams only

    figure = "nats_per_event"

    @property
    def is_network(self) -> bool:
        """Whether the model is a network."""
        return self.unseen_contexts is None


def compare_composers(
    X: Any,  # noqa: N803
    models: Sequence[str],
    settings: Composer,
    *,
    valid: Any = None,
    progress: Progress | None = None,
) -> Iterator[ComposerRow]:
    """Train several composers on the same tunes and evaluate each on the same held-out tunes.

    Args:
        X: the tunes, as for :meth:`Composer.fit`.
        models: names such as ``ngram:5`` (order), ``gru`` or ``lstm:1x256`` (layers x hidden size). N-grams count the
            tunes as they are, networks also learn them transposed.
        settings: all other settings, including the time budget.
        valid: other tunes to evaluate on; by default a part of X is held out.
        progress: receives reports on the training.

    Yields:
        A row for each model, as soon as it is evaluated.

    Raises:
        UsageError: a model's name or size is not valid.
        DataError: there are no tunes.
    """
    settings.check()
    names = take_texts(models, "models")
    parsed = [
        _parse_ngram(name) if name.partition(":")[0] == "ngram" else parse_network(name, settings, ["ngram"], CELLS)
        for name in names
    ]
    for name, model in zip(names, parsed, strict=True):
        if progress is not None:
            progress.note(f"-- {name}")
        began = time.perf_counter()
        if isinstance(model, NgramModel):
            reader = replace(settings)
            train, held_out = reader.read_corpora(X, valid)
            model.fit(np.asarray(train.ids), np.asarray(train.offsets), reader.tokenizer_.vocab_size)
            ids, offsets = np.asarray(held_out.ids), np.asarray(held_out.offsets)
            nats = -float(model.log_probs(ids, offsets).mean())
            unseen, total = model.unseen_contexts(ids, offsets)
            share = unseen / total if total else math.nan
            perplexity, parameters, size = math.exp(min(nats, 700.0)), model.num_parameters, model.nbytes
        else:
            model.fit(X, valid=valid, progress=progress)
            nats, perplexity = (model.metrics_["valid"][name] for name in ("nats_per_event", "perplexity"))
            parameters, share = num_parameters(model.network_), None
            size = 4 * parameters
        yield ComposerRow(name, nats, perplexity, parameters, size, time.perf_counter() - began, share)


def _parse_ngram(name: str) -> NgramModel:
    order = name.partition(":")[2] or "5"
    if not order.isdecimal():
        raise UsageError(f"model {name}: {order!r} is not an order; write ngram:ORDER")
    check_positive("order", int(order))
    return NgramModel(order=int(order))
