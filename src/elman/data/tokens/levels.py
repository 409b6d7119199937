"""Learning a tokenizer of any level: characters, words, tokens between white space, or byte pairs."""

from __future__ import annotations

from collections.abc import Iterable

from elman.data.tokens.byte_pairs import BytePairTokenizer
from elman.data.tokens.characters import CharacterTokenizer
from elman.data.tokens.tokenizer import Tokenizer
from elman.data.tokens.words import SpaceTokenizer, WordTokenizer


def learn_tokenizer(
    level: str, chunks: Iterable[str], vocab_size: int | None = None, min_count: int | None = None
) -> Tokenizer:
    """Learn a tokenizer from a text.

    Args:
        level: ``char``, ``word``, ``space`` or ``bpe``.
        chunks: the text, in pieces.
        vocab_size: the maximum size of the vocabulary. Default: 10,000 words or 4,096 byte pairs; all tokens of a text
            of level ``space`` that contains ``<unk>``; all characters, always.
        min_count: how often a word must occur to be in the vocabulary. Default: 2; 1 for a text of level ``space`` that
            contains ``<unk>``.

    Example:
        >>> learn_tokenizer("word", ["the cat", "the dog"], vocab_size=9, min_count=2).vocab_size
        4
    """
    if level == "char":
        return CharacterTokenizer.train(chunks)
    if level == "space":
        return SpaceTokenizer.train(chunks, vocab_size, min_count)
    if level == "word":
        return WordTokenizer.train(chunks, vocab_size or 10_000, 2 if min_count is None else min_count)
    return BytePairTokenizer.train(chunks, vocab_size or 4096)
