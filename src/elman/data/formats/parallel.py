"""Two parallel files: what stands in a line of one is the other's in the same line."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from elman.data.formats.examples import SOURCE_AND_TARGET, find_problem
from elman.data.lines import Lines, Problems
from elman.data.records import Example
from elman.errors import DataError


def read_parallel(sources: Lines, targets: Lines, problems: Problems) -> Iterator[Example]:
    r"""Read two files side by side: what stands in a line of one is the other's in the same line.

    A line that is empty in both parts nothing and is skipped; where one side is empty, the pair is skipped.

    Args:
        sources: the lines of one file.
        targets: the lines of the other.
        problems: who is told of what is skipped.

    Raises:
        DataError: one file has more lines than the other, so that the pairs are not certain; it names the line.

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
                f"{ended.name} ends after line {number - 1:,}, but {longer.name} goes on at line {number:,}; parallel "
                "files have a line of one for each line of the other: find where they part"
            )
        problem = find_problem(source, target, SOURCE_AND_TARGET)
        if not problem:
            yield Example(source, target, number)
        elif source.strip() or target.strip():
            side = targets if source.strip() else sources
            problems.add(side.name, number, f"{problem}; the pair is skipped")
    if not number:
        raise DataError(f"{sources.name}: is empty; it needs a source a line")
