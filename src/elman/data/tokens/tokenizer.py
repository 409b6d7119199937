"""The base class of the tokenizers, which convert text to ids and back: characters, words or byte pairs.

Every vocabulary begins with the same three tokens: ``<unk>`` (0, for anything not in the vocabulary), ``<s>`` (1) and
``</s>`` (2), the start and the end of a line if lines are independent sequences. ``<unk>`` in a text, as in Penn
Treebank or WikiText, is that token; ``<s>`` and ``</s>`` in a text are not these tokens.

A tokenizer of any level is saved as one ``tokenizer.json`` in the format of Hugging Face tokenizers. That library
learns and applies byte pairs; characters and words are looked up here, which is several times faster.

A text may be encoded in pieces, cut before whitespace as in `elman.data.text`: the ids are the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.documents import read_json, write_json
from elman.errors import ModelError

Ids: TypeAlias = NDArray[np.int32]

UNKNOWN = "<unk>"
SPECIALS = (UNKNOWN, "<s>", "</s>")


class StreamDecoder:
    """Converts ids to text one by one, as they are generated; only an incomplete character is held back."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def push(self, token_id: int) -> str:
        """Add an id and return the text that it completes, which may be empty."""
        return self._tokenizer.decode([token_id])

    def finish(self) -> str:
        """Return the rest: the replacement character for a character that was never completed."""
        return ""


_DOCUMENT = {  # of a tokenizer.json
    "model": {"type": str, "vocab": {str: int}, "merges?": [object]},
    "pre_tokenizer": {str: object},
}


class Tokenizer(ABC):
    """The base class of all levels.

    Args:
        vocabulary: the tokens in the order of their ids, beginning with ``<unk>``, ``<s>``, ``</s>``.

    Raises:
        ValueError: the vocabulary is not one of this level.
    """

    level: ClassVar[str]
    unknown_id, begin_id, end_id = range(3)

    def __init__(self, vocabulary: Sequence[str]) -> None:
        if tuple(vocabulary[:3]) != SPECIALS:
            raise ValueError(f"the first three tokens must be {', '.join(SPECIALS)}")
        if "" in vocabulary:
            raise ValueError("a token is empty")
        "".join(vocabulary).encode()  # a lone surrogate raises a ValueError
        self._names = list(vocabulary)

    @property
    def vocab_size(self) -> int:
        """The number of ids, including the three special ones."""
        return len(self._names)

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Convert text to ids, (N,) int32; anything not in the vocabulary becomes id 0."""

    @abstractmethod
    def encode_lines(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        r"""Encode each line separately, without its "\n".

        Args:
            text: any number of lines, with "\n" between them (but not after the last one).

        Returns:
            The concatenated ids of all lines, (N,) int32, and the number of ids in each line, (lines,) int64.
        """

    def decode(self, ids: ArrayLike) -> str:
        """Convert ids back to text; ``<s>`` and ``</s>`` are dropped, an unknown token becomes ``<unk>``."""
        decoder = self.stream_decoder()
        return "".join([decoder.push(token_id) for token_id in np.asarray(ids).tolist()]) + decoder.finish()

    def stream_decoder(self) -> StreamDecoder:
        """Start decoding ids one by one; the joined results are equal to the result of `decode`."""
        return StreamDecoder(self)

    def tokens(self, ids: ArrayLike) -> list[str]:
        r"""Return each token as readable text; a byte that is not a character becomes ``\xc3``."""
        return [self._names[token_id] for token_id in np.asarray(ids).tolist()]

    @abstractmethod
    def to_json(self) -> str:
        """Return the tokenizer as the content of a ``tokenizer.json``."""

    @staticmethod
    def from_json(text: str, level: str | None = None) -> Tokenizer:
        """Make a tokenizer from the output of `to_json`.

        Args:
            text: the content of a ``tokenizer.json``.
            level: the level that it must have; by default any.

        Returns:
            The tokenizer, with its original level.

        Raises:
            ModelError: the content is damaged or was not written by Elman.

        Example:
            >>> from elman.data.tokens.characters import CharacterTokenizer
            >>> tokenizer = Tokenizer.from_json(CharacterTokenizer.train(["hello"]).to_json())
            >>> tokenizer.level, tokenizer.encode("hole").tolist()
            ('char', [4, 6, 5, 3])
        """
        try:
            document = read_json(text, _DOCUMENT)
            ids: dict[str, int] = document["model"]["vocab"]
            vocabulary = sorted(ids, key=ids.__getitem__)
            if [ids[token] for token in vocabulary] != list(range(len(vocabulary))):
                raise ValueError("the ids are not 0, 1, 2 and so on")
            tokenizer = Tokenizer._restore(document, vocabulary)
        except Exception as error:  # Hugging Face raises plain Exceptions
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(f"tokenizer.json is damaged or not by Elman ({reason}); copy the folder again") from None
        if level not in (None, tokenizer.level):
            raise ModelError(f"tokenizer.json is of level {tokenizer.level}, not {level}; copy the folder again")
        return tokenizer

    @staticmethod
    def _restore(document: dict[str, Any], vocabulary: list[str]) -> Tokenizer:
        from elman.data.tokens.byte_pairs import BytePairTokenizer  # the levels are built on this module
        from elman.data.tokens.characters import CharacterTokenizer
        from elman.data.tokens.words import SpaceTokenizer, WordTokenizer

        if document["model"]["type"] == "BPE":
            merges = [(left, right) for left, right in document["model"]["merges"]]
            return BytePairTokenizer(vocabulary, merges, BytePairTokenizer.cuts_runs(document["pre_tokenizer"]))
        if document["pre_tokenizer"] == CharacterTokenizer.rule:
            return CharacterTokenizer(vocabulary)
        if document["pre_tokenizer"] == SpaceTokenizer.rule:
            return SpaceTokenizer(vocabulary)
        if document["pre_tokenizer"].get("behavior") == WordTokenizer.rule["behavior"]:
            return WordTokenizer(vocabulary)
        raise ValueError("it splits text in a way that Elman does not know")


def without_surrogates(text: str) -> str:
    """Replace a pair of surrogates with its character, and a lone one, which UTF-8 cannot encode, with U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def concatenate(lists: list[list[int]]) -> tuple[Ids, NDArray[np.int64]]:
    """Concatenate the ids of several texts (N,), and return the number of ids in each (texts,)."""
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return np.fromiter(chain.from_iterable(lists), np.int32, int(lengths.sum())), lengths


def word_level_json(
    vocabulary: list[str], rule: dict[str, Any], decoder: dict[str, Any] | None, unknown_within: bool = True
) -> str:
    """Write a ``tokenizer.json`` that splits text by ``rule`` and looks up each piece in the vocabulary.

    Args:
        vocabulary: the tokens in the order of their ids.
        rule: the pre-tokenizer.
        decoder: the decoder.
        unknown_within: whether ``<unk>`` is also recognized next to other characters.
    """
    unknown = {"id": 0, "content": UNKNOWN, "special": True, "normalized": False}
    unknown |= dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    ids = {token: token_id for token_id, token in enumerate(vocabulary)}
    document = {
        "version": "1.0",
        "added_tokens": [unknown] if unknown_within else [],
        "pre_tokenizer": rule,
        "decoder": decoder,
        "model": {"type": "WordLevel", "vocab": ids, "unk_token": UNKNOWN},
    }
    return write_json(document)
