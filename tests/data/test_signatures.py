"""Files that are not text are refused with their kind and a remedy."""

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest

from elman.data.lines import Lines
from elman.data.text import Text
from elman.errors import DataError

TEXT = b"to be or not to be\n" * 50


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", TEXT)
    return stream.getvalue()


def arrays():
    stream = io.BytesIO()
    np.savez(stream, inputs=np.ones(3))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped(), "x: is a ZIP archive .*unpack it"),
        (arrays(), "x: is a ZIP archive"),
        (gzip.compress(TEXT), "x: is compressed by gzip; unpack it: gunzip"),
        (bz2.compress(TEXT), "x: is compressed by bzip2"),
        (lzma.compress(TEXT), "x: is compressed by xz"),
    ],
    ids=["zip", "npz", "gzip", "bzip2", "xz"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_that_is_not_text_is_named_by_its_kind(tmp_path, content, said, encoding):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        list(Text(path, encoding).chunks())
    with pytest.raises(DataError, match=said):
        list(Lines(path, encoding))


@pytest.mark.parametrize("begins", ["BZh", "PAR1", "Rar!", "MThd", "%PDF-", "SQLite format 3"])
def test_a_text_may_begin_like_a_file_of_another_kind(tmp_path, begins):
    path = tmp_path / "x"
    path.write_text(f"{begins} said the bee -- é" * 40, encoding="utf-8")  # a character is cut at byte 512, or near it
    assert "".join(Text(path).chunks()) == path.read_text(encoding="utf-8")
