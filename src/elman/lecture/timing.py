"""How long each page took when it last ran on this machine."""

from __future__ import annotations

from contextlib import suppress

from elman.documents import read_json, write_json
from elman.errors import ElmanError
from elman.files import make_folder, write_files
from elman.lecture.sharing import lecture_folder

_FILE = "seconds.json"


def measured_seconds() -> dict[str, float]:
    """Return the seconds by the name of the page; pages that never ran here are missing."""
    try:
        found: dict[str, float] = read_json((lecture_folder() / _FILE).read_bytes(), {str: float})
        return found
    except (OSError, ValueError):
        return {}


def keep_seconds(name: str, seconds: float) -> None:
    """Keep how long a page took, if the cache folder can be written."""
    with suppress(ElmanError):
        make_folder(lecture_folder())
        content = write_json({**measured_seconds(), name: round(seconds, 1)})
        write_files({lecture_folder() / _FILE: content.encode()})
