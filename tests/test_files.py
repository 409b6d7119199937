"""Atomic replacement of files: when the process is killed, and when another process writes to the folder."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elman.errors import ModelError, StorageError
from elman.files import JOURNAL, LOCK, find_current, make_folder, read_file, replace_files, working_in, write_files

OLD = {"config": b"old config", "weights": b"old weights" * 50, "labels": b"old labels"}
NEW = {"config": b"new config, longer", "weights": b"new weights", "log": b"new log"}
NEWER = {"config": b"newest", "weights": b"newest weights", "labels": b"newest labels"}
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def contents(folder):
    """Return the files that a reader finds, moved into place or not."""
    names = {*OLD, *NEW, *NEWER}
    paths = {name: find_current(folder, name) for name in names}
    return {name: path.read_bytes() for name, path in paths.items() if path is not None}


def killed(action, moment):
    """Run ``action`` in a process that dies just before its n-th change to files; return False if it finishes.

    Python audits each file that is opened, renamed or removed, and the process dies there, independently of the code.
    Buffered data that it has not yet passed to the system is lost.
    """
    child = os.fork()
    if child == 0:
        counted = 0

        def die(event, arguments):
            nonlocal counted
            if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE):
                counted += 1
                if counted > moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(die)
        try:
            action()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def save(folder, files, removed=()):
    with working_in(folder):
        replace_files(folder, files, removed)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_a_process_killed_at_any_moment_leaves_the_old_or_the_new_files(tmp_path):
    found = []

    def check(moment):
        folder = tmp_path / str(moment)
        assert contents(folder) in (OLD, NEW), moment
        found.append(contents(folder) == NEW)
        save(folder, NEWER, removed=["log"])  # the next process cleans up
        assert contents(folder) == NEWER
        assert {path.name for path in folder.iterdir()} == set(NEWER)

    for moment in range(200):
        save(tmp_path / str(moment), OLD)
        was_killed = killed(lambda moment=moment: save(tmp_path / str(moment), NEW, removed=["labels"]), moment)
        check(moment)
        if not was_killed:
            break
    assert found == sorted(found), "once committed, it stays so"
    assert 5 < found.index(True) < len(found) - 5, "there are moments before and after the commit"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_a_process_killed_while_completing_the_changes_of_another(tmp_path):
    draw = random.Random(1)
    for first, second in [(draw.randrange(4, 24), draw.randrange(30)) for _ in range(24)]:
        folder = tmp_path / f"{first}-{second}"
        save(folder, OLD)
        killed(lambda folder=folder: save(folder, NEW, removed=["labels"]), first)
        killed(lambda folder=folder: save(folder, NEWER, removed=["log"]), second)
        assert contents(folder) in (OLD, NEW, NEWER), (first, second)


@pytest.mark.parametrize("failing", range(1, 12))
def test_a_full_disk_leaves_the_old_or_the_new_files(tmp_path, monkeypatch, failing):
    save(tmp_path, OLD)
    plain, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    refusal = None
    try:
        save(tmp_path, NEW, removed=["labels"])
    except StorageError as error:
        refusal = str(error)
    if refusal is None:
        assert contents(tmp_path) == NEW
        return
    assert "What was saved before is intact" in refusal
    assert contents(tmp_path) == OLD
    assert {path.name for path in tmp_path.iterdir()} == set(OLD)


def test_a_file_that_cannot_be_moved_into_place_is_still_found(tmp_path, caplog):
    """A folder is in the way of a file: the committed content is still read."""
    (tmp_path / "log").mkdir()
    save(tmp_path, NEW)
    assert contents(tmp_path) == NEW
    assert "cannot be moved into place" in caplog.text


DAMAGED = [
    *(b"", b"[]", b"\xff", b"[" * 9999, b'{"files": []}', b'{"files": [1], "removed": []}'),
    *(b'{"files": ["../x"], "removed": []}', b'{"files": [".lock"], "removed": []}'),
    b'{"files": ["a\\u0000b"], "removed": []}',
]


@pytest.mark.parametrize("journal", DAMAGED)
def test_a_damaged_journal_is_refused(tmp_path, journal):
    (tmp_path / JOURNAL).write_bytes(journal)
    with pytest.raises(ModelError, match="journal"):
        find_current(tmp_path, "config")
    with pytest.raises(ModelError, match="journal"):
        save(tmp_path, NEW)


# ---------------------------------------------------------------- the lock


def test_the_second_to_write_into_a_folder_is_refused(tmp_path):
    with working_in(tmp_path), pytest.raises(ModelError, match=f"process {os.getpid()} on .* is writing"):
        save(tmp_path, NEW)
    save(tmp_path, NEW)
    assert not (tmp_path / LOCK).exists()


def test_another_process_holds_the_lock_until_it_dies(tmp_path):
    program = "import sys, time; from pathlib import Path; from elman.files import working_in\n"
    program += "with working_in(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ModelError, match=f"process {other.pid} on .* is writing"):
            save(tmp_path, NEW)
        other.kill()
        other.wait()
    assert (tmp_path / LOCK).exists()  # it cannot clean up, which does not matter
    save(tmp_path, NEW)
    assert contents(tmp_path) == NEW


def test_a_created_folder_that_stays_empty_is_removed(tmp_path):
    with pytest.raises(KeyError), working_in(tmp_path / "a" / "b"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    with working_in(tmp_path / "kept"):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "kept"]


def test_a_folder_that_cannot_be_made_or_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be created"), working_in(tmp_path / "file"):
        pass
    with pytest.raises(StorageError, match="cannot be created"):
        make_folder(tmp_path / "a\0b")
    (tmp_path / LOCK).symlink_to("elsewhere")
    with pytest.raises(StorageError, match="cannot be written"), working_in(tmp_path):
        pass


# ---------------------------------------------------------------- untrusted files


def fifo(path):
    os.mkfifo(path)


def sparse(path):
    with path.open("wb") as file:
        file.truncate(10 << 30)


def outside(path):
    (path.parent.parent / "secret").write_bytes(b"secret")
    path.symlink_to(path.parent.parent / "secret")


STRANGE = {
    "a pipe": (fifo, "not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "a folder": (lambda path: path.mkdir(), "not a regular file"),
    "ten gigabytes": (sparse, "10,737,418,240 bytes"),
    "a link outside": (outside, "outside the folder"),
    "a loop": (lambda path: path.symlink_to(path), "cannot be read"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "cannot be read"),
    "nothing": (lambda path: None, "cannot be read"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_only_a_regular_file_of_a_bounded_size_is_read(tmp_path, kind):
    make, words = STRANGE[kind]
    folder = tmp_path / "m"
    folder.mkdir()
    make(folder / "config.json")
    began = time.monotonic()
    with pytest.raises(ModelError, match=words):
        read_file(folder / "config.json", 1 << 20)
    assert time.monotonic() - began < 5  # a hang is the failure, not a slow machine


def test_a_link_within_the_folder_is_read(tmp_path):
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "config.json").symlink_to("real")
    assert read_file(tmp_path / "config.json", 100) == b"content"


# ---------------------------------------------------------------- files that a user named

IN_THE_WAY = {
    "folder": "is a folder",
    ".": "is a folder",
    "/": "is a folder",
    "pipe": "is not a regular file",
    "device": "is not a regular file",
    "nowhere/a": "there is no folder nowhere",
    "folder/" + "a" * 255: "File name too long",
    "a" * 5000: "File name too long",
}


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_only_a_file_is_replaced_by_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("device").symlink_to("/dev/null")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match=IN_THE_WAY[name]):
        write_files({Path("good"): b"content", Path(name): b"content"})
    assert sorted(tmp_path.rglob("*")) == before
    assert Path("device").is_char_device()


def test_a_file_that_cannot_be_written_is_named_without_flags(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(
        StorageError, match=r"a\.svg: cannot be written \(No space left on device\); make room or name an"
    ) as told:
        write_files({tmp_path / "a.svg": b"content"})
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"name another folder$") as also_told:
        make_folder(tmp_path / "file" / "pictures")
    assert "--" not in f"{told.value} {also_told.value}"


def test_a_file_is_written_to_the_target_of_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/real")
    for content in (b"new", b"newer"):
        write_files({tmp_path / "link": content})
        assert (tmp_path / "folder" / "real").read_bytes() == content
    assert (tmp_path / "link").is_symlink()
