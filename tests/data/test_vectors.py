import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from elman.data.vectors import read_vectors
from elman.errors import DataError

GLOVE = "the 0.1 -2 3e-2\ncat 1 2 3\nthe 9 9 9\n. . . 4 5 6\né 7 8 9\n"


@pytest.mark.parametrize("header", ["", "5 3\n"])
@pytest.mark.parametrize("name", ["glove.txt", "glove.txt.gz"])
@pytest.mark.parametrize("ending", ["\n", " \n", "\r\n"])
def test_formats(tmp_path: Path, header: str, name: str, ending: str) -> None:
    content = (header + GLOVE).replace("\n", ending).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    rows, vectors = read_vectors(path, (word for word in ["é", "the", ". . .", "dog"]))
    assert rows == {"the": 0, ". . .": 1, "é": 2}
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, np.array([[0.1, -2, 0.03], [4, 5, 6], [7, 8, 9]], np.float32))


def test_none_wanted(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text(GLOVE)
    rows, vectors = read_vectors(path, ["axolotl"])
    assert rows == {}
    assert vectors.shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the 1 2 3\ncat 1 2\n", ":2: 2 numbers where the lines before have 3; is the file cut off?"),
        (b"the 1 2 3\ncat 1 2 3 4\n", ":2: 4 numbers where the lines before have 3"),
        (b"2 3\ncat 1 2\n", ":2: 2 numbers where the lines before have 3"),
        (b"the 1 2 3\ncat 1 2 x\n", ":2: a vector holds numbers only: could not convert string to float: 'x'"),
        (b"the 1 2 3\ncat 1 nan 3\n", ":2: a vector holds numbers only, and this one infinity or NaN"),
        (b"", ": holds no vectors"),
        (b"the\ncat\n", ": holds no vectors"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"{path}{message}")):
        read_vectors(path, ["cat"])


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt.gz"
    for content in (b"the 1 2 3\n", gzip.compress(GLOVE.encode())[:-12]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"is not a whole gzip file .*; download it again"):
            read_vectors(path, ["the"])
    with pytest.raises(DataError, match=r'glov\.txt\.gz: there is no such file; did you mean "glove\.txt\.gz"\?'):
        read_vectors(tmp_path / "glov.txt.gz", [])
