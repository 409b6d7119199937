"""How tags mark spans such as entities: IOB1, BIO, BIOES and their like in, BIO inside, and back as they came.

    words    Ada  Lovelace  met  Charles  Babbage  in  London
    IOB1     I-P  I-P       O    I-P      I-P      O   I-L       B- only where a span touches one of its own type
    BIO      B-P  I-P       O    B-P      I-P      O   B-L       every span begins with B-
    BIOES    B-P  E-P       O    B-P      E-P      O   S-L       its last word has E-, a span of one word S-

BILOU is BIOES with L for E and U for S, BMES is BIOES with M for I. Where there is one type only, tags may lack it:
B, I and O, or B, M, E and S for the words of a text without blanks.
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
# The first word of a span, inner ones, the last, a word alone:
_LETTERS = {
    "iob1": "IIII",
    "bio": "BIIB",
    "bioes": "BIES",
    "bilou": "BILU",
    "bmes": "BMES",
}  # the first word, inner, last, alone


def detect_scheme(sentences: Iterable[Sequence[str]]) -> str:
    """Find out which scheme the tags of some sentences follow.

    Tags are of spans where each is ``O`` or a letter of the scheme, a hyphen and a type, and at least one is not ``O``;
    or where each is ``O`` or a letter, and some begin with B or I. M- makes it BMES, E- or S- BIOES, L- or U- BILOU.
    Otherwise it is IOB1 where more spans begin with I- than with B-; a B- right
    after a span of its own type, which both schemes write, does not count.

    Returns:
        One of `SCHEMES`, or an empty string where the tags are of single words, such as parts of speech.

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
    """Say which tags keep the others from being of spans: none, where the others do not look so.

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
    """Write tags of a scheme as BIO; a span that does not begin as the scheme has it begins with B- all the same.

    Args:
        tags: of a sentence; what is no tag of the scheme stays as it is.
        scheme: one of `SCHEMES`.

    Raises:
        UsageError: there is no such scheme.

    Example:
        >>> to_bio(["I-PER", "I-PER", "B-PER", "O"], "iob1"), to_bio(["S-LOC", "B-PER", "E-PER"], "bioes")
        (['B-PER', 'I-PER', 'B-PER', 'O'], ['B-LOC', 'B-PER', 'I-PER'])
    """
    return _write_spans(tags, _find_spans(tags, scheme), "bio")


def from_bio(tags: Sequence[str], scheme: str) -> list[str]:
    """Write BIO tags in another scheme: the inverse of `to_bio`.

    Example:
        >>> from_bio(["B-PER", "I-PER", "B-PER", "O"], "iob1"), from_bio(["B-LOC", "B-PER", "I-PER"], "bioes")
        (['I-PER', 'I-PER', 'B-PER', 'O'], ['S-LOC', 'B-PER', 'E-PER'])
    """
    return _write_spans(tags, find_spans(tags), scheme)


def find_spans(bio: Sequence[str]) -> list[Span]:
    """Find the spans that BIO tags mark; an I- after O, or after another type, begins one, as conlleval has it.

    Example:
        >>> find_spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
        [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC')]
    """
    return _find_spans(bio, "bio")


def find_inconsistencies(tags: Sequence[str], scheme: str) -> list[int]:
    """Return the places of tags that are none of the scheme's, or that it would write otherwise, such as I- after O.

    Example:
        >>> find_inconsistencies(["O", "I-PER", "B-LOC", "I-PER"], "bio"), find_inconsistencies(["B-PER", "O"], "bioes")
        ([1, 3], [0])
    """
    letters = "B" + _letters(scheme)
    due = from_bio(to_bio(tags, scheme), scheme)
    return [
        place
        for place, (tag, other) in enumerate(zip(tags, due, strict=True))
        if tag != other or not (tag == "O" or _is_span_tag(tag, letters))
    ]


def _letters(scheme: str) -> str:
    if scheme not in _LETTERS:
        meant = suggest(scheme, SCHEMES) or f"; there are {', '.join(SCHEMES)}"
        raise UsageError(f'there is no scheme "{scheme}"{meant}')
    return _LETTERS[scheme]


def _is_span_tag(tag: str, letters: str) -> bool:
    """Tell whether a tag marks a word of a span: one of the letters alone, or with a hyphen and a type."""
    return tag[:1] in tuple(letters) and (len(tag) == 1 or (tag[1] == "-" and len(tag) > 2))


def _find_spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """Find spans: I, M, E and L go on with a span of their type that has not ended; everything else begins one."""
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
    """Write spans in a scheme; a tag of no span stays as it is."""
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
    """Say which BIO tag may follow which, and which may come first: an I- goes on with a span of its own type.

    Args:
        tags: the K distinct tags.

    Returns:
        (K, K), from the row's tag to the column's, and (K,); all True where the tags are not BIO.

    Example:
        >>> allowed_transitions(["B-PER", "I-PER", "O"])[0].tolist()
        [[True, True, True], [True, True, True], [True, False, True]]
    """
    is_bio = all(tag == "O" or _is_span_tag(tag, "BI") for tag in tags)
    inside = np.array([is_bio and tag[0] == "I" for tag in tags], np.bool_)  # (K,)
    kinds = np.array(["\n" if tag == "O" else tag[2:] for tag in tags])
    return ~inside[None, :] | (kinds[:, None] == kinds[None, :]), ~inside
