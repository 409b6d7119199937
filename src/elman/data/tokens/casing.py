"""Lower case as a language writes it: in Turkish, Azeri and their relatives, I is the capital of ı, and İ that of i."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_LEAST_SHARE = 0.1  # of ı and İ per i and I: about 0.6 in Turkish, nearly 0 where they only occur in foreign names


def has_dotless_i(counts: Mapping[str, int]) -> bool:
    """Tell from the words of a text, with their counts, whether its language distinguishes ı from i.

    Example:
        >>> has_dotless_i({"ışık": 1, "bir": 2, "İzmir": 1}), has_dotless_i({"I": 5, "visited": 5, "Diyarbakır": 1})
        (True, False)
    """
    special = sum(count * (word.count("ı") + word.count("İ")) for word, count in counts.items())
    plain = sum(count * (word.count("i") + word.count("I")) for word, count in counts.items())
    return special > _LEAST_SHARE * plain


def lower_case(dotless_i: bool) -> Callable[[str], str]:
    """Return the function that converts a word to lower case.

    Args:
        dotless_i: whether the language distinguishes ı from i.

    Example:
        >>> lower_case(dotless_i=True)("IŞIK"), lower_case(dotless_i=True)("İzmir"), lower_case(dotless_i=False)("It")
        ('ışık', 'izmir', 'it')
    """
    return _lower_turkish if dotless_i else str.lower


def _lower_turkish(word: str) -> str:
    return word.replace("İ", "i").replace("I", "ı").lower()
