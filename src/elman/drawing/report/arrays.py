"""Arrays as text: exact while they are small, else a byte for each number."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.drawing.report.values import Array

EXACT_VALUES = 150_000  # up to so many numbers in a report are written with all their digits
MOST_VALUES = 3_000_000  # in a report: each takes 4/3 bytes


def packed(values: Array, *, is_exact: bool) -> dict[str, Any]:
    """Pack an array (T, H) as the page unpacks it: ``value = scale · stored``.

    Args:
        values: finite; what is not finite becomes 0.
        is_exact: as float32; else as int8, in steps of 1/127 of the largest value.

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
    """Return for how many steps each unit stays as it is, (H,): the lag at which its autocorrelation falls below 1/e.

    Between two lags the crossing is interpolated. A unit that never moves has the time scale T.

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
