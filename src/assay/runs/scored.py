"""What a scoring left in its folder, as columns over the pool. Knows no model and no rules."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float
from safetensors import safe_open

from assay.errors import ConfigError, DataError
from assay.files import read_json
from assay.runs.scores.tables import AGGREGATES, ALL, SCORES
from assay.selection.result import Pool


@dataclass(frozen=True, slots=True)
class Found:
    """One column: of a method on a query set or one of its tasks (None: the whole set, or no queries)."""

    method: str
    query_set: str | None
    query_task: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A finished scoring: n candidates, and for each column scores and mean percentile ranks (NaN: none)."""

    folder: Path
    pool: Pool
    scores: dict[Found, Float[np.ndarray, "n"]]
    percentiles: dict[Found, Float[np.ndarray, "n"]]
    about: dict[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(found.method for found in self.scores))

    def query_sets(self, method: str) -> tuple[str | None, ...]:
        """The query sets of a method; a single None where it asks no queries."""
        return tuple(dict.fromkeys(found.query_set for found in self.scores if found.method == method))

    def by_query(
        self, method: str, query_set: str | None
    ) -> tuple[Float[np.ndarray, "n q"], tuple[str, ...]] | None:
        """Scores of all pairs of a method and the ids of the queries; None where the method asks none."""
        wanted = (pc.field("method") == method) & (
            pc.field("query_set") == query_set if query_set is not None else pc.scalar(True)
        )
        table = pq.read_table(self.folder / SCORES, columns=["query_id", "score"], filters=wanted)
        if not len(table) or len(table) % len(self.pool):
            return None
        queries = len(table) // len(self.pool)
        ids = tuple(table["query_id"].slice(0, queries).to_pylist())
        return _numbers(table["score"]).reshape(len(self.pool), queries), ids

    def embeddings(self) -> Float[np.ndarray, "n d"] | None:
        """Features of the candidates at unit length, where `embedding` or `rds` were scored."""
        for kind in ("embedding", "rds"):
            for folder in sorted((self.folder / "measures").glob(f"*/{kind}")):
                parts = [_features(path) for path in sorted(folder.glob("[0-9]*.safetensors"))]
                if parts and sum(map(len, parts)) == len(self.pool):
                    return np.concatenate(parts)
        return None


def read_scored(folder: Path) -> Scored:
    """The scoring in `folder`. Raises ConfigError where there is none, DataError where it is not whole."""
    if not folder.is_dir():
        raise ConfigError(f"--scores {folder}: there is no such folder; `assay score` makes one.")
    try:
        about = read_json(folder / "scores.json")
        aggregates = pq.read_table(folder / AGGREGATES)
        candidates = pq.read_table(folder / "pool" / "candidates.parquet")
    except FileNotFoundError as error:
        raise ConfigError(
            f"--scores {folder}: {Path(error.filename or '').name or 'a table'} is not there; the scoring "
            "has not finished, or this is no folder of `assay score`."
        ) from None
    except (OSError, pa.ArrowInvalid, json.JSONDecodeError) as error:
        raise DataError(f"{folder} holds scores that cannot be read: {error}.") from None
    pool = _pool(candidates)
    scores, percentiles = _columns(aggregates, len(pool))
    return Scored(folder, pool, scores, percentiles, about)


def _pool(table: pa.Table) -> Pool:
    def column(name: str) -> tuple[Any, ...]:
        return tuple(table[name].to_pylist())

    return Pool(
        ids=column("candidate_id"),
        files=column("source_file"),
        rows=np.asarray(table["source_row"].to_numpy(), dtype=np.int64),
        tasks=column("candidate_task"),
        tokens=np.asarray(table["tokens"].to_numpy(), dtype=np.int64),
        prompts=column("prompt"),
        completions=column("completion"),
    )


def _columns(
    table: pa.Table, candidates: int
) -> tuple[dict[Found, Float[np.ndarray, "n"]], dict[Found, Float[np.ndarray, "n"]]]:
    """Blocks of rows as they were written: one column of the pool after another. A sum over checkpoints
    stands for its method, not its parts."""
    scores: dict[Found, Float[np.ndarray, "n"]] = {}
    percentiles: dict[Found, Float[np.ndarray, "n"]] = {}
    if len(table) % max(1, candidates):
        raise DataError("aggregates.parquet does not have a row for every candidate; score again.")
    labels = ["method", "checkpoint", "query_set", "query_task"]
    heads = table.select(labels).take(pa.array(range(0, len(table), candidates))).to_pylist()
    summed = {row["method"] for row in heads if row["checkpoint"] == ALL}
    for number, row in enumerate(heads):
        if row["method"] in summed and row["checkpoint"] != ALL:
            continue
        found = Found(row["method"], row["query_set"], row["query_task"])
        part = table.slice(number * candidates, candidates)
        scores[found] = _numbers(part["score"])
        percentiles[found] = _numbers(part["percentile"])
    return scores, percentiles


def _numbers(column: pa.ChunkedArray) -> Float[np.ndarray, "n"]:
    """What is null is NaN."""
    return np.array(column.to_numpy(), dtype=np.float64)


def _features(path: Path) -> Float[np.ndarray, "n d"]:
    with safe_open(path, framework="numpy") as file:
        return np.asarray(file.get_tensor("features"))
