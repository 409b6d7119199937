"""An ONNX model that turns pictures into features."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.files import reason
from elman.errors import DataError, UsageError


def encoded_by(encoder: Path, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    """Let an ONNX model look at pictures, their colours from 0 to 1, channels first.

    Args:
        encoder: the model's file: pictures (N, 3, S, S) to features (N, F), or (N, F, ...), which are made one row.
        pictures: (S, S, 3) each.

    Returns:
        The features of each picture (1, F).

    Raises:
        UsageError: onnxruntime is not installed, or there is no such file.
        DataError: the file is no such model.
    """
    try:
        import onnxruntime  # noqa: F401 (whether it is there)
    except ImportError:
        raise UsageError(
            "an ONNX encoder needs onnxruntime, which is not installed: pip install 'elman[images]'"
        ) from None
    if not encoder.is_file():
        raise UsageError(f"`encoder` {encoder}: no such file; it must be an ONNX model of pictures (N, 3, S, S)")
    stat = encoder.stat()
    try:
        session = _session(encoder, stat.st_mtime_ns, stat.st_size)
        features: list[NDArray[np.float32]] = []
        for start in range(0, len(pictures), 32):
            stacked = np.stack(pictures[start : start + 32]).transpose(0, 3, 1, 2).astype(np.float32) / 255
            output = np.asarray(session.run(None, {session.get_inputs()[0].name: stacked})[0], np.float32)
            features += list(output.reshape(len(stacked), 1, -1))
        return features
    except Exception as error:  # onnxruntime has a dozen of its own, without a common base
        raise DataError(f"`encoder` {encoder}: {reason(error)}") from None


def encoder_hash(encoder: Path) -> str:
    """Return the SHA-256 of an encoder's file."""
    stat = encoder.stat()
    return _hash(encoder, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1)
def _session(encoder: Path, modified: int, size: int) -> Any:
    """Open an ONNX model; the same file is opened once."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(encoder), providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1)
def _hash(encoder: Path, modified: int, size: int) -> str:
    with encoder.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
