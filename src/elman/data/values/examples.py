"""Inputs and answers from Python values.

A UsageError means that they do not match, a DataError that none of them can be used.
"""

from __future__ import annotations

from typing import Any

from elman.data.examples import Examples
from elman.data.values.columns import check_pairs
from elman.data.values.labels import take_tags
from elman.data.values.texts import take_sentences, take_texts
from elman.errors import DataError, UsageError


def take_tagged(X: Any, y: Any) -> Examples:  # noqa: N803
    """Check and convert sentences and their tags; a sentence without words is skipped."""
    if y is None:
        raise UsageError("the tags are missing: fit(sentences, tags) needs a tag for every word")
    sentences, tags = take_sentences(X), take_tags(y)
    check_pairs(len(sentences), len(tags), "sentences", "tags for {:,}")
    for row, (words, own) in enumerate(zip(sentences, tags, strict=True)):
        if len(words) != len(own):
            raise UsageError(f"sentence {row} has {len(words)} words, but {len(own)} tags")
    rows = [row for row, words in enumerate(sentences) if words]
    if not rows:
        raise DataError("there are no sentences with words")
    return Examples(
        [sentences[row] for row in rows], [tags[row] for row in rows], num_skipped=len(sentences) - len(rows)
    )


def take_pairs(sources: Any, targets: Any) -> Examples:
    """Check and convert source texts and their target texts."""
    if targets is None:
        raise UsageError("the targets are missing: fit(sources, targets) needs a target for every source")
    examples = Examples(take_texts(sources), take_texts(targets, "y"))
    check_pairs(len(examples.inputs), len(examples.labels), "sources", "{:,} targets")
    if not examples.inputs:
        raise DataError("there are no pairs: X is empty")
    return examples
