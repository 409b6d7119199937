"""Pretrained word vectors in the text formats of GloVe, word2vec and fastText (``.vec``), plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elman.data.text import open_file
from elman.errors import DataError


def read_vectors(path: Path, words: Iterable[str]) -> tuple[dict[str, int], NDArray[np.float32]]:
    r"""Read the vectors of the wanted words, so that an embedding need not start from noise.

    A file has one word a line, followed by its numbers; a first line of two integers (word2vec and fastText write the
    number of words and of dimensions) is skipped. Where a word occurs twice, the first vector counts.

    Args:
        path: the file; a name that ends in ``.gz`` is decompressed on the way.
        words: the words wanted, spelled as in the file.

    Returns:
        The row of each word that was found, and the vectors: (number of words found, dimensions), float32.

    Raises:
        DataError: the file cannot be read, or a line has another length than the first or something else than numbers.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tiny.vec"
        >>> _ = path.write_text("3 2\nking 1 0.5\nqueen 1 -0.5\nman 0 0.5\n")
        >>> read_vectors(path, ["man", "king", "axolotl"])
        ({'king': 0, 'man': 1}, array([[1. , 0.5],
               [0. , 0.5]], dtype=float32))
    """
    wanted = set(words)
    rows: dict[str, int] = {}
    vectors: list[NDArray[np.float32]] = []
    dimensions = 0
    with open_file(path) as raw, gzip.open(raw) if path.suffix == ".gz" else raw as file:
        try:
            for number, line in enumerate(file, start=1):
                text = line.decode("utf-8", "replace").rstrip(" \r\n")
                if number == 1:
                    fields = text.split(" ")
                    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
                        dimensions = int(fields[1])
                        continue
                dimensions = dimensions or text.count(" ")
                word, *numbers = text.rsplit(" ", dimensions)  # a few words of GloVe's contain spaces themselves
                if len(numbers) < dimensions or (" " in word and _is_number(word.rsplit(" ", 1)[1])):
                    raise DataError(
                        f"{path}:{number}: {text.count(' ')} numbers where the lines before have {dimensions}; "
                        "is the file cut off?"
                    )
                if word in wanted and word not in rows:
                    try:
                        vector = np.array(numbers, np.float32)
                    except ValueError as error:
                        raise DataError(f"{path}:{number}: a vector holds numbers only: {error}") from None
                    if not np.isfinite(vector).all():
                        raise DataError(f"{path}:{number}: a vector holds numbers only, and this one infinity or NaN")
                    rows[word] = len(vectors)
                    vectors.append(vector)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path}: is not a whole gzip file ({error}); download it again?") from None
    if not dimensions:
        raise DataError(f"{path}: holds no vectors; a line is a word and its numbers, with spaces between them")
    return rows, np.array(vectors, np.float32).reshape(-1, dimensions)  # (found, dimensions)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
