"""Who the candidates of a pool are: ids, sources, tasks and lengths, read from the pool's table in parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from assay.runs.candidate_texts import CandidateTexts
from assay.runs.table_parts import TableParts

TEXT = pa.dictionary(pa.int32(), pa.string())
NAMES = ("candidate_id", "source_file", "source_row", "candidate_task", "tokens")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Labels of m candidates; `files` and `tasks` are dictionaries over the whole pool."""

    ids: pa.Array
    files: pa.Array
    rows: pa.Array
    tasks: pa.Array
    tokens: Int[np.ndarray, "m"]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, at: Int[np.ndarray, "k"]) -> "Part":
        where = pa.array(at)
        ids, files, rows, tasks = (
            column.take(where) for column in (self.ids, self.files, self.rows, self.tasks)
        )
        return Part(ids, files, rows, tasks, self.tokens[at])


class Candidates:
    """The labels of n candidates. Of the whole pool, memory holds each file's and task's name once."""

    def __init__(self, path: Path) -> None:
        self._table = TableParts(path, NAMES)
        self._files = _distinct(self._table, "source_file")
        self._tasks = _distinct(self._table, "candidate_task")

    @classmethod
    def read(cls, path: Path) -> "Candidates":
        """Those of a pool's table."""
        return cls(path)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def ids(self) -> pa.Array:
        """Of the whole pool, read now."""
        parts = (table["candidate_id"] for table in self._table.slices(0, len(self)))
        return pa.chunked_array(list(parts), pa.string()).combine_chunks()

    @property
    def tokens(self) -> Int[np.ndarray, "n"]:
        """Completion tokens of the whole pool, read now."""
        found = np.empty(len(self), dtype=np.int64)
        start = 0
        for table in self._table.slices(0, len(self)):
            found[start : start + len(table)] = table["tokens"].to_numpy()
            start += len(table)
        return found

    def names(self) -> Sequence[str]:
        """Ids of the whole pool, each read when it is asked for."""
        return CandidateTexts(self._table.path, "candidate_id")

    def tasks(self) -> Sequence[str | None]:
        """Tasks of the whole pool, each read when it is asked for."""
        return CandidateTexts(self._table.path, "candidate_task")

    def part(self, rows: slice) -> Part:
        """Labels of some candidates, a slice without a step."""
        start, stop, _ = rows.indices(len(self))
        table = self._table.part(start, stop).combine_chunks()
        ids, files, numbers, tasks, tokens = (_chunk(table[name]) for name in NAMES)
        return Part(
            ids,
            _coded(files, self._files),
            numbers,
            _coded(tasks, self._tasks),
            np.asarray(tokens, dtype=np.int64),
        )


def _distinct(table: TableParts, name: str) -> pa.Array:
    """The different texts of a column, in the order of their first rows."""
    found: dict[str, None] = {}
    for part in table.slices(0, len(table)):
        found |= dict.fromkeys(part[name].drop_null().unique().to_pylist())
    return pa.array(list(found), pa.string())


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _coded(values: pa.Array, names: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pc.index_in(values, value_set=names), names)
