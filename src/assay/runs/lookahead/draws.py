"""What one seed decides for all arms: the halves of the tasks, the probes trained on, the queries asked.

A query that is a probe's own reference must not be asked after training on that probe. Such queries are dealt
out by the seed: about half of each task's are asked, and their probes are left out of training; the others
are not asked. Knows no models and no losses.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from assay.lookahead.plan import task_halves
from assay.streams import stream
from assay.studies.layout import ALL_EXAMPLES
from assay.studies.measurements import ExampleSet
from assay.studies.resampling import references, units

Excluded = Mapping[tuple[str, str], Bool[np.ndarray, "p q"]]


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """`usable[p]` are the probes that may be trained on, `asked[q]` the queries whose losses count."""

    halves: tuple[frozenset[str], ...]
    usable: Mapping[str, Bool[np.ndarray, "p"]]
    asked: Mapping[str, Bool[np.ndarray, "q"]]


def by_file(probes: Mapping[str, ExampleSet], queries: Mapping[str, ExampleSet]) -> bool:
    """Whether a whole set carries no task label, so that everything is one task."""
    return any(all(task is None for task in one.tasks) for one in (*probes.values(), *queries.values()))


def task_labels(examples: ExampleSet, one_task: bool) -> tuple[str | None, ...]:
    return (ALL_EXAMPLES,) * len(examples) if one_task else examples.tasks


def draw(
    seed: int, probes: Mapping[str, ExampleSet], queries: Mapping[str, ExampleSet], excluded: Excluded
) -> Draw:
    """What `seed` decides; the same for every checkpoint, probe set and machine."""
    one_task = by_file(probes, queries)
    tasks = sorted({t for one in probes.values() for t in task_labels(one, one_task) if t is not None})
    asked = _asked(seed, probes, queries, excluded, one_task)
    usable = {}
    for name, examples in probes.items():
        labelled = np.array([task is not None for task in task_labels(examples, one_task)], dtype=bool)
        known = [(excluded[name, other] & asked[other]).any(axis=1) for other in queries]
        usable[name] = labelled & ~np.any(known, axis=0)
    return Draw(task_halves(tasks, seed), usable, asked)


def _asked(
    seed: int,
    probes: Mapping[str, ExampleSet],
    queries: Mapping[str, ExampleSet],
    excluded: Excluded,
    one_task: bool,
) -> dict[str, Bool[np.ndarray, "q"]]:
    """Unlabelled queries are never asked; what is made from one reference is asked in all sets or in none."""
    named = references(queries.values())
    drawn = {name: units(examples, named) for name, examples in queries.items()}
    taken = {
        name: np.any([excluded[probe_set, name].any(axis=0) for probe_set in probes], axis=0)
        for name in queries
    }
    by_task: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for name, examples in queries.items():
        for unit, task, known in zip(drawn[name], task_labels(examples, one_task), taken[name], strict=True):
            if known and task is not None:
                by_task[task].add(unit)
    kept: set[tuple[str, str]] = set()
    for task, found in sorted(by_task.items()):
        rng = stream("references", seed, task)
        order = rng.permutation(len(found))
        count = len(found) // 2 + (int(rng.integers(2)) if len(found) % 2 else 0)
        names = sorted(found)
        kept |= {names[i] for i in order[:count]}
    return {
        name: np.array(
            [
                task is not None and (not known or unit in kept)
                for unit, task, known in zip(
                    drawn[name], task_labels(examples, one_task), taken[name], strict=True
                )
            ],
            dtype=bool,
        )
        for name, examples in queries.items()
    }
