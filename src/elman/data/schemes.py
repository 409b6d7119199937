"""Tagging schemes for spans such as entities: IOB1, BIO, BIOES and similar; models use BIO internally.

    words    Ada  Lovelace  met  Charles  Babbage  in  London
    IOB1     I-P  I-P       O    I-P      I-P      O   I-L       B- only directly after a span of the same type
    BIO      B-P  I-P       O    B-P      I-P      O   B-L       every span begins with B-
    BIOES    B-P  E-P       O    B-P      E-P      O   S-L       a span ends with E-; a span of one word is S-

BILOU is BIOES with L for E and U for S; BMES is BIOES with M for I. If there is only one type, tags may omit it:
B, I and O, or B, M, E and S for word segmentation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from elman.errors import UsageError, suggest

Span = tuple[int, int, str]
"""First word, the word after the last, and type."""

SCHEMES = ("iob1", "bio", "bioes", "bilou", "bmes")

_ALL = "BIMESLU"
_LETTERS = {  # of the first word of a span, an inner one, the last one, and a single word
    "iob1": "IIII",
    "bio": "BIIB",
    "bioes": "BIES",
    "bilou": "BILU",
    "bmes": "BMES",
}


def detect_scheme(sentences: Iterable[Sequence[str]]) -> str:
    """Detect the scheme of the tags of some sentences.

    Tags mark spans if each of them is ``O`` or a letter, a hyphen and a type, and not all are ``O``; or if each is
    ``O`` or a single letter, with at least one B or I. M makes it BMES, E or S BIOES, L or U BILOU. Otherwise it is
    IOB1 if more spans begin with I- than with B-; a B- directly after a span of the same type, which both schemes
    have, does not count.

    Returns:
        One of `SCHEMES`, or an empty string if the tags are of single words, such as parts of speech.

    Example:
        >>> [detect_scheme([tags]) for tags in (["B-PER", "I-PER", "O"], ["I-PER", "I-PER", "O"], ["S-PER", "O"])]
        ['bio', 'iob1', 'bioes']
        >>> detect_scheme([["B", "I", "O"]]), detect_scheme([["B", "M", "E"], ["S"]]), detect_scheme([["NOUN", "VERB"]])
        ('bio', 'bmes', '')
    """
    letters: set[str] = set()
    kinds: set[str] = set()
    begun_by_i = begun_by_b = 0
    for tags in sentences:
        before = "O"
        for tag in tags:
            if tag != "O":
                if not _is_span_tag(tag, _ALL):
                    return ""
                letter = tag[0]
                letters.add(letter)
                kinds.add(tag[2:])
                follows = before != "O" and before[2:] == tag[2:]
                begun_by_i += letter == "I" and not follows
                begun_by_b += letter == "B" and not follows
            before = tag
    if not letters or ("" in kinds and (len(kinds) > 1 or not letters & {"B", "I"})):
        return ""
    if "M" in letters:
        return "" if letters & {"I", "L", "U"} else "bmes"
    if letters & {"L", "U"}:
        return "" if letters & {"E", "S"} else "bilou"
    if letters & {"E", "S"}:
        return "bioes"
    return "iob1" if begun_by_i > begun_by_b else "bio"


def find_stray_tags(sentences: Iterable[Sequence[str]]) -> list[str]:
    """Find the tags that prevent the others from being read as spans; none if most tags do not look like spans.

    Example:
        >>> find_stray_tags([["B-PER", "I-PER", "o", "B-LOC"]]), find_stray_tags([["NOUN", "B-", "VERB"]])
        (['o'], [])
        >>> find_stray_tags([["B-PER", "E-PER", "U-PER"]])  # BIOES and BILOU
        ['B-PER', 'E-PER', 'U-PER']
    """
    counts = Counter(tag for tags in sentences for tag in tags if tag != "O")
    typed = {tag for tag in counts if _is_span_tag(tag, _ALL) and len(tag) > 1}
    if 2 * sum(counts[tag] for tag in typed) < counts.total():
        return []
    return sorted(counts.keys() - typed) or sorted(typed)


def to_bio(tags: Sequence[str], scheme: str) -> list[str]:
    """Convert tags of a scheme to BIO; a span that breaks the rules of the scheme also begins with B-.

    Args:
        tags: the tags of a sentence; a tag that does not belong to the scheme is kept.
        scheme: one of `SCHEMES`.

    Raises:
        UsageError: there is no such scheme.

    Example:
        >>> to_bio(["I-PER", "I-PER", "B-PER", "O"], "iob1"), to_bio(["S-LOC", "B-PER", "E-PER"], "bioes")
        (['B-PER', 'I-PER', 'B-PER', 'O'], ['B-LOC', 'B-PER', 'I-PER'])
    """
    return _write_spans(tags, _find_spans(tags, scheme), "bio")


def from_bio(tags: Sequence[str], scheme: str) -> list[str]:
    """Convert BIO tags to another scheme: the inverse of `to_bio`.

    Example:
        >>> from_bio(["B-PER", "I-PER", "B-PER", "O"], "iob1"), from_bio(["B-LOC", "B-PER", "I-PER"], "bioes")
        (['I-PER', 'I-PER', 'B-PER', 'O'], ['S-LOC', 'B-PER', 'E-PER'])
    """
    return _write_spans(tags, find_spans(tags), scheme)


def find_spans(bio: Sequence[str]) -> list[Span]:
    """Find the spans that BIO tags mark; an I- after O or after another type begins a span, as in conlleval.

    Example:
        >>> find_spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
        [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC')]
    """
    return _find_spans(bio, "bio")


def merge_positions(bio: Sequence[str]) -> list[str]:
    """Merge the BIO tags of the words of a span into one: a hyphen and the type; other tags are kept.

    Example:
        >>> merge_positions(["B-PER", "I-PER", "O", "B-LOC"])
        ['-PER', '-PER', 'O', '-LOC']
    """
    return [tag[1:] if _is_span_tag(tag, "BI") else tag for tag in bio]


def find_inconsistencies(tags: Sequence[str], scheme: str) -> list[int]:
    """Find the positions of tags that the scheme does not have, or not in this place, such as I- after O.

    Example:
        >>> find_inconsistencies(["O", "I-PER", "B-LOC", "I-PER"], "bio"), find_inconsistencies(["B-PER", "O"], "bioes")
        ([1, 3], [0])
    """
    letters = "B" + _letters(scheme)
    expected = from_bio(to_bio(tags, scheme), scheme)
    return [
        position
        for position, (tag, other) in enumerate(zip(tags, expected, strict=True))
        if tag != other or not (tag == "O" or _is_span_tag(tag, letters))
    ]


def _letters(scheme: str) -> str:
    if scheme not in _LETTERS:
        meant = suggest(scheme, SCHEMES) or f"; there are {', '.join(SCHEMES)}"
        raise UsageError(f'there is no scheme "{scheme}"{meant}')
    return _LETTERS[scheme]


def _is_span_tag(tag: str, letters: str) -> bool:
    """Tell whether a tag marks a word of a span: one of the letters, alone or with a hyphen and a type."""
    return tag[:1] in tuple(letters) and (len(tag) == 1 or (tag[1] == "-" and len(tag) > 2))


def _find_spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """Find spans: I, M, E and L continue an open span of the same type; any other tag begins a new span."""
    letters = "B" + _letters(scheme)
    found: list[Span] = []
    before = "O"
    for place, tag in enumerate(tags):
        if not _is_span_tag(tag, letters):
            before = "O"
            continue
        if tag[0] in "IMEL" and before[0] in "BIM" and before[2:] == tag[2:]:
            found[-1] = (found[-1][0], place + 1, tag[2:])
        else:
            found.append((place, place + 1, tag[2:]))
        before = tag
    return found


def _write_spans(tags: Sequence[str], spans: Sequence[Span], scheme: str) -> list[str]:
    """Write spans in a scheme; the other tags are kept."""
    first, inner, last, alone = list(_letters(scheme))
    written = list(tags)
    before = (-1, -1, "")
    for span in spans:
        start, stop, kind = span
        letters = alone if stop - start == 1 else first + inner * (stop - start - 2) + last
        if scheme == "iob1" and before[1:] == (start, kind):
            letters = "B" + letters[1:]
        written[start:stop] = [f"{letter}-{kind}" if kind else letter for letter in letters]
        before = span
    return written


def allowed_transitions(tags: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which BIO tag may follow which, and which may come first: an I- needs a span of the same type before it.

    Args:
        tags: the K distinct tags.

    Returns:
        (K, K), from the row's tag to the column's, and (K,) for the first tag; all True if the tags are not BIO.

    Example:
        >>> allowed_transitions(["B-PER", "I-PER", "O"])[0].tolist()
        [[True, True, True], [True, True, True], [True, False, True]]
    """
    is_bio = all(tag == "O" or _is_span_tag(tag, "BI") for tag in tags)
    inside = np.array([is_bio and tag[0] == "I" for tag in tags], np.bool_)  # (K,)
    kinds = np.array(["\n" if tag == "O" else tag[2:] for tag in tags])
    return ~inside[None, :] | (kinds[:, None] == kinds[None, :]), ~inside
