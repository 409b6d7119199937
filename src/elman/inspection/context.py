"""How much context a model uses: its loss when it may look back only a few tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.counting.ngrams import NgramModel
from elman.data.batching import IGNORED
from elman.data.tokens.targets import Targets
from elman.data.values.columns import take_items
from elman.draws import drawing
from elman.errors import UsageError
from elman.families.base import Model
from elman.families.encoder_decoder import EncoderDecoderModel
from elman.families.next_token import NextTokenModel
from elman.families.unrolled import Unrolled
from elman.inspection.inputs import check_model, choose_losses, select
from elman.inspection.traces import to_lists

MOST_CONTEXT = 256  # tokens, the longest context by default
LONGEST_NGRAM = 9  # an n-gram model of a higher order gains nothing and needs much memory
STEPS_TOGETHER = 1 << 14  # steps in one batch
CLOSE = 0.01  # of the loss: the gain of more context that counts as none


@dataclass(frozen=True, eq=False, repr=False)
class ContextUse:
    """The mean loss of the same targets with short contexts and with the whole context."""

    contexts: NDArray[np.int64]
    """(n,) the numbers of tokens that the model may look back."""
    losses: NDArray[np.float64]
    """(n,) nats per target."""
    ngram: NDArray[np.float64] | None
    """(n,) nats per target of the Kneser-Ney n-gram model with the same context; NaN beyond the longest n-gram. None
    without training data."""
    whole: float
    """Nats per target with the whole context."""
    num_targets: int
    """The number of targets."""

    @property
    def used(self) -> int | None:
        """The shortest context whose loss is at most 1 % above that with the whole context; None if none is enough."""
        enough = np.flatnonzero(self.losses <= self.whole * (1 + CLOSE))
        return int(self.contexts[enough[0]]) if len(enough) else None

    @property
    def beaten(self) -> int | None:
        """The longest context with which the n-gram model has the lower loss; None if it never has."""
        if self.ngram is None:
            return None
        better = np.flatnonzero(self.ngram < self.losses)  # NaN is not below anything
        return int(self.contexts[better[-1]]) if len(better) else None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        return {
            "contexts": self.contexts.tolist(),
            "losses": self.losses.tolist(),
            "ngram": None if self.ngram is None else to_lists(self.ngram),
            "whole": self.whole,
            "used": self.used,
            "targets": self.num_targets,
        }

    def named_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the figures as arrays by name, as in an ``.npz``."""
        found = {"contexts": self.contexts, "losses": self.losses, "whole": np.array(self.whole)}
        if self.ngram is not None:
            found["ngram"] = self.ngram
        return {f"context_use.{name}": array for name, array in found.items()}

    def __repr__(self) -> str:
        """Show how much context the model uses."""
        used = f"more than {self.contexts[-1]}" if self.used is None else str(self.used)
        return (
            f"<ContextUse of {self.num_targets:,} targets: {self.whole:.3f} nats, which needs {used} tokens of context>"
        )

    def _repr_html_(self) -> str:
        """Show, in a notebook, a table of the losses."""
        rows = ""
        ngrams: Sequence[float] = [np.nan] * len(self.losses) if self.ngram is None else self.ngram.tolist()
        for context, loss, ngram in zip(self.contexts, self.losses, ngrams, strict=True):
            counted = "" if np.isnan(ngram) else f"{ngram:.3f}"
            rows += f"<tr><td>{context}</td><td>{loss:.3f}</td><td>{counted}</td></tr>"
        rows += f"<tr><td>all</td><td>{self.whole:.3f}</td><td></td></tr>"
        return f"<table><tr><th>tokens of context</th><th>nats</th><th>n-gram</th></tr>{rows}</table>"


@torch.no_grad()
def context_use(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    train: Any = None,
    contexts: Sequence[int] | None = None,
    targets: int = 1000,
    steps: int | None = None,
    record: int | None = None,
) -> ContextUse:
    r"""Measure the loss when a model may look back only a few tokens.

    For each target the model starts anew, from its initial state, and reads only the last k tokens.
    A tagger reads the word itself and k words before it, and behind it if it reads in two directions. Of a translator
    and a captioner, the decoder reads the last k generated tokens and the whole source.

    Args:
        model: a fitted model of any task.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        y: the targets; by default the model's own predictions.
        train: what an n-gram model learns from, to stand beside: a text or tunes; of a translator or captioner a file
            of examples, a pair (X, y), or the target texts alone.
        contexts: each k; 1, 2, 4 and so on, up to 256 or the longest input, where not given.
        targets: the maximum number of targets, evenly spaced.
        steps: read only this many steps of each input of a language model or a composer.
        record: read this input only, counted from 1.

    Returns:
        The mean loss with each k and with all of the context, and that of the n-gram models.

    Raises:
        UsageError: an argument is outside its limits, or ``train`` is given to a model that predicts no tokens.
        DataError: no target is known.

    Example:
        >>> from elman import LanguageModel
        >>> text = "to be or not to be\n" * 80
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit(text)
        >>> context_use(lm, text[:60], train=text).contexts
        array([ 1,  2,  4,  8, 16, 32])
    """
    check_model(model)
    if targets < 1:
        raise UsageError(f"targets is {targets}, expected at least 1")
    if contexts is not None and (not len(contexts) or min(contexts) < 1):
        raise UsageError(f"contexts is {list(contexts)}; give whole numbers of at least 1")
    if train is not None and not isinstance(model, NextTokenModel | EncoderDecoderModel):
        raise UsageError(
            f"a {type(model).__name__} does not predict tokens, so no n-gram model compares; leave out `train`"
        )
    chosen, lengths = choose_losses(list(select(model, X, y, steps=steps, record=record)), targets, record)
    if contexts is None:
        contexts = [1 << power for power in range(9) if 1 << power <= max(min(MOST_CONTEXT, max(lengths) - 1), 1)]
    sizes = sorted({int(size) for size in contexts})
    ngrams = None if train is None else [_train_ngram(model, train, size) for size in sizes]
    nats: list[NDArray[np.float64]] = []  # each (R, n + 1), the whole context last
    counted: list[NDArray[np.float64]] = []  # each (R, n)
    for _, unrolled, outputs in chosen:
        nats.append(_measure(model, unrolled, outputs, sizes))
        if ngrams is not None:
            counted.append(np.stack([_score_ngram(ngram, unrolled, outputs) for ngram in ngrams], axis=1))
    means = np.concatenate(nats).mean(axis=0)
    return ContextUse(
        contexts=np.array(sizes, np.int64),
        losses=means[:-1],
        ngram=np.concatenate(counted).mean(axis=0) if counted else None,
        whole=float(means[-1]),
        num_targets=sum(map(len, nats)),
    )


def _measure(model: Model, unrolled: Unrolled, outputs: Tensor, sizes: list[int]) -> NDArray[np.float64]:
    """Return the loss of some outputs (R,) of one input with each size of context, and with all of it: (R, n + 1)."""
    with drawing(model.seed):
        log_probabilities = unrolled.log_probabilities(unrolled.run(unrolled.inputs[None])[0])[0].cpu()  # (M, V)
    goals = log_probabilities.argmax(dim=-1) if unrolled.targets is None else unrolled.targets
    whole = -log_probabilities[outputs, goals[outputs]]  # (R,)
    found = [_measure_windows(model, unrolled, outputs, goals, whole, size) for size in sizes]
    return torch.stack([*found, whole], dim=1).double().numpy()


def _measure_windows(
    model: Model, unrolled: Unrolled, outputs: Tensor, goals: Tensor, whole: Tensor, size: int
) -> Tensor:
    """Run only the steps that each output (R,) may read; return the losses (R,)."""
    stack, losses = unrolled.last, whole.clone()
    num_steps = len(stack.tokens)
    if not stack.is_aligned:  # one output, after the last step
        firsts, lasts = torch.full_like(outputs, max(num_steps - size, 0)), torch.full_like(outputs, num_steps - 1)
    elif model.task == "tagger":
        firsts = (outputs - size).clamp(min=0)
        lasts = (outputs + size).clamp(max=num_steps - 1) if stack.layer.bidirectional else outputs
    else:
        firsts, lasts = (outputs - size + 1).clamp(min=0), outputs
    reads_on = stack.is_aligned and stack.layer.bidirectional
    is_whole = (firsts == 0) & ((lasts == num_steps - 1) | (not reads_on))
    lengths = torch.where(is_whole, 0, lasts - firsts + 1)
    for length in sorted(set(lengths.tolist()) - {0}):
        for rows in torch.split(torch.nonzero(lengths == length).flatten(), max(STEPS_TOGETHER // length, 1)):
            steps = firsts[rows, None] + torch.arange(length)  # (R, W)
            with drawing(model.seed):
                logits = unrolled.run_steps(steps) if unrolled.run_steps else unrolled.run(unrolled.inputs[steps])[0]
            log_probabilities = unrolled.log_probabilities(logits).cpu()  # (R, W, V)
            places = outputs[rows] - firsts[rows] if stack.is_aligned else torch.zeros_like(rows)
            losses[rows] = -log_probabilities[torch.arange(len(rows)), places, goals[outputs[rows]]]
    return losses


# ---------------------------------------------------------------- n-grams


def _train_ngram(model: Model, train: Any, context: int) -> NgramModel | None:
    """Train an n-gram model; return None if it would be too long."""
    if context + 1 > LONGEST_NGRAM:
        return None
    sequences = list(_read_sequences(model, train))
    offsets = np.cumsum([0, *map(len, sequences)])
    ids = np.concatenate(sequences) if sequences else np.zeros(0, np.int64)
    return NgramModel(order=context + 1).fit(ids, offsets, model.network_.head.weight.shape[0])


def _read_sequences(model: Model, train: Any) -> Iterator[NDArray[np.int64]]:
    """Read the ids of a language model's or composer's text, or of a decoder's targets."""
    if isinstance(model, NextTokenModel):
        yield from model._read_ids(train, None)
        return
    assert isinstance(model, EncoderDecoderModel)
    is_file = isinstance(train, Path | str | tuple)
    texts = model._read_valid(train).labels if is_file else take_items(train, "train", "texts")
    answers = Targets(model._take_answers(texts, len(texts)), model._target_tokenizer, model.max_length)
    for row, length in enumerate(answers.lengths):
        read, goals = answers.gather(np.array([row]))
        yield torch.cat((read[0, :1], goals[0, :length])).numpy()


def _score_ngram(ngram: NgramModel | None, unrolled: Unrolled, outputs: Tensor) -> NDArray[np.float64]:
    """Return the n-gram model's loss of some outputs (R,)."""
    if ngram is None:
        return np.full(len(outputs), np.nan)
    assert unrolled.targets is not None
    goals = unrolled.targets[unrolled.targets != IGNORED]
    ids = np.concatenate(([unrolled.names.index(unrolled.last.tokens[0])], goals.numpy()))
    found: NDArray[np.float64] = -ngram.log_probs(ids, np.array([0, len(ids)]))[outputs.numpy()]
    return found
