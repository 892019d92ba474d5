"""Products between the mean gradients of tasks, within a set: what the cosine of means needs beside products
of probes with queries.

One more pass over the examples, without pairs: gradients are summed by task as they come. Knows no
estimators.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.fingerprint import fingerprint
from assay.gradients.batch import Batch
from assay.gradients.engine import Engine
from assay.gradients.inner import DenseGradients, gather
from assay.gradients.rules import Contribution
from assay.models.trajectory import Checkpoint
from assay.progress import SILENT, Progress
from assay.runs.shards import read_shard, write_shard
from assay.studies.measurements import CheckpointMeasurements, Measurements
from assay.truth.measured import CHECKPOINTS, QUERIES, Side

TOKEN_BUDGET = 8192

Grams = Mapping[int, tuple[CheckpointMeasurements, ...]]
"""By number of probes of each task, one for each of `CHECKPOINTS`, with nothing in it but grams."""


def measure_means(side: Side, counts: Sequence[int], folder: Path, progress: Progress = SILENT) -> Grams:
    """Products of task means for every number of probes; goes on from the files in `folder`."""
    found: dict[int, list[CheckpointMeasurements]] = {count: [] for count in counts}
    sizes = {name: len(each) for name, each in side.probes.items()}
    for number in CHECKPOINTS:
        checkpoint = side.session.trajectory.checkpoints[number - 1]
        mark = fingerprint({"weights": side.session.weights_digest(checkpoint), "probes": sizes})
        paths = {count: folder / f"{checkpoint.name}-{count}.safetensors" for count in counts}
        there = {count: read_shard(path, mark) for count, path in paths.items()}
        known = {count: at for count, at in there.items() if at is not None}
        if missing := [count for count in counts if count not in known]:
            for count, at in _measure(side, checkpoint, missing, progress).items():
                write_shard(paths[count], at, mark)
                known[count] = at
        for count in counts:
            found[count].append(known[count])
    return {count: tuple(each) for count, each in found.items()}


def with_means(measured: Measurements, grams: Sequence[CheckpointMeasurements]) -> Measurements:
    """The measurements of so many probes, with the products of their task means."""
    return replace(
        measured,
        checkpoints=tuple(
            replace(
                at,
                probe_gram=more.probe_gram,
                query_gram=more.query_gram,
                gram_of_task_means=more.gram_of_task_means,
            )
            for at, more in zip(measured.checkpoints, grams, strict=True)
        ),
    )


def _measure(
    side: Side, checkpoint: Checkpoint, counts: Sequence[int], progress: Progress
) -> dict[int, CheckpointMeasurements]:
    everyone = [*side.probes.items(), (QUERIES, side.queries)]
    grams: dict[str, dict[int, Float[np.ndarray, "k k"]]] = {}
    work = sum(len(one) for _, each in everyone for one in each)
    with (
        progress.stage(f"{checkpoint.name}, means", work, "tokens") as advance,
        Engine(side.session.at(checkpoint)) as engine,
    ):
        engine.check([one for _, each in everyone for one in each])
        for name, tokens in everyone:
            of = side.query_set if name == QUERIES else side.probe_sets[name]
            grams[name] = task_grams(engine, tokens, of.tasks, [len(tokens)] if name == QUERIES else counts)
            advance(sum(len(one) for one in tokens))
    (of_queries,) = grams.pop(QUERIES).values()
    return {
        count: CheckpointMeasurements(
            name=checkpoint.name,
            step=checkpoint.step,
            epoch=checkpoint.epoch,
            learning_rate=checkpoint.learning_rate,
            dot={},
            probe_sqnorm={},
            query_sqnorm={},
            probe_loss={},
            query_loss={},
            probe_gram={name: by_count[count] for name, by_count in grams.items()},
            query_gram={QUERIES: of_queries},
            gram_of_task_means=True,
        )
        for count in counts
    }


def task_grams(
    engine: Engine, tokens: Sequence[Tokens], tasks: Sequence[str | None], counts: Sequence[int]
) -> dict[int, Float[np.ndarray, "k k"]]:
    """⟨ḡ_i, ḡ_j⟩ for the mean gradients of tasks over the first `count` examples of each, float64.

    Tasks are in sorted order; with one example of each they are in that of the examples. Examples beyond the
    largest count are left out.
    """
    labels = sorted({str(task) for task in tasks})
    order = np.array([labels.index(str(task)) for task in tasks])
    rank = np.array([int((order[:row] == order[row]).sum()) for row in range(len(order))])
    bands = sorted(counts)
    band = np.searchsorted(bands, rank, side="right")  # in which of the counts an example comes in
    used = np.flatnonzero(band < len(bands)).tolist()
    sums = _sums(
        engine, [tokens[row] for row in used], (band * len(labels) + order)[used], len(labels) * len(bands)
    )
    found = {}
    for place, count in enumerate(bands):
        size = np.bincount(order[band <= place], minlength=len(labels))[:, None]
        gram = np.zeros((len(labels), len(labels)))
        for values in sums.values():
            mean = values.view(len(bands), len(labels), -1)[: place + 1].sum(0) / torch.from_numpy(size)
            gram += (mean @ mean.T).numpy()
        given = order[rank == 0] if count == 1 else np.arange(len(labels))
        found[count] = gram[np.ix_(given, given)]
    return found


def _sums(
    engine: Engine, tokens: Sequence[Tokens], slots: np.ndarray, count: int
) -> dict[str, Float[Tensor, "s p"]]:
    """Gradients summed over the examples of every slot, by parameter, in float64."""
    sums: dict[str, Float[Tensor, "s p"]] = {}
    for rows in token_budget_batches([len(one) for one in tokens], TOKEN_BUDGET):
        batch = Batch.of([tokens[row] for row in rows], engine.device)
        into = torch.from_numpy(slots[rows])

        def add(name: str, parts: list[Contribution], batch: Batch = batch, into: Tensor = into) -> None:
            shape = engine.trained[name].shape
            gradients = gather(parts, "dense", shape, len(batch))
            assert isinstance(gradients, DenseGradients)
            whole = sums.setdefault(name, torch.zeros(count, shape.numel(), dtype=torch.float64))
            whole.index_add_(0, into, gradients.values.double().cpu())

        engine.run(batch, add)
    return sums
