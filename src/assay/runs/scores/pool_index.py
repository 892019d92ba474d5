"""A prepared pool: its shards, and what was said while it was read. Reads one shard at a time."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from safetensors import SafetensorError

from assay.data.example import Tokens
from assay.errors import ResumeError
from assay.files import read_json
from assay.fingerprint import digest
from assay.runs.folder import differing_settings
from assay.runs.scores.pool_shards import read_tokens, tokens_digest

MANIFEST, TABLE, REJECTS = "manifest.json", "candidates.parquet", "rejects.jsonl"


@dataclass(frozen=True, slots=True)
class PoolShard:
    """One file of tokens: of `examples` candidates, the first of which is number `first` of the pool.

    `tokens` are all, `completion_tokens` those that are learned; `digest` is over ids, tokens and weights.
    """

    file: str
    first: int
    examples: int
    tokens: int
    completion_tokens: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class PoolIndex:
    """The pool in `folder`: shards in the order of the candidates, n of them in all.

    Row group i of `candidates.parquet` has the candidates of shard i. `rejects` counts the rows that were set
    aside, which stand in `rejects.jsonl`.
    """

    folder: Path
    fingerprint: str
    shards: tuple[PoolShard, ...]
    rejects: int
    notes: tuple[str, ...]

    @property
    def examples(self) -> int:
        return sum(shard.examples for shard in self.shards)

    @property
    def tokens(self) -> int:
        return sum(shard.tokens for shard in self.shards)

    @property
    def completion_tokens(self) -> int:
        return sum(shard.completion_tokens for shard in self.shards)

    @property
    def slices(self) -> tuple[slice, ...]:
        """The candidates of every shard, as positions in the pool."""
        return tuple(slice(one.first, one.first + one.examples) for one in self.shards)

    @property
    def table(self) -> Path:
        """`candidates.parquet`, with the columns of `pool_shards.CANDIDATES`."""
        return self.folder / TABLE

    def digest(self) -> str:
        """Of all tokens and weights, however they are cut into files and wherever they came from."""
        return digest(*(shard.digest for shard in self.shards))

    def read_shard(self, number: int) -> list[Tokens]:
        """The tokens of a shard. Raises ResumeError where the file is not what was written."""
        return self._read(number)[0]

    def read_tasks(self, number: int) -> list[str | None]:
        """The task labels of a shard, parallel to its tokens."""
        return self._read(number)[1]

    def contents(self) -> Iterator[str]:
        """The content key of every candidate, in order."""
        with pq.ParquetFile(self.table) as file:
            for batch in file.iter_batches(columns=["content_key"]):
                yield from batch.column(0).to_pylist()

    def with_contents(self, keys: Collection[str]) -> list[str]:
        """Ids of the candidates whose content key is one of `keys`: those that say what a query says."""
        return [name for _, name, _ in self._equal(keys)]

    def places_of(self, keys: Collection[str]) -> dict[str, list[int]]:
        """For every key that candidates share, their positions in the pool."""
        places: dict[str, list[int]] = {}
        for position, _, key in self._equal(keys):
            places.setdefault(key, []).append(position)
        return places

    def _equal(self, keys: Collection[str]) -> Iterator[tuple[int, str, str]]:
        wanted, position = frozenset(keys), 0
        with pq.ParquetFile(self.table) as file:
            for batch in file.iter_batches(columns=["candidate_id", "content_key"]):
                for name, key in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    if key in wanted:
                        yield position, name, key
                    position += 1

    def _read(self, number: int) -> tuple[list[Tokens], list[str | None]]:
        shard = self.shards[number]
        path = self.folder / shard.file
        try:
            tokens, tasks = read_tokens(path)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            tokens, tasks = [], []
        if tokens_digest(tokens) != shard.digest:
            raise ResumeError(
                f"{path} is damaged; delete {self.folder} and run the same command again to make it anew."
            )
        return tokens, tasks


def read_index(folder: Path, settings: Mapping[str, Any]) -> PoolIndex | None:
    """The pool in `folder`, None where there is none or files of it are missing.

    Raises ResumeError for a pool that depends on other `settings`, naming those that differ.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = read_json(path)
        differing = differing_settings(settings, manifest["settings"])
        shards = tuple(PoolShard(**shard) for shard in manifest["shards"])
        sizes = {TABLE: manifest["table_bytes"], **{shard.file: shard.bytes for shard in shards}}
        found = PoolIndex(
            folder, manifest["fingerprint"], shards, manifest["rejects"], tuple(manifest["notes"])
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResumeError(f"{path} cannot be read; delete {folder} to read the candidates again.") from error
    if differing:
        raise ResumeError(
            f"{folder} holds candidates prepared with another {', '.join(differing)}; give another --out, or "
            "delete it."
        )
    whole = all(
        path.is_file() and path.stat().st_size == size
        for path, size in ((folder / name, size) for name, size in sizes.items())
    )
    return found if whole else None
