"""Tokenizing text into characters, by a table of code points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.data.tokens.tokenizer import SPECIALS, UNKNOWN, Ids, Tokenizer, word_level_json

_NONCHARACTER = "\U0010ffff"  # Unicode reserves it for internal use: it stands for <unk> in the conversion


class CharacterTokenizer(Tokenizer):
    r"""One id for each character of the training text, including newline, in the order of their code points.

    Example:
        >>> tokenizer = CharacterTokenizer.train(["hello\n"])
        >>> tokenizer.tokens(range(tokenizer.vocab_size))
        ['<unk>', '<s>', '</s>', '\n', 'e', 'h', 'l', 'o']
        >>> tokenizer.decode(tokenizer.encode("hell, oh hell\n"))
        'hell<unk><unk>oh<unk>hell\n'
    """

    level = "char"
    rule: ClassVar[dict[str, Any]] = {
        "type": "Split",
        "pattern": {"Regex": r"[\s\S]"},
        "behavior": "Isolated",
        "invert": False,
    }

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__(vocabulary)
        characters = vocabulary[3:]
        if any(len(character) != 1 for character in characters):
            raise ValueError("each token of a character vocabulary must be one character")
        self._codes = _convert_to_code_points("".join([_NONCHARACTER] * 3 + list(characters)))  # (V,), id -> code point
        self._table = np.zeros(0x110000, np.int32)  # code point -> id
        self._table[self._codes[3:]] = np.arange(3, self.vocab_size)

    @classmethod
    def train(cls, chunks: Iterable[str]) -> CharacterTokenizer:
        """Collect the characters of a text.

        Args:
            chunks: the text, in pieces.

        Returns:
            The tokenizer with these characters as its vocabulary.
        """
        seen = np.zeros(0x110000, np.bool_)
        for chunk in chunks:
            seen[_convert_to_code_points(chunk.replace(UNKNOWN, ""))] = True
        seen[0xD800:0xE000] = seen[ord(_NONCHARACTER)] = False  # surrogates are not characters
        return cls([*SPECIALS, *map(chr, np.flatnonzero(seen).tolist())])

    def encode(self, text: str) -> Ids:
        """Convert text to ids, (N,) int32, one for each character; see `Tokenizer.encode`."""
        return self._lookup(text, self._table)

    def encode_lines(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        """Encode each line separately; see `Tokenizer.encode_lines`."""
        table = self._table.copy()
        table[ord("\n")] = -1
        ids = self._lookup(text, table)
        is_newline = ids == -1
        lengths = np.diff(np.flatnonzero(is_newline), prepend=-1, append=len(ids)) - 1
        return ids[~is_newline], lengths

    def _lookup(self, text: str, table: Ids) -> Ids:
        text = text.replace(UNKNOWN, _NONCHARACTER)
        ids = np.empty(len(text), np.int32)
        for start in range(0, len(text), 1 << 15):  # twice as fast, as each piece stays in the processor's cache
            codes = _convert_to_code_points(text[start : start + (1 << 15)])
            table.take(codes, out=ids[start : start + len(codes)], mode="clip")  # "raise", the default, would copy
        return ids

    def decode(self, ids: ArrayLike) -> str:
        """Convert ids back to text; see `Tokenizer.decode`."""
        array = np.asarray(ids, np.int64)
        array = array[(array != self.begin_id) & (array != self.end_id)]
        text: str = self._codes[array].tobytes().decode("utf-32-le")
        return text.replace(_NONCHARACTER, UNKNOWN)

    def to_json(self) -> str:
        """Return the tokenizer as the content of a ``tokenizer.json``."""
        return word_level_json(self._names, self.rule, {"type": "Fuse"})


def _convert_to_code_points(text: str) -> NDArray[np.int32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.int32)
