"""What a scoring left in its folder, as columns over the pool. Knows no model and no rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from assay.data.rows import first_line
from assay.errors import ConfigError, DataError
from assay.files import read_json
from assay.runs.scores.tables import AGGREGATES, ALL, SCORES
from assay.selection.result import Pool

CANDIDATES = "pool/candidates.parquet"


@dataclass(frozen=True, slots=True)
class Found:
    """One column: of a method on a query set or one of its tasks (None: the whole set, or no queries)."""

    method: str
    query_set: str | None
    query_task: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ByQuery:
    """Scores of all pairs of n candidates and q queries, with the queries' ids and tasks (None: no task)."""

    scores: Float[np.ndarray, "n q"]
    ids: tuple[str, ...]
    tasks: tuple[str | None, ...]


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

    def by_task(self, method: str, query_set: str | None) -> dict[str, Float[np.ndarray, "n"]]:
        """Scores by the tasks of a query set, in the order of their names."""
        return {
            one.query_task: scores
            for one, scores in self.scores.items()
            if (one.method, one.query_set) == (method, query_set) and one.query_task is not None
        }

    def by_query(self, method: str, query_set: str) -> ByQuery:
        """Scores of all pairs. Raises DataError where they are not of this pool."""
        wanted = (pc.field("method") == method) & (pc.field("query_set") == query_set)
        columns = ["candidate_id", "query_id", "query_task", "score"]
        table = _table(self.folder, SCORES, [*columns, "method", "query_set"], wanted)
        queries = len(table) // len(self.pool)
        if not queries or len(table) % len(self.pool):
            raise _of_others(self.folder / SCORES)
        firsts = table["candidate_id"].take(pa.array(range(0, len(table), queries)))
        _require_ids(self.folder / SCORES, firsts, _chunked(self.pool.ids))
        heads = table.slice(0, queries)
        return ByQuery(
            _numbers(table["score"]).reshape(len(self.pool), queries),
            tuple(heads["query_id"].to_pylist()),
            tuple(heads["query_task"].to_pylist()),
        )

    def embeddings(self, kinds: Sequence[str] = ("embedding", "rds")) -> Float[np.ndarray, "n d"] | None:
        """Features of the candidates at unit length, of the first of these methods that was scored."""
        for kind in kinds:
            for folder in sorted((self.folder / "measures").glob(f"*/{kind}")):
                parts = [_features(path) for path in sorted(folder.glob("[0-9]*.safetensors"))]
                if parts and sum(map(len, parts)) == len(self.pool):
                    return np.concatenate(parts)
        return None


def read_scored(folder: Path) -> Scored:
    """The scoring in `folder`.

    Raises ConfigError where there is none, DataError where it is not whole or not of one pool.
    """
    if not folder.is_dir():
        raise ConfigError(f"--scores {folder}: there is no such folder; `assay score` makes one.")
    try:
        about = read_json(folder / "scores.json")["about"]
    except FileNotFoundError:
        raise _unfinished(folder, "scores.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder / "scores.json", error) from None
    pool = _pool(_table(folder, CANDIDATES, [*_LABELS, "tokens", "prompt", "completion"]))
    labels = ["candidate_id", "method", "checkpoint", "query_set", "query_task", "score", "percentile"]
    scores, percentiles = _columns(folder / AGGREGATES, _table(folder, AGGREGATES, labels), pool.ids)
    return Scored(folder, pool, scores, percentiles, about)


_LABELS = ("candidate_id", "source_file", "source_row", "candidate_task")


def _table(folder: Path, name: str, columns: Sequence[str], wanted: Any = None) -> pa.Table:
    """These columns of a table of the scoring, of the rows that are wanted."""
    try:
        missing = set(columns) - set(pq.read_schema(folder / name).names)
        if missing:
            raise _unreadable(folder / name, f"there is no column {min(missing)}")
        return pq.read_table(folder / name, columns=list(columns), filters=wanted)
    except FileNotFoundError:
        raise _unfinished(folder, name) from None
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(folder / name, error) from None


def _unfinished(folder: Path, name: str) -> ConfigError:
    return ConfigError(
        f"--scores {folder}: {name} is not there; the scoring has not finished, or this is no folder of "
        "`assay score`."
    )


def _unreadable(path: Path, why: Exception | str) -> DataError:
    said = why if isinstance(why, str) else first_line(why).rstrip(".")
    return DataError(f"{path} cannot be read ({said}); run the same `assay score` again.")


def _of_others(path: Path) -> DataError:
    return DataError(
        f"{path} does not have a row for each candidate of this pool; run the same `assay score` again."
    )


def _require_ids(path: Path, ids: pa.ChunkedArray, pool: pa.ChunkedArray) -> None:
    if not ids.equals(pool):
        raise _of_others(path)


def _chunked(ids: Sequence[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(ids, pa.string())])


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
    path: Path, table: pa.Table, ids: Sequence[str]
) -> tuple[dict[Found, Float[np.ndarray, "n"]], dict[Found, Float[np.ndarray, "n"]]]:
    """Blocks of rows as they were written: one column of the pool after another. A sum over checkpoints
    stands for its method, not its parts."""
    scores: dict[Found, Float[np.ndarray, "n"]] = {}
    percentiles: dict[Found, Float[np.ndarray, "n"]] = {}
    candidates, expected = len(ids), _chunked(ids)
    if not candidates or len(table) % candidates:
        raise _of_others(path)
    labels = ["method", "checkpoint", "query_set", "query_task"]
    heads = table.select(labels).take(pa.array(range(0, len(table), candidates))).to_pylist()
    summed = {row["method"] for row in heads if row["checkpoint"] == ALL}
    for number, row in enumerate(heads):
        part = table.slice(number * candidates, candidates)
        _require_ids(path, part["candidate_id"], expected)
        if row["method"] in summed and row["checkpoint"] != ALL:
            continue
        found = Found(row["method"], row["query_set"], row["query_task"])
        scores[found] = _numbers(part["score"])
        percentiles[found] = _numbers(part["percentile"])
    return scores, percentiles


def _numbers(column: pa.ChunkedArray) -> Float[np.ndarray, "n"]:
    """What is null is NaN."""
    return np.array(column.to_numpy(), dtype=np.float64)


def _features(path: Path) -> Float[np.ndarray, "n d"]:
    try:
        with safe_open(path, framework="numpy") as file:
            return np.asarray(file.get_tensor("features"))
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None
