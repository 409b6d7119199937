"""The user's files: errors of libraries, limits of compressed files, and the listing of folders."""

import gzip
import io
import logging
import os
from pathlib import Path

import pytest

from elman.data.files import Unpacked, as_data_error, describe_error, join_lines, list_files, open_file
from elman.data.lines import Lines
from elman.errors import DataError, UsageError


class OddError(Exception):
    def __str__(self):
        return ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("first\nsecond"), "first"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OddError(), "OddError"),
        (AssertionError(), "AssertionError"),
        (KeyError("x" * 9999), "'" + "x" * 299),
        (MemoryError(), "it does not fit into memory"),
        (RecursionError("maximum depth"), "it is nested too deeply"),
        (ValueError("\n \n"), "ValueError"),
    ],
)
def test_any_error_of_a_library_becomes_a_data_error(error, said):
    assert describe_error(error) == said
    with pytest.raises(DataError) as caught, as_data_error("a.mid", "not MIDI"):
        raise error
    assert str(caught.value) == f"a.mid: not MIDI ({said})"


@pytest.mark.parametrize("error", [UsageError("as it is"), DataError("as it is"), KeyboardInterrupt(), SystemExit(3)])
def test_errors_that_are_not_about_the_file_pass_through(error):
    with pytest.raises(type(error)) as caught, as_data_error("a.mid"):
        raise error
    assert caught.value is error


def test_a_compressed_file_is_read_up_to_a_limit(monkeypatch):
    monkeypatch.setattr("elman.data.files.LARGEST_UNPACKED", 1000)
    for size, ratio in ((1000, 1), (5000, 5)):  # within one limit, or within the other
        monkeypatch.setattr("elman.data.files.LARGEST_RATIO", ratio)
        whole = io.BufferedReader(Unpacked(io.BytesIO(b"x" * size).read, "f.gz", 1000))
        assert whole.read() == b"x" * size
        longer = io.BufferedReader(Unpacked(io.BytesIO(b"x" * (size + 1)).read, "f.gz", 1000))
        with pytest.raises(DataError, match=rf"f\.gz: unpacks from 1,000 bytes to more than {size:,}, .*{ratio} times"):
            longer.read()
    damaged = io.BytesIO(gzip.compress(b"x" * 3000)[:-9])
    with pytest.raises(DataError, match=r"f\.gz: is damaged"):
        io.BufferedReader(Unpacked(gzip.GzipFile(fileobj=damaged).read, "f.gz", 5000)).read()


def test_a_folder_lists_readable_and_unreadable_files(tmp_path):
    (tmp_path / "sub.mid").mkdir()
    for name in ("b.mid", "a.MID", "c.txt", "sub.mid/d.mid"):
        (tmp_path / name).write_text("x")
    (tmp_path / "gone.mid").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.mid")
    found = list_files(tmp_path, (".mid",))
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        *("a.MID", "b.mid", "gone.mid", "pipe.mid", "sub.mid/d.mid")
    ]
    for path, said in ((found[2], "is a link to a file that does not exist"), (found[3], "is not a regular file")):
        with pytest.raises(DataError, match=said):
            open_file(path)


def test_a_file_of_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"gone\.txt: there is no such file$"):
        open_file(tmp_path / "gone.txt")


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """Return a subfolder that nobody can list, not even root."""
    plain = os.scandir

    def scandir(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for name in ("a", "locked", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b.mid").write_text("x")
    return tmp_path / "locked"


def test_a_subfolder_that_cannot_be_listed_is_reported(locked, caplog):
    told = []
    kept = [locked.parent / "a" / "b.mid", locked.parent / "z" / "b.mid"]
    assert list_files(locked.parent, (".mid",), lambda *problem: told.append(problem)) == kept
    ((name, problem),) = told
    assert (name, str(problem)) == (str(locked), f"{locked}: the folder cannot be listed (Permission denied)")
    with caplog.at_level(logging.WARNING):
        assert list_files(locked.parent, (".mid",)) == kept
    assert caplog.messages == [f"{problem}; it is skipped"]
    with pytest.raises(DataError, match=r"locked: the folder cannot be listed \(Permission denied\)$"):
        list_files(locked, (".mid",))


def test_a_path_that_is_not_a_file_is_refused_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "pipe", "is not a regular file"), (tmp_path, "is a folder")):
        with pytest.raises(DataError, match=rf"^{path}: {said}; ") as caught:
            open_file(path)
        assert str(caught.value).count(str(path) + ":") == 1


@pytest.mark.parametrize("text", ["", "\n", "a\n", "a\n\n", "a\rb\r\nc", "\r\n\r", "a\u2028b\x85c\x0bd\x0ce\x1cf"])
def test_a_text_has_the_lines_that_a_file_has(text):
    assert join_lines(text) == " ".join(Lines(text))
