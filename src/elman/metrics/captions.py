"""Metrics that compare captions with the references of a picture, as the evaluation of MS COCO computes them.

caption ──split_caption──▶ words ──▶ BLEU-1 to 4 | CIDEr, CIDEr-D
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from html import unescape
from typing import Any, TypeAlias

import regex

from elman.metrics.texts import ngrams, split_words

Words: TypeAlias = list[str]
Vector: TypeAlias = dict[tuple[str, ...], float]

LONGEST = 4  # words of an n-gram
SIGMA = 6.0  # words: the standard deviation of the Gaussian that weighs a difference in length in CIDEr-D

SIGNATURES = {
    "bleu_signature": "nrefs:var|case:lc|eff:no|tok:coco|smooth:none",
    "cider_signature": f"n:1-{LONGEST}|idf:references|scale:10|sigma:{SIGMA:g} (cider_d)|tok:coco",
}
"""How the figures are computed, in sacrebleu's notation."""

_PUNCTUATION = frozenset("'`\".?!,:-;")
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_PLAIN = str.maketrans({"’": "'", "\u2018": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "."})
_TOKENS = regex.compile(
    r"""
    https?://\S*[\w/] | www\.\S*\w | [\w.+-]+@\w[\w-]*(?:\.\w[\w-]*)+   # addresses
  | [#@]\p{L}\w*                                                        # a hashtag or a name
  | \w+?(?=n't\b) | n't\b | '(?:s|m|d|re|ve|ll)\b                       # is|n't, dog|'s
  | can(?=not\b) | gon(?=na\b) | wan(?=na\b) | got(?=ta\b) | gim(?=me\b) | lem(?=me\b) | 't(?=is\b|was\b)
  | (?:\w\.){2,} | \b\p{L}\.(?=\s+\S)                                   # p.m. and initials
  | (?:mr|mrs|ms|dr|prof|rev|gen|col|lt|sgt|st|ave|blvd|mt|ft|jr|sr|inc|co|corp|ltd|vs|dept|gov|no(?=\.\ *\d))\.
  | '(?:em|n'|\d\ds)(?!\w)
  | \d+(?:[.:]\d+)*(?=[ap]m\b|%)                                        # 10:30|am
  # t-shirt, 1,000, r&b, o'clock
  | \w+(?:(?:[-/._]|(?<=\d)[,:](?=\d)|(?<=\b\w)&(?=\w\b)|'(?!(?:s|m|d|re|ve|ll)\b)(?=\p{L}))\w+)*
  | [?!]+ | \S
    """,
    regex.VERBOSE,
)


def split_caption(caption: str) -> list[str]:
    r"""Split a caption into words as COCO's evaluation does: Penn Treebank tokens, lower case, without punctuation.

    COCO's evaluation runs the Stanford tokenizer. These are its rules for plain English; they give the same words for
    99.9 % of the captions of Multi30k.

    Source: Chen et al. (2015), "Microsoft COCO captions: data collection and evaluation server", section 3.1.

    Example:
        >>> split_caption('A man isn\'t wearing his dog\'s T-shirt, "he said".')
        ['a', 'man', 'is', "n't", 'wearing', 'his', 'dog', "'s", 't-shirt', 'he', 'said']
    """
    plain = unescape(caption).lower().translate(_PLAIN)
    found = (_BRACKETS.get(token, token) for token in _TOKENS.findall(plain))
    return [token for token in found if token not in _PUNCTUATION]


def caption_metrics(written: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Compute metrics of captions, each compared with all references of its picture.

    Source: BLEU: Papineni et al. (2002), from 0 to 100 as in sacrebleu, without smoothing; CIDEr and CIDEr-D: see
    :func:`cider`.

    Args:
        written: the captions.
        references: one or more references for each caption.

    Returns:
        ``bleu1`` to ``bleu4``, ``cider``, ``cider_d``, and ``exact``: the fraction of captions that equal a reference,
        ignoring case, spaces and punctuation.

    Example:
        >>> figures = caption_metrics(["a red circle", "a big dog"], [["a red circle"], ["a small dog", "a puppy"]])
        >>> round(figures["bleu1"], 1), figures["exact"]
        (83.3, 0.5)
    """
    from sacrebleu.metrics.bleu import BLEU

    texts, wanted = _split(written, references)
    columns: list[list[Any]] = [
        [" ".join(some[column]) if column < len(some) else None for some in wanted]
        for column in range(max(map(len, wanted), default=0))
    ]
    figures = {}
    for order in range(1, LONGEST + 1):
        metric = BLEU(max_ngram_order=order, smooth_method="none", tokenize="none")
        figures[f"bleu{order}"] = float(metric.corpus_score([" ".join(words) for words in texts], columns).score)
    figures["cider"], figures["cider_d"] = _cider(texts, wanted, None), _cider(texts, wanted, SIGMA)
    same = [
        split_words(one) in [split_words(other) for other in some]
        for one, some in zip(written, references, strict=True)
    ]
    figures["exact"] = sum(same) / max(len(same), 1)
    return figures


def cider(written: Sequence[str], references: Sequence[Sequence[str]], sigma: float | None = None) -> float:
    """Compute CIDEr or, with ``sigma``, CIDEr-D: how similar captions are to their references, from 0 to 10.

    The TF-IDF vector g(c) of a caption c has a number for each n-gram: its count times log(pictures / pictures with the
    n-gram in a reference). For each n from 1 to 4,

        CIDEr_n(c, r) = g(c) · g(r) / (‖g(c)‖ ‖g(r)‖)
        CIDEr-D_n(c, r) = min(g(c), g(r)) · g(r) / (‖g(c)‖ ‖g(r)‖) · exp(-(length of c - length of r)² / (2 σ²))

    The result is ten times the mean over n, over the references of a picture, and over the pictures.

    Source: Vedantam, Zitnick and Parikh (2015), "CIDEr: consensus-based image description evaluation", equations 1 to
    4.

    Args:
        written: the captions.
        references: one or more references for each caption.
        sigma: σ, in words; 6 in the paper. None computes CIDEr.

    Example:
        >>> round(cider(["a red circle", "a big dog"], [["a red circle"], ["a big dog"]]), 3)
        7.5
    """
    return _cider(*_split(written, references), sigma)


def _split(written: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[list[Words], list[list[Words]]]:
    return [split_caption(one) for one in written], [[split_caption(other) for other in some] for some in references]


def _cider(texts: Sequence[Words], wanted: Sequence[Sequence[Words]], sigma: float | None) -> float:
    total = 0.0
    for size in range(1, LONGEST + 1):
        pictures = Counter(gram for some in wanted for gram in {gram for words in some for gram in ngrams(words, size)})

        def weigh(words: Words, size: int = size, pictures: Counter[tuple[str, ...]] = pictures) -> Vector:
            return {
                gram: count * (math.log(len(texts)) - math.log(max(pictures[gram], 1)))
                for gram, count in ngrams(words, size).items()
            }

        for words, some in zip(texts, wanted, strict=True):
            vector = weigh(words)
            for other in some:
                near = 1.0 if sigma is None else math.exp(-((len(words) - len(other)) ** 2) / (2 * sigma**2))
                total += near * _compare(vector, weigh(other), sigma is not None) / len(some)
    return 10 * total / LONGEST / max(len(texts), 1)


def _compare(one: Vector, other: Vector, is_clipped: bool) -> float:
    """Return the cosine of two vectors; if clipped, no number of the first counts for more than the second's."""
    lengths = math.hypot(*one.values()) * math.hypot(*other.values())
    products = (
        (min(value, other[gram]) if is_clipped else value) * other[gram] for gram, value in one.items() if gram in other
    )
    return sum(products) / lengths if lengths else 0.0
