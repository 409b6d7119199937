"""The plan: settings that follow from the data where none is given.

``benchmarks/RESULTS.md`` has the measurements behind the numbers below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.training.schedule import TrainingSettings, budget_minutes

SEQUENCES = 16  # of median length: the fewest in a batch; the gradients of fewer are too noisy
UPDATES = 400  # the fewest in a run: batches are made smaller for it, even below SEQUENCES
FEWEST_SEQUENCES = 4  # in a batch that is made smaller for UPDATES
MANY_UPDATES = 500  # with fewer in a run, the learning rate is higher, as it is for long texts
PASSES = 20  # over the data: a network that cannot make so many in the time is too large
TOKENS_PER_SECOND = 15_000  # of the largest network on a laptop: turns minutes into tokens
CHARACTERS_PER_PAIR = 450  # of text for each byte pair of a translator's vocabulary
VOCABULARY = 1000, 8000  # byte pairs, the fewest and the most
CROP = 200  # tokens of a text in a training on stretches; it takes texts twice as long, or longer
LONG = 100  # tokens: longer texts use attention pooling and a higher learning rate, shorter ones max pooling


class Size(NamedTuple):
    """A size of a network."""

    units: int
    """In each layer and direction."""
    speed: float
    """How many times as many tokens as the largest network it reads in the same time."""


class Defaults(NamedTuple):
    """What the settings of a task follow from, besides the data."""

    tokens: int
    """The most tokens in a batch."""
    per_pass: int
    """The batches in a pass over the data, at least: batches are made smaller for it, down to SEQUENCES examples."""
    sizes: tuple[Size, ...]
    """The sizes to choose from, largest first."""


DEFAULTS = {
    "tagger": Defaults(1000, 60, (Size(160, 1.0),)),
    "classifier": Defaults(1000, 60, (Size(200, 1.0), Size(100, 2.0), Size(50, 4.0))),
    "translator": Defaults(2000, 400, (Size(256, 1.0),)),
    "captioner": Defaults(1000, 1, (Size(256, 1.0),)),
}


class Traits(NamedTuple):
    """What the plan knows about the training data."""

    task: str
    """A name in DEFAULTS."""
    lengths: NDArray[np.int64]
    """(N,) the number of tokens that each example takes in a batch."""
    noun: str
    """What an example is, in the plural, such as "texts"."""
    is_text: bool = True
    """Whether the examples are texts, not rows of numbers."""
    labels: int = 0
    """The number of labels of a classifier."""
    crop_length: int | None = 0
    """The length of the stretches of examples to train on; 0 for whole examples, None for the plan to choose."""
    vocabulary: int = 0
    """The number of tokens that a translator knows."""

    def crop(self, length: int) -> Traits:
        """Return the traits of stretches of this length."""
        return self._replace(lengths=np.minimum(self.lengths, length))

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
        parts = [f"{settings['hidden_size']:,} units"] if "hidden_size" in settings else []
        crop = min(settings.get("crop_length") or length, length)
        parts += [f"batches of {min(max(settings['batch_tokens'] // crop, 1), len(self.lengths)):,}"]
        parts[-1] += f" stretches of {crop:,} {unit}" if crop < length else ""
        parts += [f"{settings['pooling']} pooling"] if "pooling" in settings else []
        return f"{len(self.lengths):,} {self.noun} of about {length:,} {unit}: {', '.join(parts)}"


def plan(traits: Traits, settings: TrainingSettings) -> dict[str, Any]:
    """Choose settings from the data and from the length of the training.

    - A classifier is trained on stretches of ``CROP`` tokens of long texts if even the smallest network cannot make
      ``PASSES`` passes over whole ones in the time.
    - A network has the largest size that can make ``PASSES`` passes over the data in the time, or the smallest one.
    - A batch is as large as ``DEFAULTS`` allows, or smaller so that a pass over the data has enough batches, and at
      least one for each label. It has at least ``SEQUENCES`` typical examples, except where a run would then be shorter
      than ``UPDATES`` steps. If the number of steps is given, smaller batches would not give more of them.
    - The learning rate is higher for long texts and for a run of few steps.

    Args:
        traits: what is known about the data.
        settings: how long to train.

    Returns:
        A value for every setting that a task leaves open.

    Example:
        >>> traits = Traits("classifier", np.full(2000, 790), "texts", crop_length=None)
        >>> choices = plan(traits, TrainingSettings(minutes=5))
        >>> choices["crop_length"], choices["hidden_size"], choices["batch_tokens"], choices["pooling"]
        (200, 100, 3200, 'attention')
        >>> plan(Traits("translator", np.full(15000, 16), "pairs"), TrainingSettings(minutes=5))["batch_tokens"]
        600
    """
    crop = traits.crop_length or 0
    read = traits.crop(crop) if crop else traits
    length, total = read.typical_length, int(read.lengths.sum())
    most, per_pass, sizes = DEFAULTS[traits.task]
    size, updates = sizes[0], settings.steps
    tokens = max(most, SEQUENCES * length)
    if updates is None:
        seen = float(total) * (settings.epochs or 0)
        if settings.epochs is None:
            reads = [TOKENS_PER_SECOND * size.speed * 60 * budget_minutes(settings) for size in sizes]
            if traits.crop_length is None and length >= 2 * CROP and reads[-1] < PASSES * total:
                crop = length = CROP
                total = int(traits.crop(CROP).lengths.sum())
            index = next((row for row, seen in enumerate(reads) if seen >= PASSES * total), -1)
            size, seen = sizes[index], reads[index]
        tokens = max(min(most, total // max(per_pass, traits.labels)), SEQUENCES * length)
        tokens = min(tokens, max(int(seen / UPDATES), FEWEST_SEQUENCES * length))
        updates = int(seen / tokens)
    is_long = traits.is_text and length >= LONG
    return {
        "crop_length": crop,
        "hidden_size": size.units,
        "vocab_size": traits.vocabulary,
        "batch_tokens": tokens,
        "learning_rate": 4e-3 if is_long or updates < MANY_UPDATES else 2e-3,
        "pooling": "attention" if is_long else "max",
    }


def plan_vocabulary(level: str, texts: Sequence[str]) -> int:
    """Return the largest vocabulary of a translator: a small text teaches little about rare tokens.

    Example:
        >>> plan_vocabulary("bpe", ["six words"] * 100_000), plan_vocabulary("word", ["six words"])
        (2000, 8000)
    """
    fewest, most = VOCABULARY
    return min(max(sum(map(len, texts)) // CHARACTERS_PER_PAIR, fewest), most) if level == "bpe" else most
