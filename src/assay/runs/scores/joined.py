"""The candidates as demonstrations and as queries behind one: shards on disk beside those of the pool.

Made by reading the files once more. Knows a tokenizer, but no model.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from assay.data.example import Example, Tokens
from assay.data.joining import Joined, Joining
from assay.errors import ResumeError
from assay.files import read_json, write_atomically, write_json
from assay.fingerprint import digest
from assay.models.loading import quiet
from assay.progress import SILENT, Progress
from assay.runs.inputs import rendering_options
from assay.runs.scores.config import ScoreConfig
from assay.runs.scores.pool_examples import examples_by_shard
from assay.runs.scores.pool_index import MANIFEST, PoolIndex


@dataclass(frozen=True, slots=True, eq=False)
class JoinedPool:
    """The shards in `folder`, one for each shard of `pool`; `digests` are of their files, in order."""

    folder: Path
    pool: PoolIndex
    digests: tuple[str, ...]
    notes: tuple[str, ...]

    def openings(self, shard: int) -> list[Int[np.ndarray, "t"]]:
        """The candidates of a shard as demonstrations; of length 0 where nothing can follow one."""
        return self._parts(shard, "opening", "ids")

    def queries(self) -> Bool[np.ndarray, "n"]:
        """Which candidates of the pool can be queries."""
        return np.concatenate(
            [np.diff(self._read(shard, ("following_offsets",))[0]) > 0 for shard in range(len(self.digests))]
        )

    def followings(self, positions: Int[np.ndarray, "k"]) -> dict[int, Tokens]:
        """Candidates of the pool as queries, by position; of a shard only what is asked for is read."""
        found: dict[int, Tokens] = {}
        wanted = np.unique(positions)
        for shard, rows in enumerate(self.pool.slices):
            mine = wanted[(wanted >= rows.start) & (wanted < rows.stop)]
            if not len(mine):
                continue
            with self._opened(shard) as file:
                offsets = file.get_tensor("following_offsets")
                ids, weights = file.get_slice("following_ids"), file.get_slice("following_weights")
                for at in mine.tolist():
                    start, stop = (int(offset) for offset in offsets[at - rows.start :][:2])
                    found[at] = Tokens(str(at), ids[start:stop].astype(np.int64), weights[start:stop])
        return found

    def _parts(self, shard: int, place: str, name: str) -> list[np.ndarray]:
        values, offsets = self._read(shard, (f"{place}_{name}", f"{place}_offsets"))
        values = values.astype(np.int64) if name == "ids" else values
        return np.split(values, offsets[1:-1])

    def _read(self, shard: int, names: Sequence[str]) -> list[np.ndarray]:
        with self._opened(shard) as file:
            return [file.get_tensor(name) for name in names]

    @contextmanager
    def _opened(self, shard: int) -> Iterator[Any]:
        """The file of a shard. Raises ResumeError where it is not what was written."""
        path = _path(self.folder, shard)
        try:
            with safe_open(path, framework="numpy") as file:
                if (file.metadata() or {}).get("digest") != self.digests[shard]:
                    raise ValueError("it carries another digest")
                yield file
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ResumeError(
                f"{path} is damaged; delete {self.folder} and run the same command again."
            ) from error


def prepare_joined(
    pool: PoolIndex,
    config: ScoreConfig,
    tokenizer: Any,
    longest: int | None,
    folder: Path,
    progress: Progress = SILENT,
) -> JoinedPool:
    """Join every candidate of the pool, or find in `folder` what was joined before.

    Without a manifest everything is done from the start, with the same result. Raises as `Joining.joined` and
    `examples_by_shard` do.
    """
    found = _found(folder, pool)
    if found is not None:
        return found
    (folder / MANIFEST).unlink(missing_ok=True)
    joining = Joining(tokenizer, **rendering_options_of(config, longest))
    digests = []
    stage = progress.stage("Joining demonstrations and queries", pool.examples, "candidates")
    with quiet(), stage as advance:
        for shard, examples in enumerate(examples_by_shard(pool, config)):
            digests.append(_write(folder, shard, [joining.joined(one) for one in examples]))
            advance(len(examples))
    notes = joining.notes
    manifest = {"pool": pool.fingerprint, "digests": digests, "notes": notes}
    write_json(folder / MANIFEST, manifest)
    return JoinedPool(folder, pool, tuple(digests), notes)


def join_queries(
    examples: Sequence[Example], config: ScoreConfig, tokenizer: Any, longest: int | None
) -> list[Tokens]:
    """Examples of the user's query sets behind a demonstration; of length 0 where one cannot stand there."""
    options = rendering_options_of(config, longest) | {"loss_on": config.query_loss_on}
    joining = Joining(tokenizer, **options)
    with quiet():
        return [joining.joined(example).following for example in examples]


def rendering_options_of(config: ScoreConfig, longest: int | None) -> dict[str, Any]:
    """How single examples are rendered."""
    options = rendering_options(config, longest=longest)
    options.pop("on_bad_rows")
    return options


def _found(folder: Path, pool: PoolIndex) -> JoinedPool | None:
    """What is there of the same pool; None where it is not whole."""
    try:
        manifest = read_json(folder / MANIFEST)
        same = manifest["pool"] == pool.fingerprint and len(manifest["digests"]) == len(pool.shards)
        found = JoinedPool(folder, pool, tuple(manifest["digests"]), tuple(manifest["notes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (
        found if same and all(_path(folder, shard).is_file() for shard in range(len(pool.shards))) else None
    )


def _write(folder: Path, shard: int, joined: Sequence[Joined]) -> str:
    """Write one shard, whole or not at all; the digest that it carries."""
    openings = [one.opening for one in joined]
    followings = [one.following for one in joined]
    arrays: dict[str, np.ndarray] = {
        "opening_ids": np.concatenate(openings).astype(np.int32),
        "opening_offsets": np.cumsum([0, *map(len, openings)], dtype=np.int64),
        "following_ids": np.concatenate([one.input_ids for one in followings]).astype(np.int32),
        "following_weights": np.concatenate([one.weights for one in followings]).astype(np.float32),
        "following_offsets": np.cumsum([0, *map(len, followings)], dtype=np.int64),
    }
    found = digest(*(array.tobytes() for array in arrays.values()))
    write_atomically(_path(folder, shard), lambda path: save_file(arrays, path, metadata={"digest": found}))
    return found


def _path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05d}.safetensors"
