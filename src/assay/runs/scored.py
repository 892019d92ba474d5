"""What a scoring left in its folder, as columns over the pool. Knows no model and no rules."""

from collections.abc import Iterable, Iterator, Sequence
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
from assay.runs.candidate_texts import CandidateTexts
from assay.runs.scores.store import PROMPTS
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
        columns = ["candidate_id", "query_id", "query_task", "score", "method", "query_set"]
        pool = pa.array(self.pool.ids, pa.string())
        first: list[pa.Table] = []
        places: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for group in _groups(self.folder, SCORES, columns):
            mine = group.filter(wanted)
            if len(mine):
                if not places or not places[-1].any():  # still the first candidate
                    first.append(mine)
                places.append(pc.index_in(mine["candidate_id"], value_set=pool).fill_null(-1).to_numpy())
                scores.append(_numbers(mine["score"]))
        everyone = np.concatenate(places) if places else np.empty(0)
        queries = len(everyone) // len(self.pool)
        if not queries or not np.array_equal(everyone, np.repeat(np.arange(len(self.pool)), queries)):
            raise _of_others(self.folder / SCORES)
        heads = pa.concat_tables(first).slice(0, queries)
        return ByQuery(
            np.concatenate(scores).reshape(len(self.pool), queries),
            tuple(heads["query_id"].to_pylist()),
            tuple(heads["query_task"].to_pylist()),
        )

    def embeddings(self, kinds: Sequence[str] = ("embedding", "rds")) -> Float[np.ndarray, "n d"] | None:
        """Features of the candidates at unit length: of their prompts where a scoring in context placed them
        (on disk), else of the first of these methods that was scored."""
        for path in sorted((self.folder / PROMPTS).glob("*.npy")):
            features = np.load(path, mmap_mode="r")
            if len(features) == len(self.pool):
                return np.asanyarray(features)
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
    pool = _pool(folder)
    scores, percentiles = _columns(folder, pool.ids)
    pa.default_memory_pool().release_unused()  # what tables took, and arrays hold now
    return Scored(folder, pool, scores, percentiles, about)


_LABELS = ("candidate_id", "source_file", "source_row", "candidate_task")


def _groups(folder: Path, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """These columns of a table of the scoring, part by part as it was written."""
    try:
        with pq.ParquetFile(folder / name) as file:
            missing = set(columns) - set(file.schema_arrow.names)
            if missing:
                raise _unreadable(folder / name, f"there is no column {min(missing)}")
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=list(columns))
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


def _pool(folder: Path) -> Pool:
    """Labels of all candidates; their texts stay in the file."""
    texts = ("prompt", "completion")
    groups = _groups(folder, CANDIDATES, [*_LABELS, "tokens", *texts])
    table = pa.concat_tables([group.drop_columns(list(texts)) for group in groups])

    def column(name: str) -> tuple[Any, ...]:
        once: dict[Any, Any] = {}  # candidates share the objects of equal labels
        return tuple(once.setdefault(label, label) for label in table[name].to_pylist())

    prompts, completions = (CandidateTexts(folder / CANDIDATES, name) for name in texts)
    return Pool(
        ids=column("candidate_id"),
        files=column("source_file"),
        rows=np.asarray(table["source_row"].to_numpy(), dtype=np.int64),
        tasks=column("candidate_task"),
        tokens=np.asarray(table["tokens"].to_numpy(), dtype=np.int64),
        prompts=prompts,
        completions=completions,
    )


def _columns(
    folder: Path, ids: Sequence[str]
) -> tuple[dict[Found, Float[np.ndarray, "n"]], dict[Found, Float[np.ndarray, "n"]]]:
    """Blocks of rows as they were written: one column of the pool after another. A sum over checkpoints
    stands for its method, not its parts."""
    pool = pa.array(ids, pa.string())
    heads: list[dict[str, Any]] = []
    scores: list[Float[np.ndarray, "n"]] = []
    percentiles: list[Float[np.ndarray, "n"]] = []
    row = 0
    labels = ["method", "checkpoint", "query_set", "query_task"]
    for part in _blocks(
        _groups(folder, AGGREGATES, ["candidate_id", *labels, "score", "percentile"]), len(ids)
    ):
        at = slice(row % len(ids), row % len(ids) + len(part))
        if not at.start:
            heads += part.select(labels).slice(0, 1).to_pylist()
            scores.append(np.empty(len(ids)))
            percentiles.append(np.empty(len(ids)))
        if not part["candidate_id"].equals(pa.chunked_array([pool[at.start : at.stop]])):
            raise _of_others(folder / AGGREGATES)
        scores[-1][at], percentiles[-1][at] = _numbers(part["score"]), _numbers(part["percentile"])
        row += len(part)
    if not row or row % len(ids):
        raise _of_others(folder / AGGREGATES)
    summed = {head["method"] for head in heads if head["checkpoint"] == ALL}
    mine = {
        Found(head["method"], head["query_set"], head["query_task"]): number
        for number, head in enumerate(heads)
        if head["method"] not in summed or head["checkpoint"] == ALL
    }
    return (
        {found: scores[number] for found, number in mine.items()},
        {found: percentiles[number] for found, number in mine.items()},
    )


def _blocks(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in parts of which none goes over a multiple of `size`."""
    room = size
    for table in tables:
        start = 0
        while start < len(table):
            part = table.slice(start, room)
            yield part
            start += len(part)
            room = room - len(part) or size


def _numbers(column: pa.ChunkedArray) -> Float[np.ndarray, "n"]:
    """What is null is NaN."""
    return np.array(column.to_numpy(), dtype=np.float64)


def _features(path: Path) -> Float[np.ndarray, "n d"]:
    try:
        with safe_open(path, framework="numpy") as file:
            return np.asarray(file.get_tensor("features"))
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None
