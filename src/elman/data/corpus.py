"""A text as ids: encoded once, kept in memory if it is small and in a temporary file if not."""

from __future__ import annotations

import contextlib
import re
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elman.data.text import Text, split_text
from elman.data.tokens.tokenizer import Ids, Tokenizer
from elman.errors import StorageError

_PIECE_CHARACTERS = 1 << 16
_FIRST_WORD = re.compile(r"[^\S\n]*(?:\n|\S+)")


class IdFile:
    """Ids in an unnamed temporary file, used like a one-dimensional array: ``len(ids)``, ``ids[start:stop]``.

    A slice is read into a new array. (With a memory map, every page read would count as memory of the process.) The
    file disappears with this object, or with its process, however that ends.

    Args:
        dtype: the type of one id.
        directory: the folder for the file; None for the system's temporary folder.
        memory_limit: the size in bytes up to which the ids stay in memory.
    """

    def __init__(self, dtype: np.dtype[Any], directory: Path | None, memory_limit: int) -> None:
        self.dtype = dtype
        self._size = 0
        self._memory_limit = memory_limit
        self._file = tempfile.SpooledTemporaryFile(memory_limit, dir=str(directory) if directory else None)  # noqa: SIM115
        weakref.finalize(self, _close, self._file)

    def append(self, ids: NDArray[Any]) -> None:
        """Append ids; an OSError means that the disk is full."""
        self._file.write(ids.astype(self.dtype).data)
        self._file.flush()
        self._size += len(ids)

    def settle(self) -> NDArray[Any] | IdFile:
        """Return the ids as an array if they fit into the memory limit, otherwise as this file."""
        return self[:] if self._size * self.dtype.itemsize <= self._memory_limit else self

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, wanted: slice) -> NDArray[Any]:
        start, stop, step = wanted.indices(self._size)
        self._file.seek(start * self.dtype.itemsize)
        return np.frombuffer(self._file.read(max(stop - start, 0) * self.dtype.itemsize), self.dtype)[::step]

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


def _close(file: tempfile.SpooledTemporaryFile[bytes]) -> None:
    with contextlib.suppress(OSError):  # on a full disk, closing the file tries to write once more
        file.close()


IdArray: TypeAlias = NDArray[Any] | IdFile


@dataclass(frozen=True, eq=False)
class Corpus:
    """An encoded text.

    Args:
        ids: (N,) uint16, or uint32 if the vocabulary is larger than 65536; read-only.
        offsets: (number of sequences + 1,) int64: sequence k is ``ids[offsets[k]:offsets[k + 1]]``. A stream is one
            sequence; with lines, each line is one, ``<s> tokens </s>``, and lines without tokens are skipped.
        num_characters: the number of characters that the ids stand for; the newlines of skipped lines do not count.
        num_unknown: the number of ids that are ``<unk>``.
        hint: the end of an error message about too little text; see `elman.data.text.Text.hint`.
        num_words: the number of words that are predicted, counted as papers do at every level: what stands between
            white space, and each line end. The first word of a stream does not count if it is the first token.
    """

    ids: IdArray
    offsets: IdArray
    num_characters: int
    num_unknown: int
    hint: str = ""
    num_words: int = 0

    @property
    def num_tokens(self) -> int:
        """The number of ids, including ``<s>`` and ``</s>``."""
        return len(self.ids)

    @property
    def num_sequences(self) -> int:
        """The number of sequences: 1 for a stream."""
        return len(self.offsets) - 1

    @property
    def num_targets(self) -> int:
        """The number of ids that are predicted: all but the first of each sequence."""
        return max(self.num_tokens - self.num_sequences, 0)


def build_corpus(
    text: Text,
    tokenizer: Tokenizer,
    start: int = 0,
    stop: int | None = None,
    *,
    lines: bool = False,
    directory: Path | None = None,
    memory_limit: int = 64 << 20,
) -> Corpus:
    r"""Encode a text, or a part of it, chunk by chunk.

    Args:
        text: the text.
        tokenizer: the tokenizer.
        start: the index of the first character to encode.
        stop: the index after the last character to encode; None for the end of the text.
        lines: make each line a sequence ``<s> tokens </s>``, without its "\n"; lines without tokens are skipped.
        directory: the folder for the temporary file of a large corpus; None for the system's temporary folder.
        memory_limit: the size in bytes up to which the ids stay in memory; larger ones go to a temporary file.

    Returns:
        The ids and the offsets of the sequences.

    Raises:
        StorageError: the temporary file cannot be written, for example because the disk is full.

    Example:
        >>> from elman.data.tokens.characters import CharacterTokenizer
        >>> text = Text("ab\n\nba")
        >>> tokenizer = CharacterTokenizer.train(text.chunks())
        >>> corpus = build_corpus(text, tokenizer, lines=True)
        >>> corpus.ids.tolist(), corpus.offsets.tolist(), corpus.num_characters
        ([1, 4, 5, 2, 1, 5, 4, 2], [0, 4, 8], 5)
    """
    dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)
    stored = IdFile(dtype, directory, memory_limit)
    offsets = IdFile(np.dtype(np.int64), directory, memory_limit)
    offsets.append(np.zeros(1, np.int64))
    num_read = num_skipped = num_unknown = num_words = 0
    for chunk in text.chunks(start, stop, keep_lines=lines):
        if not lines:
            num_words += chunk.count("\n") - (num_read == 0 and _begins_with_token(chunk, tokenizer))
        num_words += sum(len(piece.split()) for piece in split_text(chunk, _PIECE_CHARACTERS))
        num_read += len(chunk)
        if lines:
            ids, line_lengths = tokenizer.encode_lines(chunk.removesuffix("\n"))
            kept = line_lengths[line_lengths > 0]
            num_skipped += len(line_lengths) - len(kept)
            num_words += len(kept)
            ends = len(stored) + np.cumsum(kept + 2)
        else:
            ids = tokenizer.encode(chunk)
        num_unknown += int(np.count_nonzero(ids == tokenizer.unknown_id))
        try:
            stored.append(_add_ends(ids, kept, tokenizer) if lines else ids)
            if lines:
                offsets.append(ends)
        except OSError as error:
            total = min(text.num_characters, stop or text.num_characters) - start
            needed = (len(stored) + len(ids)) * dtype.itemsize * total / num_read
            raise StorageError(
                f"{directory or tempfile.gettempdir()}: cannot write the text's ids: {error.strerror}; "
                f"they need about {needed / 1e6:,.1f} MB. Make room, or name another folder"
            ) from None
    if not lines:
        offsets.append(np.array([len(stored)]))
    return Corpus(stored.settle(), offsets.settle(), num_read - num_skipped, num_unknown, text.hint, num_words)


def _begins_with_token(chunk: str, tokenizer: Tokenizer) -> bool:
    """Tell whether the first word or line end of a text is its first token, and not several."""
    first = _FIRST_WORD.match(chunk)
    return first is not None and len(tokenizer.encode(first[0])) == 1


def _add_ends(ids: Ids, lengths: NDArray[np.int64], tokenizer: Tokenizer) -> Ids:
    """Add ``<s>`` before and ``</s>`` after each sequence."""
    stops = np.cumsum(lengths + 2)
    framed = np.empty(len(ids) + 2 * len(lengths), ids.dtype)
    is_token = np.ones(len(framed), np.bool_)
    is_token[stops - 1] = is_token[stops - lengths - 2] = False
    framed[stops - 1] = tokenizer.end_id
    framed[stops - lengths - 2] = tokenizer.begin_id
    framed[is_token] = ids
    return framed


def count_predicted_characters(corpus: Corpus, tokenizer: Tokenizer, lines: bool) -> int:
    """Count the characters of the predicted tokens: all but those of a stream's first token."""
    if lines:
        return corpus.num_characters
    first = 1 if tokenizer.level == "char" else len(tokenizer.decode(corpus.ids[:1]))  # <unk> is one character
    return corpus.num_characters - first
