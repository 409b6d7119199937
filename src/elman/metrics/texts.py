"""Metrics that compare generated texts with references: BLEU and chrF by sacrebleu, ROUGE here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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
        words, wanted = split_words(one), split_words(other)
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


def ngrams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    """Count the n-grams of ``size`` words.

    Example:
        >>> ngrams(["no", "no", "no"], 2)
        Counter({('no', 'no'): 2})
    """
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def split_words(text: str) -> list[str]:
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
