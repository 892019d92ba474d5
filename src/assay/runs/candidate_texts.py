"""The texts of candidates, read from the pool's table when they are asked for: a page shows a few of many.

Knows nothing of what they are shown for.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import overload

import pyarrow.parquet as pq


class CandidateTexts(Sequence[str]):
    """A text column of a Parquet file, one string for each row; a row group is in memory at a time."""

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        about = pq.read_metadata(path)
        sizes = (about.row_group(group).num_rows for group in range(about.num_row_groups))
        self._starts: list[int] = [0, *accumulate(sizes)]
        self._held: tuple[int, list[str]] = (-1, [])

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...

    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if isinstance(at, slice):
            return [self[row] for row in range(*at.indices(len(self)))]
        row = at + len(self) if at < 0 else at
        if not 0 <= row < len(self):
            raise IndexError(f"row {at} of {len(self)}")
        group = bisect_right(self._starts, row) - 1
        if self._held[0] != group:
            with pq.ParquetFile(self._path) as file:
                part = file.read_row_group(group, columns=[self._column])
            self._held = group, part[self._column].to_pylist()
        return self._held[1][row - self._starts[group]]
