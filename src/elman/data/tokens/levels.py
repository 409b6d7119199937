"""Learning a tokenizer of any level: characters, words or byte pairs."""

from __future__ import annotations

from collections.abc import Iterable

from elman.data.tokens.byte_pairs import BytePairTokenizer
from elman.data.tokens.characters import CharacterTokenizer
from elman.data.tokens.tokenizer import Tokenizer
from elman.data.tokens.words import WordTokenizer


def learn_tokenizer(level: str, chunks: Iterable[str], vocab_size: int, min_count: int) -> Tokenizer:
    """Learn a tokenizer from a text.

    Args:
        level: ``char``, ``word`` or ``bpe``.
        chunks: the text, in pieces.
        vocab_size: the maximum size of the vocabulary (of words and byte pairs).
        min_count: how often a word must occur to be in the vocabulary.

    Example:
        >>> learn_tokenizer("word", ["the cat", "the dog"], vocab_size=9, min_count=2).vocab_size
        4
    """
    if level == "char":
        return CharacterTokenizer.train(chunks)
    if level == "word":
        return WordTokenizer.train(chunks, vocab_size, min_count)
    return BytePairTokenizer.train(chunks, vocab_size)
