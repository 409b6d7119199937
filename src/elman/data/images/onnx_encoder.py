"""An ONNX model that turns pictures into features."""

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
    """Let an ONNX model look at pictures, their colours from 0 to 1, channels first.

    Args:
        encoder: the model's file: pictures (N, 3, S, S) to features (N, F), to those of R regions (N, R, F), or to maps
            (N, F, height, width), of which each place is a region.
        pictures: (S, S, 3) each.
        width: how many features are wanted; where it is all that there are of a picture, they are made one row.

    Returns:
        The features of each picture (R, F).

    Raises:
        UsageError: onnxruntime is not installed, or there is no such file.
        DataError: the file is no such model.
    """
    try:
        import onnxruntime  # noqa: F401 (whether it is there)
    except ImportError:
        raise UsageError(
            f"an ONNX encoder needs onnxruntime, which is not installed: {how_to_install('images')}"
        ) from None
    if not encoder.is_file():
        raise UsageError(f"`encoder` {encoder}: no such file; it must be an ONNX model of pictures (N, 3, S, S)")
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
    except Exception as error:  # onnxruntime has a dozen of its own, without a common base
        raise DataError(f"`encoder` {encoder}: {describe_error(error)}") from None


def encoder_size(encoder: Path) -> int | None:
    """Return how many pixels wide and high an encoder's pictures are; None where it takes any, or cannot be opened."""
    try:
        stat = encoder.stat()
        size = _open_session(encoder, stat.st_mtime_ns, stat.st_size).get_inputs()[0].shape[-1]
    except Exception:  # whoever lets it look at pictures says what is wrong
        return None
    return size if isinstance(size, int) and size > 0 else None


class EncodingProgress:
    """Tells how far pictures have been encoded, where that takes long.

    Args:
        total: how many there are.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._told = time.monotonic()

    def update(self, number: int) -> None:
        """Take note that so many have been encoded."""
        if time.monotonic() - self._told > SECONDS_OF_SILENCE:
            self._told = time.monotonic()
            logger.warning("%s of %s pictures are encoded", f"{number:,}", f"{self._total:,}")


def encoder_hash(encoder: Path) -> str:
    """Return the SHA-256 of an encoder's file."""
    stat = encoder.stat()
    return _hash_file(encoder, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1)
def _open_session(encoder: Path, modified: int, size: int) -> Any:
    """Open an ONNX model; the same file is opened once."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(encoder), providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1)
def _hash_file(encoder: Path, modified: int, size: int) -> str:
    with encoder.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
