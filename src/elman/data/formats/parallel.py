"""Two parallel files: each line of one is the translation of the same line of the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from elman.data.formats.examples import SOURCE_AND_TARGET, find_problem
from elman.data.lines import Lines, Problems
from elman.data.records import Example
from elman.errors import DataError


def read_parallel(sources: Lines, targets: Lines, problems: Problems) -> Iterator[Example]:
    r"""Read two parallel files: each line of one belongs to the same line of the other.

    Lines that are empty in both files are ignored; a pair with one empty side is reported and skipped.

    Args:
        sources: the lines of one file.
        targets: the lines of the other.
        problems: collects the pairs that are skipped.

    Raises:
        DataError: one file has more lines than the other, so the pairing is uncertain; the message names the line.

    Example:
        >>> pairs = read_parallel(Lines("a cat\na dog\n"), Lines("eine Katze\nein Hund\n"), Problems())
        >>> [(pair.text, pair.label) for pair in pairs]
        [('a cat', 'eine Katze'), ('a dog', 'ein Hund')]
    """
    number = 0
    for number, (source, target) in enumerate(zip_longest(sources, targets), start=1):
        if source is None or target is None:
            ended, longer = (sources, targets) if source is None else (targets, sources)
            raise DataError(
                f"{ended.name} ends after line {number - 1:,}, but {longer.name} continues at line {number:,}; "
                "parallel files must have the same number of lines: find where they diverge"
            )
        problem = find_problem(source, target, SOURCE_AND_TARGET)
        if not problem:
            yield Example(source, target, number)
        elif source.strip() or target.strip():
            side = targets if source.strip() else sources
            problems.add(side.name, number, f"{problem}; the pair is skipped")
    if not number:
        raise DataError(f"{sources.name}: is empty; it needs a source on each line")
