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
"""What the splits of a ``dataset_*.json`` are for."""


def read_captions(
    source: Path | str,
    problems: Problems,
    encoding: str = "utf-8",
    known: Container[str] = (),
    part: str | None = None,
) -> dict[str, list[str]]:
    r"""Read captions: COCO's JSON, lines of ``file<TAB>caption``, Flickr8k's of ``file#0<TAB>caption``, or a table.

    Karpathy's ``dataset_*.json`` say to which split each picture belongs.

    A table is a CSV (its cells separated by anything in `SEPARATORS`) whose first line names the columns ``image`` and
    ``caption``, as Kaggle's copies of Flickr8k and Flickr30k do.

    Args:
        source: a ``Path`` names a file, a ``str`` is its text.
        problems: who is told of what is skipped.
        encoding: how the file is encoded.
        known: names of pictures, which have no number of a caption after them.
        part: one of `SPLITS`; all pictures where not given, or where the file has no splits.

    Returns:
        The captions of each picture, in the file's order.

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
            or f"{lines.name}: holds no captions; it needs lines of a file, a tab, a caption, or a CSV whose first "
            "line is image,caption"
        )
    return found


def _strip_number(name: str) -> str:
    """Return the name of a picture without the number of its caption, as Flickr8k has it: ``a.jpg#0``."""
    stem, _, number = name.rpartition("#")
    is_numbered = number.isascii() and number.isdecimal() and _HAS_ENDING.search(stem.rpartition("#")[2])
    return stem if is_numbered else name


def _detect_table(lines: Lines) -> Delimited | None:
    """Return the reader of a table with columns of pictures and captions; None where the first line names none."""
    separator, spaced = detect_separator(lines, (*_IMAGE_COLUMNS, *_CAPTION_COLUMNS))
    _, cells, _ = next(Delimited(separator).records(Lines(lines.peek().lstrip())), (0, [], ""))
    names = [cell.strip() for cell in cells]
    image = next((name for name in _IMAGE_COLUMNS if name in names), None)
    caption = next((name for name in _CAPTION_COLUMNS if name in names), None)
    if image is None or caption is None:
        return None
    nouns, open_end = ("caption", "picture"), names[-1] == caption  # Kaggle's captions have commas without quotes
    return Delimited(separator, caption, image, spaced=spaced, nouns=nouns, open_end=open_end)


def has_splits(source: Path | str, encoding: str = "utf-8") -> bool:
    """Tell whether a file says of its pictures which are for training and which for validation."""
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
            problems.add(lines.name, lines.number, "no tab between file and caption; the line is skipped")
        elif not name.strip() or not caption.strip():
            what = "file's name" if caption.strip() else "caption"
            problems.add(lines.name, lines.number, f"the {what} is empty; the line is skipped")
        else:
            yield name.strip(), caption.strip(), lines.number


def _read_document(lines: Lines) -> Any:
    """Read COCO's JSON, or Karpathy's, in which the captions stand with the pictures."""
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
            raise DataError(f'{lines.name}: not COCO\'s JSON: "{key}" is no list')
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
            problems.add(lines.name, 1, f"image {number} has no filename that can be used; it is skipped")
            continue
        if part and splits and image.get("split") not in SPLITS[part]:
            continue
        folder = image.get("filepath")
        sentences = image.get("sentences")
        said = (
            [_get_fields(sentence, "sentid", "raw")[1] for sentence in sentences] if isinstance(sentences, list) else []
        )
        if None in said or not said:
            problems.add(lines.name, 1, f"image {number} has no sentence, or one without raw text; that is skipped")
        for caption in filter(None, said):
            yield f"{folder}/{name}" if isinstance(folder, str) and folder else name, " ".join(caption.split()), 1


def _read_coco(document: Any, lines: Lines, problems: Problems) -> Iterator[tuple[str, str, int]]:
    names: dict[int | str, str] = {}
    for number, image in enumerate(document["images"]):
        known, name = _get_fields(image, "id", "file_name")
        if known is None or name is None:
            problems.add(lines.name, 1, f"image {number} has no id and file_name that can be used; it is skipped")
        elif names.setdefault(known, name) != name:
            problems.add(lines.name, 1, f"image {number} has the id {str(known)[:80]} of another; it is skipped")
    for number, note in enumerate(document["annotations"]):
        known, caption = _get_fields(note, "image_id", "caption")
        if known is None or known not in names:
            shown = str(note.get("image_id") if isinstance(note, dict) else note)[:80]
            problems.add(lines.name, 1, f"annotation {number} is of an image {shown} that is not listed; it is skipped")
        elif caption is None:
            problems.add(lines.name, 1, f"annotation {number} has no caption; it is skipped")
        else:
            yield names[known], " ".join(caption.split()), 1


def _get_fields(record: Any, number: str, text: str) -> tuple[int | str | None, str | None]:
    """Return an object's number, or text, that identifies something, and a text of it; None for what is neither."""
    if not isinstance(record, dict):
        return None, None
    known, said = record.get(number), record.get(text)
    is_known = isinstance(known, int | str) and not isinstance(known, bool)  # true is no 1
    return known if is_known else None, said if isinstance(said, str) and said.strip() else None


class CaptionLines:
    """Captions of pictures, a line each: the picture's name, a tab, its caption.

    Args:
        n_best: how many captions a picture has; of several, each line has its score, too.
    """

    def __init__(self, n_best: int = 1) -> None:
        self._n_best = n_best

    def write(self, records: Iterable[Caption | Problem]) -> Iterator[str]:
        """Write the captions of each picture; none for one that could not be read."""
        for record in records:
            if isinstance(record, Problem):
                yield f"{record.where}\t\n"
            elif self._n_best == 1:
                yield f"{record.picture}\t{record.candidates[0][0]}\n"
            else:
                yield "".join(f"{record.picture}\t{text}\t{score:.4f}\n" for text, score in record.candidates)
