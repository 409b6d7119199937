"""Metrics that compare generated texts with references: BLEU and chrF by sacrebleu, ROUGE and CIDEr here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import regex


def translation_metrics(written: Sequence[str], references: Sequence[str]) -> tuple[dict[str, float], dict[str, str]]:
    """Compute BLEU and chrF of translations, from 0 to 100, with their signatures.

    Source: Post (2018), "A call for clarity in reporting BLEU scores", whose sacrebleu computes both.

    Args:
        written: the translations, as plain text.
        references: the reference of each translation.

    Returns:
        ``bleu`` and ``chrf``; and ``bleu_signature`` and ``chrf_signature``, which state tokenisation and version.

    Example:
        >>> figures, signatures = translation_metrics(["the cat sits here ."], ["the cat sits here ."])
        >>> round(figures["bleu"], 1), signatures["bleu_signature"].partition("|")[0]
        (100.0, 'nrefs:1')
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    figures, signatures = {}, {}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        figures[name] = float(metric.corpus_score(list(written), [list(references)]).score)
        signatures[f"{name}_signature"] = str(metric.get_signature())
    return figures, signatures


def rouge(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Compute ROUGE of summaries: the words, word pairs and word order that they share with the references.

    The F1 of each text is averaged over the texts. Words are lower-case runs of letters and digits of any script,
    without stemming.

    Source: Lin (2004), "ROUGE: a package for automatic evaluation of summaries", sections 2 and 3.

    Returns:
        ``rouge1``, ``rouge2`` and ``rougeL``, from 0 to 1.

    Example:
        >>> rouge(["police killed the gunman"], ["police kill the gunman"])
        {'rouge1': 0.75, 'rouge2': 0.3333333333333333, 'rougeL': 0.75}
    """
    sums = dict.fromkeys(("rouge1", "rouge2", "rougeL"), 0.0)
    for one, other in zip(written, references, strict=True):
        words, wanted = _split_words(one), _split_words(other)
        for size in (1, 2):
            shared = (ngrams(words, size) & ngrams(wanted, size)).total()
            sums[f"rouge{size}"] += _f1(shared, len(words) - size + 1, len(wanted) - size + 1)
        sums["rougeL"] += _f1(_find_common_length(words, wanted), len(words), len(wanted))
    return {name: total / max(len(written), 1) for name, total in sums.items()}


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, a baseline for its summary.

    Example:
        >>> first_sentence("Sales rose by 3.5 %. Prices fell.")
        'Sales rose by 3.5 %.'
    """
    return str(regex.split(r"(?<=[\p{Sentence_Break=STerm}.])\s+|(?<=。)", text.strip(), maxsplit=1)[0])


def caption_metrics(written: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Compute metrics of captions, each compared with all references of its picture.

    Source: BLEU: Papineni et al. (2002), from 0 to 100 as in sacrebleu, without smoothing; CIDEr: Vedantam, Zitnick
    and Parikh (2015), equations 1 to 3, times 10 as is usual (this is not CIDEr-D, which penalises length and
    repetition).

    Args:
        written: the captions.
        references: one or more references for each caption.

    Returns:
        ``bleu1`` to ``bleu4``, ``cider``, and ``exact``: the fraction of captions that equal a reference, ignoring
        case and spaces.

    Example:
        >>> figures = caption_metrics(["a red circle", "a big dog"], [["a red circle"], ["a small dog", "a puppy"]])
        >>> round(figures["bleu1"], 1), figures["exact"]
        (83.3, 0.5)
    """
    from sacrebleu.metrics.bleu import BLEU

    most = max((len(some) for some in references), default=0)
    columns: list[list[Any]] = [
        [some[column] if column < len(some) else None for some in references] for column in range(most)
    ]
    figures = {}
    for order in range(1, 5):
        metric = BLEU(max_ngram_order=order, smooth_method="none", tokenize="13a", lowercase=True)
        figures[f"bleu{order}"] = float(metric.corpus_score(list(written), columns).score)
    figures["cider"] = cider(written, references)
    same = [
        _split_words(one) in [_split_words(other) for other in some]
        for one, some in zip(written, references, strict=True)
    ]
    figures["exact"] = sum(same) / max(len(same), 1)
    return figures


def cider(written: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Compute CIDEr: the mean cosine similarity of TF-IDF vectors of n-grams, for n from 1 to 4, times 10.

    The weight of an n-gram is its frequency in its text times log(texts / texts with the n-gram in a reference).

    Example:
        >>> round(cider(["a red circle", "a big dog"], [["a red circle"], ["a big dog"]]), 3)
        7.5
    """
    texts = [_split_words(one) for one in written]
    wanted = [[_split_words(other) for other in some] for some in references]
    total = 0.0
    for size in range(1, 5):
        occurs: Counter[tuple[str, ...]] = Counter()
        for some in wanted:
            occurs.update({gram for words in some for gram in ngrams(words, size)})
        for words, some in zip(texts, wanted, strict=True):
            vector = _weigh_ngrams(words, size, occurs, len(texts))
            cosines = [_cosine(vector, _weigh_ngrams(other, size, occurs, len(texts))) for other in some]
            total += sum(cosines) / max(len(cosines), 1)
    return 10 * total / 4 / max(len(texts), 1)


def ngrams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    """Count the n-grams of ``size`` words.

    Example:
        >>> ngrams(["no", "no", "no"], 2)
        Counter({('no', 'no'): 2})
    """
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def _split_words(text: str) -> list[str]:
    r"""Split a text into words for comparison: in lower case, without punctuation."""
    found: list[str] = regex.findall(r"[\p{L}\p{M}\p{N}]+", text.lower())
    return found


def _f1(shared: int, ours: int, theirs: int) -> float:
    return 2 * shared / (ours + theirs) if shared else 0.0


def _find_common_length(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of words."""
    row = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for place, wanted in enumerate(other, start=1):
            diagonal, row[place] = row[place], diagonal + 1 if word == wanted else max(row[place], row[place - 1])
    return row[-1]


def _weigh_ngrams(
    words: Sequence[str], size: int, occurs: Counter[tuple[str, ...]], texts: int
) -> dict[tuple[str, ...], float]:
    counts = ngrams(words, size)
    return {
        gram: count / counts.total() * (math.log(texts) - math.log(max(occurs[gram], 1)))
        for gram, count in counts.items()
    }


def _cosine(one: dict[tuple[str, ...], float], other: dict[tuple[str, ...], float]) -> float:
    lengths = _compute_norm(one.values()) * _compute_norm(other.values())
    return sum(value * other[gram] for gram, value in one.items() if gram in other) / lengths if lengths else 0.0


def _compute_norm(values: Iterable[float]) -> float:
    return math.sqrt(sum(value * value for value in values))
