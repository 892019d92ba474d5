"""Measuring a curvature on a pool, resumably: its sums are saved on the way, its factors at the end.

Knows pool, engine and files, and nothing of what the curvature is for.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.gradients.batch import Batch
from assay.gradients.curvature.covariances import Covariances
from assay.gradients.curvature.curvature import Curvature, curvature
from assay.gradients.curvature.eigen import Basis, eigenbases
from assay.gradients.curvature.fit import observe, passes
from assay.gradients.curvature.layout import Kind, layout
from assay.gradients.curvature.moments import Moments
from assay.gradients.curvature.store import load_curvature, load_tensors, save_curvature, save_tensors
from assay.gradients.engine import Engine
from assay.progress import SILENT, Progress
from assay.runs.scores.pool_index import PoolIndex

SAVE_EVERY = 60.0
"""Seconds between two savings of sums, which may be large."""


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What a pass adds up: covariances (None in a second pass) and moments."""

    covariances: Covariances | None
    moments: Moments

    def __iter__(self) -> Iterator[Covariances | Moments]:
        return iter((self.moments,) if self.covariances is None else (self.covariances, self.moments))


def fitted(
    engine: Engine,
    pool: PoolIndex,
    kind: Kind,
    *,
    folder: Path,
    fingerprint: str,
    seed: int,
    examples: int | None,
    token_budget: int,
    progress: Progress = SILENT,
    label: str = "curvature",
) -> Curvature:
    """The curvature on the pool, or on `examples` of it, evenly spread; from `folder` where it is there.

    Killed at any moment, the same call goes on from the last saving to the identical result. Raises
    ResumeError where `folder` holds a curvature with another fingerprint; NumericsError as `observe` does.
    """
    done = factors_file(folder, kind)
    found = load_curvature(done, fingerprint, engine.device)
    if found is not None:
        return found
    plan = layout(engine, kind)
    chosen = spread(pool.examples, examples)
    work = int(pool.tokens * len(chosen) / max(1, pool.examples)) * passes(kind)
    with progress.stage(label, work, "tokens") as advance:

        def pass_over(path: Path, sums: Sums, seed: int, vectors: Mapping[str, Basis]) -> Sums:
            start, sums = _resumed(path, fingerprint, sums, engine.device, vectors)
            saved = time.monotonic()
            for shard, tokens in _shards(pool, chosen):
                if shard >= start:
                    for batch in _batches(engine, tokens, token_budget):
                        observe(engine, Batch.of(batch, engine.device), seed, *sums)
                    if time.monotonic() - saved > SAVE_EVERY:
                        _save(path, fingerprint, sums, shard + 1)
                        saved = time.monotonic()
                advance(sum(map(len, tokens)))
            _save(path, fingerprint, sums, len(pool.shards))
            return sums

        covariances = Covariances.zeros(plan, engine.device)
        own = {} if kind == "ekfac" else plan.diagonal
        moments = Moments.zeros(own, {}, engine.device)
        first, second = folder / f"{kind}-first.safetensors", folder / f"{kind}-second.safetensors"
        sums = pass_over(first, Sums(covariances, moments), seed, {})
        assert sums.covariances is not None
        vectors = eigenbases(sums.covariances, plan.precision)
        if kind == "ekfac":
            moments = Moments.zeros(plan.shapes, vectors, engine.device)
            sums = pass_over(second, Sums(None, moments), seed + 1, vectors)
    whole = curvature(plan, vectors, sums.moments)
    save_curvature(done, whole, fingerprint)
    first.unlink(missing_ok=True)
    second.unlink(missing_ok=True)
    return whole


def factors_file(folder: Path, kind: Kind) -> Path:
    """Where a finished curvature lies."""
    return folder / f"{kind}.safetensors"


def spread(pool: int, examples: int | None) -> Int[np.ndarray, "m"]:
    """Rows of `examples` candidates, evenly spread over the pool; all for None or more than there are."""
    if examples is None or examples >= pool:
        return np.arange(pool)
    return (np.arange(examples) * pool) // examples


def _shards(pool: PoolIndex, chosen: Int[np.ndarray, "m"]) -> Iterator[tuple[int, list[Tokens]]]:
    """Each shard's number and those of its examples that were chosen."""
    for number, rows in enumerate(pool.slices):
        mine = chosen[(chosen >= rows.start) & (chosen < rows.stop)] - rows.start
        tokens = pool.read_shard(number) if len(mine) else []
        yield number, [tokens[row] for row in mine]


def _batches(engine: Engine, tokens: list[Tokens], token_budget: int) -> list[list[Tokens]]:
    if engine.one_at_a_time:
        return [[example] for example in tokens]
    rows = token_budget_batches([len(example) for example in tokens], token_budget)
    return [[tokens[row] for row in batch] for batch in rows]


def _save(path: Path, fingerprint: str, sums: Sums, next_shard: int) -> None:
    tensors = {f"moments/{name}": values for name, values in sums.moments.tensors().items()}
    if sums.covariances is not None:
        tensors |= {f"covariances/{name}": values for name, values in sums.covariances.tensors().items()}
    save_tensors(path, tensors, fingerprint, {"next": str(next_shard)})


def _resumed(
    path: Path, fingerprint: str, sums: Sums, device: torch.device, vectors: Mapping[str, Basis]
) -> tuple[int, Sums]:
    """The first shard to go on with, and what was added up before it; `sums` where nothing was saved."""
    found = load_tensors(path, fingerprint)
    if found is None:
        return 0, sums
    tensors, about = found

    def part(name: str) -> dict[str, Tensor]:
        prefix = f"{name}/"
        return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}

    moments = Moments.from_tensors(part("moments"), vectors, device)
    covariances = sums.covariances and Covariances.from_tensors(part("covariances"), device)
    return int(about["next"]), Sums(covariances, moments)
