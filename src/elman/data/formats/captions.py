"""Captions by the name of their picture: COCO's JSON, lines of ``file<TAB>caption``, or a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from elman.data.files import no_text, not_among, reading
from elman.data.formats.delimited import Delimited, separator_of
from elman.data.formats.examples import read_labelled
from elman.data.formats.pictures import ENDINGS
from elman.data.lines import Lines, Problems
from elman.data.records import Caption, Problem
from elman.errors import DataError

_IMAGE_COLUMNS = ("image", "image_name", "file_name")
_CAPTION_COLUMNS = ("caption", "comment")
_HAS_ENDING = re.compile(rf"(?:{'|'.join(map(re.escape, ENDINGS))})\b", re.IGNORECASE)


def read_captions(source: Path | str, problems: Problems, encoding: str = "utf-8") -> dict[str, list[str]]:
    r"""Read captions: COCO's JSON, lines of ``file<TAB>caption``, Flickr8k's of ``file#0<TAB>caption``, or a table.

    A table is a CSV (its cells separated by anything in `SEPARATORS`) whose first line names the columns ``image`` and
    ``caption``, as Kaggle's copies of Flickr8k and Flickr30k do.

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
        rows = read_labelled(table, lines, problems)
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
