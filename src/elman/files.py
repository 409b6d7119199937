"""Atomic writes of a file or of several files in a folder, and reads of untrusted files.

A file is written to ``.NAME.new`` beside its destination and moved there once it is on disk. A folder cannot be moved
onto another one, so several files of a folder are replaced through a journal:

    1. every new file is written as .NAME.new
    2. .journal.json, which names them (and the files to remove), is moved into place: this commits the change
    3. the new files are moved into place, the old ones removed, and the journal is deleted last

A process that is killed before step 2 leaves the old files, one that is killed after it leaves the new ones:
:func:`find_current` finds them wherever they are, and the next process that writes into the folder completes the moves.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from elman.documents import read_json, write_json
from elman.errors import ModelError, StorageError

JOURNAL = ".journal.json"
LOCK = ".lock"
MOST_JOURNAL = 1 << 20  # bytes
_ANOTHER_FOLDER = "name another folder with `out`"

logger = logging.getLogger(__name__)


class Journal(NamedTuple):
    """Changes that are committed in a folder but may not be moved into place yet."""

    files: frozenset[str] = frozenset()
    """The names of the new files."""
    removed: frozenset[str] = frozenset()
    """The names of the files to remove."""


def cache_root() -> Path:
    """Return the folder in which Elman keeps what it can make again: ELMAN_CACHE_DIR, or the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("ELMAN_CACHE_DIR") or platformdirs.user_cache_dir("elman", appauthor=False))


# ---------------------------------------------------------------- reading


def read_file(path: Path, most: int) -> bytes:
    """Read a file of an untrusted folder.

    Args:
        path: a regular file, not a link to outside its folder.
        most: the largest size allowed, in bytes.

    Raises:
        ModelError: it is too large, not a regular file, or cannot be read.
    """
    try:
        check_regular(path, most)
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path}: cannot be read ({reason}); train again or copy the folder again") from error


def check_regular(path: Path, most: int) -> int:
    """Return the size of a file in bytes; raise ModelError if it is too large, not a file, or outside its folder."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path}: is not a regular file, as every file of a model must be; copy the folder again")
    if path.is_symlink() and path.resolve().parent != path.parent.resolve():
        raise ModelError(f"{path}: is a link to a file outside the folder; put the file itself there")
    if status.st_size > most:
        raise ModelError(f"{path}: has {status.st_size:,} bytes, but the limit for this file is {most:,}")
    return status.st_size


def find_current(folder: Path, name: str) -> Path | None:
    """Find a file of a folder, even while its files are being replaced.

    Returns:
        The path of its current content; None if there is no such file.

    Raises:
        ModelError: the folder's journal is damaged.
    """
    journal = read_journal(folder)
    if name in journal.removed:
        return None
    if name in journal.files and (beside := _temporary_path(folder / name)).exists():
        return beside
    path = folder / name
    return path if os.path.lexists(path) else None


def read_journal(folder: Path) -> Journal:
    """Read the journal of a folder; an empty one if there is none.

    Raises:
        ModelError: it is damaged.
    """
    path = folder / JOURNAL
    if not os.path.lexists(path):
        return Journal()
    try:
        found = read_json(read_file(path, MOST_JOURNAL), {"files": [str], "removed": [str]})
        names = [*found["files"], *found["removed"]]
        if any(Path(name).name != name or name.startswith(".") or "\0" in name for name in names):
            raise ValueError("it names a file outside the folder")
    except ValueError as error:
        raise ModelError(f"{path}: not a valid journal ({error}); delete it or copy the folder again") from None
    return Journal(frozenset(found["files"]), frozenset(found["removed"]))


# ---------------------------------------------------------------- writing


def write_files(contents: dict[Path, bytes]) -> None:
    """Write several files that the user named, in order; if one of them cannot be written, none is.

    Raises:
        StorageError: the disk is full, the folder is missing or write-protected, or the path is a folder or a device.
    """
    contents = {_resolve_file(path): content for path, content in contents.items()}
    with ExitStack() as stack:  # it moves the files into place as it unwinds, in reverse order
        for path, content in reversed(contents.items()):
            _write(stack.enter_context(replacing(path, "name another file")), content)


def _resolve_file(path: Path) -> Path:
    """Return the file that a path names, through links; raise StorageError if a folder or a device is there.

    ``os.path`` raises nothing for a path that is too long or forbidden: writing to it raises the error.
    """
    file = Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114
    if os.path.exists(file) and not os.path.isfile(file):  # noqa: PTH110, PTH113
        raise StorageError(f"{path}: is {'a folder' if file.is_dir() else 'not a regular file'}; name a file")
    if not os.path.isdir(file.parent):  # noqa: PTH112
        raise StorageError(f"{path}: there is no folder {file.parent}; make it first")
    return file


@contextmanager
def replacing(path: Path, remedy: str = _ANOTHER_FOLDER) -> Iterator[Path]:
    """Replace a file atomically: yield a temporary path to write to, and move it into place when the block ends.

    Args:
        path: the file to write or replace.
        remedy: the advice that the error gives, besides making room.

    Yields:
        The temporary path. If the block fails it is removed, and the file at ``path`` is unchanged.

    Raises:
        StorageError: the disk is full, or the folder is missing or write-protected.
    """
    beside = _temporary_path(path)
    try:
        with beside.open("wb") as file:  # the usual mode: safetensors would let only the owner read the file
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        yield beside
        beside.chmod(mode)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except StorageError:  # about another file, written in the same block
        raise
    except OSError as error:
        raise _make_storage_error(path, error, os.path.exists(path), remedy) from error  # noqa: PTH110
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def replace_files(folder: Path, contents: dict[str, bytes], removed: Iterable[str] = ()) -> None:
    """Replace files of a folder atomically; the caller holds the folder's lock.

    Args:
        folder: an existing folder.
        contents: the content of each file by name; no name begins with a dot.
        removed: the names of files to remove.

    Raises:
        StorageError: a file cannot be written; the folder's files are unchanged.
    """
    complete(folder)
    path = folder
    try:
        for name, content in contents.items():
            path = folder / name
            _write(_temporary_path(path), content)
        _sync_folder(folder)
        path = folder / JOURNAL
        gone = sorted(set(removed) - set(contents))
        _write(_temporary_path(path), write_json({"files": list(contents), "removed": gone}).encode())
        _temporary_path(path).replace(path)
    except OSError as error:
        for left in (*(folder / name for name in contents), folder / JOURNAL):
            with suppress(OSError):
                _temporary_path(left).unlink(missing_ok=True)
        raise _make_storage_error(path, error, any((folder / name).exists() for name in contents)) from error
    try:
        complete(folder)
    except OSError as error:  # the change is committed: readers of the folder find the new files
        logger.warning("%s: its files are saved, but cannot be moved into place (%s)", folder, error.strerror)


def complete(folder: Path) -> None:
    """Move committed files into place, and delete uncommitted ones; the caller holds the folder's lock.

    Raises:
        OSError: a file cannot be moved.
        ModelError: the folder's journal is damaged.
    """
    journal = read_journal(folder)
    if journal != Journal():
        _sync_folder(folder)
        for name in journal.files:
            with suppress(FileNotFoundError):  # it is already moved
                _temporary_path(folder / name).replace(folder / name)
        for name in journal.removed:
            (folder / name).unlink(missing_ok=True)
        _sync_folder(folder)
        (folder / JOURNAL).unlink()
        _sync_folder(folder)
    for left in folder.glob(".*.new"):
        left.unlink(missing_ok=True)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Create a folder if it is missing, and lock it against other processes.

    The lock belongs to the process and ends with it, however the process ends. A folder that was created here and is
    still empty at the end is removed.

    Raises:
        StorageError: the folder cannot be created or written to.
        ModelError: another process is writing into it; the message says which one.
    """
    made = _make_folder(folder, "name another with `out`")
    try:
        with _hold_lock(folder):
            try:
                complete(folder)
            except OSError as error:
                raise _make_storage_error(folder, error, False) from error
            yield
    finally:
        with suppress(OSError):  # the folder is not empty
            for one in made:
                one.rmdir()


def remove_file(path: Path) -> None:
    """Remove a file if it exists.

    Raises:
        StorageError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be removed ({error.strerror}); {_ANOTHER_FOLDER}") from error


def make_folder(folder: Path) -> None:
    """Create a folder if it is missing.

    Raises:
        StorageError: it cannot be created, or a file of that name is in the way.
    """
    _make_folder(folder, "name another folder")


def _make_folder(folder: Path, remedy: str) -> list[Path]:
    """Create a folder; return the folders that were created, the innermost first."""
    try:
        made = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{folder}: the folder cannot be created ({reason}); {remedy}") from error
    return made


@contextmanager
def _hold_lock(folder: Path) -> Iterator[None]:
    path = folder / LOCK
    try:
        descriptor = _open_lock(path)
    except OSError as error:
        raise _make_storage_error(folder, error, False) from error
    try:
        with suppress(OSError):  # the lock also works without its holder's name
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {time.ctime()}".encode())
        yield
    finally:
        if sys.platform == "win32":  # an open file cannot be removed there
            os.close(descriptor)
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if sys.platform != "win32":
            os.close(descriptor)


def _open_lock(path: Path) -> int:
    """Open a lock file and lock it; raise ModelError if another process holds the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _lock(descriptor)
        except (BlockingIOError, PermissionError):
            holder = os.read(descriptor, 200).decode("utf-8", "replace") or "another process"
            os.close(descriptor)
            raise ModelError(
                f"{path.parent}: {holder} is writing into this folder; wait for it to end, or {_ANOTHER_FOLDER}"
            ) from None
        except OSError:
            pass  # a file system without locks: continue without one
        with suppress(OSError):
            if os.path.samestat(path.lstat(), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)  # its former holder has just removed it


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _temporary_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, if the system can do that."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_storage_error(path: Path, error: OSError, kept: bool, remedy: str = _ANOTHER_FOLDER) -> StorageError:
    still = ". What was saved before is intact." if kept else ""
    return StorageError(f"{path}: cannot be written ({error.strerror or error}); make room or {remedy}{still}")
