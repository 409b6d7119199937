"""Pictures, or ready features of some: a folder, a file, an .npz, arrays; through a pipe, a path a line.

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
        elif is_folder(source):
            paths = list_files(source, ENDINGS)
            self._paths = {str(path.relative_to(source)): path for path in paths}
            if not paths:
                raise DataError(f"{source}: holds no pictures; there must be files that end in {', '.join(ENDINGS)}")
        elif source.suffix.lower() == ".npz":
            self._arrays = _read_features(source)
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
        """Return what a picture is called here.

        Ready features often lack the ending of the file's name, and captions have a number after it, as in ``a#0``.
        Either may lack the folder, or write its letters in another of Unicode's forms; a name that may be of several
        pictures is then none.
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
        """The names by how they are spelled in one form of Unicode: whole ones, and without folders above them."""
        whole: dict[str, str] = {}
        ends: dict[str, str] = {}
        for name in self.names:
            first, *others = _list_path_endings(name)
            for spellings, spelled in ((whole, [first]), (ends, others)):
                for one in spelled:
                    spellings[one] = "" if one in spellings else name  # of two pictures: of neither
        return whole, ends

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
            return _resize(array, self._size)
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


class PictureFiles:
    """A picture, a folder of them, an ``.npz`` of features; or, through a pipe, a path of one of these a line.

    Args:
        size: pictures are made so many pixels wide and high.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def read(self, lines: Lines, problems: Problems) -> Iterator[Picture | Problem]:
        """Yield the pictures; what cannot be read is told, and a problem stands in its place."""
        if isinstance(lines.source, Path):
            yield from self._read_pictures(Pictures(lines.source, self._size), problems)
            return
        for line in lines:
            try:
                if not line.strip():
                    raise DataError("a blank line names no picture")
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
    """Return a name in Unicode's composed form, then without each of the folders above it.

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
    """Read ready features: an array for each picture, or ``names`` and ``features``."""
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
        raise DataError(f"{path}: holds no array; it needs one for each picture, under the picture's name")
    return arrays
