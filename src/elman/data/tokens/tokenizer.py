"""Text to ids and back, at three levels: characters, words, and byte pairs (BPE); what all levels share.

Every vocabulary begins with the same three tokens: ``<unk>`` (0, what is not in the vocabulary), ``<s>`` (1) and
``</s>`` (2), the two ends of a line where lines are learned one by one. ``<unk>`` written in a text, as in Penn
Treebank or WikiText, is that token; ``<s>`` and ``</s>`` written in a text are ordinary characters.

A tokenizer is saved as one ``tokenizer.json`` in the format of Hugging Face tokenizers, whatever its level. Byte pairs
are learned and applied by that library; characters and words are looked up here, which is several times faster.

A text may be encoded in pieces, cut before blanks as `elman.data.text` cuts them: the ids are the same.
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
    """Turns ids into text one by one, as they are generated, and holds back only what is not yet a character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def push(self, token_id: int) -> str:
        """Take one more id and return the text that it completes, which may be empty."""
        return self._tokenizer.decode([token_id])

    def finish(self) -> str:
        """Return what is still held back: the replacement character for a character that was never completed."""
        return ""


_DOCUMENT = {  # of a tokenizer.json
    "model": {"type": str, "vocab": {str: int}, "merges?": [object]},
    "pre_tokenizer": {str: object},
}


class Tokenizer(ABC):
    """What all levels share.

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
        "".join(vocabulary).encode()  # half a character raises a ValueError
        self._names = list(vocabulary)

    @property
    def vocab_size(self) -> int:
        """Number of ids, the three special ones among them."""
        return len(self._names)

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Turn text into ids, (N,) int32; what is not in the vocabulary becomes id 0."""

    @abstractmethod
    def encode_lines(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        r"""Encode each line by itself, its "\n" left out.

        Args:
            text: any number of lines, with "\n" between them (and not after the last).

        Returns:
            The ids of all lines, one after the other, (N,) int32; and the number of ids in each line, (lines,) int64.
        """

    def decode(self, ids: ArrayLike) -> str:
        """Turn ids back into text; ``<s>`` and ``</s>`` leave no trace, an unknown token shows as ``<unk>``."""
        decoder = self.stream_decoder()
        return "".join([decoder.push(token_id) for token_id in np.asarray(ids).tolist()]) + decoder.finish()

    def stream_decoder(self) -> StreamDecoder:
        """Start decoding ids one by one; all that is pushed and finished adds up to what `decode` returns."""
        return StreamDecoder(self)

    def tokens(self, ids: ArrayLike) -> list[str]:
        r"""Name each token by itself, for people to see; a byte that is not a character shows as ``\xc3``."""
        return [self._names[token_id] for token_id in np.asarray(ids).tolist()]

    @abstractmethod
    def to_json(self) -> str:
        """Write the tokenizer as the text of a ``tokenizer.json``."""

    @staticmethod
    def from_json(text: str, level: str | None = None) -> Tokenizer:
        """Read back what `to_json` wrote.

        Args:
            text: the content of a ``tokenizer.json``.
            level: the level that it must have; any where not given.

        Returns:
            The tokenizer, of the level that was written.

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
            raise ModelError(f"tokenizer.json is damaged or not Elman's ({reason}); copy the model again") from None
        if level not in (None, tokenizer.level):
            raise ModelError(f"tokenizer.json is of level {tokenizer.level}, not {level}; copy the model again")
        return tokenizer

    @staticmethod
    def _restore(document: dict[str, Any], vocabulary: list[str]) -> Tokenizer:
        from elman.data.tokens.byte_pairs import BytePairTokenizer  # the levels are built on this module
        from elman.data.tokens.characters import CharacterTokenizer
        from elman.data.tokens.words import WordTokenizer

        if document["model"]["type"] == "BPE":
            merges = [(left, right) for left, right in document["model"]["merges"]]
            return BytePairTokenizer(vocabulary, merges, BytePairTokenizer.cuts_runs(document["pre_tokenizer"]))
        if document["pre_tokenizer"] == CharacterTokenizer.rule:
            return CharacterTokenizer(vocabulary)
        if document["pre_tokenizer"].get("behavior") == WordTokenizer.rule["behavior"]:
            return WordTokenizer(vocabulary)
        raise ValueError("it cuts text in a way that Elman does not know")


def without_surrogates(text: str) -> str:
    """Replace halves of UTF-16 pairs, which no UTF-8 can hold, by the replacement character (or the whole pair)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def concatenate(lists: list[list[int]]) -> tuple[Ids, NDArray[np.int64]]:
    """Put the ids of several texts one after the other (N,), and return how many each has (texts,)."""
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return np.fromiter(chain.from_iterable(lists), np.int32, int(lengths.sum())), lengths


def word_level_json(vocabulary: list[str], rule: dict[str, Any], decoder: dict[str, Any] | None) -> str:
    """Write a ``tokenizer.json`` in which each token is looked up as it stands, once ``rule`` has cut the text."""
    unknown = {"id": 0, "content": UNKNOWN, "special": True, "normalized": False}
    unknown |= dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    ids = {token: token_id for token_id, token in enumerate(vocabulary)}
    document = {
        "version": "1.0",
        "added_tokens": [unknown],
        "pre_tokenizer": rule,
        "decoder": decoder,
        "model": {"type": "WordLevel", "vocab": ids, "unk_token": UNKNOWN},
    }
    return write_json(document)
