"""Columns of a scoring over its pool, each read from the tables when it is asked for. Knows no rules."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from assay.runs.numbers import NumberFile
from assay.runs.scored_tables import CANDIDATES, of_others, reading, table_of
from assay.runs.scores.aggregates import numbers_of
from assay.runs.scores.tables import AGGREGATES, ALL, SCORES
from assay.runs.table_parts import TableParts
from assay.selection.named import Listed

HELD = 2
"""Columns of a kind that stay in memory."""
HEADS = ["method", "checkpoint", "query_set", "query_task"]
ID = "candidate_id"


@dataclass(frozen=True, slots=True)
class Found:
    """One column: of a method on a query set or one of its tasks (None: the whole set, or no queries)."""

    method: str
    query_set: str | None
    query_task: str | None


class FoundColumns(Mapping[Found, Float[np.ndarray, "n"]]):
    """Columns of n numbers in the table of aggregates, by what they are of; NaN: none. The last two that were
    asked for stay in memory."""

    def __init__(self, folder: Path, name: str, places: Mapping[Found, int], candidates: int) -> None:
        self._folder, self._name, self._places, self._candidates = folder, name, places, candidates
        self._table = table_of(folder, AGGREGATES, [name])
        self._held: dict[Found, Float[np.ndarray, "n"]] = {}

    def __getitem__(self, found: Found) -> Float[np.ndarray, "n"]:
        values = self._held.pop(found, None)
        if values is None:
            first = self._places[found]
            while len(self._held) >= HELD:
                del self._held[next(iter(self._held))]
            with reading(self._folder, AGGREGATES):
                values = numbers_of(self._table, self._name, first, self._candidates)
        self._held[found] = values
        return values

    def __iter__(self) -> Iterator[Found]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, found: object) -> bool:
        return found in self._places


def aggregates_of(folder: Path, candidates: int) -> tuple[FoundColumns, FoundColumns]:
    """Scores and mean percentile ranks. A sum over checkpoints stands for its method, not its parts.

    Raises DataError where the table is not of this pool.
    """
    table = table_of(folder, AGGREGATES, [ID, *HEADS])
    ids = table_of(folder, CANDIDATES, [ID])
    if not len(table) or len(table) % candidates:
        raise of_others(folder / AGGREGATES)
    heads: list[dict[str, Any]] = []
    with reading(folder, AGGREGATES):
        for first in range(0, len(table), candidates):
            heads += table.part(first, first + 1).select(HEADS).to_pylist()
            row = 0
            for part in table.slices(first, first + candidates):
                if not part[ID].equals(ids.part(row, row + len(part))[ID]):
                    raise of_others(folder / AGGREGATES)
                row += len(part)
    summed = {head["method"] for head in heads if head["checkpoint"] == ALL}
    places = {
        Found(head["method"], head["query_set"], head["query_task"]): number * candidates
        for number, head in enumerate(heads)
        if head["method"] not in summed or head["checkpoint"] == ALL
    }
    scores, percentiles = (FoundColumns(folder, name, places, candidates) for name in ("score", "percentile"))
    return scores, percentiles


@dataclass(frozen=True, slots=True, eq=False)
class ByQuery:
    """Scores of all pairs of n candidates and q queries, with the queries' ids and tasks (None: no task)."""

    scores: Listed
    ids: tuple[str, ...]
    tasks: tuple[str | None, ...]


def pairs_of(folder: Path, candidates: int, method: str, query_set: str) -> ByQuery:
    """The scores of pairs, which stand candidate by candidate, as columns in a file without a name.

    Raises DataError where the table is not of this pool.
    """
    wanted = (pc.field("method") == method) & (pc.field("query_set") == query_set)
    with reading(folder, SCORES):
        parts = table_of(folder, SCORES, ["method", "query_set"])
        rows = sum(len(part.filter(wanted)) for part in parts.slices(0, len(parts)))
        if not rows or rows % candidates:
            raise of_others(folder / SCORES)
        queries = rows // candidates
        table = table_of(folder, SCORES, ["method", "query_set", ID, "query_id", "query_task", "score"])
        ids = table_of(folder, CANDIDATES, [ID])
        numbers = NumberFile(folder if os.access(folder, os.W_OK) else None, candidates, queries)
        heads: list[pa.Table] = []
        at, rest = 0, table.part(0, 0)
        for part in table.slices(0, len(table)):
            rest = pa.concat_tables([rest, part.filter(wanted)])
            if not at:
                heads = [rest.slice(0, queries)]
            whole = len(rest) // queries
            if whole:
                _put(numbers, at, whole, rest, ids, folder)
                at, rest = at + whole, rest.slice(whole * queries)
    return ByQuery(
        Listed([partial(numbers.column, at) for at in range(queries)]),
        tuple(heads[0]["query_id"].to_pylist()),
        tuple(heads[0]["query_task"].to_pylist()),
    )


def _put(numbers: NumberFile, first: int, count: int, rows: pa.Table, ids: TableParts, folder: Path) -> None:
    """The rows of so many candidates, from the `first` on."""
    queries = numbers.columns
    mine = rows.slice(0, count * queries)
    again = pa.array(np.repeat(np.arange(count), queries))
    if not mine[ID].equals(ids.part(first, first + count)[ID].take(again)):
        raise of_others(folder / SCORES)
    scores = np.asarray(mine["score"].to_numpy(), dtype=np.float64)
    numbers.put_block(slice(first, first + count), scores.reshape(count, queries))
