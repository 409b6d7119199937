"""Inputs with their labels, as the tagger and the classifier learn from them and are judged on."""

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
    """Labels, numbered in their order.

    Example:
        >>> Numbering(["bad", "good"]).ids(["good", "so, so", "bad"]).tolist()
        [1, -100, 0]
    """

    def __init__(self, labels: Iterable[Any]) -> None:
        self._numbers = {label: number for number, label in enumerate(labels)}

    def ids(self, labels: Iterable[Any]) -> NDArray[np.int64]:
        """Return the number of each label (N,); `IGNORED` for one that is not among them."""
        return np.array([self._numbers.get(label, IGNORED) for label in labels], np.int64)


class Examples(NamedTuple):
    """Inputs, the label (or labels) of each, and how many more could not be read."""

    inputs: list[Any]
    labels: list[Any]
    num_skipped: int = 0

    def select(self, rows: Sequence[int]) -> Examples:
        """Return some of the examples."""
        return Examples([self.inputs[row] for row in rows], [self.labels[row] for row in rows])

    def respell(self, known: Iterable[Label]) -> Examples:
        """Write each label as the known one that it is; see :class:`~elman.data.spelling.Spelling`.

        Example:
            >>> Examples(["so", "so, so"], ["1", "1.0"]).respell([0, 1]).labels
            [1, 1]
        """
        match = Spelling(known).match
        return self._replace(
            labels=[[*map(match, own)] if isinstance(own, list) else match(own) for own in self.labels]
        )

    def split(self, fraction: float, seed: int, strata: Sequence[Hashable]) -> tuple[Examples, Examples]:
        """Hold a part of the examples out, drawn with the seed.

        Args:
            fraction: the share to hold out.
            seed: the same seed draws the same examples.
            strata: the group of each example; of every group with two or more, the same share is held out.

        Returns:
            The examples to learn from, and those held out; both in their order.

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
                f"too few examples ({len(strata)}) to learn from some and hold others out: give more, or name data to "
                "judge on with `valid`"
            )
        rest = sorted(set(range(len(strata))) - set(held_out))
        return self.select(rest), self.select(sorted(held_out))

    def describe(self, *sources: Any) -> dict[str, Any]:
        """Say what data this is: where it came from, how many examples, and a hash of them."""
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
