"""Metrics from the negative log-likelihood: nats, bits and perplexity."""

from __future__ import annotations

import math


def language_metrics(nats: float, tokens: int, characters: int, unknown: int, words: int = 0) -> dict[str, float | int]:
    """Compute the metrics that papers report from a summed loss.

    Args:
        nats: the summed negative log-likelihood of the predicted tokens.
        tokens: the number of predicted tokens.
        characters: the number of characters of those tokens.
        unknown: the number of those tokens that were ``<unk>``.
        words: the number of words that these tokens make, as white space divides them, line ends included.

    Returns:
        ``nats_per_token``, ``bits_per_token``, ``bits_per_character``, ``perplexity`` (e to the nats per token),
        ``perplexity_per_word`` (e to the nats per word, which can be compared between tokenizers), and the counts.

    Example:
        >>> figures = language_metrics(nats=math.log(2) * 10, tokens=10, characters=20, unknown=0)
        >>> [round(figures[name], 6) for name in ("bits_per_token", "bits_per_character", "perplexity")]
        [1.0, 0.5, 2.0]
        >>> round(language_metrics(math.log(2) * 10, 10, 20, 0, words=5)["perplexity_per_word"], 6)
        4.0
    """
    nats_per_token = nats / max(tokens, 1)
    most = 700.0  # e^710 is too large for a float64
    return {
        "nats_per_token": nats_per_token,
        "bits_per_token": nats_per_token / math.log(2),
        "bits_per_character": nats / math.log(2) / max(characters, 1),
        "perplexity": math.exp(min(nats_per_token, most)),
        "perplexity_per_word": math.exp(min(nats / max(words, 1), most)),
        "tokens": tokens,
        "words": words,
        "characters": characters,
        "unknown": unknown,
    }
