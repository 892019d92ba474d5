"""Columns of numbers in a file on disk, filled and read in parts, so that a pool's scores need no memory.

Knows nothing of what the numbers mean.
"""

import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float

BYTES = 8


class NumberFile:
    """Columns of n float64, one after another; zero until they are written.

    The file lies in `folder` (None: where temporary files lie) without a name, and is gone when it is closed
    or forgotten, or when the process is killed.
    """

    def __init__(self, folder: Path | None, rows: int, columns: int = 0) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.rows, self.columns = rows, 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by close)
        self.add(columns)

    def __enter__(self) -> "NumberFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, columns: int = 1) -> int:
        """Room for more columns; the number of the first of them, from 0."""
        first = self.columns
        self.columns += columns
        self._file.truncate(BYTES * self.rows * self.columns)
        return first

    def column(self, at: int, part: slice = slice(None)) -> Float[np.ndarray, "m"]:
        """A column, or `part` of it (a slice without a step)."""
        start, stop, _ = part.indices(self.rows)
        found = np.empty(max(0, stop - start))
        self._file.seek(BYTES * (at * self.rows + start))
        if self._file.readinto(found.data) != found.nbytes:
            raise OSError("a file of numbers ends too early")
        return found

    def put(self, at: int, part: slice, values: Float[np.ndarray, "m"]) -> None:
        """Write into a column."""
        start, stop, _ = part.indices(self.rows)
        if len(values) != stop - start:
            raise ValueError(f"{len(values)} values for {stop - start} rows")
        self._file.seek(BYTES * (at * self.rows + start))
        self._file.write(np.ascontiguousarray(values, dtype=np.float64).data)

    def block(self, part: slice) -> Float[np.ndarray, "m c"]:
        """These rows of all columns."""
        columns = [self.column(at, part) for at in range(self.columns)]
        return np.ascontiguousarray(np.stack(columns, axis=1)) if columns else np.empty((0, 0))

    def put_block(self, part: slice, values: Float[np.ndarray, "m c"]) -> None:
        for at in range(self.columns):
            self.put(at, part, values[:, at])

    def close(self) -> None:
        self._file.close()
