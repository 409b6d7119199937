"""Pictures and their captions: files to arrays, captions by the name of their picture.

folder of pictures | .npz of features | arrays ──Pictures──▶ (S, S, 3) uint8, or (R, F) float32
COCO JSON | TSV | Flickr8k tokens ──read_captions──▶ name of the picture ▶ its captions
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.files import open_file
from elman.data.lines import Lines, Problems
from elman.data.npz import read_npz
from elman.errors import DataError, UsageError, nearest

ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
MOST_PIXELS = 100_000_000  # of a picture; one with more is taken for a bomb


class Pictures:
    """Pictures, or ready features, by name.

    Args:
        source: a ``Path`` names a folder of pictures, one picture, or a ``.npz`` of features (an array for each
            picture, or ``names`` and ``features``); or arrays, by name or in a list.
        size: pictures are made so many pixels wide and high.

    Raises:
        DataError: there is nothing of that kind.
        UsageError: the source is something else.
    """

    def __init__(self, source: Path | Mapping[str, Any] | Sequence[Any], size: int) -> None:
        self._size = size
        self._arrays: dict[str, Any] = {}
        self._paths: dict[str, Path] = {}
        self._name = str(source) if isinstance(source, Path) else "the pictures"
        if isinstance(source, Mapping):
            self._arrays = {str(name): array for name, array in source.items()}
        elif isinstance(source, Sequence | np.ndarray) and not isinstance(source, str | bytes):
            self._arrays = {f"X[{row}]": array for row, array in enumerate(source)}
        elif not isinstance(source, Path):
            raise UsageError(f"the pictures are of type {type(source).__name__}; give a Path, or arrays")
        elif _is_folder(source):
            paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
            self._paths = {str(path.relative_to(source)): path for path in paths}
            if not paths:
                raise DataError(f"{source}: holds no pictures; there must be files that end in {', '.join(ENDINGS)}")
        elif source.suffix.lower() == ".npz":
            self._arrays = _features(source)
        else:
            open_file(source).close()
            self._paths = {source.name: source}

    def __str__(self) -> str:
        """Name where they come from."""
        return self._name

    @property
    def names(self) -> list[str]:
        """The names of all pictures, in their order."""
        return [*self._arrays, *self._paths]

    def find(self, name: str) -> str | None:
        """Return what a picture is called here: ready features often lack the ending of the file's name."""
        stem = name.rpartition(".")[0]
        return next((known for known in (name, stem) if known in self._arrays or known in self._paths), None)

    def read(self, name: str) -> NDArray[Any]:
        """Return a picture (S, S, 3) uint8, or its features (R, F) float32, of R regions.

        Raises:
            DataError: it cannot be decoded, or is too large.
        """
        if name in self._paths:
            return read_picture(self._paths[name], self._size)
        try:
            array = np.asarray(self._arrays[name])
        except ValueError as error:
            raise DataError(f"{name}: no array ({error})") from None
        is_picture = array.dtype == np.uint8 and array.ndim > 1
        if is_picture and array.ndim == 3 and array.shape[2] == 3 and array.size:
            return _resized(array, self._size)
        if is_picture or (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
            raise DataError(
                f"{name}: an array of shape {array.shape} and type {array.dtype} is no picture, which is (height, "
                "width, 3), uint8, from 0 to 255; make it one, as Pillow's convert('RGB') does"
            )
        if array.dtype.kind not in "fiu" or array.ndim == 0 or array.size == 0:
            raise DataError(f"{name}: an array of shape {array.shape} and type {array.dtype} is no features")
        with np.errstate(over="ignore"):
            features = array.reshape(-1, array.shape[-1]).astype(np.float32)  # (R, F)
        if not np.isfinite(features).all():
            raise DataError(f"{name}: its features hold NaN, infinity or a number too large")
        return features


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
        raise UsageError(f"--encoder {encoder}: no such file; it must be an ONNX model of pictures (N, 3, S, S)")
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
        raise DataError(f"--encoder {encoder}: {str(error).splitlines()[0]}") from None


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


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # whoever opens it will say why that cannot be done
        return False


def read_picture(path: Path, size: int) -> NDArray[np.uint8]:
    """Read a picture file as (size, size, 3); what is not square is squeezed.

    Raises:
        DataError: it is no picture, is damaged, or has too many pixels.
    """
    from PIL import Image

    try:
        with open_file(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow warns of is refused or harmless
            with Image.open(stream) as picture:
                width, height = picture.size
                if width * height > MOST_PIXELS:
                    raise DataError(
                        f"{path}: {width:,} x {height:,} pixels, where a picture has at most {MOST_PIXELS:,}"
                    )
                picture.draft("RGB", (2 * size, 2 * size))  # a large JPEG is decoded no larger than needed
                small = picture.convert("RGB").resize((size, size), Image.Resampling.BOX)
        return np.asarray(small, np.uint8)
    except Image.DecompressionBombError:
        raise DataError(f"{path}: far more pixels than a picture has at most ({MOST_PIXELS:,})") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for damaged files
        if isinstance(error, DataError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = "not a picture that can be read" if "cannot identify" in reason else reason
        raise DataError(f"{path}: {reason}") from None


def write_picture(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels (H, W, 3) as the content of a PNG file."""
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="png")
    return stream.getvalue()


def _resized(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    from PIL import Image

    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BOX), np.uint8)


def _features(path: Path) -> dict[str, Any]:
    """Read ready features: an array for each picture, or ``names`` and ``features``."""
    arrays = read_npz(path).arrays
    if set(arrays) == {"names", "features"}:
        names, features = arrays["names"].astype(str).tolist(), arrays["features"]
        if len(names) != len(features):
            raise DataError(f"{path}: {len(names):,} names, but features of {len(features):,} pictures")
        return dict(zip(names, features, strict=True))
    if not arrays:
        raise DataError(f"{path}: holds no array; it needs one for each picture, under the picture's name")
    return arrays


def read_captions(source: Path | str, problems: Problems, encoding: str = "utf-8") -> dict[str, list[str]]:
    r"""Read captions: COCO's JSON, lines of ``file<TAB>caption``, or Flickr8k's of ``file#0<TAB>caption``.

    Args:
        source: a ``Path`` names a file, a ``str`` is its text.
        problems: who is told of what is left out.
        encoding: how the file is encoded.

    Returns:
        The captions of each picture, in the file's order.

    Raises:
        DataError: there is no such file, or nothing in it is a caption.

    Example:
        >>> read_captions("a.jpg#0\tA dog .\na.jpg#1\tA puppy .\n", Problems())
        {'a.jpg': ['A dog .', 'A puppy .']}
    """
    lines = Lines(source, encoding)
    first = next((line for line in lines if line.strip()), "")
    found: dict[str, list[str]] = {}
    pairs = _coco(lines, problems) if first.lstrip().startswith("{") else _tabbed(lines, problems)
    for name, caption in pairs:
        found.setdefault(name, []).append(caption)
    if not found:
        raise DataError(
            problems.first or f"{lines.name}: holds no captions; it needs lines of a file, a tab, a caption"
        )
    return found


def _tabbed(lines: Lines, problems: Problems) -> Iterator[tuple[str, str]]:
    for line in lines:
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        if not tab:
            problems.add(lines.name, lines.number, "no tab between file and caption; the line is left out")
        elif not name.strip() or not caption.strip():
            what = "file's name" if caption.strip() else "caption"
            problems.add(lines.name, lines.number, f"the {what} is empty; the line is left out")
        else:
            yield re.sub(r"#\d+$", "", name.strip()), caption.strip()


def _coco(lines: Lines, problems: Problems) -> Iterator[tuple[str, str]]:
    try:
        document = json.loads("\n".join(lines))
        names = {image["id"]: str(image["file_name"]) for image in document["images"]}
        notes = [(note["image_id"], note["caption"]) for note in document["annotations"]]
    except (ValueError, RecursionError, TypeError) as error:
        raise DataError(f"{lines.name}: not COCO's JSON ({str(error).splitlines()[0]})") from None
    except KeyError as error:
        known = ", ".join(document) if isinstance(document, dict) else ""
        near = nearest(str(error.args[0]), document) if isinstance(document, dict) else ""
        raise DataError(f'{lines.name}: not COCO\'s JSON: no "{error.args[0]}"{near or ";"} it has {known}') from None
    for number, (image, caption) in enumerate(notes):
        if image not in names:
            problems.add(
                lines.name, 1, f"annotation {number} is of an image {image} that is not listed; it is left out"
            )
        elif not isinstance(caption, str) or not caption.strip():
            problems.add(lines.name, 1, f"annotation {number} has no caption; it is left out")
        else:
            yield names[image], " ".join(caption.split())
