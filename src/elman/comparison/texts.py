"""Comparisons of translators or captioners with texts copied from the training data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from elman.comparison.networks import parse_network
from elman.counting.copies import NearestNeighbour, pick_typical
from elman.counting.memory import count_bytes
from elman.data.examples import Examples
from elman.data.values.texts import take_texts
from elman.families.encoder_decoder import MAX_FINAL
from elman.families.saved.description import num_parameters
from elman.metrics.captions import caption_metrics
from elman.metrics.texts import first_sentence, rouge, translation_metrics
from elman.models.captioner import Captioner
from elman.models.translator import Translator
from elman.nn.cells import CELLS
from elman.training.progress import Progress


@dataclass(frozen=True)
class TextRow:
    """The result of one model on the held-out data."""

    model: str
    bleu: float  # from 0 to 100; of captions BLEU-4
    chrf: float | None  # of translations only
    rouge_l: float | None  # of translations only
    cider: float | None  # of captions only
    cider_d: float | None  # of captions only
    parameters: int | None  # None for baselines
    memory_bytes: int
    seconds: float  # of training
    sample: str  # the text of the first held-out input

    @property
    def is_network(self) -> bool:
        """Whether the model is a network."""
        return self.parameters is not None

    @property
    def figure(self) -> str:
        """The name of the figure in which models are compared."""
        return "bleu" if self.cider is None else "cider"


Baseline: TypeAlias = Callable[[Examples, Sequence[Any]], tuple[list[str], Any]]
"""Takes the training examples and some inputs; returns a text for each, and what it has stored."""


def _copy_nearest(train: Examples, inputs: Sequence[str]) -> tuple[list[str], Any]:
    nearest = NearestNeighbour().fit(train.inputs)
    return [train.labels[row] for row in nearest.find(inputs)], (nearest, train.labels)


def _copy_first(train: Examples, inputs: Sequence[str]) -> tuple[list[str], Any]:
    return [first_sentence(text) for text in inputs], ()


def _repeat_typical(train: Examples, inputs: Sequence[Any]) -> tuple[list[str], Any]:
    caption = pick_typical(caption for some in train.labels for caption in some)
    return [caption] * len(inputs), caption


def compare_translators(
    X: Any,  # noqa: N803
    models: Sequence[str],
    settings: Translator,
    *,
    y: Any = None,
    valid: Any = None,
    progress: Progress | None = None,
) -> Iterator[TextRow]:
    """Train several translators on the same pairs and evaluate each on the same held-out pairs.

    Args:
        X: the sources, as for :meth:`Translator.fit`.
        models: names of baselines and networks: ``nearest`` (the target of the most similar source), ``first`` (the
            first sentence of the source), or a cell with an optional size, such as ``gru`` or ``lstm:2x256`` (layers x
            hidden size).
        settings: all other settings, including the time budget.
        y: the targets; None if X holds them.
        valid: the data to evaluate on; by default a part of X is held out. At most the first 500 are translated.
        progress: receives reports on the training.

    Yields:
        A row for each model, as soon as it is evaluated.

    Raises:
        UsageError: a model's name or size is not valid.
        DataError: the data cannot be read.
    """

    def evaluate(written: Sequence[str], examples: Examples) -> dict[str, float]:
        return {**translation_metrics(written, examples.labels)[0], **rouge(written, examples.labels)}

    baselines: dict[str, Baseline] = {"nearest": _copy_nearest, "first": _copy_first}
    yield from _compare(X, y, models, settings, baselines, evaluate, valid, progress)


def compare_captioners(
    X: Any,  # noqa: N803
    models: Sequence[str],
    settings: Captioner,
    *,
    y: Any = None,
    valid: Any = None,
    progress: Progress | None = None,
) -> Iterator[TextRow]:
    """Train several captioners on the same pictures and evaluate each on the same held-out pictures.

    This works like :func:`compare_translators`. The baseline is ``constant``: the most typical caption of the training
    data for every picture.
    """

    def evaluate(written: Sequence[str], examples: Examples) -> dict[str, float]:
        return caption_metrics(written, examples.labels)

    yield from _compare(X, y, models, settings, {"constant": _repeat_typical}, evaluate, valid, progress)


def _compare(
    X: Any,  # noqa: N803
    y: Any,
    names: Sequence[str],
    settings: Any,
    baselines: dict[str, Baseline],
    evaluate: Callable[[Sequence[str], Examples], dict[str, float]],
    valid: Any,
    progress: Progress | None,
) -> Iterator[TextRow]:
    settings.check()
    names = take_texts(names, "models")
    networks = {name: parse_network(name, settings, baselines, CELLS) for name in names if name not in baselines}
    train, held_out = settings.read(X, y, valid=valid)
    judged = held_out.select(range(min(MAX_FINAL, len(held_out.inputs))))
    for name in names:
        if progress is not None:
            progress.note(f"-- {name}")
        began = time.perf_counter()
        if name in networks:
            model = networks[name]
            model.fit(*train[:2], valid=held_out, progress=progress)
            seconds = time.perf_counter() - began
            parameters = num_parameters(model.network_)
            figures, size = model.metrics_["valid"], 4 * parameters
            sample = model.predict(judged.inputs[:1])[0]
        else:
            written, stored = baselines[name](train, judged.inputs)
            seconds = time.perf_counter() - began
            figures, size, parameters, sample = evaluate(written, judged), count_bytes(stored), None, written[0]
        yield TextRow(
            model=name,
            bleu=figures["bleu"] if "bleu" in figures else figures["bleu4"],
            chrf=figures.get("chrf"),
            rouge_l=figures.get("rougeL"),
            cider=figures.get("cider"),
            cider_d=figures.get("cider_d"),
            parameters=parameters,
            memory_bytes=size,
            seconds=seconds,
            sample=sample,
        )
