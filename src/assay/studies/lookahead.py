"""What real steps did to the loss of queries, and the effect of a probe set from it.

The effect on a query is the loss after steps on base examples alone minus the loss after the same steps with
probes added, in nats summed over completion tokens: positive means that the probes help. Probes of one half
of the tasks are trained on at a time, so that queries of those tasks see an in-task effect and all others a
cross-task one. Knows no models, no files and no verdicts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.studies.layout import ALL_EXAMPLES, LEFT_OUT
from assay.studies.measurements import ExampleSet
from assay.studies.result import Context


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One training with probes: `trained` are the tasks whose probes were trained on.

    `losses[query_set]` are those of every query after the steps, in nats summed over completion tokens.
    """

    probe_set: str
    half: int
    trained: frozenset[str]
    losses: Mapping[str, Float[np.ndarray, "q"]]


@dataclass(frozen=True, slots=True, eq=False)
class Replicate:
    """All arms of one seed at one checkpoint. They share base batches, halves and positions of probes.

    `base` are the losses after steps on base examples alone (where there are none, before any step).
    `asked` is False for the queries that this seed leaves out: a probe made from them may be trained on.
    """

    checkpoint: str
    step: int | None
    seed: int
    base: Mapping[str, Float[np.ndarray, "q"]]
    asked: Mapping[str, Bool[np.ndarray, "q"]]
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LookaheadMeasurements:
    """All that was measured by real steps. `by_file`: no task labels, so everything is one task.

    `checkpoints` and `seeds` are those planned; a budget may have ended before all replicates were there.
    """

    probe_sets: tuple[str, ...]
    query_sets: Mapping[str, ExampleSet]
    control: str | None
    by_file: bool
    checkpoints: tuple[str, ...]
    seeds: tuple[int, ...]
    replicates: tuple[Replicate, ...]

    def tasks_of(self, query_set: str) -> tuple[str | None, ...]:
        """The task of every query; None where it is left out for want of a label."""
        examples = self.query_sets[query_set]
        return (ALL_EXAMPLES,) * len(examples) if self.by_file else examples.tasks

    def numbered(self, query_set: str) -> Int[np.ndarray, "q"]:
        """The number of every query's task among the sorted tasks of the set; `LEFT_OUT` without one."""
        tasks = self.tasks_of(query_set)
        number = {task: i for i, task in enumerate(sorted({task for task in tasks if task is not None}))}
        return np.array([LEFT_OUT if task is None else number[task] for task in tasks], dtype=int)


def whole_seeds(measured: LookaheadMeasurements, *probe_sets: str) -> tuple[int, ...]:
    """Seeds that measured all of the probe sets at every checkpoint: others would mix up the two."""
    found: dict[int, set[str]] = {seed: set() for seed in measured.seeds}
    for replicate in measured.replicates:
        if set(probe_sets) <= {arm.probe_set for arm in replicate.arms}:
            found[replicate.seed].add(replicate.checkpoint)
    return tuple(seed for seed, there in found.items() if there >= set(measured.checkpoints))


def effects(
    measured: LookaheadMeasurements,
    probe_set: str,
    query_set: str,
    context: Context,
    control: str | None = None,
) -> Float[np.ndarray, "s q"]:
    """The effect on every query by seed, a mean over halves and then checkpoints; NaN where there is none.

    With a `control` it is the paired difference from the control's effect: same seed, checkpoint and half.
    As measured: not reversed on undesired query sets. Seeds that lack a checkpoint are left out.
    """
    names = (probe_set,) if control is None else (probe_set, control)
    rows = []
    for seed in whole_seeds(measured, *names):
        of_seed = [r for r in measured.replicates if r.seed == seed and r.checkpoint in measured.checkpoints]
        rows.append(
            mean([_of_replicate(measured, one, query_set, context, names) for one in of_seed], whole=True)
        )
    return np.array(rows).reshape(len(rows), len(measured.query_sets[query_set]))


def _of_replicate(
    measured: LookaheadMeasurements,
    replicate: Replicate,
    query_set: str,
    context: Context,
    names: tuple[str, ...],
) -> Float[np.ndarray, "q"]:
    tasks = measured.tasks_of(query_set)
    halves: dict[int, dict[str, Float[np.ndarray, "q"]]] = {}
    for arm in replicate.arms:
        if arm.probe_set in names:
            inside = np.array([task in arm.trained for task in tasks], dtype=bool)
            fits = inside if context == "in-task" else ~inside
            labelled = np.array([task is not None for task in tasks], dtype=bool)
            effect = replicate.base[query_set] - arm.losses[query_set]
            usable = fits & labelled & replicate.asked[query_set]
            halves.setdefault(arm.half, {})[arm.probe_set] = np.where(usable, effect, np.nan)
    paired = [by_name for by_name in halves.values() if len(by_name) == len(names)]
    if not paired:
        return np.full(len(tasks), np.nan)
    first, *control = ([by_name[name] for by_name in paired] for name in names)
    values = first if not control else [a - b for a, b in zip(first, control[0], strict=True)]
    return mean(values)


def mean(rows: list[Float[np.ndarray, "n"]], *, whole: bool = False) -> Float[np.ndarray, "n"]:
    """The mean of the rows' finite entries, column by column; NaN in a column without any.

    `whole`: also NaN where one of the rows has none.
    """
    table = np.array(rows)
    there = np.isfinite(table)
    count = there.sum(axis=0)
    total = np.where(there, table, 0.0).sum(axis=0)
    enough = count == len(rows) if whole else count > 0
    return np.where(enough, total / np.maximum(count, 1), np.nan)
