import contextlib
import gzip
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from elman.data.tokens.vectors import read_vectors, read_vectors_for
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
        (b"the 1 2 3\ncat 1 2\n", ":2: 2 numbers, but the lines before have 3; is the file cut off?"),
        (b"the 1 2 3\ncat 1 2 3 4\n", ":2: 4 numbers, but the lines before have 3"),
        (b"2 3\ncat 1 2\n", ":2: 2 numbers, but the lines before have 3"),
        (b"the 1 2 3\ncat 1 2 x\n", ":2: a vector must contain only numbers: could not convert string to float: 'x'"),
        (b"the 1 2 3\ncat 1 nan 3\n", ":2: the vector contains infinity or NaN"),
        (b"the 1 2 3\ncat 1 1e99 3\n", ":2: the vector contains infinity or NaN"),
        (b"", ": contains no vectors"),
        (b"the\ncat\n", ": contains no vectors"),
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
        with pytest.raises(DataError, match=r"is damaged, .*; download it again"):
            read_vectors(path, ["the"])
    with pytest.raises(DataError, match=r'glov\.txt\.gz: there is no such file; did you mean "glove\.txt\.gz"\?'):
        read_vectors(tmp_path / "glov.txt.gz", [])


def binary(words, vectors, newline=b""):
    header = f"{len(words)} {len(vectors[0])}\n".encode()
    rows = zip(words, vectors, strict=True)
    return header + b"".join(word.encode() + b" " + np.float32(vector).tobytes() + newline for word, vector in rows)


@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_word2vecs_binary_format(tmp_path: Path, newline: bytes) -> None:
    path = tmp_path / "w.bin"
    content = binary(["the", "na\u00efve", "cat"], [[1, 2], [3, 4], [5, 6]], newline)
    path.write_bytes(content)
    rows, matrix = read_vectors(path, ["na\u00efve", "cat", "dog"])
    assert rows == {"na\u00efve": 0, "cat": 1}
    assert matrix.tolist() == [[3, 4], [5, 6]]
    (tmp_path / "w.bin.gz").write_bytes(gzip.compress(content))
    assert read_vectors(tmp_path / "w.bin.gz", ["cat"])[1].tolist() == [[5, 6]]
    path.write_bytes(content[:-6])
    with pytest.raises(DataError, match="ends at word 2 of 3"):
        read_vectors(path, ["the"])
    path.write_bytes(content + b"dog ")
    with pytest.raises(DataError, match="continues after its 3 words"):
        read_vectors(path, ["the"])
    path.write_bytes(b"the 1 2\n")
    with pytest.raises(DataError, match="does not begin with the numbers"):
        read_vectors(path, ["the"])


def test_zip_archives(tmp_path: Path) -> None:
    path = tmp_path / "g.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.md", "x")
        archive.writestr("__MACOSX/._g.txt", "x")
        archive.writestr("g.txt", "the 1 2\ncat 3 4\n")
    assert read_vectors(path, ["cat", "\ud800"])[1].tolist() == [[3, 4]]
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with contextlib.suppress(DataError):
            read_vectors(path, ["cat"])
    path.write_bytes(whole)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("h.txt", "the 1 2\n")
    with pytest.raises(DataError, match=r"contains 2 files of vectors \(g.txt, h.txt\)"):
        read_vectors(path, ["cat"])


def test_capitals_and_the_first_words_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "g.txt"
    path.write_text("the 1\ncat 2\nparis 3\ndog 4\n")
    assert read_vectors(path, ["Paris"])[0] == {"paris": 0}
    rows, matrix = read_vectors(path, ["Paris"], first=2)
    assert (rows, matrix.tolist()) == ({"the": 0, "cat": 1, "paris": 2}, [[1], [2], [3]])


@pytest.mark.parametrize("name", ["g.txt", "g.txt.gz", "g.zip"])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("header", ["", "3 2\n"])
def test_byte_order_marks_and_line_ends(tmp_path: Path, name: str, end: str, mark: str, header: str) -> None:
    content = (mark + header + "the 1 2\nna\u00efve 3 4\nx\u2028y\x85z 5 6\n").replace("\n", end).encode()
    path = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("g.vec", content)
    else:
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    rows, matrix = read_vectors(path, ["the", "na\u00efve", "x\u2028y\x85z"])
    assert rows == {"the": 0, "na\u00efve": 1, "x\u2028y\x85z": 2}
    assert matrix.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_utf_16_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.txt"
    path.write_text("the 1 2\n", encoding="utf-16")
    with pytest.raises(DataError, match=r"g\.txt: is in UTF-16, .*convert the file"):
        read_vectors(path, ["the"])


@pytest.mark.parametrize(
    "header",
    ["1e9 1e9", "-5 300", "5 -300", "5 0", "5.0 300.0", "5 100001", "9" * 5000 + " 3", "3 " + "9" * 5000, "5 inf"],
)
def test_a_first_line_that_is_not_a_header_is_refused(tmp_path: Path, header: str) -> None:
    for name, content in (("g.vec", f"{header}\nthe 1 2\n".encode()), ("g.bin", f"{header}\n".encode() + bytes(20))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"g\.(vec|bin):? ?.*numbers of words and dimensions"):
            read_vectors(tmp_path / name, ["the"])


def test_a_bomb_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.data.files.LARGEST_UNPACKED", 1 << 18)
    content = b"a 1 2\n" * (1 << 18)
    (tmp_path / "g.vec.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(tmp_path / "g.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("g.vec", content)
    for name in ("g.vec.gz", "g.zip"):
        with pytest.raises(DataError, match=r"to more than 262,144, but the limit is"):
            read_vectors(tmp_path / name, ["the"])
    monkeypatch.setattr("elman.data.lines.LONGEST_LINE", 1 << 17)
    (tmp_path / "g.vec").write_bytes(b"the" + b" 1" * (1 << 17))
    with pytest.raises(DataError, match=r"g\.vec:1: the line is longer than the limit of 131,072 characters"):
        read_vectors(tmp_path / "g.vec", ["the"])


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        (["\n", "ısı", "ISI", "Izmir", "İzmir"], {1: 1, 2: 1, 4: 3}),
        (["it", "IT", "Izmir", "initial", "visiting", "in", "İzmir"], {0: 2, 1: 2, 2: 3}),
    ],
    ids=["turkish", "english"],
)
def test_lower_case_is_that_of_the_language(tmp_path: Path, tokens: list[str], wanted: dict[int, int]) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("ısı 1\nit 2\nizmir 3\n")
    found, vectors = read_vectors_for(path, tokens)
    assert dict(zip(found, vectors[:, 0].tolist(), strict=True)) == wanted
