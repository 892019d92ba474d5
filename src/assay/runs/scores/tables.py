"""Scores as tables, made from the stored measures shard by shard: pairs, and aggregates over queries.

`scores.parquet` has a row for each method, candidate and query; `aggregates.parquet` one for each method,
checkpoint, candidate and set of queries (whole, and by task). Rank 1 is the highest score. Memory: the known
scores of one column, in order, and else parts of the pool.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from assay.files import write_atomically
from assay.methods.combine import Ordered, mean, percentiles_of
from assay.methods.table import Method
from assay.runs.numbers import NumberFile
from assay.runs.scores.candidates import TEXT, Candidates, Part
from assay.runs.scores.queries import Column, Queries

SCORES, AGGREGATES = "scores.parquet", "aggregates.parquet"
ALL = "all"
"""What the column `checkpoint` says of a sum over several."""
ROWS = 2**14
"""Rows of aggregates that are written together."""

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


def rank_columns(scores: NumberFile, found: NumberFile, parts: Sequence[slice]) -> list[int]:
    """Ranks within each column of `scores` into `found`; how many known scores each column has."""
    known = []
    for at in range(scores.columns):
        ordered = Ordered.of(scores.column(at))
        for part in parts:
            found.put(at, part, ordered.ranks(scores.column(at, part)))
        known.append(len(ordered))
    return known


def mean_percentiles(
    ranked: Float[np.ndarray, "n q"], known: Sequence[int], column: Column
) -> Float[np.ndarray, "n"]:
    """The mean over a column's queries of candidates' percentile ranks within the query, by their ranks:
    r_C and r_I of influence pruning.

    Ranks tame the long tails of influence: no query can carry the mean (arXiv 2510.06108). Queries at which a
    candidate has no score are left out.
    """
    return mean(percentiles_of(ranked, np.asarray(known))[:, column.at])


def pair_rows(
    candidates: Candidates,
    queries: Queries,
    method: Method,
    checkpoint: str,
    scores: NumberFile,
    ranked: NumberFile,
    step: int,
) -> Iterator[pa.Table]:
    """Rows of pairs, `step` candidates at a time."""
    q = len(queries)
    sets, ids, tasks = (_texts(labels) for labels in (queries.sets, queries.ids, queries.tasks))
    for part in parts_of(len(candidates), step):
        labels = candidates.part(part)
        every, again = np.repeat(np.arange(len(labels)), q), np.tile(np.arange(q), len(labels))
        yield pa.Table.from_arrays(
            [
                *_who(labels.take(every), method.name, checkpoint),
                sets.take(pa.array(again)),
                ids.take(pa.array(again)),
                tasks.take(pa.array(again)),
                _numbers(scores.block(part).ravel()),
                _numbers(ranked.block(part).ravel()),
                pa.array(labels.tokens[every]),
            ],
            schema=PAIRS,
        )


def aggregate_rows(
    candidates: Candidates,
    about: tuple[str, str, str | None, str | None],
    numbers: NumberFile,
    at: int,
    percentile: int | None,
) -> Iterator[pa.Table]:
    """Rows of one aggregate: method, checkpoint, query set and task of queries, and the columns of `numbers`
    that hold its scores and percentiles (None: it has none)."""
    method, checkpoint, query_set, query_task = about
    ordered = Ordered.of(numbers.column(at))
    for part in parts_of(len(candidates), ROWS):
        labels = candidates.part(part)
        scores = numbers.column(at, part)
        n = len(scores)
        yield pa.Table.from_arrays(
            [
                *_who(labels, method, checkpoint),
                _same(query_set, n),
                _same(query_task, n),
                _numbers(scores),
                _numbers(ordered.ranks(scores)),
                _numbers(np.full(n, np.nan) if percentile is None else numbers.column(percentile, part)),
                pa.array(labels.tokens),
            ],
            schema=SUMMED,
        )


def parts_of(count: int, step: int) -> Iterator[slice]:
    for start in range(0, count, step):
        yield slice(start, min(count, start + step))


def write_table(path: Path, schema: pa.Schema, parts: Iterator[pa.Table], compression: str = "zstd") -> None:
    """Write parts one by one, the file whole or not at all."""

    def write(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, schema, compression=compression) as writer:
            for part in parts:
                writer.write_table(part)

    write_atomically(path, write)


def _who(labels: Part, method: str, checkpoint: str) -> list[pa.Array]:
    count = len(labels)
    return [
        *(labels.ids, labels.files, labels.rows, labels.tasks),
        _same(method, count),
        _same(checkpoint, count),
    ]


def _numbers(values: Float[np.ndarray, "m"]) -> pa.Array:
    """What is not a number is null."""
    return pa.array(values, mask=np.isnan(values))


def _same(value: str | None, count: int) -> pa.Array:
    codes = pa.array(np.zeros(count, dtype=np.int32), mask=np.full(count, value is None))
    return pa.DictionaryArray.from_arrays(codes, pa.array([value or ""], pa.string()))


def _texts(labels: Sequence[str | None]) -> pa.Array:
    return pa.array(labels, pa.string()).dictionary_encode().cast(TEXT)
