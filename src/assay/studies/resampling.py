"""Draws weights for a bootstrap within tasks. Knows which examples belong together, and no numbers of theirs.

Examples made from the same reference share their weight across sets: strategy and control are resampled
together where they are paired, and so are desired and undesired queries. Each task draws one unit fewer than
it has (Rao and Wu 1988), which makes the variance of a mean unbiased instead of (n−1)/n too small.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping

import numpy as np
from jaxtyping import Float, Int

from assay.studies.layout import LEFT_OUT, members
from assay.studies.measurements import ExampleSet

Unit = tuple[str, str]


def references(sets: Iterable[ExampleSet]) -> frozenset[str]:
    """The references that examples of these sets name."""
    return frozenset(pair for each in sets for pair in each.pairs if pair is not None)


def units(examples: ExampleSet, named: Container[str]) -> list[Unit]:
    """What is drawn for each example: its reference, shared by all sets, or itself.

    An example without a pair whose id is among the `named` references is that reference.
    """
    return [
        ("", own if pair is None else pair) if pair is not None or own in named else (examples.name, own)
        for pair, own in zip(examples.pairs, examples.ids, strict=True)
    ]


def units_per_task(
    examples: ExampleSet, named: Container[str], tasks: Int[np.ndarray, "n"], k: int
) -> Int[np.ndarray, "k"]:
    """How many different units each task holds; below 2 nothing can be said of variation within it."""
    drawn = units(examples, named)
    return np.array([len({drawn[i] for i in inside}) for inside in members(tasks, k)])


def bootstrap_weights(
    sets: Mapping[str, ExampleSet],
    tasks: Mapping[str, Int[np.ndarray, "n"]],
    k: int,
    resamples: int,
    generator: np.random.Generator,
) -> dict[str, Float[np.ndarray, "b n"]]:
    """Multiplicities of every example of every set, drawn within tasks; unlabelled examples weigh 0.

    A set that holds only part of the references keeps its part of the common draw; where that leaves a task
    without any, the task keeps all of its examples.
    """
    groups: dict[tuple[int, str], dict[Unit, None]] = defaultdict(dict)
    named = references(sets.values())
    drawn = {name: units(examples, named) for name, examples in sets.items()}
    for name in sorted(sets):
        for unit, task in zip(drawn[name], tasks[name], strict=True):
            if task != LEFT_OUT:
                groups[int(task), unit[0]][unit] = None
    counts: dict[tuple[int, Unit], Float[np.ndarray, "b"]] = {}
    for (task, _), members_of_group in sorted(groups.items()):
        names = sorted(members_of_group)
        size = len(names)
        draw = generator.multinomial(max(size - 1, 1), np.full(size, 1.0 / size), size=resamples)
        counts.update({(task, unit): draw[:, i].astype(float) for i, unit in enumerate(names)})
    weights = {}
    for name, examples in sets.items():
        mine = np.zeros((resamples, len(examples)))
        for i, (unit, task) in enumerate(zip(drawn[name], tasks[name], strict=True)):
            if task != LEFT_OUT:
                mine[:, i] = counts[int(task), unit]
        for inside in members(tasks[name], k):
            nothing = np.flatnonzero(mine[:, inside].sum(-1) == 0)
            mine[np.ix_(nothing, inside)] = 1.0
        weights[name] = mine
    return weights
