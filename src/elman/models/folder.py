"""A saved model is a folder that one can trust: what is in it, how it is written, how it is read.

    config.json          format, task, settings, the data by name and hash, and a hash of each file that must fit
    model.safetensors    the weights under PyTorch's names; no times, so that equal runs give equal bytes
    tokenizer.json       text <-> ids; a task may have other such files: words.json, labels.json
    metrics.json  log.csv  curves.svg  README.md        what a person reads
    checkpoint.safetensors                              while it trains: everything needed to go on, one file

Every file is written beside, and all are moved into place once all are written: where the disk is full, the former
model still stands. The checkpoint holds the settings and the tokenizer too and is
removed last, so that a run that is killed while it saves can still go on. Nothing is ever pickled.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from elman import __version__
from elman.errors import ModelError, StorageError
from elman.training import checkpoint

FORMAT = 1
WEIGHTS = "model.safetensors"
CONFIG = "config.json"


@dataclass
class SavedModel:
    """What a model's folder holds, as values."""

    config: dict[str, Any]  # task, settings, data
    weights: dict[str, Tensor]
    texts: dict[str, str]  # further files that the model needs, by name: tokenizer.json
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    card: str = ""
    pictures: dict[str, str] = field(default_factory=dict)  # SVG documents besides the loss curves, by name


def write_folder(folder: Path, model: SavedModel) -> None:
    """Write a model into its folder; ``config.json``, which vouches for the others, comes last.

    Raises:
        StorageError: the folder cannot be made or written, or the disk is full.
    """
    from elman.drawing.curves import loss_curves

    make_folder(folder)
    tensors = {name: tensor.cpu().contiguous().clone() for name, tensor in model.weights.items()}
    weights = safetensors.torch.save(tensors)
    vouched = {WEIGHTS: weights, **{name: text.encode() for name, text in model.texts.items()}}
    config = {
        "format": FORMAT,
        "elman": __version__,
        **model.config,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in vouched.items()},
    }
    contents = dict(vouched)
    if model.history:
        contents["log.csv"] = _csv(model.history).encode()
        contents["curves.svg"] = loss_curves(model.history).encode()
    contents.update({name: picture.encode() for name, picture in model.pictures.items()})
    contents["metrics.json"] = _json(model.metrics).encode()
    contents["README.md"] = model.card.encode()
    contents[CONFIG] = _json(config).encode()
    checkpoint.write_files({folder / name: content for name, content in contents.items()})


def make_folder(folder: Path) -> None:
    """Make the folder where it is missing.

    Raises:
        StorageError: it cannot be made, or a file of that name is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: the folder cannot be made ({error.strerror}); name another with --out"
        ) from error


def is_finished(folder: Path, resume: bool) -> bool:
    """Tell whether a run to be resumed has come to its end already."""
    return resume and (folder / CONFIG).exists() and not (folder / checkpoint.FILE_NAME).exists()


def open_run(folder: Path, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """Return the checkpoint to go on from, or None to start afresh.

    Raises:
        ModelError: the folder holds something that would be lost.
    """
    unfinished = folder / checkpoint.FILE_NAME
    if resume:
        return checkpoint.load_checkpoint(unfinished) if unfinished.exists() else None
    if overwrite:
        return None
    if unfinished.exists():
        raise ModelError(f"{folder}: holds an unfinished training; go on with --resume, or start over with --overwrite")
    if (folder / CONFIG).exists():
        raise ModelError(
            f"{folder}: holds another model; name another folder with --out, or replace it with --overwrite"
        )
    return None


def read_folder(folder: Path) -> SavedModel:
    """Read a model's folder, or, where its training has not finished, the best weights so far from the checkpoint.

    Raises:
        ModelError: there is no model, or it is damaged, altered, or from a newer version.
    """
    if not (folder / CONFIG).exists() and (folder / checkpoint.FILE_NAME).exists():
        return _read_unfinished(folder / checkpoint.FILE_NAME)
    config = _read_json(folder)
    found = config.get("format")
    if not isinstance(found, int) or found > FORMAT:
        raise ModelError(
            f"{folder / CONFIG}: format {found!r}, written by Elman {config.get('elman')}; this is Elman "
            f"{__version__}, which reads up to format {FORMAT}: upgrade with pip install -U elman"
        )
    vouched = {name: _vouched(folder / name, digest) for name, digest in _files(folder, config).items()}
    try:
        weights = safetensors.torch.load(vouched.pop(WEIGHTS))
        texts = {name: content.decode() for name, content in vouched.items()}
    except UnicodeDecodeError as error:
        raise ModelError(f"{folder}: a file is not UTF-8 text ({error.reason}); copy the folder anew") from error
    except (safetensors.SafetensorError, KeyError) as error:
        raise ModelError(
            f"{folder / WEIGHTS}: not a safetensors file ({error}); train again or copy it anew"
        ) from error
    return SavedModel(
        config={key: value for key, value in config.items() if key not in ("format", "elman", "files")},
        weights=weights,
        texts=texts,
        metrics=_read_optional(folder / "metrics.json"),
        history=_read_history(folder / "log.csv"),
    )


def read_config(folder: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """Read what a folder says about its model or its unfinished training: task, settings, data.

    Raises:
        ModelError: there is nothing to read (unless ``missing_ok``), or it is damaged.
    """
    if (folder / checkpoint.FILE_NAME).exists():
        config = checkpoint.load_checkpoint(folder / checkpoint.FILE_NAME).get("config")
        if not isinstance(config, dict):
            raise ModelError(f"{folder / checkpoint.FILE_NAME}: not the checkpoint of a model; delete it")
        return config
    return {} if missing_ok and not (folder / CONFIG).exists() else _read_json(folder)


def _read_unfinished(path: Path) -> SavedModel:
    saved = checkpoint.load_checkpoint(path)
    try:
        best, config, texts = saved["state"]["best"], saved["config"], saved["texts"]
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: not the checkpoint of a model ({error} is missing); delete it") from error
    if best is None:
        raise ModelError(f"{path}: this training has not come to its first validation yet; go on with --resume")
    return SavedModel(config=config, weights=best["network"], texts=texts)


def _read_json(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise ModelError(f"{folder}: no such folder; elman train TASK FILE --out {folder} makes one")
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except FileNotFoundError as error:
        raise ModelError(f"{folder}: holds no model ({CONFIG} is missing)") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG}: cannot be read ({error}); train again or copy the folder anew") from error
    if not isinstance(config, dict):
        raise ModelError(f"{folder / CONFIG}: not a JSON object; train again or copy the folder anew")
    return config


def _files(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    files = config.get("files")
    if not isinstance(files, dict) or WEIGHTS not in files or any(Path(name).name != name for name in files):
        raise ModelError(f'{folder / CONFIG}: "files" does not name {WEIGHTS} and its hash; copy the folder anew')
    return files


def _vouched(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); train again or copy the folder anew") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelError(
            f"{path}: not the file that {CONFIG} vouches for ({len(content):,} bytes, another SHA-256): it is cut off "
            "or was altered; train again or copy the folder anew"
        )
    return content


def _read_optional(path: Path) -> dict[str, Any]:
    try:
        metrics = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return metrics if isinstance(metrics, dict) else {}


def _read_history(path: Path) -> list[dict[str, Any]]:
    """Read the log back: whole numbers as int, others as float, an empty cell as None."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{name: _number(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, AttributeError):
        return []


def _number(cell: str) -> float | int | None:
    if cell == "":
        return None
    return int(cell) if cell.lstrip("-").isdigit() else float(cell)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _csv(rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if _missing(value) else value for name, value in row.items()})
    return stream.getvalue()


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
