"""Pairs of demonstration and query of a scoring in context, read part by part: counted, and some to show.

Knows no rules and no pages.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assay.data.rows import first_line
from assay.errors import DataError
from assay.runs.scores.needs import ON_OWN_QUERIES, PAIRS_IN_CONTEXT, VARIANTS
from assay.selection.in_context import Taught
from assay.selection.result import Pool

CLUSTERS = VARIANTS[ON_OWN_QUERIES[0]]
"""How the queries of `wici` and `ici` were chosen."""
LONGEST = 600
"""Characters of a query's prompt, and of its completion, that are shown."""
MEASURED = ""
"""What stands for a reason where a pair has an influence."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """How many pairs there are, and how many of them have no influence, by reason.

    `taught` are those of the candidates that were asked for, most helped first. `carried` counts the
    candidates of another list that owe more than half of their score, signs aside, to a single query.
    """

    count: int
    left_out: tuple[tuple[str, int], ...]
    taught: dict[int, tuple[Taught, ...]]
    carried: int


def read_pairs(folder: Path, pool: Pool, wanted: Sequence[int], top: Sequence[int], weighted: bool) -> Pairs:
    """Read the table once; `wanted` and `top` are places in the pool, `weighted` says what a score sums.

    Raises DataError where the table cannot be read or is of another pool.
    """
    ids, top_ids = (pa.array([pool.ids[at] for at in many], pa.string()) for many in (wanted, top))
    count, reasons = 0, dict[str, int]()
    rows: list[dict[str, Any]] = []
    total, largest = np.zeros(len(top)), np.zeros(len(top))
    for part in _parts(folder / PAIRS_IN_CONTEXT):
        mine = part.filter((pc.field("variant") == CLUSTERS) & pc.field("query_id").is_valid())
        count += len(mine)
        for one in pc.value_counts(mine["reason"].fill_null(MEASURED)).to_pylist():
            if one["values"] != MEASURED:
                reasons[one["values"]] = reasons.get(one["values"], 0) + one["counts"]
        who = mine["candidate_id"].cast(pa.string())
        rows += mine.filter(pc.is_in(who, value_set=ids)).to_pylist()
        place = pc.index_in(who, value_set=top_ids).fill_null(-1).to_numpy()
        sizes = np.abs(_numbers(mine["ici"]) * (_numbers(mine["weight"]) if weighted else 1.0))
        known = (place >= 0) & np.isfinite(sizes)
        np.add.at(total, place[known], sizes[known])
        np.maximum.at(largest, place[known], sizes[known])
    where = _places(pool, {row["query_id"] for row in rows}, folder)
    taught: dict[int, list[Taught]] = {at: [] for at in wanted}
    at_of = {pool.ids[at]: at for at in wanted}
    for row in rows:
        taught[at_of[row["candidate_id"]]].append(_taught(row, pool, where[row["query_id"]]))
    return Pairs(
        count,
        tuple(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))),
        {at: tuple(sorted(many, key=_most_helped)) for at, many in taught.items()},
        int((largest > total / 2).sum()),
    )


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """What is null is NaN."""
    return np.array(column.to_numpy(), dtype=np.float64)


def _most_helped(one: Taught) -> tuple[bool, float]:
    return bool(np.isnan(one.influence)), -one.influence


def _taught(row: dict[str, Any], pool: Pool, at: int) -> Taught:
    def number(name: str) -> float:
        return float("nan") if row[name] is None else float(row[name])

    return Taught(
        id=row["query_id"],
        task=pool.tasks[at],
        prompt=pool.prompts[at][:LONGEST],
        completion=pool.completions[at][:LONGEST],
        influence=number("ici"),
        weight=number("weight"),
        before=number("ifd"),
        after=number("ifd_shown"),
        reason=row["reason"] or MEASURED,
    )


def _places(pool: Pool, wanted: set[str], folder: Path) -> dict[str, int]:
    """Where these candidates stand in the pool."""
    found = {one: at for at, one in enumerate(pool.ids) if one in wanted}
    if missing := wanted - set(found):
        raise DataError(
            f"{folder / PAIRS_IN_CONTEXT} names {sorted(missing)[0]!r}, which is not in this pool; run the "
            "same `assay score` again."
        )
    return found


def _parts(path: Path) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=2**16):
                yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read ({first_line(error).rstrip('.')}); run the same `assay score` again."
        ) from None
