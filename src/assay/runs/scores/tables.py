"""Scores as tables, made from the stored measures shard by shard: pairs, and aggregates over queries.

`scores.parquet` has a row for each method, candidate and query; `aggregates.parquet` one for each method,
checkpoint, candidate and set of queries (whole, and by task). Rank 1 is the highest score. Memory: some
columns of the pool at a time, never candidates × queries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from assay.files import write_atomically
from assay.methods.combine import percentile_ranks, ranks
from assay.methods.table import Method
from assay.runs.scores.queries import Column, Queries

SCORES, AGGREGATES = "scores.parquet", "aggregates.parquet"
ALL = "all"
"""What the column `checkpoint` says of a sum over several."""
BLOCK = 2**22
"""Numbers held at a time while ranks are found."""

TEXT = pa.dictionary(pa.int32(), pa.string())
WHO = [
    ("candidate_id", pa.string()),
    ("source_file", TEXT),
    ("source_row", pa.int64()),
    ("candidate_task", TEXT),
    ("method", TEXT),
    ("checkpoint", TEXT),
    ("query_set", TEXT),
]
PAIRS = pa.schema(
    [
        *WHO,
        ("query_id", TEXT),
        ("query_task", TEXT),
        ("score", pa.float64()),
        ("rank", pa.float64()),
        ("tokens", pa.int64()),
    ]
)
SUMMED = pa.schema(
    [
        *WHO,
        ("query_task", TEXT),
        ("score", pa.float64()),
        ("rank", pa.float64()),
        ("percentile", pa.float64()),
        ("tokens", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Labels of the whole pool, n candidates."""

    ids: pa.Array
    files: pa.Array
    rows: pa.Array
    tasks: pa.Array
    tokens: Int[np.ndarray, "n"]

    @classmethod
    def read(cls, path: Path) -> "Candidates":
        columns = ["candidate_id", "source_file", "source_row", "candidate_task", "tokens"]
        table = pq.read_table(path, columns=columns).combine_chunks()
        ids, files, rows, tasks, tokens = (table[name].combine_chunks() for name in columns)
        return cls(ids, _coded(files), rows, _coded(tasks), np.asarray(tokens, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """Scores of the whole pool for one method, checkpoint and set of queries (None where it needs none)."""

    method: str
    checkpoint: str
    query_set: str | None
    query_task: str | None
    scores: Float[np.ndarray, "n"]
    percentile: Float[np.ndarray, "n"] | None = None


class PairScores:
    """Scores of all pairs of a method in a file on disk, candidates × queries, filled shard by shard."""

    def __init__(self, path: Path, candidates: int, queries: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.values = np.memmap(path, dtype=np.float64, mode="w+", shape=(candidates, queries))
        self._path = path

    def ranked(self) -> Iterator[tuple[slice, Float[np.ndarray, "n b"]]]:
        """Blocks of whole columns, so that candidates can be ranked within a query."""
        n, q = self.values.shape
        width = max(1, BLOCK // max(1, n))
        for start in range(0, q, width):
            part = slice(start, min(q, start + width))
            yield part, np.array(self.values[:, part])

    def close(self) -> None:
        del self.values
        self._path.unlink(missing_ok=True)


def rank_file(scores: PairScores, path: Path) -> tuple["PairScores", Float[np.ndarray, "n q"]]:
    """Ranks within each query in a second file."""
    n, q = scores.values.shape
    found = PairScores(path, n, q)
    for part, block in scores.ranked():
        found.values[:, part] = np.stack([ranks(column) for column in block.T], axis=1)
    return found, found.values


def mean_percentiles(scores: PairScores, columns: Sequence[Column]) -> list[Float[np.ndarray, "n"]]:
    """Of each set of queries, the mean over its queries of a candidate's percentile rank within the query.

    Queries at which a candidate has no score are left out, as in `combine.mean`.
    """
    n = len(scores.values)
    total, known = ([np.zeros(n) for _ in columns] for _ in range(2))
    for part, block in scores.ranked():
        percentiles = percentile_ranks(block)
        for at, column in enumerate(columns):
            mine = column.at[(column.at >= part.start) & (column.at < part.stop)] - part.start
            if len(mine):
                total[at] += np.nansum(percentiles[:, mine], axis=1)
                known[at] += (~np.isnan(percentiles[:, mine])).sum(1)
    return [
        np.divide(summed, count, out=np.full(n, np.nan), where=count > 0)
        for summed, count in zip(total, known, strict=True)
    ]


def pair_rows(
    candidates: Candidates,
    queries: Queries,
    method: Method,
    checkpoint: str,
    scores: Float[np.ndarray, "n q"],
    ranked: Float[np.ndarray, "n q"],
    step: int,
) -> Iterator[pa.Table]:
    """Rows of pairs, `step` candidates at a time."""
    q = len(queries)
    sets, ids, tasks = (_texts(labels) for labels in (queries.sets, queries.ids, queries.tasks))
    for start in range(0, len(candidates), step):
        rows = np.arange(start, min(len(candidates), start + step))
        every, again = np.repeat(rows, q), np.tile(np.arange(q), len(rows))
        yield pa.Table.from_arrays(
            [
                *_who(candidates, every, method.name, checkpoint),
                sets.take(pa.array(again)),
                ids.take(pa.array(again)),
                tasks.take(pa.array(again)),
                _numbers(np.asarray(scores[rows]).ravel()),
                _numbers(np.asarray(ranked[rows]).ravel()),
                pa.array(candidates.tokens[every]),
            ],
            schema=PAIRS,
        )


def aggregate_rows(candidates: Candidates, found: Aggregate) -> pa.Table:
    n = len(candidates)
    everyone = np.arange(n)
    empty = np.full(n, np.nan)
    return pa.Table.from_arrays(
        [
            *_who(candidates, everyone, found.method, found.checkpoint),
            _same(found.query_set, n),
            _same(found.query_task, n),
            _numbers(found.scores),
            _numbers(ranks(found.scores)),
            _numbers(empty if found.percentile is None else found.percentile),
            pa.array(candidates.tokens),
        ],
        schema=SUMMED,
    )


def write_table(path: Path, schema: pa.Schema, parts: Iterator[pa.Table]) -> None:
    """Write parts one by one, the file whole or not at all."""

    def write(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for part in parts:
                writer.write_table(part)

    write_atomically(path, write)


def _who(candidates: Candidates, rows: Int[np.ndarray, "m"], method: str, checkpoint: str) -> list[pa.Array]:
    at = pa.array(rows)
    return [
        candidates.ids.take(at),
        candidates.files.take(at),
        candidates.rows.take(at),
        candidates.tasks.take(at),
        _same(method, len(rows)),
        _same(checkpoint, len(rows)),
    ]


def _numbers(values: Float[np.ndarray, "m"]) -> pa.Array:
    """What is not a number is null."""
    return pa.array(values, mask=np.isnan(values))


def _same(value: str | None, count: int) -> pa.Array:
    codes = pa.array(np.zeros(count, dtype=np.int32), mask=np.full(count, value is None))
    return pa.DictionaryArray.from_arrays(codes, pa.array([value or ""], pa.string()))


def _texts(labels: Sequence[str | None]) -> pa.Array:
    return pa.array(labels, pa.string()).dictionary_encode().cast(TEXT)


def _coded(values: pa.Array) -> pa.Array:
    return values if pa.types.is_dictionary(values.type) else values.dictionary_encode().cast(TEXT)
