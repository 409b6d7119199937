"""Comparisons of language models with n-grams: the same split of the same text and the same training time for each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from elman.counting.ngrams import NgramModel
from elman.data.corpus import count_predicted_characters
from elman.data.text import Source, Text
from elman.data.values.texts import take_sources, take_texts
from elman.errors import UsageError, suggest
from elman.families.saved.description import num_parameters
from elman.metrics.likelihood import language_metrics
from elman.models.language_model import LanguageModel
from elman.nn.cells import CELLS
from elman.training.progress import Progress
from elman.training.schedule import check_positive


@dataclass(frozen=True)
class LanguageModelRow:
    """The result of one model on the held-out text."""

    model: str
    nats_per_token: float
    bits_per_character: float
    perplexity: float  # per token
    perplexity_per_word: float  # between white space; line ends are words
    parameters: int
    memory_bytes: int
    seconds: float  # of training and evaluation
    unseen_contexts: float | None  # the share of held-out contexts that are not in the training text; n-grams only
    sample: str

    figure = "nats_per_token"

    @property
    def is_network(self) -> bool:
        """Whether the model is a network."""
        return self.unseen_contexts is None


def compare_language_models(
    X: Source,  # noqa: N803
    models: Sequence[str],
    settings: LanguageModel,
    *,
    valid: Source | None = None,
    progress: Progress | None = None,
) -> Iterator[LanguageModelRow]:
    """Train several language models on one text and evaluate each on the same held-out tokens.

    Args:
        X: the text; a ``Path`` names a file, a ``str`` is text.
        models: names such as ``ngram:5`` (order), ``window:5`` (context in tokens), ``gru`` or ``rnn:1x256`` (layers x
            hidden size).
        settings: all other settings, including the time budget.
        valid: another text to evaluate on; by default the end of X is held out.
        progress: receives reports on the training.

    Yields:
        A row for each model, as soon as it is evaluated.

    Raises:
        UsageError: a model's name or size is not valid.
        DataError: a text cannot be read.
    """
    models = take_texts(models, "models")
    parsed = [_parse_model(name, settings) for name in models]
    X = take_sources(X)  # noqa: N806 (scikit-learn's name)
    valid = None if valid is None else take_sources(valid, "valid")
    for source in (X, valid):
        if source is not None:
            Text(source, settings.encoding)  # fails at once if a file is missing
    for name, model in zip(models, parsed, strict=True):
        if progress is not None:
            progress.note(f"-- {name}")
        began = time.perf_counter()
        if isinstance(model, NgramModel):
            yield _evaluate_ngram(name, model, X, valid, settings)
            continue
        model.fit(X, valid=valid, progress=progress)
        figures = model.metrics_["valid"]
        parameters = num_parameters(model.network_)
        yield LanguageModelRow(
            model=name,
            nats_per_token=figures["nats_per_token"],
            bits_per_character=figures["bits_per_character"],
            perplexity=figures["perplexity"],
            perplexity_per_word=figures["perplexity_per_word"],
            parameters=parameters,
            memory_bytes=4 * parameters,
            seconds=time.perf_counter() - began,
            unseen_contexts=None,
            sample=model.generate(max_tokens=_sample_tokens(settings), seed=settings.seed),
        )


def _evaluate_ngram(
    name: str,
    ngram: NgramModel,
    X: Source,  # noqa: N803
    valid: Source | None,
    settings: LanguageModel,
) -> LanguageModelRow:
    began = time.perf_counter()
    reader = replace(settings)
    train, held_out = reader.read_corpora(X, valid)
    ngram.fit(np.asarray(train.ids), np.asarray(train.offsets), reader.tokenizer_.vocab_size)
    held_out_ids, offsets = np.asarray(held_out.ids), np.asarray(held_out.offsets)
    log_probs = ngram.log_probs(held_out_ids, offsets)
    figures = language_metrics(
        -float(log_probs.sum()),
        held_out.num_targets,
        count_predicted_characters(held_out, reader.tokenizer_, settings.lines),
        held_out.num_unknown,
        held_out.num_words,
    )
    unseen, total = ngram.unseen_contexts(held_out_ids, offsets)
    seconds = time.perf_counter() - began
    prompt = np.array([reader.tokenizer_.begin_id]) if settings.lines else reader.tokenizer_.encode("\n")
    written = ngram.generate(prompt, _sample_tokens(settings), np.random.default_rng(settings.seed), temperature=0.8)
    return LanguageModelRow(
        model=name,
        nats_per_token=float(figures["nats_per_token"]),
        bits_per_character=float(figures["bits_per_character"]),
        perplexity=float(figures["perplexity"]),
        perplexity_per_word=float(figures["perplexity_per_word"]),
        parameters=ngram.num_parameters,
        memory_bytes=ngram.nbytes,
        seconds=seconds,
        unseen_contexts=unseen / total if total else math.nan,
        sample=reader.tokenizer_.decode(written),
    )


def _ngram(order: int, settings: LanguageModel) -> NgramModel:
    check_positive("order", order)
    return NgramModel(order=order)


def _window(tokens: int, settings: LanguageModel) -> LanguageModel:
    return replace(settings, cell="window", window=tokens)


SIZED_BY_TOKENS: dict[str, Callable[[int, LanguageModel], LanguageModel | NgramModel]] = {
    "ngram": _ngram,
    "window": _window,
}
"""Kinds whose size is a number of tokens; all other kinds are cells."""


def _parse_model(name: str, settings: LanguageModel) -> LanguageModel | NgramModel:
    """Return the model that ``kind``, ``kind:N`` or ``kind:LxH`` names, with all other settings unchanged."""
    kind, _, size = name.partition(":")
    try:
        if kind in SIZED_BY_TOKENS:
            model = SIZED_BY_TOKENS[kind](int(size or 5), settings)
        elif kind in CELLS:
            layers, _, hidden = size.rpartition("x")
            model = replace(
                settings,
                cell=kind,
                num_layers=int(layers or 1),
                hidden_size=int(hidden) if hidden else settings.hidden_size,
            )
        else:
            known = (*SIZED_BY_TOKENS, *CELLS)
            raise UsageError(f"unknown{suggest(kind, known) or ';'} there are {', '.join(known)}")
        if isinstance(model, LanguageModel):
            model.check()
        return model
    except UsageError as error:
        raise UsageError(f"model {name}: {error}") from error
    except ValueError as error:
        raise UsageError(
            f"model {name}: {size!r} is not a size; write ngram:ORDER, window:TOKENS or lstm:LAYERSxUNITS"
        ) from error


def _sample_tokens(settings: LanguageModel) -> int:
    return 150 if settings.level == "char" else 30
