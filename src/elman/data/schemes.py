"""How tags mark spans such as entities: IOB1, BIO and BIOES in, BIO inside, and back as they came.

    words    Ada  Lovelace  met  Charles  Babbage  in  London
    IOB1     I-P  I-P       O    I-P      I-P      O   I-L       B- only where a span touches one of its own type
    BIO      B-P  I-P       O    B-P      I-P      O   B-L       every span begins with B-
    BIOES    B-P  E-P       O    B-P      E-P      O   S-L       its last word has E-, a span of one word S-

BILOU is BIOES with L for E and U for S.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int, str]
"""First word, the word after the last, and type."""

SCHEMES = ("iob1", "bio", "bioes", "bilou")

_ENDS = {"bioes": ("E", "S"), "bilou": ("L", "U")}


def detect(sentences: Iterable[Sequence[str]]) -> str:
    """Find out which scheme the tags of some sentences follow.

    Tags are of spans where each is ``O`` or a letter of the scheme, a hyphen and a type, and at least one is not ``O``.
    E- or S- make it BIOES, L- or U- BILOU. Otherwise it is IOB1 where more spans begin with I- than with B-, and
    every B- follows a span of its own type.

    Returns:
        One of `SCHEMES`, or an empty string where the tags are of single words, such as parts of speech.

    Example:
        >>> detect([["B-PER", "I-PER", "O"]]), detect([["I-PER", "I-PER", "O"]]), detect([["S-PER", "O"]])
        ('bio', 'iob1', 'bioes')
        >>> detect([["NOUN", "VERB"]])
        ''
    """
    letters: set[str] = set()
    begun_by_i = begun_by_b = alone = 0
    for tags in sentences:
        before = "O"
        for tag in tags:
            if tag != "O":
                letter, hyphen, kind = tag.partition("-")
                if not hyphen or not kind or letter not in "BIESLU" or len(letter) != 1:
                    return ""
                letters.add(letter)
                follows = before[1:] == tag[1:]
                begun_by_i += letter == "I" and not follows
                begun_by_b += letter == "B"
                alone += letter == "B" and not follows
            before = tag
    if not letters:
        return ""
    if letters & {"L", "U"}:
        return "" if letters & {"E", "S"} else "bilou"
    if letters & {"E", "S"}:
        return "bioes"
    return "iob1" if begun_by_i > begun_by_b and not alone else "bio"


def to_bio(tags: Sequence[str], scheme: str) -> list[str]:
    """Write tags of a scheme as BIO.

    Example:
        >>> to_bio(["I-PER", "I-PER", "B-PER", "O"], "iob1"), to_bio(["S-LOC", "B-PER", "E-PER"], "bioes")
        (['B-PER', 'I-PER', 'B-PER', 'O'], ['B-LOC', 'B-PER', 'I-PER'])
    """
    if scheme == "bio":
        return list(tags)
    _, single = _ENDS.get(scheme, ("", ""))
    bio = []
    before = "O"
    for tag in tags:
        letter, _, kind = tag.partition("-")
        if tag == "O":
            bio.append(tag)
        elif letter in ("B", single) or (scheme == "iob1" and before[2:] != kind):
            bio.append(f"B-{kind}")
        else:
            bio.append(f"I-{kind}")
        before = tag
    return bio


def from_bio(tags: Sequence[str], scheme: str) -> list[str]:
    """Write BIO tags in another scheme: the inverse of `to_bio`.

    Example:
        >>> from_bio(["B-PER", "I-PER", "B-PER", "O"], "iob1"), from_bio(["B-LOC", "B-PER", "I-PER"], "bioes")
        (['I-PER', 'I-PER', 'B-PER', 'O'], ['S-LOC', 'B-PER', 'E-PER'])
    """
    if scheme == "bio":
        return list(tags)
    written = ["O"] * len(tags)
    end_of_last, last_kind = -1, ""
    for start, stop, kind in spans(tags):
        if scheme == "iob1":
            touches = start == end_of_last and kind == last_kind
            letters = ["B" if touches else "I", *["I"] * (stop - start - 1)]
        else:
            end, single = _ENDS[scheme]
            letters = [single] if stop - start == 1 else ["B", *["I"] * (stop - start - 2), end]
        written[start:stop] = [f"{letter}-{kind}" for letter in letters]
        end_of_last, last_kind = stop, kind
    return written


def spans(bio: Sequence[str]) -> list[Span]:
    """Find the spans that BIO tags mark; an I- after O, or after another type, begins one, as conlleval has it.

    Example:
        >>> spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
        [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC')]
    """
    found: list[Span] = []
    start, kind = 0, ""
    for place, tag in enumerate([*bio, "O"]):
        goes_on = tag.startswith("I-") and tag[2:] == kind
        if kind and not goes_on:
            found.append((start, place, kind))
            kind = ""
        if tag != "O" and not kind:
            start, kind = place, tag[2:]
    return found


def inconsistencies(tags: Sequence[str], scheme: str) -> list[int]:
    """Return the places of tags that cannot stand where they do, such as I- after O in BIO.

    Example:
        >>> inconsistencies(["O", "I-PER", "B-LOC", "I-PER"], "bio"), inconsistencies(["B-PER", "O"], "bioes")
        ([1, 3], [0])
    """
    bio = to_bio(tags, scheme)
    if scheme == "bio":
        before = ["O", *bio][:-1]
        return [
            place
            for place, (former, tag) in enumerate(zip(before, bio, strict=True))
            if tag.startswith("I-") and former[2:] != tag[2:]
        ]
    return [place for place, (tag, other) in enumerate(zip(tags, from_bio(bio, scheme), strict=True)) if tag != other]


def allowed(tags: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which BIO tag may follow which, and which may come first: an I- goes on with a span of its own type.

    Args:
        tags: the K distinct tags.

    Returns:
        (K, K), from the row's tag to the column's, and (K,).

    Example:
        >>> allowed(["B-PER", "I-PER", "O"])[0].tolist()
        [[True, True, True], [True, True, True], [True, False, True]]
    """
    inside = np.array([tag.startswith("I-") for tag in tags])  # (K,)
    kinds = np.array([tag[2:] for tag in tags])
    return ~inside[None, :] | (kinds[:, None] == kinds[None, :]), ~inside
