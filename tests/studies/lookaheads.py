"""Lookaheads made up for tests: losses that follow from effects one chooses."""

from collections.abc import Mapping, Sequence

import numpy as np

from assay.lookahead.plan import task_halves
from assay.studies.lookahead import Arm, LookaheadMeasurements, Replicate
from assay.studies.measurements import Direction, ExampleSet


def query_set(
    tasks: Sequence[str | None], name: str = "eval", direction: Direction = "desired"
) -> ExampleSet:
    count = len(tasks)
    return ExampleSet(
        name,
        tuple(f"{name}-{i}" for i in range(count)),
        tuple(tasks),
        (None,) * count,
        np.ones(count, dtype=np.int64),
        (("", ""),) * count,
        direction,
    )


def make_lookahead(
    gains: Mapping[str, Mapping[str, np.ndarray]],
    tasks: Sequence[str],
    *,
    control: str | None = "plain",
    checkpoints: Sequence[str] = ("checkpoint-1",),
    direction: Direction = "desired",
    noise: float = 0.0,
    seed: int = 0,
) -> LookaheadMeasurements:
    """A lookahead in which probe set p lowers the loss of query q at seed s by `gains[p][context][s, q]`.

    `noise` is added to the losses of every arm and query; the base has losses of its own.
    """
    rng = np.random.default_rng(seed)
    seeds = range(len(next(iter(gains.values()))["in-task"]))
    replicates = []
    for checkpoint in checkpoints:
        for s in seeds:
            base = rng.normal(5.0, 1.0, len(tasks))
            arms = []
            for half, trained in enumerate(task_halves(sorted(set(tasks)), s)):
                inside = np.array([task in trained for task in tasks])
                for name, gain in gains.items():
                    lower = np.where(inside, gain["in-task"][s], gain["cross-task"][s])
                    losses = base - lower + rng.normal(0.0, noise, len(tasks))
                    arms.append(Arm(name, half, trained, {"eval": losses}))
            asked = {"eval": np.ones(len(tasks), dtype=bool)}
            replicates.append(Replicate(checkpoint, 1, s, {"eval": base}, asked, tuple(arms)))
    return LookaheadMeasurements(
        tuple(gains),
        {"eval": query_set(tasks, direction=direction)},
        control,
        False,
        tuple(checkpoints),
        tuple(seeds),
        tuple(replicates),
    )
