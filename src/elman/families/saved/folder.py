"""The folder of a saved model: its files, how they are written, and how they are read safely.

    config.json          format, task, settings, names and hashes of the data, and the hash of each required file
    model.safetensors    the weights under PyTorch's names; without times, so that equal runs give equal bytes
    tokenizer.json       text <-> ids; some tasks have other such files: words.json, labels.json
    metrics.json  log.csv  curves.svg  README.md        for people
    checkpoint.safetensors                              during training: everything needed to resume, in one file

All files are replaced in one step (:mod:`elman.files`): a process that is killed at any moment leaves either the old
model or the new one. The checkpoint also holds the settings and the tokenizer, and it is removed in the same step, so a
run that is killed while it saves can still be resumed. Nothing is ever pickled.

A folder may come from an untrusted source. Its files must be regular and below a size limit, its JSON must have the
expected shape, and the weights are loaded only if their header fits the network that the settings describe.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from elman.documents import check_shape, read_json, write_json
from elman.errors import ModelError, UsageError
from elman.families.saved.figures import HISTORY, METRICS, format_history, read_history, read_metrics
from elman.files import JOURNAL, check_regular, find_current, read_file, replace_files
from elman.training.checkpoint import FILE_NAME, MOST_BYTES, Stored, open_checkpoint
from elman.training.state import SAVED_SHAPE

FORMAT = 1
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
FIGURES = (METRICS, HISTORY, "curves.svg", "confusion.svg", "attention.svg", "roll.svg")
"""Optional files: those of a previous model are deleted if the new model does not have them."""

MAX_TEXT = 64 << 20  # bytes of a text file, such as tokenizer.json
MAX_CONFIG = 4 << 20
MAX_FEATURES = 1_000_000
MAX_HASHED = 1 << 30  # bytes of weights that are hashed first; larger files are hashed only after their shapes fit

_MODEL = {"task": str, "settings": {str: object}, "chosen?": {str: object}, "data?": {str: object}}
_PART = {"files": [str]}  # of the data: its source
_CHECKPOINT = {
    "state": SAVED_SHAPE,
    "network": {str: object},
    "config": {**_MODEL, "data": {"train": _PART, "valid": _PART}},
    "texts": {str: str},
}

Model = TypeVar("Model")


class Texts(dict[str, str]):
    """The text files that a model needs, by name; looking up a missing one raises ModelError."""

    def parse(self, name: str, shape: Any) -> Any:
        """Parse a JSON file that must have a shape; see :mod:`elman.documents`.

        Raises:
            ModelError: the file is missing or does not have the shape.
        """
        try:
            return read_json(self[name], shape)
        except ValueError as error:
            raise ModelError(f"{name}: not a valid file of a model ({error}); copy the folder again") from None

    def __missing__(self, name: str) -> str:
        """Raise ModelError for a file that the model needs and the folder does not have."""
        raise ModelError(f"{name}: missing from the files that {CONFIG} lists; copy the folder again")


@dataclass(frozen=True)
class StoredWeights:
    """Weights whose shapes are known before they are loaded."""

    shapes: dict[str, tuple[int, ...]]
    load: Callable[[], dict[str, Tensor]]

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> StoredWeights:
        """Wrap weights that are in memory."""
        return cls({name: tuple(tensor.shape) for name, tensor in tensors.items()}, lambda: tensors)


@dataclass
class SavedModel:
    """The contents of a model's folder, as Python values."""

    config: dict[str, Any]  # task, settings, data
    weights: StoredWeights
    texts: Texts
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    card: str = ""
    pictures: dict[str, str] = field(default_factory=dict)  # SVG documents, by name


def check_fit(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    """Raise ModelError unless the weights have the names and shapes that the settings require."""

    def describe(shape: tuple[int, ...] | None) -> str:
        return "absent" if shape is None else " x ".join(map(str, shape)) or "a single number"

    for name in (*expected, *found):
        if expected.get(name) != found.get(name):
            raise ModelError(
                f"the weights do not fit the settings: {name} is {describe(found.get(name))}, but the settings "
                f"require {describe(expected.get(name))}; copy the folder again"
            )


def check_width(number: int) -> int:
    """Return the number of features that a model reads; raise ModelError if it is outside the limits."""
    if not 1 <= number <= MAX_FEATURES:
        raise ModelError(f"features.json: {number} features; a model has 1 to {MAX_FEATURES:,}")
    return number


# ---------------------------------------------------------------- writing


def write_folder(folder: Path, model: SavedModel, removed: Iterable[str] = ()) -> None:
    """Replace the model in a folder in one step; the caller holds the lock of the folder.

    Args:
        folder: an existing folder.
        model: the contents to write.
        removed: names of files to delete in the same step; files of a previous model that this one does not have are
            deleted anyway.

    Raises:
        UsageError: a weight is NaN or infinite, or a file would be too large to be read back.
        StorageError: the folder cannot be written, or the disk is full; the previous model is still there.
    """
    contents = serialize(model)
    removed = {*removed, *FIGURES}
    if find_current(folder, CONFIG) is not None:
        with suppress(ModelError):  # if the old config is damaged, its files stay
            removed |= _named_files(folder, _read_config(folder)).keys()
    replace_files(folder, contents, removed)


def serialize(model: SavedModel) -> dict[str, bytes]:
    """Return the files of a model's folder as bytes, by name.

    Raises:
        UsageError: a weight is NaN or infinite, or a file would be too large to be read back.
    """
    tensors = {name: tensor.cpu().contiguous().clone() for name, tensor in model.weights.load().items()}
    check_finite(tensors, UsageError)
    hashed = {WEIGHTS: safetensors.torch.save(tensors)}
    hashed |= {name: _encode(text) for name, text in model.texts.items()}
    for name, content in hashed.items():
        limit = MOST_BYTES if name == WEIGHTS else MAX_TEXT
        if len(content) > limit:
            raise UsageError(f"{name} would have {len(content):,} bytes, but the limit for loading is {limit:,}")
    config = {
        "format": FORMAT,
        "elman": version("elman"),
        **model.config,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in hashed.items()},
    }
    contents = dict(hashed)
    if model.history:
        contents[HISTORY] = format_history(model.history).encode()
    contents.update({name: _encode(picture) for name, picture in model.pictures.items()})
    contents[METRICS] = _encode(write_json(model.metrics, indent=2) + "\n")
    contents["README.md"] = _encode(model.card)
    contents[CONFIG] = _encode(write_json(config, indent=2) + "\n")
    return contents


def check_finite(tensors: dict[str, Tensor], kind: type[ModelError | UsageError]) -> None:
    """Raise an error of the given kind if a weight is NaN or infinite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise kind(f"the weight {name} contains NaN or infinity; train again")


def _encode(text: str) -> bytes:
    """Encode a text in UTF-8; escape what UTF-8 cannot represent, such as undecodable bytes of a file name."""
    return text.encode("utf-8", "backslashreplace")


# ---------------------------------------------------------------- reading


def is_finished(folder: Path, resume: bool) -> bool:
    """Return whether a run that is to be resumed is already finished."""
    return resume and find_current(folder, CONFIG) is not None and find_current(folder, FILE_NAME) is None


def open_run(folder: Path, resume: bool, overwrite: bool) -> Stored | None:
    """Return the checkpoint to resume from, or None to start from the beginning.

    Raises:
        ModelError: the folder holds a model or a run that would be lost.
    """
    unfinished = find_current(folder, FILE_NAME)
    if resume:
        return None if unfinished is None else _open_unfinished(unfinished)
    if overwrite:
        return None
    if unfinished is not None:
        raise ModelError(
            f"{folder}: holds an unfinished training; continue it with `resume`, or start over with `overwrite`"
        )
    if find_current(folder, CONFIG) is not None:
        raise ModelError(f"{folder}: holds another model; give another folder as `out`, or replace it with `overwrite`")
    return None


def read_model(folder: Path, build: Callable[[SavedModel], Model]) -> Model:
    """Read a model from its folder; if its training is unfinished, read the best weights so far from the checkpoint.

    Args:
        folder: the folder.
        build: makes a model from the contents; it is called again if another process replaces the folder meanwhile.

    Raises:
        ModelError: there is no model, or it is damaged, altered, or from a newer version of Elman.
    """
    while True:
        before = _fingerprint(folder)
        try:
            return build(_read(folder))
        except ModelError:
            if _fingerprint(folder) == before:
                raise


def _fingerprint(folder: Path) -> list[tuple[int, int] | None]:
    """Return a value that changes when the files of a folder are replaced."""
    found: list[tuple[int, int] | None] = []
    for name in (JOURNAL, CONFIG, FILE_NAME):
        try:
            status = (folder / name).stat()
            found.append((status.st_ino, status.st_mtime_ns))
        except (OSError, ValueError):
            found.append(None)
    return found


def _read(folder: Path) -> SavedModel:
    unfinished = find_current(folder, FILE_NAME) if find_current(folder, CONFIG) is None else None
    if unfinished is not None:
        return _read_unfinished(_open_unfinished(unfinished))
    config = _read_config(folder)
    files = _named_files(folder, config)
    texts = Texts()
    for name, digest in files.items():
        if name != WEIGHTS:
            try:
                texts[name] = _read_verified(folder, name, digest, MAX_TEXT).decode()
            except UnicodeDecodeError as error:
                raise ModelError(f"{folder / name}: not UTF-8 text ({error.reason}); copy the folder again") from None
    return SavedModel(
        config={key: value for key, value in config.items() if key not in ("format", "elman", "files")},
        weights=_open_weights(folder, files[WEIGHTS]),
        texts=texts,
        metrics=read_metrics(folder),
        history=read_history(folder),
    )


def read_config(folder: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """Read the task, settings and data of the model or the unfinished training in a folder.

    Raises:
        ModelError: there is neither (unless ``missing_ok``), or it is damaged.
    """
    unfinished = find_current(folder, FILE_NAME)
    if unfinished is not None:
        config: dict[str, Any] = _open_unfinished(unfinished).skeleton["config"]
        return config
    return {} if missing_ok and find_current(folder, CONFIG) is None else _read_config(folder)


def _open_unfinished(path: Path) -> Stored:
    stored = open_checkpoint(path)
    try:
        check_shape(stored.skeleton, _CHECKPOINT)
    except ValueError as error:
        raise ModelError(f"{path}: not a valid checkpoint ({error}); delete it") from None
    return stored


def _read_unfinished(stored: Stored) -> SavedModel:
    if stored.skeleton["state"]["best"] is None:
        raise ModelError(
            f"{stored.path}: this training has not reached its first validation; continue it with `resume`"
        )
    return SavedModel(
        config=stored.skeleton["config"],
        weights=StoredWeights(
            stored.shapes_of("state", "best", "network"), lambda: stored.load()["state"]["best"]["network"]
        ),
        texts=Texts(stored.skeleton["texts"]),
    )


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise ModelError(f"{folder}: no such folder; elman train TASK FILE --out {shlex.quote(str(folder))} creates it")
    path = find_current(folder, CONFIG)
    if path is None:
        raise ModelError(f"{folder}: holds no model ({CONFIG} is missing)")
    try:
        config = read_json(read_file(path, MAX_CONFIG), {"format?": object, "elman?": object})
        found = config.get("format")
        if isinstance(found, bool) or not isinstance(found, int) or found != FORMAT:
            raise ModelError(
                f"{folder / CONFIG}: format {found!r}, written by Elman {config.get('elman')}; this is Elman "
                f"{version('elman')}, which reads up to format {FORMAT}: upgrade with pip install -U elman"
            )
        check_shape(config, {**_MODEL, "files": {str: str}})
    except ValueError as error:
        raise ModelError(f"{folder / CONFIG}: cannot be read ({error}); train again or copy the folder again") from None
    return dict(config)


def _named_files(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    files: dict[str, str] = config["files"]
    if WEIGHTS not in files or any(Path(name).name != name or name.startswith(".") or "\0" in name for name in files):
        raise ModelError(f'{folder / CONFIG}: "files" does not list {WEIGHTS} and its hash; copy the folder again')
    return files


def _read_verified(folder: Path, name: str, digest: str, most: int) -> bytes:
    content = read_file(find_current(folder, name) or folder / name, most)
    if hashlib.sha256(content).hexdigest() != digest:
        raise _altered_error(folder / name, len(content))
    return content


def _altered_error(path: Path, size: int) -> ModelError:
    return ModelError(
        f"{path}: its SHA-256 does not match {CONFIG} ({size:,} bytes): it is truncated or was altered; train again or "
        "copy the folder again"
    )


def _open_weights(folder: Path, digest: str) -> StoredWeights:
    def load() -> dict[str, Tensor]:
        return safetensors.torch.load(_read_verified(folder, WEIGHTS, digest, MOST_BYTES))

    path = find_current(folder, WEIGHTS) or folder / WEIGHTS
    try:
        size = check_regular(path, MOST_BYTES)
        with path.open("rb") as stream:
            if size < MAX_HASHED and hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                raise _altered_error(path, size)
        with safetensors.safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no dict)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); train again or copy the folder again") from error
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path}: not a safetensors file ({error}); train again or copy it again") from error
    return StoredWeights(shapes, load)
