"""Pretrained word vectors: GloVe, word2vec (text and binary) and fastText (``.vec``), plain, gzipped or zipped."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elman.data.files import DAMAGED, Unpacked, as_data_error, check_unpacked, describe_error, open_file
from elman.data.lines import Lines, Problems
from elman.data.tokens.casing import has_dotless_i, lower_case
from elman.errors import DataError

MOST_DIMENSIONS = 100_000


def read_vectors(
    path: Path, words: Iterable[str], first: int = 0, lower: Callable[[str], str] = str.lower
) -> tuple[dict[str, int], NDArray[np.float32]]:
    r"""Read the pretrained vectors of the given words from a file.

    A text file has one word on each line, followed by its numbers; a first line with two integers (the numbers of words
    and dimensions in files of word2vec and fastText) is skipped. A file with the ending ``.bin`` is in word2vec's
    binary format. If the file is in lower case, the word "The" gets the vector of "the". If a word occurs twice, its
    first vector is used. Only the requested vectors are kept in memory.

    Args:
        path: the file; ``.gz`` and ``.zip`` files are decompressed.
        words: the words to find.
        first: also read the vectors of this many words at the start of the file, which are usually the most frequent.
        lower: converts a word to lower case.

    Returns:
        The row of each word found, spelled as in the file, and the vectors (rows, dimensions), float32.

    Raises:
        DataError: the file cannot be read, the lengths of its lines differ, or a line contains something other than
            numbers.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tiny.vec"
        >>> _ = path.write_text("3 2\nking 1 0.5\nqueen 1 -0.5\nman 0 0.5\n")
        >>> read_vectors(path, ["man", "king", "axolotl"])
        ({'king': 0, 'man': 1}, array([[1. , 0.5],
               [0. , 0.5]], dtype=float32))
    """
    wanted = {spelled for word in words for spelled in (word, lower(word))}
    rows: dict[str, int] = {}
    vectors: list[NDArray[np.float32]] = []
    dimensions = 0
    with as_data_error(str(path), DAMAGED), _open(path) as (file, name):
        read = _read_binary if name.endswith(".bin") else _read_text
        for word, vector, size in read(path, file, wanted, first):
            dimensions = size
            if vector is not None and word not in rows:
                rows[word] = len(vectors)
                vectors.append(vector)
    if not dimensions:
        raise DataError(f"{path}: contains no vectors; a line must be a word and its numbers, separated by spaces")
    return rows, np.array(vectors, np.float32).reshape(-1, dimensions)  # (found, dimensions)


def read_vectors_for(path: Path, tokens: Sequence[str]) -> tuple[list[int], NDArray[np.float32]]:
    """Return the indices of the tokens that have a vector in a file, and the vectors (found, dimensions)."""
    lower = lower_case(has_dotless_i(dict.fromkeys(tokens, 1)))
    rows, matrix = read_vectors(path, tokens, lower=lower)
    found = {number: rows.get(token, rows.get(lower(token))) for number, token in enumerate(tokens)}
    known = {number: row for number, row in found.items() if row is not None}
    return list(known), matrix[list(known.values())]


@contextmanager
def _open(path: Path) -> Iterator[tuple[io.BufferedReader, str]]:
    """Open a file and decompress it; also return its name without the ending of the compression."""
    with open_file(path) as raw:
        packed = path.stat().st_size
        if path.suffix == ".gz":
            with gzip.open(raw) as file:
                yield io.BufferedReader(Unpacked(file.read, str(path), packed)), path.stem
        elif path.suffix == ".zip":
            with zipfile.ZipFile(raw) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX/" not in name]
                kept = [name for name in names if name.endswith((".txt", ".vec", ".bin"))] or names
                if len(kept) != 1:
                    listed = ", ".join(kept[:5]) or "none"
                    raise DataError(f"{path}: contains {len(kept)} files of vectors ({listed}); unpack one of them")
                check_unpacked(str(path), archive.getinfo(kept[0]).file_size, packed)
                with archive.open(kept[0]) as file:
                    yield io.BufferedReader(Unpacked(file.read, str(path), packed)), kept[0]
        else:
            yield raw, path.name


def _read_text(
    path: Path, file: io.BufferedReader, wanted: set[str], first: int
) -> Iterator[tuple[str, NDArray[np.float32] | None, int]]:
    """Yield the word of each line, its vector if it is requested, and the number of dimensions."""
    dimensions = count = 0
    if file.peek(2).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}: is in UTF-16, but vectors must be in UTF-8; convert the file")
    lines = Lines(file, problems=Problems(shown=0), name=str(path))  # some words are not valid UTF-8
    for line in lines:
        text = line.rstrip(" ")
        blanks = text.count(" ")
        if lines.number == 1 and blanks == 1 and all(map(_is_number, text.split(" "))):
            dimensions = _parse_dimensions(path, text.encode())
            continue
        dimensions = dimensions or blanks
        if not dimensions:
            return
        if blanks == dimensions:
            word, _, rest = text.partition(" ")
        else:  # a few words of GloVe contain spaces
            word, *numbers = text.rsplit(" ", dimensions)
            rest = " ".join(numbers)
            if len(numbers) < dimensions or _is_number(word.rsplit(" ", 1)[-1]):
                raise DataError(
                    f"{path}:{lines.number}: {blanks} numbers, but the lines before have {dimensions}; is the file "
                    "cut off?"
                )
        vector = None
        if count < first or word in wanted:
            try:
                with np.errstate(over="ignore"):  # a number that is too large becomes infinity, an error below
                    vector = np.array(rest.split(" "), np.float32)
            except ValueError as error:
                raise DataError(
                    f"{path}:{lines.number}: a vector must contain only numbers: {describe_error(error)}"
                ) from None
            if not np.isfinite(vector).all():
                raise DataError(f"{path}:{lines.number}: the vector contains infinity or NaN")
        count += 1
        yield word, vector, dimensions


def _read_binary(
    path: Path, file: io.BufferedReader, wanted: set[str], first: int
) -> Iterator[tuple[str, NDArray[np.float32] | None, int]]:
    """Yield the same from word2vec's binary format: a word, a space, and its vector as little-endian float32."""
    header = file.readline(100)
    if len(header.split()) != 2 or not all(field.isdigit() for field in header.split()):
        raise DataError(
            f"{path}: does not begin with the numbers of words and dimensions, as a .bin file of word2vec does; "
            "for a fastText model, give its .vec file"
        )
    dimensions, total = _parse_dimensions(path, header), int(header.split()[0])
    for number in range(total):
        raw_word = bytearray()
        while (byte := file.read(1)) not in (b" ", b""):
            if byte != b"\n":  # some writers add one after each vector
                raw_word += byte
            if len(raw_word) > 10_000:
                raise DataError(f"{path}: word {number:,} has no end; is this word2vec's binary format?")
        raw = file.read(4 * dimensions)
        if len(raw) < 4 * dimensions:
            raise DataError(f"{path}: ends at word {number:,} of {total:,}; is the file cut off?")
        word = raw_word.decode("utf-8", "replace")
        vector = np.frombuffer(raw, "<f4") if number < first or word in wanted else None
        if vector is not None and not np.isfinite(vector).all():
            raise DataError(f"{path}: the vector of word {number:,} contains infinity or NaN")
        yield word, vector, dimensions
    if file.read(1 << 16).strip():
        raise DataError(f"{path}: continues after its {total:,} words; is this word2vec's binary format?")


def _parse_dimensions(path: Path, header: bytes) -> int:
    """Return the number of dimensions in a header line of two numbers.

    Raises:
        DataError: the line is not a header with the numbers of words and dimensions.
    """
    total, dimensions = header.split()
    if not (total.isdigit() and dimensions.isdigit() and len(header) < 40 and 0 < int(dimensions) <= MOST_DIMENSIONS):
        raise DataError(
            f"{path}:1: {header.decode()[:80].strip()!r} must be the numbers of words and dimensions, with 1 to "
            f"{MOST_DIMENSIONS:,} dimensions"
        )
    return int(dimensions)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
