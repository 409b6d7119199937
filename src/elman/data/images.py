"""Pictures and their captions: files to arrays, captions by the name of their picture.

folder of pictures | .npz of features | arrays ──Pictures──▶ (S, S, 3) uint8, or (R, F) float32
COCO JSON | TSV | Flickr8k tokens ──read_captions──▶ name of the picture ▶ its captions
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.lines import Lines, Problems
from elman.data.text import open_file
from elman.errors import DataError, nearest

ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
MOST_PIXELS = 100_000_000  # of a picture; one with more is taken for a bomb


class Pictures:
    """Pictures, or ready features, by name.

    Args:
        source: a ``Path`` names a folder of pictures, one picture, or a ``.npz`` of features (an array for each
            picture, or ``names`` and ``features``); or arrays by name.
        size: pictures are made so many pixels wide and high.

    Raises:
        DataError: there is nothing of that kind.
    """

    def __init__(self, source: Path | Mapping[str, Any], size: int) -> None:
        self.source = source
        self._size = size
        self._arrays: dict[str, Any] = {}
        self._paths: dict[str, Path] = {}
        if isinstance(source, Mapping):
            self._arrays = dict(source)
        elif source.is_dir():
            paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
            self._paths = {str(path.relative_to(source)): path for path in paths}
            if not paths:
                raise DataError(f"{source}: holds no pictures; there must be files that end in {', '.join(ENDINGS)}")
        elif source.suffix.lower() == ".npz":
            self._arrays = _features(source)
        else:
            open_file(source).close()
            self._paths = {source.name: source}

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
        array = np.asarray(self._arrays[name])
        if array.ndim == 3 and array.dtype == np.uint8 and array.shape[2] == 3:
            return _resized(array, self._size)
        if array.dtype.kind not in "fiu" or array.ndim == 0 or array.size == 0:
            raise DataError(f"{name}: an array of shape {array.shape} and type {array.dtype} is no features")
        if not np.isfinite(array).all():
            raise DataError(f"{name}: its features hold NaN or infinity")
        return array.reshape(-1, array.shape[-1]).astype(np.float32)  # (R, F)


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
    try:
        with open_file(path) as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not an .npz of numbers ({str(error).splitlines()[0]})") from None
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
