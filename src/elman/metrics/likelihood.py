"""How likely a model finds the truth: nats, bits and perplexity, each figure with its unit."""

from __future__ import annotations

import math


def language_metrics(nats: float, tokens: int, characters: int, unknown: int) -> dict[str, float | int]:
    """Turn a summed loss into the figures that papers quote.

    Args:
        nats: the summed negative log-likelihood of the predicted tokens.
        tokens: how many tokens were predicted.
        characters: how many characters of text those tokens stand for.
        unknown: how many of the tokens were ``<unk>``.

    Returns:
        ``nats_per_token``, ``bits_per_token``, ``bits_per_character``, ``perplexity`` (e to the nats per token),
        and the counts.

    Example:
        >>> figures = language_metrics(nats=math.log(2) * 10, tokens=10, characters=20, unknown=0)
        >>> [round(figures[name], 6) for name in ("bits_per_token", "bits_per_character", "perplexity")]
        [1.0, 0.5, 2.0]
    """
    nats_per_token = nats / max(tokens, 1)
    return {
        "nats_per_token": nats_per_token,
        "bits_per_token": nats_per_token / math.log(2),
        "bits_per_character": nats / math.log(2) / max(characters, 1),
        "perplexity": math.exp(min(nats_per_token, 700.0)),  # e^700 is the last power that a float64 holds
        "tokens": tokens,
        "characters": characters,
        "unknown": unknown,
    }
