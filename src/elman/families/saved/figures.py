"""The figures in a saved model's folder: how well it does and how it learned. They are for people.

    metrics.json     the validation's figures, the training's cost, the versions of the libraries
    log.csv          a row for each validation

A model without them, or with damaged ones, loads too.
"""

from __future__ import annotations

import csv
import io
import logging
import math
from pathlib import Path
from typing import Any

from elman.documents import read_json
from elman.errors import ModelError
from elman.files import find_current, read_file

METRICS = "metrics.json"
HISTORY = "log.csv"
MOST_METRICS = 4 << 20  # bytes
MOST_HISTORY = 64 << 20

_SHAPE = {
    "valid?": {str: (float, None)},
    "train?": {str: (float, None)},
    "parameters?": int,
    "versions?": {str: str},
}

logger = logging.getLogger(__name__)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read the figures by name, those of the validation and of the training apart."""
    path = find_current(folder, METRICS)
    if path is None:
        return {}
    try:
        metrics: dict[str, Any] = read_json(read_file(path, MOST_METRICS), _SHAPE)
    except (ValueError, ModelError) as error:
        logger.warning("%s: its figures are left out (%s)", folder / METRICS, error)
        return {}
    for part in ("valid", "train"):
        if part in metrics:
            metrics[part] = {name: figure for name, figure in metrics[part].items() if figure is not None}
    return metrics


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Read the log back: whole numbers as int, others as float, an empty cell as None."""
    path = find_current(folder, HISTORY)
    if path is None:
        return []
    try:
        text = read_file(path, MOST_HISTORY).decode()
        names, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        history = [{name: _parse_number(cell) for name, cell in zip(names, row, strict=True)} for row in rows]
        if "step" not in names:
            raise ValueError("it has no column of steps")
        if not all(isinstance(row["step"], int) for row in history):
            raise ValueError("a step is no whole number")
        return history
    except (ValueError, csv.Error, ModelError) as error:
        logger.warning("%s: its rows are left out (%s)", folder / HISTORY, error)
        return []


def _parse_number(cell: str) -> float | int | None:
    if cell == "":
        return None
    if cell.lstrip("-").isdecimal() and len(cell) < 20:
        return int(cell)
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError(f"{cell[:20]} is not a finite number")
    return number


def format_history(rows: list[dict[str, Any]]) -> str:
    """Write the log: a line of titles, and an empty cell for what is not known or not finite."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if _is_missing(value) else value for name, value in row.items()})
    return stream.getvalue()


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
