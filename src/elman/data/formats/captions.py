"""Captions by the name of their picture: COCO's JSON and Karpathy's, lines of ``file<TAB>caption``, or a table."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from elman.data.files import as_data_error, join_names, suggest_among, text_problem
from elman.data.formats.delimited import Delimited, detect_separator
from elman.data.formats.examples import read_labelled
from elman.data.formats.pictures import ENDINGS
from elman.data.lines import Lines, Problems
from elman.data.records import Caption, Problem
from elman.errors import DataError

_IMAGE_COLUMNS = ("image", "image_name", "file_name")
_CAPTION_COLUMNS = ("caption", "comment")
_HAS_ENDING = re.compile(rf"(?:{'|'.join(map(re.escape, ENDINGS))})\b", re.IGNORECASE)


SPLITS = {"train": ("train", "restval"), "valid": ("val",), "test": ("test",)}
"""The splits of a ``dataset_*.json`` by their purpose."""


def read_captions(
    source: Path | str,
    problems: Problems,
    encoding: str = "utf-8",
    known: Container[str] = (),
    part: str | None = None,
) -> dict[str, list[str]]:
    r"""Read captions: COCO's JSON, lines of ``file<TAB>caption``, Flickr8k's of ``file#0<TAB>caption``, or a table.

    Karpathy's ``dataset_*.json`` files also contain the split of each picture.

    A table is a CSV (with any separator in `SEPARATORS`) whose first line names the columns ``image`` and ``caption``,
    as in Kaggle's copies of Flickr8k and Flickr30k.

    Args:
        source: a ``Path`` names a file, a ``str`` is its text.
        problems: collects the captions that are skipped.
        encoding: the encoding of the file.
        known: the names of pictures, in which ``#0`` is not the number of a caption.
        part: one of `SPLITS`; None, or a file without splits, gives all pictures.

    Returns:
        The captions of each picture, in the order of the file.

    Raises:
        DataError: there is no such file, or nothing in it is a caption.

    Example:
        >>> read_captions("a.jpg#0\tA dog .\na.jpg#1\tA puppy .\n", Problems())
        {'a.jpg': ['A dog .', 'A puppy .']}
    """
    lines = Lines(source, encoding)
    if lines.peek().lstrip().startswith("{"):
        pairs = _read_json(lines, problems, part)
    elif (table := _detect_table(lines)) is not None:
        rows = read_labelled(table, lines, problems)
        pairs = ((row.label or "", row.text.strip(), row.line) for row in rows)
    else:
        pairs = _read_tabbed(lines, problems)
    found: dict[str, list[str]] = {}
    for name, caption, line in pairs:
        if problem := text_problem(name + caption):
            problems.add(lines.name, line, f"{problem}; the caption is skipped")
        else:
            found.setdefault(name if name in known else _strip_number(name), []).append(caption)
    if not found:
        raise DataError(
            problems.first
            or f"{lines.name}: contains no captions; it needs lines of file name, tab and caption, or a CSV whose "
            "first line is image,caption"
        )
    return found


def _strip_number(name: str) -> str:
    """Remove the number of the caption from the name of a picture, as in Flickr8k's ``a.jpg#0``."""
    stem, _, number = name.rpartition("#")
    is_numbered = number.isascii() and number.isdecimal() and _HAS_ENDING.search(stem.rpartition("#")[2])
    return stem if is_numbered else name


def _detect_table(lines: Lines) -> Delimited | None:
    """Return the reader of a table with columns for pictures and captions; None if the first line names none."""
    separator, spaced = detect_separator(lines, (*_IMAGE_COLUMNS, *_CAPTION_COLUMNS))
    _, cells, _ = next(Delimited(separator).records(Lines(lines.peek().lstrip())), (0, [], ""))
    names = [cell.strip() for cell in cells]
    image = next((name for name in _IMAGE_COLUMNS if name in names), None)
    caption = next((name for name in _CAPTION_COLUMNS if name in names), None)
    if image is None or caption is None:
        return None
    nouns, open_end = ("caption", "picture"), names[-1] == caption  # Kaggle's captions contain unquoted commas
    return Delimited(separator, caption, image, spaced=spaced, nouns=nouns, open_end=open_end)


def has_splits(source: Path | str, encoding: str = "utf-8") -> bool:
    """Tell whether a file assigns its pictures to training and validation."""
    lines = Lines(source, encoding)
    if not lines.peek().lstrip().startswith("{"):
        return False
    splits = _find_splits(_read_document(lines)["images"])
    return bool(splits.intersection(SPLITS["train"])) and bool(splits.intersection(SPLITS["valid"]))


def _find_splits(images: list[Any]) -> set[str]:
    return {str(image["split"]) for image in images if isinstance(image, dict) and "split" in image}


def _read_tabbed(lines: Lines, problems: Problems) -> Iterator[tuple[str, str, int]]:
    for line in lines:
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        if not tab:
            problems.add(lines.name, lines.number, "no tab between file name and caption; the line is skipped")
        elif not name.strip() or not caption.strip():
            what = "file's name" if caption.strip() else "caption"
            problems.add(lines.name, lines.number, f"the {what} is empty; the line is skipped")
        else:
            yield name.strip(), caption.strip(), lines.number


def _read_document(lines: Lines) -> Any:
    """Read COCO's JSON, or Karpathy's, in which each picture has its captions."""
    with as_data_error(lines.name, "not COCO's JSON"):
        document = json.loads(lines.read_all())
    images = document.get("images")
    is_karpathys = isinstance(images, list) and any(
        isinstance(image, dict) and "sentences" in image for image in images
    )
    for key in ("images",) if is_karpathys else ("images", "annotations"):
        if key not in document:
            raise DataError(f'{lines.name}: not COCO\'s JSON: no "{key}"{suggest_among(document, key)}')
        if not isinstance(document[key], list):
            raise DataError(f'{lines.name}: not COCO\'s JSON: "{key}" is not a list')
    return document


def _read_json(lines: Lines, problems: Problems, part: str | None) -> Iterator[tuple[str, str, int]]:
    document = _read_document(lines)
    if "annotations" in document:
        yield from _read_coco(document, lines, problems)
        return
    splits = _find_splits(document["images"])
    if part and splits and not splits.intersection(SPLITS[part]):
        wanted = " or ".join(SPLITS[part])
        raise DataError(f"{lines.name}: has no pictures of the split {wanted}; it has {join_names(sorted(splits))}")
    for number, image in enumerate(document["images"]):
        _, name = _get_fields(image, "imgid", "filename")
        if name is None:
            problems.add(lines.name, 1, f"image {number} has no usable filename; it is skipped")
            continue
        if part and splits and image.get("split") not in SPLITS[part]:
            continue
        folder = image.get("filepath")
        sentences = image.get("sentences")
        said = (
            [_get_fields(sentence, "sentid", "raw")[1] for sentence in sentences] if isinstance(sentences, list) else []
        )
        if None in said or not said:
            problems.add(lines.name, 1, f"image {number} has no sentence, or one without raw text, which is skipped")
        for caption in filter(None, said):
            yield f"{folder}/{name}" if isinstance(folder, str) and folder else name, " ".join(caption.split()), 1


def _read_coco(document: Any, lines: Lines, problems: Problems) -> Iterator[tuple[str, str, int]]:
    names: dict[int | str, str] = {}
    for number, image in enumerate(document["images"]):
        known, name = _get_fields(image, "id", "file_name")
        if known is None or name is None:
            problems.add(lines.name, 1, f"image {number} has no usable id and file_name; it is skipped")
        elif names.setdefault(known, name) != name:
            problems.add(lines.name, 1, f"image {number} has the same id {str(known)[:80]} as another; it is skipped")
    for number, note in enumerate(document["annotations"]):
        known, caption = _get_fields(note, "image_id", "caption")
        if known is None or known not in names:
            shown = str(note.get("image_id") if isinstance(note, dict) else note)[:80]
            problems.add(lines.name, 1, f"annotation {number} is for an unknown image {shown}; it is skipped")
        elif caption is None:
            problems.add(lines.name, 1, f"annotation {number} has no caption; it is skipped")
        else:
            yield names[known], " ".join(caption.split()), 1


def _get_fields(record: Any, number: str, text: str) -> tuple[int | str | None, str | None]:
    """Return two fields of an object, an id and a text; None for one that is missing or of another type."""
    if not isinstance(record, dict):
        return None, None
    known, said = record.get(number), record.get(text)
    is_known = isinstance(known, int | str) and not isinstance(known, bool)  # to Python, True is an int
    return known if is_known else None, said if isinstance(said, str) and said.strip() else None


class CaptionLines:
    """One line for each caption: the name of the picture, a tab and the caption.

    Args:
        n_best: the number of captions of a picture; if there are several, each line also has a score.
    """

    def __init__(self, n_best: int = 1) -> None:
        self._n_best = n_best

    def write(self, records: Iterable[Caption | Problem]) -> Iterator[str]:
        """Write the captions of each picture; an empty caption for an unreadable one."""
        for record in records:
            if isinstance(record, Problem):
                yield f"{record.where}\t\n"
            elif self._n_best == 1:
                yield f"{record.picture}\t{record.candidates[0][0]}\n"
            else:
                yield "".join(f"{record.picture}\t{text}\t{score:.4f}\n" for text, score in record.candidates)
