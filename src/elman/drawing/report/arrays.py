"""Arrays encoded as text: as float32 if the report is small, as int8 otherwise."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.drawing.report.values import Array

EXACT_VALUES = 150_000  # in a report: with more, they are stored as int8
MOST_VALUES = 3_000_000  # in a report: with more, units are left out; each value takes 4/3 bytes in base64


def pack(values: Array, *, is_exact: bool) -> dict[str, Any]:
    """Encode an array (T, H) for the page, which decodes it as ``value = scale · stored``.

    Args:
        values: the array; values that are not finite become 0.
        is_exact: whether to store float32; otherwise int8, in steps of 1/127 of the largest value.

    Returns:
        ``data`` in base64, ``rows``, ``columns``, ``type`` (``f4`` or ``i1``) and ``scale``.
    """
    values = np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)
    largest = float(np.abs(values).max(initial=0.0)) or 1.0
    scale = 1.0 if is_exact else largest / 127
    stored = values.astype("<f4") if is_exact else np.rint(values / scale).astype(np.int8)
    return {
        "type": "f4" if is_exact else "i1",
        "scale": scale,
        "rows": values.shape[0],
        "columns": values.shape[1],
        "data": base64.b64encode(stored.tobytes()).decode("ascii"),
    }


def time_scales(states: Array) -> NDArray[np.float64]:
    """Return the time scale of each unit in steps, (H,): the lag at which its autocorrelation falls below 1/e.

    The lag is interpolated linearly. A unit that never changes has the time scale T.

    Example:
        >>> time = np.arange(400)
        >>> slow, fast = np.cos(2 * np.pi * time / 100), np.cos(2 * np.pi * time / 10)
        >>> time_scales(np.stack([slow, fast], axis=1)).round(1).tolist()
        [18.0, 1.9]
    """
    length = len(states)
    centred = np.asarray(states, np.float64) - np.mean(states, axis=0)  # (T, H)
    spectrum = np.fft.rfft(centred, n=2 * length, axis=0)
    products = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:length]  # (T, H)
    variance = products[0]
    moves = variance > 1e-12 * length
    correlation = products / np.where(moves, variance, 1.0)
    is_below = correlation < 1 / np.e
    lag = np.where(is_below.any(axis=0), is_below.argmax(axis=0), length)  # (H,)
    inside = moves & (lag < length)
    columns = np.flatnonzero(inside)
    scales = np.full(states.shape[1], float(length))
    after, before = correlation[lag[columns], columns], correlation[lag[columns] - 1, columns]
    scales[columns] = lag[columns] - (1 / np.e - after) / (before - after)
    return scales
