"""Which task each example of a study belongs to, and which task pairs make a context. Knows no numbers.

Tasks are numbered once for the whole study, so that every set speaks of the same rows and columns.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from assay.studies.measurements import ExampleSet, Measurements
from assay.studies.result import Context

ALL_EXAMPLES = "all examples"
LEFT_OUT = -1
CONTEXTS: tuple[Context, ...] = ("in-task", "cross-task")


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """`probe_tasks[name][i]` is the number of example i's task, or `LEFT_OUT` where it carries no label.

    Where a whole set carries no label the study is `by_file`: everything is one task, and there is no
    cross-task context.
    """

    tasks: tuple[str, ...]
    probe_tasks: dict[str, Int[np.ndarray, "n"]]
    query_tasks: dict[str, Int[np.ndarray, "n"]]
    by_file: bool

    def filled(self, measured: Measurements, probe_set: str, query_set: str) -> Bool[np.ndarray, "k k"]:
        """Task pairs (probe's task, query's task) with at least one probe-query pair that is not excluded."""
        k = len(self.tasks)
        probes = _one_hot(self.probe_tasks[probe_set], k)
        queries = _one_hot(self.query_tasks[query_set], k)
        allowed = ~measured.excluded[probe_set, query_set]
        return np.asarray(probes.T @ allowed.astype(float) @ queries > 0)

    def context(self, context: Context) -> Bool[np.ndarray, "k k"]:
        """The diagonal for in-task, everything beside it for cross-task."""
        same = np.eye(len(self.tasks), dtype=bool)
        return same if context == "in-task" else ~same


def lay_out(measured: Measurements) -> Layout:
    """Number the tasks of a study in sorted order."""
    sets = [*measured.probe_sets.values(), *measured.query_sets.values()]
    by_file = any(all(task is None for task in each.tasks) for each in sets)
    names = {ALL_EXAMPLES} if by_file else {task for each in sets for task in each.tasks if task is not None}
    tasks = tuple(sorted(names))
    number = {task: index for index, task in enumerate(tasks)}

    def numbers(examples: ExampleSet) -> Int[np.ndarray, "n"]:
        if by_file:
            return np.zeros(len(examples), dtype=int)
        return np.array([LEFT_OUT if t is None else number[t] for t in examples.tasks], dtype=int)

    return Layout(
        tasks=tasks,
        probe_tasks={name: numbers(each) for name, each in measured.probe_sets.items()},
        query_tasks={name: numbers(each) for name, each in measured.query_sets.items()},
        by_file=by_file,
    )


def touched(mask: Bool[np.ndarray, "k k"]) -> Int[np.ndarray, "t"]:
    """Tasks that take part in a mask, as probe or as query."""
    return np.flatnonzero(mask.any(axis=0) | mask.any(axis=1))


def survives_every_deletion(mask: Bool[np.ndarray, "k k"]) -> bool:
    """Whether something is left of the mask whichever task leaves as probe and as query."""
    total = mask.sum()
    gone = mask.sum(axis=0) + mask.sum(axis=1) - np.diag(mask)
    return bool(np.all(total - gone[touched(mask)] > 0))


def members(tasks: Int[np.ndarray, "n"], count: int) -> list[Int[np.ndarray, "m"]]:
    """The examples of each of `count` tasks, as indices."""
    return [np.flatnonzero(tasks == task) for task in range(count)]


def _one_hot(tasks: Int[np.ndarray, "n"], count: int) -> Bool[np.ndarray, "n k"]:
    return np.asarray(tasks[:, None] == np.arange(count))
