"""Text to ids and back, at three levels: characters, words, and byte pairs (BPE).

Every vocabulary begins with the same three tokens: ``<unk>`` (0, what is not in the vocabulary), ``<s>`` (1) and
``</s>`` (2), the two ends of a line where lines are learned one by one. ``<unk>`` written in a text, as in Penn
Treebank or WikiText, is that token; ``<s>`` and ``</s>`` written in a text are ordinary characters.

A tokenizer is saved as one ``tokenizer.json`` in the format of Hugging Face tokenizers, whatever its level. Byte pairs
are learned and applied by that library; characters and words are looked up here, which is several times faster.

What BPE joins lies within a run of letters, of digits, of blanks or of other characters. A run of more than
`LONGEST_RUN` characters, as in DNA or in a script that puts no blanks between words, is cut into pieces of that length
first, because the time to learn merges from it grows with the square of its length.

A text may be encoded in pieces, cut before blanks as `elman.data.text` cuts them: the ids are the same.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain, repeat
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.data.text import pieces
from elman.documents import read_json, write_json
from elman.errors import DataError, ModelError, UsageError

Ids: TypeAlias = NDArray[np.int32]

UNKNOWN, BEGIN, END = SPECIALS = ("<unk>", "<s>", "</s>")

LONGEST_RUN = 256

_NONCHARACTER = "\U0010ffff"  # Unicode keeps it free for such uses: it stands for <unk> on the way to and from ids
_PIECE_CHARACTERS = 1 << 16


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

    def token_to_id(self, token: str) -> int:
        """Give the id of one token, or `unknown_id` for a text that is none or several."""
        if token in SPECIALS:
            return SPECIALS.index(token)
        ids = self.encode(token)
        return int(ids[0]) if len(ids) == 1 else self.unknown_id

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
            tokenizer = Tokenizer._restored(document, vocabulary)
        except Exception as error:  # Hugging Face raises plain Exceptions
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(f"tokenizer.json is damaged or not Elman's ({reason}); copy the model again") from None
        if level not in (None, tokenizer.level):
            raise ModelError(f"tokenizer.json is of level {tokenizer.level}, not {level}; copy the model again")
        return tokenizer

    @staticmethod
    def _restored(document: dict[str, Any], vocabulary: list[str]) -> Tokenizer:
        if document["model"]["type"] == "BPE":
            merges = [(left, right) for left, right in document["model"]["merges"]]
            return BytePairTokenizer(vocabulary, merges, BytePairTokenizer.cuts_runs(document["pre_tokenizer"]))
        if document["pre_tokenizer"] == CharacterTokenizer.rule:
            return CharacterTokenizer(vocabulary)
        if document["pre_tokenizer"].get("behavior") == WordTokenizer.rule["behavior"]:
            return WordTokenizer(vocabulary)
        raise ValueError("it cuts text in a way that Elman does not know")


class CharacterTokenizer(Tokenizer):
    r"""One id for each character of the training text, newline among them, in the order of their code points.

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
        self._codes = _code_points("".join([_NONCHARACTER] * 3 + list(characters)))  # (V,), id -> code point
        self._table = np.zeros(0x110000, np.int32)  # code point -> id
        self._table[self._codes[3:]] = np.arange(3, self.vocab_size)

    @classmethod
    def train(cls, chunks: Iterable[str]) -> CharacterTokenizer:
        """Collect the characters of a text.

        Args:
            chunks: the text, in pieces.

        Returns:
            The tokenizer whose vocabulary is all of them.
        """
        seen = np.zeros(0x110000, np.bool_)
        for chunk in chunks:
            seen[_code_points(chunk.replace(UNKNOWN, ""))] = True
        seen[0xD800:0xE000] = seen[ord(_NONCHARACTER)] = False  # surrogates are halves of characters
        return cls([*SPECIALS, *map(chr, np.flatnonzero(seen).tolist())])

    def encode(self, text: str) -> Ids:
        """Turn text into ids, (N,) int32, one for each character; see `Tokenizer.encode`."""
        return self._lookup(text, self._table)

    def encode_lines(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        """Encode each line by itself; see `Tokenizer.encode_lines`."""
        table = self._table.copy()
        table[ord("\n")] = -1
        ids = self._lookup(text, table)
        is_newline = ids == -1
        lengths = np.diff(np.flatnonzero(is_newline), prepend=-1, append=len(ids)) - 1
        return ids[~is_newline], lengths

    def _lookup(self, text: str, table: Ids) -> Ids:
        text = text.replace(UNKNOWN, _NONCHARACTER)
        ids = np.empty(len(text), np.int32)
        for start in range(0, len(text), 1 << 15):  # pieces that stay in the processor's cache are twice as fast
            codes = _code_points(text[start : start + (1 << 15)])
            table.take(codes, out=ids[start : start + len(codes)], mode="clip")  # "raise", the default, would copy
        return ids

    def decode(self, ids: ArrayLike) -> str:
        """Turn ids back into text; see `Tokenizer.decode`."""
        array = np.asarray(ids, np.int64)
        array = array[(array != self.begin_id) & (array != self.end_id)]
        text: str = self._codes[array].tobytes().decode("utf-32-le")
        return text.replace(_NONCHARACTER, UNKNOWN)

    def to_json(self) -> str:
        """Write the tokenizer as the text of a ``tokenizer.json``."""
        return _word_level_json(self._names, self.rule, {"type": "Fuse"})


class WordTokenizer(Tokenizer):
    r"""One id for each frequent word, punctuation mark and newline; for texts such as WikiText and Penn Treebank.

    A token is a run of letters, digits and underscores (with apostrophes inside: ``don't``), an English ending left by
    a tokenized corpus (``'s``), one mark of anything else, or a newline. Other blanks only separate, and so are lost:
    `decode` puts one space between words and none before ``.,!?;:)'``, after ``(`` or around a newline. Case is kept.

    Example:
        >>> tokenizer = WordTokenizer.train(["No, no!\nNo, I don't.\nI don't.\n"])
        >>> tokenizer.tokens(range(3, tokenizer.vocab_size))
        ['\n', ',', '.', 'I', 'No', "don't"]
        >>> tokenizer.decode(tokenizer.encode("No  , I don't   know .\n"))
        "No, I don't <unk>.\n"
    """

    level = "word"
    rule: ClassVar[dict[str, Any]] = {"type": "Split", "behavior": "Removed", "invert": True}

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__(vocabulary)
        self._ids = {token: token_id for token_id, token in enumerate(vocabulary)}

    @classmethod
    def train(cls, chunks: Iterable[str], max_vocab: int = 30_000, min_count: int = 2) -> WordTokenizer:
        """Count the words of a text and keep the most frequent.

        Args:
            chunks: the text, in pieces.
            max_vocab: the most tokens to keep, the three special ones among them.
            min_count: how often a word must occur to be kept. With 1 and room for all of them, ``<unk>`` never occurs
                in training, and what a model makes of it later is left to chance.

        Returns:
            The tokenizer, its tokens in the order of their frequency and, where that is equal, of their spelling.

        Raises:
            UsageError: ``max_vocab`` leaves no room for a word.
            DataError: no word occurs often enough.
        """
        if max_vocab <= len(SPECIALS):
            raise UsageError(f"a vocabulary of {max_vocab} words is too small: {len(SPECIALS)} are taken")
        counts: Counter[str] = Counter()
        rare = 1
        for chunk in chunks:
            counts.update(_word_pattern().findall(_without_surrogates(chunk)))
            while len(counts) > 4_000_000:  # lossy counting: memory stays bounded, and what is dropped is rare
                counts = Counter({word: count for word, count in counts.items() if count > rare})
                rare += 1
        del counts[UNKNOWN]
        kept = [word for word, count in counts.items() if count >= min_count]
        if not kept:
            raise DataError(f"no word of the text occurs {min_count} times: give more text, or `min_count` 1")
        kept.sort(key=lambda word: (-counts[word], word))
        return cls([*SPECIALS, *kept[: max_vocab - len(SPECIALS)]])

    def encode(self, text: str) -> Ids:
        """Turn text into ids, (N,) int32, one for each word, mark and newline; see `Tokenizer.encode`."""
        return np.fromiter(self._lookup(text), np.int32)

    def encode_lines(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        """Encode each line by itself; see `Tokenizer.encode_lines`."""
        return _concatenate([list(self._lookup(line)) for line in text.split("\n")])

    def _lookup(self, text: str) -> Iterable[int]:
        return map(self._ids.get, _word_pattern().findall(text), repeat(self.unknown_id))

    def stream_decoder(self) -> StreamDecoder:
        """Start decoding ids one by one; see `Tokenizer.stream_decoder`."""
        return _WordStreamDecoder(self)

    def to_json(self) -> str:
        """Write the tokenizer as the text of a ``tokenizer.json``."""
        return _word_level_json(self._names, {**self.rule, "pattern": {"Regex": _word_pattern().pattern}}, None)


class _WordStreamDecoder(StreamDecoder):
    """Puts spaces where they belong, which depends on the token before."""

    _joins_next = True

    def push(self, token_id: int) -> str:
        if token_id in (Tokenizer.begin_id, Tokenizer.end_id):
            return ""
        (token,) = self._tokenizer.tokens([token_id])
        space = "" if self._joins_next or token[0] in "\n.,!?;:)'" else " "
        self._joins_next = token in ("\n", "(")
        return space + token


class BytePairTokenizer(Tokenizer):
    r"""Byte-level byte pair encoding: frequent words are one id, rare ones several, and nothing is ever unknown.

    Source: Sennrich, Haddow and Birch 2016, "Neural Machine Translation of Rare Words with Subword Units", section
    3.2; over bytes as in Radford et al. 2019 (GPT-2), section 2.2.

    Args:
        vocabulary: the tokens in the order of their ids; each byte is written as the character that GPT-2 gave it.
        merges: the pairs of tokens to join, the first learned first.
        cut_runs: cut what is longer than `LONGEST_RUN`; a tokenizer that was learned without keeps to that.

    Raises:
        ValueError: a token is written with other characters, or one of the 256 bytes is missing.

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
        self._bytes = [UNKNOWN.encode(), b"", b""]  # id -> what it stands for
        self._bytes += [bytes([byte_of[character] for character in token]) for token in vocabulary[3:]]
        self._names[3:] = [token.decode("utf-8", "backslashreplace") for token in self._bytes[3:]]
        if not set(byte_of).issubset(vocabulary):
            raise ValueError("a vocabulary of byte pairs must hold all 256 bytes")
        library = _library()
        ids = {token: token_id for token_id, token in enumerate(vocabulary)}
        self._machine = library.Tokenizer(library.models.BPE(vocab=ids, merges=list(merges)))
        self._machine.pre_tokenizer = self._pre_tokenizer(cut_runs)
        self._machine.decoder = library.decoders.ByteLevel()
        self._machine.add_special_tokens([UNKNOWN])  # found in text, as <s> and </s> must not be

    @classmethod
    def train(
        cls, chunks: Iterable[str], vocab_size: int = 4096, sample_characters: int = 50_000_000
    ) -> BytePairTokenizer:
        """Learn the most frequent pairs from an evenly spread sample of a text.

        Args:
            chunks: the text, in pieces.
            vocab_size: the number of tokens wanted: 3 special ones, 256 bytes, and pairs. A short text gives fewer,
                because a pair must occur twice.
            sample_characters: the most characters to learn from.

        Returns:
            The tokenizer; the same text gives the same one.

        Raises:
            UsageError: ``vocab_size`` is too small for the bytes.
        """
        smallest = len(SPECIALS) + 256
        if vocab_size < smallest:
            raise UsageError(f"a vocabulary of {vocab_size} byte pairs is too small: it takes at least {smallest}")
        library = _library()
        machine = library.Tokenizer(library.models.BPE())
        machine.pre_tokenizer = cls._pre_tokenizer(cut_runs=True)
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            show_progress=False,
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(_byte_alphabet()),
        )
        sample = _even_sample(chunks, sample_characters)
        machine.train_from_iterator((_without_surrogates(piece.replace(UNKNOWN, " ")) for piece in sample), trainer)
        model = json.loads(machine.to_str())["model"]
        return cls(sorted(model["vocab"], key=model["vocab"].__getitem__), [tuple(pair) for pair in model["merges"]])

    @classmethod
    def _pre_tokenizer(cls, cut_runs: bool) -> Any:
        """Make what cuts a text into the pieces within which pairs are joined."""
        kinds = _library().pre_tokenizers
        words = kinds.ByteLevel(add_prefix_space=False)
        return kinds.Sequence([kinds.Split(_library().Regex(cls.runs), "isolated"), words]) if cut_runs else words

    @classmethod
    def cuts_runs(cls, rule: dict[str, Any]) -> bool:
        """Tell whether a ``tokenizer.json`` cuts long runs, by what it says under ``pre_tokenizer``.

        Raises:
            ValueError: it cuts text in another way.
        """
        if rule["type"] == "ByteLevel":
            return False
        first, second = rule["pretokenizers"]
        if first["pattern"] != {"Regex": cls.runs} or second["type"] != "ByteLevel":
            raise ValueError("it cuts text in a way that Elman does not know")
        return True

    def encode(self, text: str) -> Ids:
        """Turn text into ids, (N,) int32; see `Tokenizer.encode`."""
        return _concatenate(self._encode_all(pieces(_without_surrogates(text), _PIECE_CHARACTERS)))[0]

    def encode_lines(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        """Encode each line by itself; see `Tokenizer.encode_lines`."""
        return _concatenate(self._encode_all(_without_surrogates(text).split("\n")))

    def _encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._machine.encode_batch_fast(list(texts), add_special_tokens=False)]

    def stream_decoder(self) -> StreamDecoder:
        """Start decoding ids one by one; see `Tokenizer.stream_decoder`."""
        return _ByteStreamDecoder(self._bytes)

    def to_json(self) -> str:
        """Write the tokenizer as the text of a ``tokenizer.json``."""
        return str(self._machine.to_str())


class _ByteStreamDecoder(StreamDecoder):
    """Holds bytes back until they are a whole character."""

    def __init__(self, token_bytes: list[bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        return self._decoder.decode(self._token_bytes[token_id])

    def finish(self) -> str:
        return self._decoder.decode(b"", True)


LEVELS: dict[str, type[Tokenizer]] = {
    kind.level: kind for kind in (CharacterTokenizer, WordTokenizer, BytePairTokenizer)
}


def _code_points(text: str) -> NDArray[np.int32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.int32)


def _without_surrogates(text: str) -> str:
    """Replace halves of UTF-16 pairs, which no UTF-8 can hold, by the replacement character (or the whole pair)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _concatenate(lists: list[list[int]]) -> tuple[Ids, NDArray[np.int64]]:
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return np.fromiter(chain.from_iterable(lists), np.int32, int(lengths.sum())), lengths


def _word_level_json(vocabulary: list[str], rule: dict[str, Any], decoder: dict[str, Any] | None) -> str:
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


def split_words(text: str) -> list[str]:
    """Split running text into words and marks, as `WordTokenizer` does; line breaks only separate.

    Example:
        >>> split_words("No, I don't know.")
        ['No', ',', 'I', "don't", 'know', '.']
    """
    return _word_pattern().findall(text.replace("\n", " "))


@cache
def _word_pattern() -> re.Pattern[str]:
    r"""Match one token of the word level; Python's ``\w`` lacks the combining marks that belong to many scripts."""
    marks = "".join(char for char in map(chr, range(0x300, 0x10000)) if unicodedata.category(char).startswith("M"))
    return re.compile(rf"\w+(?:[\w{marks}]|'\w)*|'(?:s|d|m|t|ll|re|ve)\b|\n|<unk>|\S")


@cache
def _byte_alphabet() -> dict[str, int]:
    """Map GPT-2's printable stand-ins to bytes: printable bytes stand for themselves, the others follow from 256."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + rank): byte for rank, byte in enumerate(others)}


def _even_sample(chunks: Iterable[str], limit: int) -> list[str]:
    """Keep every piece, then every second, fourth ... as needed to stay within ``limit`` characters."""
    kept: list[str] = []
    num_characters, stride = 0, 1
    for index, piece in enumerate(piece for chunk in chunks for piece in pieces(chunk, _PIECE_CHARACTERS)):
        if index % stride == 0:
            kept.append(piece)
            num_characters += len(piece)
            if num_characters > limit:
                kept, stride = kept[::2], stride * 2
                num_characters = sum(map(len, kept))
    return kept


@cache
def _library() -> Any:
    """Import Hugging Face tokenizers when it is first needed, for it is slow to load."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # unset, it warns in every process forked later
    import tokenizers

    return tokenizers
