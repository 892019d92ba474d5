"""What a scoring left in its folder: its pool, and columns over it. Knows no model and no rules."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from assay.data.coded import Coder
from assay.errors import ConfigError
from assay.files import read_json
from assay.runs.candidate_texts import CandidateTexts
from assay.runs.scored_columns import ByQuery, Found, FoundColumns, aggregates_of, pairs_of
from assay.runs.scored_tables import CANDIDATES, reading, table_of, unfinished, unreadable
from assay.runs.scores.store import PROMPTS
from assay.selection.result import Pool

__all__ = ["Found", "Scored", "read_scored"]

LABELS = ("source_file", "source_row", "candidate_task", "tokens")
TEXTS = ("candidate_id", "prompt", "completion")


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A finished scoring: n candidates, and for each column scores and mean percentile ranks (NaN: none).

    Columns, ids and texts are read from the folder when they are asked for.
    """

    folder: Path
    pool: Pool
    scores: FoundColumns
    percentiles: FoundColumns
    about: dict[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(found.method for found in self.scores))

    def query_sets(self, method: str) -> tuple[str | None, ...]:
        """The query sets of a method; a single None where it asks no queries."""
        return tuple(dict.fromkeys(found.query_set for found in self.scores if found.method == method))

    def by_task(self, method: str, query_set: str | None) -> dict[str, Found]:
        """Columns by the tasks of a query set, in the order of their names."""
        return {
            one.query_task: one
            for one in self.scores
            if (one.method, one.query_set) == (method, query_set) and one.query_task is not None
        }

    def by_query(self, method: str, query_set: str) -> ByQuery:
        """Scores of all pairs. Raises DataError where they are not of this pool."""
        return pairs_of(self.folder, len(self.pool), method, query_set)

    def embeddings(self, kinds: Sequence[str] = ("embedding", "rds")) -> Float[np.ndarray, "n d"] | None:
        """Features of the candidates at unit length: of their prompts where a scoring in context placed them
        (on disk), else of the first of these methods that was scored."""
        for path in sorted((self.folder / PROMPTS).glob("*.npy")):
            features = np.load(path, mmap_mode="r")
            if len(features) == len(self.pool):
                found: Float[np.ndarray, "n d"] = features
                return found
        for kind in kinds:
            for folder in sorted((self.folder / "measures").glob(f"*/{kind}")):
                paths = sorted(folder.glob("[0-9]*.safetensors"))
                if (stacked := _stacked(map(_features, paths), len(self.pool))) is not None:
                    return stacked
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
        raise unfinished(folder, "scores.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(folder / "scores.json", error) from None
    pool = _pool(folder)
    scores, percentiles = aggregates_of(folder, len(pool))
    pa.default_memory_pool().release_unused()  # what parts of tables took
    return Scored(folder, pool, scores, percentiles, about)


def _pool(folder: Path) -> Pool:
    """Labels of all candidates; their ids and texts stay in the file."""
    table_of(folder, CANDIDATES, TEXTS)
    table = table_of(folder, CANDIDATES, LABELS)
    n = len(table)
    rows, tokens = (np.empty(n, dtype=np.int64) for _ in range(2))
    files, tasks = Coder[str](n), Coder[str | None](n)
    with reading(folder, CANDIDATES):
        start = 0
        for part in table.slices(0, n):
            at = slice(start, start + len(part))
            rows[at], tokens[at] = part["source_row"].to_numpy(), part["tokens"].to_numpy()
            files.put(at, part["source_file"].to_pylist())
            tasks.put(at, part["candidate_task"].to_pylist())
            start = at.stop
        ids, prompts, completions = (CandidateTexts(folder / CANDIDATES, name) for name in TEXTS)
    return Pool(ids, files.coded(), rows, tasks.coded(), tokens, prompts, completions)


def _stacked(parts: Iterable[Float[np.ndarray, "m d"]], rows: int) -> Float[np.ndarray, "n d"] | None:
    """The parts below each other in a file without a name, or None if they do not have so many rows."""
    with tempfile.TemporaryFile() as file:
        shape, kind = (0, 0), np.dtype(np.float32)
        for part in parts:
            shape, kind = (shape[0] + len(part), part.shape[1]), part.dtype
            file.write(np.ascontiguousarray(part).data)
        file.flush()
        return np.memmap(file, kind, "r", shape=shape) if shape[0] == rows else None


def _features(path: Path) -> Float[np.ndarray, "n d"]:
    try:
        with safe_open(path, framework="numpy") as file:
            return np.asarray(file.get_tensor("features"))
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from None
