"""Tokenizing text into byte pairs (BPE), which Hugging Face tokenizers learns and applies.

BPE merges within a run of letters, digits, whitespace or other characters. A run of more than `LONGEST_RUN` characters,
as in DNA or in a script without spaces between words, is first split into pieces of that length, because the time to
learn merges from it grows with the square of its length.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from elman.data.text import split_text
from elman.data.tokens.tokenizer import (
    SPECIALS,
    UNKNOWN,
    Ids,
    StreamDecoder,
    Tokenizer,
    concatenate,
    without_surrogates,
)
from elman.errors import UsageError

LONGEST_RUN = 256

_PIECE_CHARACTERS = 1 << 16


class BytePairTokenizer(Tokenizer):
    r"""Byte-level byte pair encoding: frequent words are one id, rare words several, and nothing is unknown.

    Source: Sennrich, Haddow and Birch 2016, "Neural Machine Translation of Rare Words with Subword Units", section
    3.2; over bytes as in Radford et al. 2019 (GPT-2), section 2.2.

    Args:
        vocabulary: the tokens in the order of their ids; each byte is written as the character that GPT-2 uses for it.
        merges: the pairs of tokens to merge, in the order in which they were learned.
        cut_runs: split runs longer than `LONGEST_RUN`; False for a tokenizer that was learned without splitting.

    Raises:
        ValueError: a token contains other characters, or one of the 256 bytes is missing.

    Example:
        >>> tokenizer = BytePairTokenizer.train(["the cat and the hat and the bat"] * 9, vocab_size=265)
        >>> tokenizer.tokens(tokenizer.encode("the théâtre"))
        ['the', ' ', 't', 'h', '\\xc3', '\\xa9', '\\xc3', '\\xa2', 't', 'r', 'e']
        >>> tokenizer.decode(tokenizer.encode("the théâtre"))
        'the théâtre'
    """

    level = "bpe"
    runs: ClassVar[str] = "|".join(
        rf"{kind}{{{LONGEST_RUN}}}" for kind in (r"\p{L}", r"\p{N}", r"\s", r"[^\s\p{L}\p{N}]")
    )

    def __init__(self, vocabulary: Sequence[str], merges: Sequence[tuple[str, str]], cut_runs: bool = True) -> None:
        super().__init__(vocabulary)
        byte_of = _byte_alphabet()
        self._bytes = [UNKNOWN.encode(), b"", b""]  # id -> bytes
        self._bytes += [bytes([byte_of[character] for character in token]) for token in vocabulary[3:]]
        self._names[3:] = [token.decode("utf-8", "backslashreplace") for token in self._bytes[3:]]
        if not set(byte_of).issubset(vocabulary):
            raise ValueError("a vocabulary of byte pairs must contain all 256 bytes")
        library = _import_library()
        ids = {token: token_id for token_id, token in enumerate(vocabulary)}
        self._machine = library.Tokenizer(library.models.BPE(vocab=ids, merges=list(merges)))
        self._machine.pre_tokenizer = self._make_pre_tokenizer(cut_runs)
        self._machine.decoder = library.decoders.ByteLevel()
        self._machine.add_special_tokens([UNKNOWN])  # recognised in text, unlike <s> and </s>

    @classmethod
    def train(
        cls, chunks: Iterable[str], vocab_size: int = 4096, sample_characters: int = 50_000_000
    ) -> BytePairTokenizer:
        """Learn the most frequent pairs from an evenly spread sample of a text.

        Args:
            chunks: the text, in pieces.
            vocab_size: the number of tokens: 3 special ones, 256 bytes, and merged pairs. A short text gives fewer,
                because a pair must occur twice.
            sample_characters: the maximum number of characters to learn from.

        Returns:
            The tokenizer; the same text always gives the same tokenizer.

        Raises:
            UsageError: ``vocab_size`` is too small for the bytes.
        """
        smallest = len(SPECIALS) + 256
        if vocab_size < smallest:
            raise UsageError(f"a vocabulary of {vocab_size} byte pairs is too small: give at least {smallest}")
        library = _import_library()
        machine = library.Tokenizer(library.models.BPE())
        machine.pre_tokenizer = cls._make_pre_tokenizer(cut_runs=True)
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            show_progress=False,
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(_byte_alphabet()),
        )
        sample = sample_evenly(chunks, sample_characters)
        machine.train_from_iterator((without_surrogates(piece.replace(UNKNOWN, " ")) for piece in sample), trainer)
        model = json.loads(machine.to_str())["model"]
        return cls(sorted(model["vocab"], key=model["vocab"].__getitem__), [tuple(pair) for pair in model["merges"]])

    @classmethod
    def _make_pre_tokenizer(cls, cut_runs: bool) -> Any:
        """Make the pre-tokenizer, which splits a text into the pieces within which pairs are merged."""
        kinds = _import_library().pre_tokenizers
        words = kinds.ByteLevel(add_prefix_space=False)
        return (
            kinds.Sequence([kinds.Split(_import_library().Regex(cls.runs), "isolated"), words]) if cut_runs else words
        )

    @classmethod
    def cuts_runs(cls, rule: dict[str, Any]) -> bool:
        """Tell whether the ``pre_tokenizer`` of a ``tokenizer.json`` splits long runs.

        Raises:
            ValueError: it splits text in an unknown way.
        """
        if rule["type"] == "ByteLevel":
            return False
        first, second = rule["pretokenizers"]
        if first["pattern"] != {"Regex": cls.runs} or second["type"] != "ByteLevel":
            raise ValueError("it splits text in a way that Elman does not know")
        return True

    def encode(self, text: str) -> Ids:
        """Convert text to ids, (N,) int32; see `Tokenizer.encode`."""
        return concatenate(self._encode_all(split_text(without_surrogates(text), _PIECE_CHARACTERS)))[0]

    def encode_lines(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        """Encode each line separately; see `Tokenizer.encode_lines`."""
        return concatenate(self._encode_all(without_surrogates(text).split("\n")))

    def _encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._machine.encode_batch_fast(list(texts), add_special_tokens=False)]

    def stream_decoder(self) -> StreamDecoder:
        """Start decoding ids one by one; see `Tokenizer.stream_decoder`."""
        return _ByteStreamDecoder(self._bytes)

    def to_json(self) -> str:
        """Return the tokenizer as the content of a ``tokenizer.json``."""
        return str(self._machine.to_str())


class _ByteStreamDecoder(StreamDecoder):
    """Holds bytes back until they form a whole character."""

    def __init__(self, token_bytes: list[bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        return self._decoder.decode(self._token_bytes[token_id])

    def finish(self) -> str:
        return self._decoder.decode(b"", True)


@cache
def _byte_alphabet() -> dict[str, int]:
    """Map GPT-2's printable characters to bytes: printable bytes are themselves, the others follow from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + rank): byte for rank, byte in enumerate(others)}


def sample_evenly(chunks: Iterable[str], limit: int) -> list[str]:
    """Sample every piece, or every second, fourth, ... piece, to stay within ``limit`` characters."""
    kept: list[str] = []
    num_characters, stride = 0, 1
    for index, piece in enumerate(piece for chunk in chunks for piece in split_text(chunk, _PIECE_CHARACTERS)):
        if index % stride == 0:
            kept.append(piece)
            num_characters += len(piece)
            if num_characters > limit:
                kept, stride = kept[::2], stride * 2
                num_characters = sum(map(len, kept))
    return kept


@cache
def _import_library() -> Any:
    """Import Hugging Face tokenizers on first use, because it is slow to import."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # if unset, it warns in every forked process
    import tokenizers

    return tokenizers
