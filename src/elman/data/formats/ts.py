"""The ``.ts`` format of the UEA and UCR archives of time series: one sequence on each line."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from elman.data.files import describe_error
from elman.data.lines import Lines, Problems
from elman.data.records import NumberSequence, Problem
from elman.data.values.numbers import to_float32
from elman.errors import DataError


class SeriesLines:
    r"""Lines of ``1,2,3:4,5,6:label``: the values of each dimension and the label, after a header of ``@`` lines.

    Source: https://www.sktime.net/en/stable/api_reference/file_specifications/ts.html

    Example:
        >>> lines = Lines("@classLabel true up down\n@data\n1,2:3,4:up\n")
        >>> next(SeriesLines().read(lines, Problems(), labelled=True)).values.tolist()
        [[1.0, 3.0], [2.0, 4.0]]
    """

    def read(self, lines: Lines, problems: Problems, *, labelled: bool = False) -> Iterator[NumberSequence | Problem]:
        """Yield the sequences; see :meth:`elman.data.formats.series.SeriesTable.read`.

        Raises:
            DataError: there is no line @data, the steps have time stamps, or labels are requested but missing.
        """
        head: dict[str, str] = {}
        is_data = has_label = False
        for line in lines:
            if not is_data and line.startswith("@"):
                name, _, value = line[1:].partition(" ")
                head[name.lower()] = value.strip().lower()
                is_data = name.strip().lower() == "data"
                has_label = "true" in (head.get("classlabel", "").partition(" ")[0], head.get("targetlabel"))
                if is_data and head.get("timestamps") == "true":
                    raise DataError(f"{lines.name}: its steps have time stamps; save the values alone")
                if is_data and labelled and not has_label:
                    raise DataError(f"{lines.name}: has no labels: its header lacks @classLabel true")
            elif is_data and line.strip() and not line.startswith("#"):
                yield from self._read_sequence(line, lines, problems, has_label, labelled)
        if not is_data:
            raise DataError(f"{lines.name}: is not a .ts file of the UEA archive: it has no line @data")

    @staticmethod
    def _read_sequence(
        line: str, lines: Lines, problems: Problems, has_label: bool, labelled: bool
    ) -> Iterator[NumberSequence | Problem]:
        cells = line.split(":")
        label = cells.pop().strip() if has_label else ""
        problem = "" if label or not labelled else "the label is empty"
        dimensions: list[list[float]] = []
        try:
            dimensions = [[float(value) for value in cell.split(",")] for cell in cells]
        except ValueError as error:
            missing = any(value.strip() == "?" for cell in cells for value in cell.split(","))
            problem = "a value is missing (?)" if missing else describe_error(error)
        if len(set(map(len, dimensions))) > 1:
            problem = f"its dimensions have {min(map(len, dimensions))} to {max(map(len, dimensions))} values"
        values = to_float32([] if problem else np.array(dimensions).T)  # (T, F)
        if not problem and not (values.size and np.isfinite(values).all()):
            problem = "NaN, infinity or a number too large"
        if not problem:
            yield NumberSequence(values, label if labelled else None, lines.number)
            return
        problems.add(lines.name, lines.number, f"{problem}; {'it is skipped' if labelled else 'it gets no label'}")
        if not labelled:
            yield Problem(lines.number, problem)
