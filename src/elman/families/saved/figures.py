"""The figures in a saved model's folder: its quality and the history of its training.

    metrics.json     figures of the validation and of baselines, what falls short, cost of the training, versions
    log.csv          a row for each validation

They are not needed to use a model: it loads even if they are missing or damaged.
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
MAX_METRICS = 4 << 20  # bytes
MAX_HISTORY = 64 << 20

_SHAPE = {
    "valid?": {str: (float, None)},
    "train?": {str: (float, None)},
    "baseline?": {str: {str: (float, None)}},
    "duplicates?": int,
    "warning?": str,
    "remedy?": {str: float},
    "parameters?": int,
    "versions?": {str: str},
    "verdict?": str,
}

logger = logging.getLogger(__name__)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read the figures by name: a dictionary for the validation and one for the training."""
    path = find_current(folder, METRICS)
    if path is None:
        return {}
    try:
        metrics: dict[str, Any] = read_json(read_file(path, MAX_METRICS), _SHAPE)
    except (ValueError, ModelError) as error:
        logger.warning("%s: its figures are ignored (%s)", folder / METRICS, error)
        return {}
    for part in ("valid", "train"):
        if part in metrics:
            metrics[part] = {name: figure for name, figure in metrics[part].items() if figure is not None}
    return metrics


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of the log: whole numbers as int, others as float, an empty cell as None."""
    path = find_current(folder, HISTORY)
    if path is None:
        return []
    try:
        text = read_file(path, MAX_HISTORY).decode()
        names, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        history = [{name: _parse_number(cell) for name, cell in zip(names, row, strict=True)} for row in rows]
        if "step" not in names:
            raise ValueError("there is no column step")
        if not all(isinstance(row["step"], int) for row in history):
            raise ValueError("a step is not a whole number")
        return history
    except (ValueError, csv.Error, ModelError) as error:
        logger.warning("%s: its rows are ignored (%s)", folder / HISTORY, error)
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
    """Return the log as CSV with a header; a cell is empty if its value is missing or not finite."""
    names = dict.fromkeys(name for row in rows for name in row)  # not every validation measures everything
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(names), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if _is_missing(value) else value for name, value in row.items()})
    return stream.getvalue()


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
