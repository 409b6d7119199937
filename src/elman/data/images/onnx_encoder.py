"""Encoding pictures as features with an ONNX model."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.files import describe_error
from elman.errors import DataError, UsageError, how_to_install

SECONDS_OF_SILENCE = 10.0

logger = logging.getLogger(__name__)


def encode_pictures(
    encoder: Path, pictures: Sequence[NDArray[np.uint8]], width: int | None = None
) -> list[NDArray[np.float32]]:
    """Encode pictures with an ONNX model, their colours from 0 to 1 and channels first.

    Args:
        encoder: the model's file. It maps pictures (N, 3, S, S) to features (N, F), to features of R regions (N, R, F),
            or to feature maps (N, F, height, width), in which each position is a region.
        pictures: (S, S, 3) each.
        width: the expected number of features; an output with this many numbers for a picture becomes one row.

    Returns:
        The features (R, F) of each picture.

    Raises:
        UsageError: onnxruntime is not installed, or there is no such file.
        DataError: the file is not such a model.
    """
    try:
        import onnxruntime  # noqa: F401 (is it installed?)
    except ImportError:
        raise UsageError(
            f"an ONNX encoder needs onnxruntime, which is not installed: {how_to_install('images')}"
        ) from None
    if not encoder.is_file():
        raise UsageError(f"`encoder` {encoder}: no such file; give an ONNX model that takes pictures (N, 3, S, S)")
    stat = encoder.stat()
    try:
        session = _open_session(encoder, stat.st_mtime_ns, stat.st_size)
        features: list[NDArray[np.float32]] = []
        for start in range(0, len(pictures), 32):
            stacked = np.stack(pictures[start : start + 32]).transpose(0, 3, 1, 2).astype(np.float32) / 255
            output = np.asarray(session.run(None, {session.get_inputs()[0].name: stacked})[0], np.float32)
            if output.ndim < 3 or output[0].size == width:
                output = output.reshape(len(stacked), 1, -1)
            elif output.ndim > 3:  # channels first, as the pictures are
                output = output.reshape(*output.shape[:2], -1).transpose(0, 2, 1)
            features += list(np.ascontiguousarray(output))
        return features
    except Exception as error:  # the errors of onnxruntime have no common base class
        raise DataError(f"`encoder` {encoder}: {describe_error(error)}") from None


def encoder_size(encoder: Path) -> int | None:
    """Return the width and height in pixels that an encoder needs; None if it takes any size or cannot be opened."""
    try:
        stat = encoder.stat()
        size = _open_session(encoder, stat.st_mtime_ns, stat.st_size).get_inputs()[0].shape[-1]
    except Exception:  # encode_pictures reports what is wrong
        return None
    return size if isinstance(size, int) and size > 0 else None


class EncodingProgress:
    """Logs the progress of encoding pictures, if it takes long.

    Args:
        total: the number of pictures.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._last = time.monotonic()

    def update(self, number: int) -> None:
        """Log the number of pictures encoded so far, at most every `SECONDS_OF_SILENCE`."""
        if time.monotonic() - self._last > SECONDS_OF_SILENCE:
            self._last = time.monotonic()
            logger.warning("%s of %s pictures are encoded", f"{number:,}", f"{self._total:,}")


def encoder_hash(encoder: Path) -> str:
    """Return the SHA-256 of an encoder's file."""
    stat = encoder.stat()
    return _hash_file(encoder, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1)
def _open_session(encoder: Path, modified: int, size: int) -> Any:
    """Open an ONNX model; the last one is cached."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(encoder), providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1)
def _hash_file(encoder: Path, modified: int, size: int) -> str:
    with encoder.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
