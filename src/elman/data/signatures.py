"""The kind of a file that is not text, by its first bytes."""

from __future__ import annotations

import re

KINDS = {
    b"PK\x03\x04": "a ZIP archive (.zip, .npz, .docx, .xlsx ...), not text; unpack it, or save it as text",
    b"\x1f\x8b": "compressed by gzip; unpack it: gunzip FILE",
    b"BZh": "compressed by bzip2; unpack it: bunzip2 FILE",
    b"\xfd7zXZ\0": "compressed by xz; unpack it: unxz FILE",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it: unzstd FILE",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"%PDF-": "a PDF document; save its text, as pdftotext does",
    b"\xd0\xcf\x11\xe0": "an Office document (.doc, .xls); save it as text",
    b"PAR1": "a Parquet file; save it as CSV",
    b"\x89HDF": "an HDF5 file; save its content as CSV or .npz",
    b"\x93NUMPY": "a NumPy array; save it in an .npz",
    b"SQLite format 3": "an SQLite database; save the table as CSV",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"MThd": "a MIDI file",
}
"""What a file that begins with these bytes is, and what to do with it."""

_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a]")
_HEAD = 512  # bytes to look at


def detect_kind(raw: bytes, encoding: str) -> str:
    r"""Return the kind of a file that is not text; an empty string if it may be text in this encoding.

    Args:
        raw: its first bytes.
        encoding: the encoding that it would have as text.

    Example:
        >>> detect_kind(b"\x1f\x8b\x08", "utf-8"), detect_kind(b"BZh, said the bee", "utf-8")
        ('compressed by gzip; unpack it: gunzip FILE', '')
    """
    kind = next((kind for begins, kind in KINDS.items() if raw.startswith(begins)), "")
    head = raw[:_HEAD]
    try:
        is_text = not _CONTROL.search(head) and "\ufffd" not in head.decode(encoding, "replace")[:-1]
    except UnicodeError:  # some codecs, such as idna, cannot replace errors
        is_text = False
    return "" if is_text else kind
