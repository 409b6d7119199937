import hashlib
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.text import Text, split_text
from elman.errors import DataError, UsageError

CHARACTERS = st.text(st.sampled_from("ab é𝄞<unk> \t\n\r"), min_size=1, max_size=80)


def universal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text")


@given(CHARACTERS, st.integers(1, 9), st.integers(0, 60), st.integers(0, 60), st.booleans())
def test_chunks_join_to_the_text(
    folder: Path, text: str, block_size: int, start: int, length: int, keep_lines: bool
) -> None:
    path = folder / "input.txt"
    path.write_bytes(text.encode())
    whole = universal(text)
    for source in (path, text):
        reader = Text(source, block_size=block_size)
        assert "".join(reader.chunks(keep_lines=keep_lines)) == whole
        chunks = list(reader.chunks(start, start + length, keep_lines))
        assert "".join(chunks) == whole[start : start + length]
        assert all(chunks)
        assert reader.num_characters == len(whole)
        assert reader.num_lines == whole.count("\n") + (not whole.endswith("\n"))
        assert reader.sha256 == hashlib.sha256(text.encode()).hexdigest()


@given(st.text(st.sampled_from("abé<> \t\n"), min_size=1, max_size=200), st.integers(8, 30))
def test_chunks_end_before_whitespace_or_after_a_line(text: str, block_size: int) -> None:
    for chunk in list(Text(text, block_size=block_size).chunks())[:-1]:
        assert not chunk[-1].isspace() or len(chunk) >= 4 * block_size
    chunks = list(Text(text, block_size=block_size).chunks())
    for left, right in pairwise(chunks):
        assert right[0].isspace() or len(left) >= 4 * block_size
    for chunk in list(Text(text, block_size=block_size).chunks(keep_lines=True))[:-1]:
        assert chunk.endswith("\n") or len(chunk) >= 4 * block_size


def test_a_text_without_whitespace_is_cut_at_the_limit() -> None:
    assert [len(chunk) for chunk in Text("a" * 100, block_size=10).chunks()] == [40, 40, 20]


@given(CHARACTERS, st.integers(1, 20))
def test_pieces_join_to_the_text_and_begin_with_whitespace(text: str, size: int) -> None:
    cut = list(split_text(text, size))
    assert "".join(cut) == text
    assert all(re.match("[ \t\n]", piece) for piece in cut[1:])
    assert all(not piece[-1].isspace() and len(piece) >= size for piece in cut[:-1])


def test_several_sources_are_one_text(tmp_path: Path) -> None:
    path = tmp_path / "marked.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n")
    text = Text(["\ufeffzero\r", path, "two"])
    assert "".join(text.chunks()) == "zero\none\ntwo"
    assert text.names == ["text", str(path), "text"]
    assert text.num_lines == 3
    assert text.sha256 == hashlib.sha256("\ufeffzero\r\ufeffone\r\ntwo".encode()).hexdigest()


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-16-le", "UTF8"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "text"
    path.write_bytes("\ufeffcafé\r\n".lstrip("" if "16" in encoding else "\ufeff").encode(encoding))
    assert "".join(Text(path, encoding, block_size=3).chunks()) == "café\n"


def test_a_lone_surrogate_does_not_crash() -> None:
    assert "".join(Text("a\ud800b").chunks()) == "a\ud800b"
    assert Text("a\ud800b").num_characters == 3


def test_split() -> None:
    text = Text("x" * 1_115_394)
    assert text.split(0.1) == 1_003_854 == int(1_115_394 * 0.9)
    assert text.split(0) == text.split(0, by_line=True) == 1_115_394
    assert text.split(0.1, by_line=True) == 1_115_394
    with pytest.raises(UsageError, match=r"a fraction of 1\.0 cannot be split off"):
        text.split(1.0)


@given(CHARACTERS, st.floats(0, 0.99), st.integers(1, 9))
def test_split_by_line_is_the_next_line_start(text: str, fraction: float, block_size: int) -> None:
    whole, reader = universal(text), Text(text, block_size=block_size)
    position = reader.split(fraction)
    line_starts = [0, *(match.end() for match in re.finditer("\n", whole)), len(whole)]
    assert reader.split(fraction, by_line=True) == min(start for start in line_starts if start >= position)


def test_a_missing_file_suggests_the_closest(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("x")
    with pytest.raises(DataError, match=r'inptu\.txt: there is no such file; did you mean "input\.txt"\?$'):
        Text(tmp_path / "inptu.txt")
    with pytest.raises(DataError, match=r"there is no such file \(nor a folder .*nowhere\)$"):
        Text(tmp_path / "nowhere" / "input.txt")


def test_unreadable_sources_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"is a folder; name the files in it"):
        Text(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"is not a regular file"):
        Text(tmp_path / "pipe")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret").write_text("x")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"secret: cannot be read: Permission denied"):
        Text(tmp_path / "secret")


def test_empty_texts(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"\xef\xbb\xbf")
    with pytest.raises(DataError, match=r"empty: is empty"):
        list(Text(["x", tmp_path / "empty"]).chunks())
    with pytest.raises(DataError, match=r"^text: is empty"):
        _ = Text("").num_characters
    with pytest.raises(UsageError, match=r"the list of sources is empty"):
        Text([])
    with pytest.raises(UsageError, match=r"a text is a pathlib.Path or a str, not int"):
        Text([3])  # type: ignore[list-item]


@pytest.mark.parametrize("block_size", [1, 2, 7, 1000])
def test_invalid_bytes_are_reported_with_their_position_and_a_remedy(tmp_path: Path, block_size: int) -> None:
    path = tmp_path / "input.txt"

    def message(content: bytes, encoding: str = "utf-8") -> str:
        path.write_bytes(content)
        with pytest.raises(DataError) as error:
            list(Text(path, encoding, block_size).chunks())
        return str(error.value).removeprefix(str(path))

    assert message("é\r\nzwei\rdrei\nx".encode() + b"caf\xe9 au lait") == (
        ": byte 18 (line 4) is not valid utf-8; it may be cp1252: try `encoding` cp1252"
    )
    assert message(b"ab\x81\n").endswith(
        "byte 2 (line 1) is not valid utf-8; it may be latin-1: try `encoding` latin-1"
    )
    assert message("hé".encode("utf-16")).endswith("try `encoding` utf-16")
    assert (
        message("hé".encode(), "ascii") == ": byte 1 (line 1) is not valid ascii; it may be utf-8: try `encoding` utf-8"
    )
    assert ": byte 3 (line 1)" in message("abcé".encode()[:-1])


def test_unknown_encodings() -> None:
    with pytest.raises(UsageError, match=r'`encoding` utf-9: no such text encoding; did you mean "utf-8"\?'):
        Text("x", "utf-9")
    with pytest.raises(UsageError, match=r"`encoding` base64: no such text encoding"):
        Text("x", "base64")


def test_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("input.txt").write_text("x")
    assert Text("input.txt").hint == (
        '; "input.txt" is text here; to read the file of that name pass pathlib.Path("input.txt")'
    )
    for source in ["input", "input.txt\n", "é" * 200, "\0", ["input.txt", "x"], Path("input.txt"), ""]:
        assert Text(source).hint == ""
