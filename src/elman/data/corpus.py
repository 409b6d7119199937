"""A text as ids: encoded once, kept in memory when small and in a temporary file when not."""

from __future__ import annotations

import contextlib
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elman.data.text import Text
from elman.data.tokens.tokenizer import Ids, Tokenizer
from elman.errors import StorageError


class IdFile:
    """Ids in a file without a name, which reads like a one-dimensional array: ``len(ids)``, ``ids[start:stop]``.

    A slice is read into a small array of its own. A memory map would do the same, but every page that it has touched
    counts as the process's own memory. The file is gone when this object is, or its process, however that ends.

    Args:
        dtype: the type of one id.
        directory: where the file is; None for the system's temporary folder.
        memory_limit: bytes up to which there is no file yet.
    """

    def __init__(self, dtype: np.dtype[Any], directory: Path | None, memory_limit: int) -> None:
        self.dtype = dtype
        self._size = 0
        self._memory_limit = memory_limit
        self._file = tempfile.SpooledTemporaryFile(memory_limit, dir=str(directory) if directory else None)  # noqa: SIM115
        weakref.finalize(self, _close, self._file)

    def append(self, ids: NDArray[Any]) -> None:
        """Write ids at the end; an OSError says that there is no room."""
        self._file.write(ids.astype(self.dtype).data)
        self._file.flush()
        self._size += len(ids)

    def settle(self) -> NDArray[Any] | IdFile:
        """Return the ids as an array where they are few, and as the file that they are in where they are many."""
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
    with contextlib.suppress(OSError):  # closing a file on a full disk tries to write once more
        file.close()


IdArray: TypeAlias = NDArray[Any] | IdFile


@dataclass(frozen=True, eq=False)
class Corpus:
    """An encoded text.

    Args:
        ids: (N,) uint16, or uint32 where the vocabulary is larger than 65536; read-only.
        offsets: (number of sequences + 1,) int64: sequence k is ``ids[offsets[k]:offsets[k + 1]]``. A stream is one
            sequence; of lines, each is one, ``<s> tokens </s>``, and lines without tokens are left out.
        num_characters: characters of the text that the ids stand for; the newlines of lines left out do not count.
        num_unknown: how many of the ids are ``<unk>``.
        hint: the tail of an error message about too little text; see `elman.data.text.Text.hint`.
    """

    ids: IdArray
    offsets: IdArray
    num_characters: int
    num_unknown: int
    hint: str = ""

    @property
    def num_tokens(self) -> int:
        """Number of ids, those of ``<s>`` and ``</s>`` among them."""
        return len(self.ids)

    @property
    def num_sequences(self) -> int:
        """Number of sequences: 1 for a stream."""
        return len(self.offsets) - 1

    @property
    def num_targets(self) -> int:
        """Number of ids that can be predicted: all but the first of each sequence."""
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
        tokenizer: what turns it into ids.
        start: the first character to encode.
        stop: the character after the last one; None for all.
        lines: make each line a sequence ``<s> tokens </s>`` (its "\n" left out); lines without tokens are left out.
        directory: where a large corpus puts its file; None for the system's temporary folder.
        memory_limit: bytes of ids to keep in memory; more go to a file, which is gone when the corpus is.

    Returns:
        The ids and where the sequences begin.

    Raises:
        StorageError: the file could not be written, such as on a full disk.

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
    num_read = num_left_out = num_unknown = 0
    for chunk in text.chunks(start, stop, keep_lines=lines):
        num_read += len(chunk)
        if lines:
            ids, line_lengths = tokenizer.encode_lines(chunk.removesuffix("\n"))
            kept = line_lengths[line_lengths > 0]
            num_left_out += len(line_lengths) - len(kept)
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
                f"they take about {needed / 1e6:,.1f} MB there. Make room, or name another folder"
            ) from None
    if not lines:
        offsets.append(np.array([len(stored)]))
    return Corpus(stored.settle(), offsets.settle(), num_read - num_left_out, num_unknown, text.hint)


def _add_ends(ids: Ids, lengths: NDArray[np.int64], tokenizer: Tokenizer) -> Ids:
    """Put ``<s>`` before and ``</s>`` after each sequence."""
    stops = np.cumsum(lengths + 2)
    framed = np.empty(len(ids) + 2 * len(lengths), ids.dtype)
    is_token = np.ones(len(framed), np.bool_)
    is_token[stops - 1] = is_token[stops - lengths - 2] = False
    framed[stops - 1] = tokenizer.end_id
    framed[stops - lengths - 2] = tokenizer.begin_id
    framed[is_token] = ids
    return framed


def count_predicted_characters(corpus: Corpus, tokenizer: Tokenizer, lines: bool) -> int:
    """Count the characters that the predicted tokens stand for: all but those of a stream's first token."""
    if lines:
        return corpus.num_characters
    first = 1 if tokenizer.level == "char" else len(tokenizer.decode(corpus.ids[:1]))  # <unk> is one character
    return corpus.num_characters - first
