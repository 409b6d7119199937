"""Inputs with their labels, for training and evaluating the tagger and the classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.data.batching import IGNORED
from elman.data.spelling import Label, Spelling
from elman.errors import DataError


class Numbering:
    """Labels and their ids, which number them in order.

    Example:
        >>> Numbering(["bad", "good"]).ids(["good", "so, so", "bad"]).tolist()
        [1, -100, 0]
    """

    def __init__(self, labels: Iterable[Any]) -> None:
        self._numbers = {label: number for number, label in enumerate(labels)}

    def ids(self, labels: Iterable[Any]) -> NDArray[np.int64]:
        """Return the id of each label, (N,); `IGNORED` for an unknown label."""
        return np.array([self._numbers.get(label, IGNORED) for label in labels], np.int64)


class Examples(NamedTuple):
    """Inputs, the label (or labels) of each one, and the number of examples that were skipped as unreadable."""

    inputs: list[Any]
    labels: list[Any]
    num_skipped: int = 0

    def select(self, rows: Sequence[int]) -> Examples:
        """Return the examples with these indices."""
        return Examples([self.inputs[row] for row in rows], [self.labels[row] for row in rows])

    def respell(self, known: Iterable[Label]) -> Examples:
        """Spell each label as the known label that it equals; see :class:`~elman.data.spelling.Spelling`.

        Example:
            >>> Examples(["so", "so, so"], ["1", "1.0"]).respell([0, 1]).labels
            [1, 1]
        """
        match = Spelling(known).match
        return self._replace(
            labels=[[*map(match, own)] if isinstance(own, list) else match(own) for own in self.labels]
        )

    def split(self, fraction: float, seed: int, strata: Sequence[Hashable]) -> tuple[Examples, Examples]:
        """Split off a random, stratified held-out set.

        Args:
            fraction: the fraction to hold out.
            seed: the seed of the random choice.
            strata: the group of each example; the same fraction of every group with two or more examples is held out.

        Returns:
            The training examples and the held-out ones, both in their original order.

        Raises:
            DataError: no group has two examples.

        Example:
            >>> train, held_out = Examples(list("abcdef"), [0, 0, 1, 1, 2, 2]).split(0.5, 1, [0, 0, 1, 1, 2, 2])
            >>> train.labels, held_out.labels
            ([0, 1, 2], [0, 1, 2])
        """
        generator = np.random.default_rng(seed)
        groups: dict[Hashable, list[int]] = {}
        for row, stratum in enumerate(strata):
            groups.setdefault(stratum, []).append(row)
        held_out: list[int] = []
        for rows in groups.values():
            number = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
            held_out += generator.permutation(rows)[:number].tolist()
        if not held_out:
            raise DataError(
                f"too few examples ({len(strata)}) to train on some and hold out others: give more, or name "
                "validation data with `valid`"
            )
        rest = sorted(set(range(len(strata))) - set(held_out))
        return self.select(rest), self.select(sorted(held_out))

    def describe(self, *sources: Any) -> dict[str, Any]:
        """Describe the data: its files, the number of examples, and a hash of them."""
        digest = hashlib.sha256()
        for item, label in zip(self.inputs, self.labels, strict=True):
            digest.update(item.tobytes() if isinstance(item, np.ndarray) else repr(item).encode("utf-8", "replace"))
            digest.update(repr(label).encode("utf-8", "replace"))
        names = [str(source) for source in sources if isinstance(source, Path)]
        return {
            "files": names or ["text" if isinstance(sources[0], str) else "values"],
            "sha256": digest.hexdigest(),
            "examples": len(self.inputs),
        }
