"""Pictures, or precomputed features: from a folder, a file, an .npz or arrays; from a pipe, one path on each line.

folder of pictures | .npz of features | arrays ──Pictures──▶ (S, S, 3) uint8, or (R, F) float32
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.files import is_folder, list_files, open_file
from elman.data.formats.npz import convert_to_texts, read_npz
from elman.data.images.decoding import read_picture
from elman.data.lines import Lines, Problems
from elman.data.records import Picture, Problem
from elman.errors import DataError, UsageError

ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")


class Pictures:
    """Pictures, or precomputed features, by name.

    Args:
        source: a ``Path`` names a folder of pictures, one picture, or a ``.npz`` of features (an array for each
            picture, or ``names`` and ``features``); or arrays, by name or in a list.
        size: the width and height in pixels to which pictures are resized.

    Raises:
        DataError: there are no pictures.
        UsageError: the source has another type.
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
        elif is_folder(source):
            paths = list_files(source, ENDINGS)
            self._paths = {str(path.relative_to(source)): path for path in paths}
            if not paths:
                raise DataError(f"{source}: contains no pictures; it needs files that end in {', '.join(ENDINGS)}")
        elif source.suffix.lower() == ".npz":
            self._arrays = _read_features(source)
        else:
            open_file(source).close()
            self._paths = {source.name: source}

    def __str__(self) -> str:
        """Return the name of the source."""
        return self._name

    @property
    def names(self) -> list[str]:
        """The names of all pictures, in order."""
        return [*self._arrays, *self._paths]

    def find(self, name: str) -> str | None:
        """Find the name of the picture that a caption file calls ``name``; None if there is no such picture.

        Precomputed features often lack the ending of the file's name, and captions may add a number, as in ``a#0``.
        Either may lack the folder, or use another normal form of Unicode. An ambiguous name finds nothing.
        """
        bare = re.sub("#[0-9]+$", "", name)
        stems = (some.rpartition(".")[0] for some in (name, bare))
        meant = list(filter(None, (name, bare, *stems)))
        exact = next((known for known in meant if known in self._arrays or known in self._paths), None)
        if exact is not None:
            return exact
        whole, ends = self._spellings
        for some in meant:
            first, *others = _list_path_endings(some)
            found = whole.get(first) or ends.get(first) or next(filter(None, map(whole.get, others)), None)
            if found:
                return found
        return None

    @cached_property
    def _spellings(self) -> tuple[dict[str, str], dict[str, str]]:
        """The names by their normal form in Unicode: whole names, and names without their folders."""
        whole: dict[str, str] = {}
        ends: dict[str, str] = {}
        for name in self.names:
            first, *others = _list_path_endings(name)
            for spellings, spelled in ((whole, [first]), (ends, others)):
                for one in spelled:
                    spellings[one] = "" if one in spellings else name  # ambiguous: neither picture
        return whole, ends

    def read(self, name: str) -> NDArray[Any]:
        """Return a picture (S, S, 3) uint8, or its features (R, F) float32 with R regions.

        Raises:
            DataError: it cannot be decoded, or is too large.
        """
        if name in self._paths:
            return read_picture(self._paths[name], self._size)
        try:
            array = np.asarray(self._arrays[name])
        except ValueError as error:
            raise DataError(f"{name}: not an array ({error})") from None
        is_picture = array.dtype == np.uint8 and array.ndim > 1
        if is_picture and array.ndim == 3 and array.shape[2] == 3 and array.size:
            return _resize(array, self._size)
        if is_picture or (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
            raise DataError(
                f"{name}: an array of shape {array.shape} and type {array.dtype} is not a picture, which has shape "
                "(height, width, 3) and type uint8; convert it, for example with Pillow's convert('RGB')"
            )
        if array.dtype.kind not in "fiu" or array.ndim == 0 or array.size == 0:
            raise DataError(
                f"{name}: an array of shape {array.shape} and type {array.dtype} is not features; give numbers (R, F)"
            )
        with np.errstate(over="ignore"):
            features = array.reshape(-1, array.shape[-1]).astype(np.float32)  # (R, F)
        if not np.isfinite(features).all():
            raise DataError(f"{name}: its features contain NaN, infinity or a number too large")
        return features


class PictureFiles:
    """A picture, a folder of pictures, or an ``.npz`` of features; from a pipe, the path of one of these on each line.

    Args:
        size: the width and height in pixels to which pictures are resized.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def read(self, lines: Lines, problems: Problems) -> Iterator[Picture | Problem]:
        """Yield the pictures; an unreadable one is reported, and a `Problem` is yielded in its place."""
        if isinstance(lines.source, Path):
            yield from self._read_pictures(Pictures(lines.source, self._size), problems)
            return
        for line in lines:
            try:
                if not line.strip():
                    raise DataError("a blank line; give the path of a picture")
                pictures = Pictures(Path(line), self._size)
            except DataError as error:
                problems.add(lines.name, lines.number, str(error))
                yield Problem(line, str(error))
            else:
                yield from self._read_pictures(pictures, problems)

    def _read_pictures(self, pictures: Pictures, problems: Problems) -> Iterator[Picture | Problem]:
        for name in pictures.names:
            try:
                yield Picture(name, pictures.read(name))
            except DataError as error:
                what = str(error).partition(": ")[2] or str(error)  # without the file's name
                problems.add(name, 1, what)
                yield Problem(name, what)


def _list_path_endings(name: str) -> list[str]:
    """Return a name in Unicode's composed form, then without each of its folders in turn.

    Example:
        >>> _list_path_endings("train/a/b.jpg")
        ['train/a/b.jpg', 'a/b.jpg', 'b.jpg']
    """
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _resize(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    from PIL import Image

    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BOX), np.uint8)


def _read_features(path: Path) -> dict[str, Any]:
    """Read precomputed features: an array for each picture, or ``names`` and ``features``."""
    arrays = read_npz(path).arrays
    if set(arrays) == {"names", "features"}:
        names, features = convert_to_texts(arrays["names"], f"{path}: names"), arrays["features"]
        number = len(features) if features.ndim else 0
        if number != len(names):
            raise DataError(f"{path}: {len(names):,} names, but features of {number:,} pictures")
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise DataError(f"{path}: two pictures are called {twice[:80]!r}; rename one")
        return dict(zip(names, features, strict=True))
    if not arrays:
        raise DataError(f"{path}: contains no arrays; it needs one for each picture, with the picture's name")
    return arrays
