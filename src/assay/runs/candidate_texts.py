"""The texts of candidates, read from the pool's table when they are asked for: a page shows a few of many.

Knows nothing of what they are shown for.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from assay.runs.table_parts import TableParts


class CandidateTexts(Sequence[str]):
    """A text column of a Parquet file, one string for each row; a row group is in memory at a time."""

    def __init__(self, path: Path, column: str) -> None:
        self._table, self._column = TableParts(path, [column]), column
        self._first, self._held = 0, list[str]()

    def __len__(self) -> int:
        return len(self._table)

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
        if not self._first <= row < self._first + len(self._held):
            self._first, part = self._table.around(row)
            self._held = part[self._column].to_pylist()
        return self._held[row - self._first]

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))
