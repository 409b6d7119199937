"""The table of formats against its documentation."""

import re
from pathlib import Path

from elman.cli.help import docstrings
from elman.cli.predict import Predict
from elman.data.formats.table import FORMATS

ROWS = {f"`{task}`": task for task in FORMATS} | {"`classifier`, level numbers": "numbers"}


def names(formats, does):
    return {name for name, row in formats.rows.items() if getattr(row, does)}


def test_the_page_about_files_lists_the_formats_of_the_table():
    page = (Path(__file__).parents[3] / "docs" / "files.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    assert {ROWS[row[0]] for row in rows} == set(FORMATS)
    for title, reads, piped, writes, usual in rows:
        formats = FORMATS[ROWS[title]]
        assert set(re.split(", ", reads)) == names(formats, "reads"), title
        assert set(re.split(", ", writes.partition(":")[0])) == names(formats, "writes"), title
        assert piped.partition(":")[0] in (formats.piped, "none"), title
        assert formats.written in usual, title


def test_the_help_of_predict_names_every_format():
    about = docstrings(Predict)
    for option, does in (("input_format", "reads"), ("output_format", "writes")):
        for formats in FORMATS.values():
            for name in names(formats, does):
                assert re.search(rf"\b{name}\b", about[option]), (option, name)
