"""A Parquet table read by the numbers of its rows: a row group is in memory at a time.

Knows nothing of what the columns mean.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from weakref import WeakValueDictionary

import pyarrow as pa
import pyarrow.parquet as pq

_ABOUT: WeakValueDictionary[tuple[str, int, int], pq.FileMetaData] = WeakValueDictionary()
"""What is known of files that are in use: it grows with their row groups, and is held once."""


class TableParts:
    """Some columns of a table, in parts. The file must stay as it is.

    Raises OSError or ArrowException where it cannot be read.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = path, list(columns)
        self._about = _about(path)
        sizes = (self._about.row_group(group).num_rows for group in range(self._about.num_row_groups))
        self._starts: list[int] = [0, *accumulate(sizes)]
        self._held: dict[int, pa.Table] = {}

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def missing(self) -> list[str]:
        """Columns that the table does not have."""
        there = set(self._about.schema.to_arrow_schema().names)
        return [name for name in self.columns if name not in there]

    def slices(self, start: int, stop: int) -> Iterator[pa.Table]:
        """The rows from `start` up to `stop`, cut where row groups end."""
        while start < stop:
            group = bisect_right(self._starts, start) - 1
            end = min(stop, self._starts[group + 1])
            yield self._group(group).slice(start - self._starts[group], end - start)
            start = end

    def part(self, start: int, stop: int) -> pa.Table:
        """The same as one table."""
        found = list(self.slices(start, stop))
        return pa.concat_tables(found) if found else self._group(0).slice(0, 0)

    def around(self, row: int) -> tuple[int, pa.Table]:
        """The row group with this row, and the number of its first row."""
        group = bisect_right(self._starts, row) - 1
        return self._starts[group], self._group(group)

    def _group(self, number: int) -> pa.Table:
        if number not in self._held:
            self._held.clear()  # no two are there at once
            with pq.ParquetFile(self.path, metadata=self._about) as file:
                # threads would keep memory that they have freed
                table = file.read_row_group(number, columns=self.columns, use_threads=False)
            self._held[number] = table
        return self._held[number]


def _about(path: Path) -> pq.FileMetaData:
    now = path.stat()
    key = str(path), now.st_size, now.st_mtime_ns
    found = _ABOUT.get(key)
    if found is None:
        found = _ABOUT[key] = pq.read_metadata(path)
    return found
