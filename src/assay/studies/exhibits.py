"""What a report shows beside the numbers: extreme pairs, sets in figures, references and their versions.

Reads measurements, decides nothing.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Float

from assay.studies.estimators import ESTIMATORS, Pairs
from assay.studies.layout import Layout
from assay.studies.measurements import CheckpointMeasurements, ExampleSet, Measurements
from assay.studies.replicates import Replicates
from assay.studies.result import Cell, Context, Extreme, Reference, SetSummary


def cells(replicates: Replicates, estimator: str) -> Iterator[Cell]:
    """Every filled task pair by an estimator, as the mean over the checkpoints that have it."""
    measured, layout = replicates.measured, replicates.layout
    for probe_set in measured.probe_sets:
        for query_set in measured.query_sets:
            tables = replicates.tables(estimator, probe_set, query_set)
            for i, j in np.argwhere(np.isfinite(tables).any(axis=0)):
                here = tables[:, i, j]
                yield Cell(
                    probe_set,
                    query_set,
                    layout.tasks[i],
                    layout.tasks[j],
                    float(here[np.isfinite(here)].mean()),
                )


def pair_values(
    estimator: str, at: CheckpointMeasurements, probes: ExampleSet, queries: ExampleSet
) -> Float[np.ndarray, "p q"]:
    """Each pair's own value by an estimator that is a mean over pairs; RelInf for those that are not."""
    value = ESTIMATORS[estimator].pair or ESTIMATORS["relinf"].pair
    assert value is not None
    return value(
        Pairs(
            dot=at.dot[probes.name, queries.name],
            probe_sqnorm=at.probe_sqnorm[probes.name][:, None],
            query_sqnorm=at.query_sqnorm[queries.name][None, :],
            probe_tokens=probes.tokens[:, None],
            query_tokens=queries.tokens[None, :],
        )
    )


def extremes(measured: Measurements, layout: Layout, estimator: str, count: int) -> Iterator[Extreme]:
    """The `count` highest and lowest pairs of every probe and query set at the last checkpoint, in falling
    order."""
    last = measured.checkpoints[-1]
    for probe_set, probes in measured.probe_sets.items():
        for query_set, queries in measured.query_sets.items():
            values = pair_values(estimator, last, probes, queries)
            row_task, column_task = layout.probe_tasks[probe_set], layout.query_tasks[query_set]
            allowed = ~measured.excluded[probe_set, query_set] & (last.query_sqnorm[query_set] > 0)
            allowed = allowed & (row_task >= 0)[:, None] & (column_task >= 0)
            rows, columns = np.nonzero(allowed)
            order = np.argsort(-values[rows, columns], kind="stable")
            ends = order if len(order) <= 2 * count else np.r_[order[:count], order[len(order) - count :]]
            for p, q in zip(rows[ends], columns[ends], strict=True):
                context: Context = "in-task" if row_task[p] == column_task[q] else "cross-task"
                yield Extreme(
                    probe_set=probe_set,
                    query_set=query_set,
                    probe_id=probes.ids[p],
                    query_id=queries.ids[q],
                    probe_text=probes.texts[p],
                    query_text=queries.texts[q],
                    value=float(values[p, q]),
                    context=context,
                )


def set_summaries(measured: Measurements) -> Iterator[SetSummary]:
    """Every set in figures; the loss is the mean over examples of loss per token at the last checkpoint."""
    last = measured.checkpoints[-1]
    for name, examples in measured.probe_sets.items():
        role: Literal["probe", "control"] = "control" if name == measured.control else "probe"
        yield _summary(examples, role, last.probe_loss[name])
    for name, examples in measured.query_sets.items():
        yield _summary(examples, "query", last.query_loss[name])


def references(measured: Measurements, count: int) -> Iterator[Reference]:
    """A few reference examples with their versions in the probe sets, from different tasks where possible.

    An example without a pair stands for its own id, so that a control that *is* the reference is found.
    """
    versions: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    task: dict[str, str | None] = {}
    for name, examples in measured.probe_sets.items():
        for own, pair, label, text in zip(
            examples.ids, examples.pairs, examples.tasks, examples.texts, strict=True
        ):
            key = own if pair is None else pair
            if all(seen != name for seen, _, _ in versions[key]):
                versions[key].append((name, *text))
            task[key] = task.get(key) or label
    shared = sorted((key for key in versions if len(versions[key]) > 1), key=lambda k: (-len(versions[k]), k))
    seen_of_task: dict[str | None, int] = defaultdict(int)
    rank = {}
    for key in shared:
        rank[key] = seen_of_task[task[key]]
        seen_of_task[task[key]] += 1
    for key in sorted(shared, key=lambda k: (-len(versions[k]), rank[k], k))[:count]:
        yield Reference(key, task[key], tuple(versions[key]))


def _summary(
    examples: ExampleSet, role: Literal["probe", "control", "query"], loss: Float[np.ndarray, "n"]
) -> SetSummary:
    return SetSummary(
        name=examples.name,
        role=role,
        direction=examples.direction,
        examples=len(examples),
        tasks=len({task for task in examples.tasks if task is not None}) or 1,
        median_tokens=float(np.median(examples.tokens)),
        mean_loss_per_token=float(np.mean(loss / examples.tokens)),
    )
