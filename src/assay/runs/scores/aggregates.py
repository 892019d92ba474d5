"""Scores of a pool put together over queries: each aggregate is a run of rows of `aggregates.parquet`.

A column is read when it is asked for, and not kept.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from assay.runs.table_parts import TableParts


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Scores of n candidates for one method, checkpoint and set of queries (None where it needs none).

    They are the rows from `first` on of `table`.
    """

    method: str
    checkpoint: str
    query_set: str | None
    query_task: str | None
    table: Path
    first: int
    candidates: int

    @property
    def scores(self) -> Float[np.ndarray, "n"]:
        """Read from the table; NaN where a candidate has none."""
        return self._read("score")

    @property
    def percentile(self) -> Float[np.ndarray, "n"]:
        """Mean percentile ranks within queries; NaN where there are none."""
        return self._read("percentile")

    def _read(self, name: str) -> Float[np.ndarray, "n"]:
        return numbers_of(TableParts(self.table, [name]), name, self.first, self.candidates)


def numbers_of(table: TableParts, name: str, first: int, count: int) -> Float[np.ndarray, "n"]:
    """So many numbers of a column, from a row on; what is null is NaN."""
    found = np.empty(count)
    start = 0
    for part in table.slices(first, first + count):
        found[start : start + len(part)] = part[name].to_numpy()
        start += len(part)
    return found
