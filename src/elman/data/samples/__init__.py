"""Small data sets that come with Elman, so that a demo or a test needs no download: `sample:NAME` instead of a file.

    messages        300 messages to a shop, each a complaint, a question or praise: CSV, for a classifier
    reports         1,500 generated short reports, each with a one-line summary: TSV, for a translator
    sentences       400 sentences, each word with its part of speech: CoNLL-U, for a tagger
    shapes          3,000 pictures of coloured shapes and their captions: TSV and PNG, for a captioner
    studies         3,000 generated sentences whose last word depends on a word far to its left, for a language model
    topics          Python's own manual pages, half a megabyte of real prose, for a language model
    tunes           60 generated country dances: ABC, for a composer
    unseen-shapes   500 pictures with combinations of shapes that do not occur in `shapes`

`messages` and `sentences` were written for this project. In `sentences` many words have several tags: she *saw* the
*saw*. The tags follow the English treebanks of Universal Dependencies, so *be* after *there* is a VERB and *when* is
always an ADV. In `messages` some words mislead: "I expected better" is a complaint.

`studies` makes a data set of the sentence with which recurrent networks are often introduced: "I am studying medicine
... because I want to work as a ___ .". The profession depends only on the field of study, and more than five random
words separate the two. So an n-gram model of order 5, which looks back four tokens, can only guess, while a network
with a state can be right every time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from itertools import product
from typing import Any, NamedTuple

from elman.data.samples import reports, shapes, tunes
from elman.data.samples.lot import shuffle
from elman.errors import UsageError, suggest

STUDIES: dict[str, str] = {
    "biology": "biologist",
    "chemistry": "chemist",
    "dentistry": "dentist",
    "education": "teacher",
    "history": "historian",
    "journalism": "reporter",
    "law": "lawyer",
    "mathematics": "mathematician",
    "medicine": "doctor",
    "music": "musician",
    "nursing": "nurse",
    "physics": "physicist",
}
"""Cause and effect in `studies`: field of study -> profession. Every profession takes "a", which gives nothing away."""

_SUBJECTS = {  # who studies -> how the sentence continues
    "I am": "I want",
    "we are": "each of us wants",
    "you are": "you want",
    "my sister is": "she wants",
    "my brother is": "he wants",
    "my best friend is": "she wants",
    "our neighbour is": "he wants",
    "her cousin is": "he wants",
    "his daughter is": "she wants",
    "the girl next door is": "she wants",
}
_PLACES = ("UBC", "McGill", "a college in Toronto", "a small school by the sea", "Oxford", "the university of Vienna")
_TIMES = ("", "this year", "for the second year now", "in the evenings", "with two old friends", "far away from home")
_REASONS = ("because", "mostly because", "and the reason is simple :", "since", "partly because")
_DETOURS = ("", "one day", "more than anything", "sooner or later", "in spite of all the bad advice", "above all")
_WISHES = ("to work as a", "to become a", "to earn a living as a", "to be known as a good", "to find a job as a")

_NUM_STUDIES = 3_000


class Sample(NamedTuple):
    """One data set that comes with Elman."""

    size: str
    """Its size, with the unit."""

    description: str
    """A description in one line."""

    text: Callable[[], str]
    """The function that returns the text."""

    pictures: Callable[[], Iterator[tuple[str, Any]]] | None = None
    """The function that draws the pictures that the text describes, if any: their names and pixels (H, W, 3)."""


def sample_names() -> list[str]:
    """Return the names of all samples, in alphabetical order.

    Returns:
        The names that `sample_text` accepts.

    Example:
        >>> sample_names()
        ['messages', 'reports', 'sentences', 'shapes', 'studies', 'topics', 'tunes', 'unseen-shapes']
    """
    return sorted(SAMPLES)


def sample_text(name: str) -> str:
    r"""Return the text of a sample, which is always the same.

    Args:
        name: one of `sample_names()`, without the `sample:` in front.

    Returns:
        The text. It ends with a line break.

    Raises:
        UsageError: no sample has this name.

    Example:
        >>> sample_text("studies").count("\n")
        3000
    """
    if name not in SAMPLES:
        raise UsageError(f'no sample is called "{name}"; there are {", ".join(sample_names())}{suggest(name, SAMPLES)}')
    return SAMPLES[name].text()


def sample_pictures(name: str) -> dict[str, Any]:
    """Return the pixels (H, W, 3) of a sample's pictures by name.

    Raises:
        UsageError: no sample has this name, or it has no pictures.
    """
    sample_text(name)  # there is such a sample
    draw = SAMPLES[name].pictures
    if draw is None:
        raise UsageError(f"sample:{name} has no pictures; sample:shapes has")
    return dict(draw())


def _write_studies() -> str:
    """Generate `studies`: one sentence per line, words separated by one space, the profession before the last " .".

    The words around the field and the profession form a different frame in every sentence, so no sentence in the
    held-out part at the end also occurs in the training part, not even with another field. All fields are equally
    frequent.
    """
    frames = [
        (f"{subject} studying", f"{' '.join(filter(None, between))} {wish}")
        for subject, goes_on in _SUBJECTS.items()
        for *between, wish in product(
            [f"at {place}" for place in _PLACES], _TIMES, _REASONS, [goes_on], _DETOURS, _WISHES
        )
    ]
    generator = random.Random(1990)
    fields = list(STUDIES) * (_NUM_STUDIES // len(STUDIES))
    lines = [
        f"{before} {field} {between} {STUDIES[field]} ."
        for field, (before, between) in zip(shuffle(fields, generator), shuffle(frames, generator), strict=False)
    ]
    return "\n".join(lines) + "\n"


def _collect_topics() -> str:
    """Collect Python's help topics ("for", "lambda", "operator-summary", ...), which differ a little by version."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip("\n") for name in sorted(topics)) + "\n"


def _read_file(name: str) -> str:
    return (files("elman.data.samples") / name).read_text(encoding="utf-8")


SAMPLES: dict[str, Sample] = {
    "messages": Sample(
        "300 messages",
        "messages to a shop, each a complaint, a question or praise (CSV)",
        partial(_read_file, "messages.csv"),
    ),
    "reports": Sample(
        "1,500 reports",
        "short texts, each with a one-line summary (TSV)",
        reports.write_reports,
    ),
    "sentences": Sample(
        "400 sentences",
        "everyday English, each word with its part of speech (CoNLL-U)",
        partial(_read_file, "sentences.conllu"),
    ),
    "shapes": Sample(
        "3,000 pictures",
        "two coloured shapes, one beside or above the other (TSV and PNG)",
        partial(shapes.write_captions, unseen=False),
        partial(shapes.draw_pictures, unseen=False),
    ),
    "studies": Sample(
        "3,000 sentences",
        "generated; the last word depends on a word far to its left",
        _write_studies,
    ),
    "topics": Sample(
        "half a megabyte",
        "Python's own help pages, real prose",
        _collect_topics,
    ),
    "tunes": Sample(
        "60 tunes",
        "country dances, melody and chords (ABC)",
        tunes.compose_tunes,
    ),
    "unseen-shapes": Sample(
        "500 pictures",
        "like shapes, with combinations that do not occur there",
        partial(shapes.write_captions, unseen=True),
        partial(shapes.draw_pictures, unseen=True),
    ),
}
"""Every sample by its name."""
