"""Measuring a study, checkpoint by checkpoint: one shard each, whole or absent, skipped where it is there.

Knows engine, session and shards, but nothing of what the numbers mean.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.gradients.batch import Batch
from assay.gradients.coverage import Coverage
from assay.gradients.engine import Engine
from assay.gradients.products import Products, free_memory, held_bytes, passes, products
from assay.models.session import Session
from assay.models.trajectory import Checkpoint
from assay.progress import SILENT, Progress
from assay.runs.durations import duration_words, size_words
from assay.runs.inputs import Inputs
from assay.runs.shards import read_shard, seconds_of_shard, write_shard
from assay.studies.measurements import CheckpointMeasurements, ExampleSet

GRAM_LIMIT = 2000
"""Sets over this size keep products of task means instead of products of examples."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a study will take, from timing one batch. `passes` counts how often each example is gone
    through.
    """

    checkpoints: int
    examples: int
    tokens: int
    passes: float
    seconds: float
    model_bytes: int
    gradient_bytes: float
    coverage: Coverage

    def sentence(self) -> str:
        again = "" if self.passes < 1.05 else f", each gone through {self.passes:.1f} times to fit in memory"
        return (
            f"{self.examples:,} examples ({self.tokens:,} tokens) at {self.checkpoints} "
            f"{'checkpoint' if self.checkpoints == 1 else 'checkpoints'}{again}: about "
            f"{duration_words(self.seconds)}, {size_words(self.model_bytes)} for the model and "
            f"{size_words(self.gradient_bytes)} for gradients, besides the activations of a batch."
        )


def groups_of(inputs: Inputs) -> tuple[dict[str, Sequence[Tokens]], list[tuple[str, str]]]:
    """The engine's groups, and the products wanted: every probe set with every query set, and each with
    itself.
    """
    probes = {f"probe:{name}": part.tokens for name, part in inputs.probes.items()}
    queries = {f"query:{name}": part.tokens for name, part in inputs.queries.items()}
    wanted = [(p, q) for q in queries for p in probes] + [(name, name) for name in (*queries, *probes)]
    return {**probes, **queries}, wanted


def estimate(
    session: Session, inputs: Inputs, checkpoints: int, token_budget: int, memory_bytes: int | None
) -> Estimate:
    """Time one full batch, and plan the memory. The batch is the longest, so what does not fit fails here."""
    groups, wanted = groups_of(inputs)
    everyone = [tokens for group in groups.values() for tokens in group]
    with Engine(session.model) as engine:
        engine.check(everyone)
        rows = token_budget_batches(
            [len(tokens) for tokens in everyone], 1 if engine.one_at_a_time else token_budget
        )
        seconds = 0.0
        for chosen in (rows[-1], rows[0]):
            batch = Batch.of([everyone[row] for row in chosen], engine.device)
            start = time.perf_counter()
            engine.run(batch, lambda name, contributions: None)
            seconds = time.perf_counter() - start
        per_token = seconds / sum(len(everyone[row]) for row in rows[0])
        each = held_bytes(engine, groups, wanted, token_budget)
        limit = free_memory(engine.device) // 2 if memory_bytes is None else memory_bytes
        times = passes(groups, wanted, each, limit)
        tokens = sum(map(len, everyone))
        return Estimate(
            checkpoints=checkpoints,
            examples=len(everyone),
            tokens=tokens,
            passes=times,
            seconds=per_token * tokens * times * checkpoints,
            model_bytes=sum(p.numel() * p.element_size() for p in session.model.parameters()),
            gradient_bytes=min(each * len(everyone), max(float(limit), each)),
            coverage=engine.coverage,
        )


def finished(
    checkpoints: Sequence[Checkpoint], folder: Path, fingerprints: Mapping[str, str]
) -> dict[str, CheckpointMeasurements]:
    """What whole shards `folder/<checkpoint>.safetensors` hold, by checkpoint name.

    Raises ResumeError for a shard with another fingerprint than its checkpoint's.
    """
    shards = {one.name: read_shard(_shard(folder, one), fingerprints[one.name]) for one in checkpoints}
    return {name: measured for name, measured in shards.items() if measured is not None}


def measure(
    session: Session,
    checkpoints: Sequence[Checkpoint],
    inputs: Inputs,
    sets: tuple[Mapping[str, ExampleSet], Mapping[str, ExampleSet]],
    *,
    known: Mapping[str, CheckpointMeasurements],
    folder: Path | None,
    fingerprints: Mapping[str, str],
    token_budget: int,
    memory_bytes: int | None,
    progress: Progress = SILENT,
) -> tuple[CheckpointMeasurements, ...]:
    """Measurements at every checkpoint: those that are `known`, and the others computed and, if there is a
    folder, written into it one by one."""
    measured = []
    for number, checkpoint in enumerate(checkpoints, start=1):
        at = known.get(checkpoint.name)
        if at is None:
            groups, wanted = groups_of(inputs)
            began = time.perf_counter()
            found = products(
                session.at(checkpoint),
                groups,
                wanted,
                token_budget=token_budget,
                memory_bytes=memory_bytes,
                progress=progress,
                label=f"{checkpoint.name} ({number} of {len(checkpoints)})",
            )
            at = as_measurements(checkpoint, found, *sets)
            if folder is not None:
                seconds = time.perf_counter() - began
                write_shard(_shard(folder, checkpoint), at, fingerprints[checkpoint.name], seconds)
        measured.append(at)
    return tuple(measured)


def seconds_taken(checkpoints: Sequence[Checkpoint], folder: Path) -> float | None:
    """What measuring all of these checkpoints took, whenever that was; None where a shard does not tell."""
    each = [seconds_of_shard(_shard(folder, one)) for one in checkpoints]
    known = [seconds for seconds in each if seconds is not None]
    return sum(known) if len(known) == len(each) else None


def as_measurements(
    checkpoint: Checkpoint,
    found: Products,
    probes: Mapping[str, ExampleSet],
    queries: Mapping[str, ExampleSet],
) -> CheckpointMeasurements:
    """The engine's arrays under the study's names."""
    return CheckpointMeasurements(
        name=checkpoint.name,
        step=checkpoint.step,
        epoch=checkpoint.epoch,
        learning_rate=checkpoint.learning_rate,
        dot={(p, q): found.dot[f"probe:{p}", f"query:{q}"] for p in probes for q in queries},
        probe_sqnorm={name: found.sqnorm[f"probe:{name}"] for name in probes},
        query_sqnorm={name: found.sqnorm[f"query:{name}"] for name in queries},
        probe_loss={name: found.loss[f"probe:{name}"] for name in probes},
        query_loss={name: found.loss[f"query:{name}"] for name in queries},
        probe_gram={
            name: _within(found.dot[f"probe:{name}", f"probe:{name}"], one) for name, one in probes.items()
        },
        query_gram={
            name: _within(found.dot[f"query:{name}", f"query:{name}"], one) for name, one in queries.items()
        },
        gram_of_task_means=any(len(one) > GRAM_LIMIT for one in (*probes.values(), *queries.values())),
    )


def _shard(folder: Path, checkpoint: Checkpoint) -> Path:
    return folder / f"{checkpoint.name}.safetensors"


def _within(gram: Float[np.ndarray, "n n"], examples: ExampleSet) -> Float[np.ndarray, "m m"]:
    """Products within a set: of examples, or of task means in sorted order where the set is large."""
    if len(examples) <= GRAM_LIMIT:
        return gram
    order = sorted({task or "" for task in examples.tasks})
    mean = np.zeros((len(order), len(examples)))
    for column, task in enumerate(examples.tasks):
        mean[order.index(task or ""), column] = 1
    mean /= mean.sum(1, keepdims=True)
    return np.asarray(mean @ gram @ mean.T)
