"""What the lecture says, row by row: every row is covered by a computation on a page."""

import csv
from pathlib import Path

with (Path(__file__).parent / "rows.tsv").open(encoding="utf-8", newline="") as file:
    ROWS = {row["id"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
