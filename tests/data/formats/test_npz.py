"""Untrusted archives of arrays: only data, within the limits, and any damage is one error."""

import io
import struct
import zipfile

import numpy as np
import pytest

from elman.data.formats.npz import convert_to_texts, read_npz
from elman.errors import DataError


def member(head, content=b"", version=(1, 0)):
    """Build the file of an array by hand."""
    written = repr(head).encode() if isinstance(head, dict) else head
    length = struct.pack("<H" if version == (1, 0) else "<I", len(written))
    return b"\x93NUMPY" + bytes(version) + length + written + content


def head(shape, descr="<f8"):
    return {"descr": descr, "fortran_order": False, "shape": shape}


def archive(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_arrays_are_read_as_they_were_written(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b.jpg": np.array(["x", "é"]), "c": np.asfortranarray(np.eye(3))}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_npz(tmp_path / "a.npz")
        assert found.names == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found.arrays[name], array)
    assert list(read_npz(tmp_path / "a.npz", ("c", "d")).arrays) == ["c"]
    stream = io.BytesIO()
    np.lib.format.write_array(stream, arrays["a"], version=(2, 0))
    archive(tmp_path / "b.npz", {"a.npy": stream.getvalue(), "readme.txt": "not an array"})
    np.testing.assert_array_equal(read_npz(tmp_path / "b.npz").arrays["a"], arrays["a"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (member(head((10**12,))), r"needs 8,000,000,000,000 bytes, but it has \d+"),
        (member(repr(head((7,))).replace("7", "1" + "0" * 5000).encode()), "."),
        (member(head((10**12,), "<U0")), "needs 1,000,000,000,000 bytes"),
        (member(head((-1,))), "negative|could not|Failed"),
        (member(head((1.5,))), "shape is not valid"),
        (member(head((1,), "|O"), b"x" * 99), "contains Python objects, which are never loaded"),
        (member(b"(" * 9000), "."),
        (member(b"1/0"), "."),
        (member(head((1,)), b"1234567"), "takes 8 bytes|expected|array data"),
        (member(head((1,)), b"x" * 8, version=(3, 0)), "version 3.0 of the format"),
        (b"no array", "magic string"),
    ],
)
def test_an_invalid_array_is_refused(tmp_path, content, said):
    path = archive(tmp_path / "a.npz", {"x.npy": content, "y.npy": member(head((1,)), b"x" * 8)})
    with pytest.raises(DataError, match=rf"a\.npz: cannot be read as \.npz .*({said})"):
        read_npz(path)
    assert read_npz(path, ["y"]).names == ["x", "y"]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("elman.data.files.LARGEST_UNPACKED", 100_000)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(50_000), y=np.arange(3))

    def unpack(*_):
        raise AssertionError("it is unpacked")

    with monkeypatch.context() as patched:
        patched.setattr("zipfile.ZipFile.open", unpack)
        with pytest.raises(DataError, match=r"a\.npz: unpacks from [\d,]+ bytes to more than 100,000, .*uncompressed"):
            read_npz(tmp_path / "a.npz")
    assert read_npz(tmp_path / "a.npz", ["y"]).arrays["y"].tolist() == [0, 1, 2]
    np.savez(tmp_path / "b.npz", x=np.zeros(50_000))
    assert read_npz(tmp_path / "b.npz").arrays["x"].size == 50_000


def test_strings_and_integers_become_strings():
    for array, wanted in (
        (np.array(["up", " é "]), ["up", " é "]),
        (np.array([b"up", "é".encode()]), ["up", "é"]),
        (np.array([3, -1]), ["3", "-1"]),
        (np.array([True, False]), ["True", "False"]),
        (np.zeros(0, "<U1"), []),
    ):
        assert convert_to_texts(array, "f.npz: labels") == wanted


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([1.5]), r"are float64 of shape \(1,\), expected \(N,\) texts or whole numbers"),
        (np.array([["a"]]), r"are <U1 of shape \(1, 1\)"),
        (np.array("a"), r"are <U1 of shape \(\)"),
        (np.array([1j]), "are complex128"),
        (np.array(["2001-01-01"], "M8[D]"), "are datetime64"),
        (np.array(["a\0b"]), "row 0 contains NUL"),
        (np.array(["a", "\ud800"]), "row 1 contains half a character"),
        (np.frombuffer(struct.pack("<2I", 65, 0x110000), "<U1"), ": are no texts"),
    ],
)
def test_an_array_that_is_not_text_is_refused(array, said):
    with pytest.raises(DataError, match=rf"f\.npz: labels ?{said}"):
        convert_to_texts(array, "f.npz: labels")
