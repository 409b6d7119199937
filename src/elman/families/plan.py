"""The plan: settings that follow from the data where none is given.

``benchmarks/RESULTS.md`` has the measurements behind the numbers below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.training.schedule import TrainingSettings, budget_minutes

SEQUENCES = 16  # of median length: the fewest in a batch; the gradients of fewer are too noisy
UPDATES = 400  # the fewest in a run: batches are made smaller for it, even below SEQUENCES
FEWEST_SEQUENCES = 4  # in a batch that is made smaller for UPDATES
TOKENS_PER_SECOND = 15_000  # on a typical laptop core: turns minutes into updates before the real speed is known
LONG = 100  # tokens: longer texts use mean pooling, shorter ones max pooling


class Batching(NamedTuple):
    """The default batches of a task."""

    tokens: int
    """The most tokens in a batch."""
    per_pass: int
    """The batches in a pass over the data, at least: batches are made smaller for it, down to SEQUENCES examples."""


BATCHING = {
    "tagger": Batching(1000, 60),
    "classifier": Batching(1000, 60),
    "translator": Batching(2000, 400),
    "captioner": Batching(1000, 1),
}


class Traits(NamedTuple):
    """What the plan knows about the training data."""

    task: str
    """A name in BATCHING."""
    lengths: NDArray[np.int64]
    """(N,) the number of tokens that each example takes in a batch."""
    noun: str
    """What an example is, in the plural, such as "texts"."""
    is_text: bool = True
    """Whether the examples are texts, not rows of numbers."""

    @property
    def typical_length(self) -> int:
        """The median length, which one very long example does not change."""
        return max(int(np.median(self.lengths)), 1)

    def describe(self, settings: Mapping[str, Any]) -> str:
        """Describe the data and some settings in one line.

        Example:
            >>> Traits("classifier", np.full(2000, 790), "texts").describe({"batch_tokens": 12640, "pooling": "mean"})
            '2,000 texts of about 790 tokens: batches of 16, mean pooling'
        """
        length = self.typical_length
        unit = "tokens" if self.is_text else "steps"
        parts = [f"batches of {min(max(settings['batch_tokens'] // length, 1), len(self.lengths)):,}"]
        parts += [f"{settings['pooling']} pooling"] if "pooling" in settings else []
        return f"{len(self.lengths):,} {self.noun} of about {length:,} {unit}: {', '.join(parts)}"


def plan(traits: Traits, settings: TrainingSettings) -> dict[str, Any]:
    """Choose settings from the data and from the length of the training.

    A batch is as large as ``BATCHING`` allows, or smaller so that a pass over the data has enough batches. It has at
    least ``SEQUENCES`` typical examples, except where a run would then be shorter than ``UPDATES`` steps. If the number
    of steps is given, smaller batches would not give more of them.

    Args:
        traits: what is known about the data.
        settings: how long to train.

    Returns:
        ``batch_tokens`` and ``pooling``.

    Example:
        >>> plan(Traits("classifier", np.full(2000, 790), "texts"), TrainingSettings(minutes=3))
        {'batch_tokens': 6750, 'pooling': 'mean'}
        >>> plan(Traits("translator", np.full(15000, 16), "pairs"), TrainingSettings(minutes=5))
        {'batch_tokens': 600, 'pooling': 'max'}
    """
    length, total = traits.typical_length, int(traits.lengths.sum())
    batching = BATCHING[traits.task]
    if settings.steps is not None:
        tokens = max(batching.tokens, SEQUENCES * length)
    else:
        tokens = max(min(batching.tokens, total // batching.per_pass), SEQUENCES * length)
        seen = TOKENS_PER_SECOND * 60 * budget_minutes(settings) if settings.epochs is None else settings.epochs * total
        tokens = min(tokens, max(int(seen / UPDATES), FEWEST_SEQUENCES * length))
    return {"batch_tokens": tokens, "pooling": "mean" if traits.is_text and length >= LONG else "max"}
