"""What a scoring in context lets a selection say: difficulty beside influence, demonstrations, ablations.

Reads the pairs of `in_context.parquet` part by part. Decides nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Float
from safetensors.numpy import load_file

from assay.data.rows import first_line
from assay.errors import DataError
from assay.runs.scored import Scored
from assay.runs.scores.needs import COMPLEXITY, DIFFICULTY, ON_OWN_QUERIES, PAIRS_IN_CONTEXT, VARIANTS
from assay.selection.in_context import (
    Ablation,
    Correlation,
    Demonstration,
    Difficulty,
    Influence,
    Taught,
    highest,
    shared_part,
    spread_of,
    top_shares,
)
from assay.selection.orders import best_first
from assay.selection.result import Pool, SelectionResult
from assay.selection.rules import Columns, Options
from assay.selection.select import select
from assay.validation.against import rank

CLUSTERS = VARIANTS[ON_OWN_QUERIES[0]]
"""How the queries of both were chosen."""
MAIN = ("wici", "ici")
"""Columns that the report is about: the first that was scored."""
WITHOUT = {"wici_nearest": "clusters and complexity: the nearest neighbours", "ici": "weights"}
EACH = 3
"""Demonstrations to read at each end."""
LONGEST = 600
"""Characters of a query's prompt, and of its completion, that are shown."""
MEASURED = ""
"""What stands for a reason where a pair has an influence."""


def influence_of(
    scored: Scored, result: SelectionResult, columns: Columns, budget: str, options: Options
) -> Influence | None:
    """Everything that the report says of in-context influence; None where none was scored.

    `result` is the finished selection by `columns`, `budget` and `options`. Raises DataError where the pairs
    cannot be read or are of another pool.
    """
    name = next((one for one in MAIN if one in columns.scores), None)
    if name is None:
        return None
    scores = columns.scores[name]
    hard = _difficulties(scored, columns)
    order = best_first(scores)
    ends = order[:EACH].tolist(), order[::-1][: min(EACH, max(0, len(order) - EACH))].tolist()
    pairs, left_out, taught = _read(scored.folder, [*ends[0], *ends[1]], scored.pool)
    most, least = (tuple(Demonstration(at, taught[at]) for at in end) for end in ends)
    ablations, whole = _ablations(name, result, columns, budget, options)
    return Influence(
        name=name,
        spread=spread_of(scores),
        difficulties=tuple(
            Difficulty(one, correlated(values, scores), top_shares(scores, values))
            for one, values in hard.items()
        ),
        difficulty=next(iter(hard.values()), None),
        most=most,
        least=least,
        ablations=ablations,
        whole=whole,
        pairs=pairs,
        left_out=left_out,
    )


def _difficulties(scored: Scored, columns: Columns) -> dict[str, Float[np.ndarray, "n"]]:
    """IFD, and complexity where it is something else: as it was scored, or as it chose the queries."""
    found = {name: columns.scores[name] for name in (DIFFICULTY, COMPLEXITY) if name in columns.scores}
    if COMPLEXITY not in found and (measured := _complexity(scored)) is not None:
        found[COMPLEXITY] = measured
    if len(found) == 2 and np.array_equal(found[DIFFICULTY], found[COMPLEXITY], equal_nan=True):
        del found[COMPLEXITY]
    return found


def _complexity(scored: Scored) -> Float[np.ndarray, "n"] | None:
    """The stored measure; None where there is none of the whole pool."""
    for folder in sorted((scored.folder / "measures").glob(f"*/{COMPLEXITY}")):
        parts = [load_file(path)[COMPLEXITY] for path in sorted(folder.glob("[0-9]*.safetensors"))]
        if sum(map(len, parts)) == len(scored.pool):
            return np.concatenate(parts).astype(np.float64)
    return None


def correlated(first: Float[np.ndarray, "n"], second: Float[np.ndarray, "n"]) -> Correlation:
    """Spearman's correlation over the candidates that have both scores."""
    known = ~np.isnan(first) & ~np.isnan(second)
    found = rank(first[known].tolist(), second[known].tolist())
    return Correlation(found.value, found.low, found.high, found.n, found.method)


def _ablations(
    name: str, result: SelectionResult, columns: Columns, budget: str, options: Options
) -> tuple[tuple[Ablation, ...], str]:
    """Every choice with one part left out, and what they are held against.

    Where influence decided, that is the selection, and a score without one part chooses by the same rule;
    where another column decided, the highest of as many candidates stand for both.
    """
    size = int(result.kept.sum())
    decided = result.order == name
    whole = result.kept if decided else highest(columns.scores[name], size)
    found = []
    if decided and result.rule == "diverse":
        top = highest(columns.scores[name], size)
        found.append(Ablation("diversity", "diversity: the highest alone", None, *shared_part(whole, top)))
    for other, without in WITHOUT.items():
        if other == name or other not in columns.scores:
            continue
        correlation = correlated(columns.scores[other], columns.scores[name])
        kept = (
            _chosen_by(other, result, columns, budget, options)
            if decided
            else highest(columns.scores[other], size)
        )
        found.append(Ablation(other, without, correlation, *shared_part(whole, kept)))
    said = "what was kept" if decided else f"the {size:,} highest"
    return tuple(found), said


def _chosen_by(
    name: str, result: SelectionResult, columns: Columns, budget: str, options: Options
) -> Bool[np.ndarray, "n"]:
    """What the same rule keeps where another column decides."""
    return select(result.pool, columns, result.rule, budget, replace(options, order=name)).kept


def _read(
    folder: Path, wanted: list[int], pool: Pool
) -> tuple[int, tuple[tuple[str, int], ...], dict[int, tuple[Taught, ...]]]:
    """How many pairs there are, how many have no influence by reason, and the pairs of some candidates."""
    ids = pa.array([pool.ids[at] for at in wanted], pa.string())
    pairs, reasons = 0, dict[str, int]()
    rows: list[dict[str, Any]] = []
    for part in _parts(folder / PAIRS_IN_CONTEXT):
        mine = part.filter((pc.field("variant") == CLUSTERS) & pc.field("query_id").is_valid())
        pairs += len(mine)
        for one in pc.value_counts(mine["reason"].fill_null(MEASURED)).to_pylist():
            if one["values"] != MEASURED:
                reasons[one["values"]] = reasons.get(one["values"], 0) + one["counts"]
        rows += mine.filter(pc.is_in(mine["candidate_id"].cast(pa.string()), value_set=ids)).to_pylist()
    place = _places(pool, {row["query_id"] for row in rows}, folder)
    taught: dict[int, list[Taught]] = {at: [] for at in wanted}
    at_of = {pool.ids[at]: at for at in wanted}
    for row in rows:
        taught[at_of[row["candidate_id"]]].append(_taught(row, pool, place[row["query_id"]]))
    return (
        pairs,
        tuple(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))),
        {at: tuple(sorted(many, key=_most_helped)) for at, many in taught.items()},
    )


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
