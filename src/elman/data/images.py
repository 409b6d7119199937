"""Pictures and their captions: files to arrays, captions by the name of their picture.

folder of pictures | .npz of features | arrays ──Pictures──▶ (S, S, 3) uint8, or (R, F) float32
COCO JSON | TSV | Flickr8k tokens ──read_captions──▶ name of the picture ▶ its captions
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.files import files_in, is_folder, no_text, not_among, open_file, reading, reason
from elman.data.lines import Lines, Problems
from elman.data.npz import read_npz, texts_of
from elman.data.pictures import read_picture
from elman.data.tables import Delimited, separator_of
from elman.errors import DataError, UsageError

ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
_IMAGE_COLUMNS = ("image", "image_name", "file_name")
_CAPTION_COLUMNS = ("caption", "comment")
_HAS_ENDING = re.compile(rf"(?:{'|'.join(map(re.escape, ENDINGS))})\b", re.IGNORECASE)


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
            paths = files_in(source, ENDINGS)
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
        """Return what a picture is called here.

        Ready features often lack the ending of the file's name, and captions have a number after it, as in ``a#0``.
        """
        bare = re.sub("#[0-9]+$", "", name)
        stems = (some.rpartition(".")[0] for some in (name, bare))
        return next((known for known in (name, bare, *stems) if known in self._arrays or known in self._paths), None)

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
        raise DataError(f"--encoder {encoder}: {reason(error)}") from None


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
        names, features = texts_of(arrays["names"], f"{path}: names"), arrays["features"]
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


def read_captions(source: Path | str, problems: Problems, encoding: str = "utf-8") -> dict[str, list[str]]:
    r"""Read captions: COCO's JSON, lines of ``file<TAB>caption``, Flickr8k's of ``file#0<TAB>caption``, or a table.

    A table is a CSV (its cells separated by anything in `elman.data.tables.SEPARATORS`) whose first line names the
    columns ``image`` and ``caption``, as Kaggle's copies of Flickr8k and Flickr30k do.

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
    if lines.beginning().lstrip().startswith("{"):
        pairs = _coco(lines, problems)
    elif (table := _table(lines)) is not None:
        rows = table.read(lines, problems, labelled=True)
        pairs = ((row.label or "", row.text.strip(), row.line) for row in rows)
    else:
        pairs = _tabbed(lines, problems)
    found: dict[str, list[str]] = {}
    for name, caption, line in pairs:
        if problem := no_text(name + caption):
            problems.add(lines.name, line, f"{problem}; the caption is left out")
        else:
            found.setdefault(_unnumbered(name), []).append(caption)
    if not found:
        raise DataError(
            problems.first
            or f"{lines.name}: holds no captions; it needs lines of a file, a tab, a caption, or a CSV whose first "
            "line is image,caption"
        )
    return found


def _unnumbered(name: str) -> str:
    """Return the name of a picture without the number of its caption, as Flickr8k has it: ``a.jpg#0``."""
    stem, _, number = name.rpartition("#")
    is_numbered = number.isascii() and number.isdecimal() and _HAS_ENDING.search(stem.rpartition("#")[2])
    return stem if is_numbered else name


def _table(lines: Lines) -> Delimited | None:
    """Return the reader of a table with columns of pictures and captions; None where the first line names none."""
    separator, spaced = separator_of(lines, (*_IMAGE_COLUMNS, *_CAPTION_COLUMNS))
    _, cells, _ = next(Delimited(separator).records(Lines(lines.beginning().lstrip())), (0, [], ""))
    names = [cell.strip() for cell in cells]
    image = next((name for name in _IMAGE_COLUMNS if name in names), None)
    caption = next((name for name in _CAPTION_COLUMNS if name in names), None)
    if image is None or caption is None:
        return None
    return Delimited(separator, caption, image, spaced=spaced, nouns=("caption", "picture"))


def _tabbed(lines: Lines, problems: Problems) -> Iterator[tuple[str, str, int]]:
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
            yield name.strip(), caption.strip(), lines.number


def _coco(lines: Lines, problems: Problems) -> Iterator[tuple[str, str, int]]:
    with reading(lines.name, "not COCO's JSON"):
        document = json.loads(lines.whole())
    for key in ("images", "annotations"):
        if key not in document:
            raise DataError(f'{lines.name}: not COCO\'s JSON: no "{key}"{not_among(document, key)}')
        if not isinstance(document[key], list):
            raise DataError(f'{lines.name}: not COCO\'s JSON: "{key}" is no list')
    names: dict[int | str, str] = {}
    for number, image in enumerate(document["images"]):
        known, name = _fields(image, "id", "file_name")
        if known is None or name is None:
            problems.add(lines.name, 1, f"image {number} has no id and file_name that can be used; it is left out")
        elif names.setdefault(known, name) != name:
            problems.add(lines.name, 1, f"image {number} has the id {str(known)[:80]} of another; it is left out")
    for number, note in enumerate(document["annotations"]):
        known, caption = _fields(note, "image_id", "caption")
        if known is None or known not in names:
            shown = str(note.get("image_id") if isinstance(note, dict) else note)[:80]
            problems.add(
                lines.name, 1, f"annotation {number} is of an image {shown} that is not listed; it is left out"
            )
        elif caption is None:
            problems.add(lines.name, 1, f"annotation {number} has no caption; it is left out")
        else:
            yield names[known], " ".join(caption.split()), 1


def _fields(record: Any, number: str, text: str) -> tuple[int | str | None, str | None]:
    """Return an object's number, or text, that identifies something, and a text of it; None for what is neither."""
    if not isinstance(record, dict):
        return None, None
    known, said = record.get(number), record.get(text)
    is_known = isinstance(known, int | str) and not isinstance(known, bool)  # true is no 1
    return known if is_known else None, said if isinstance(said, str) and said.strip() else None
