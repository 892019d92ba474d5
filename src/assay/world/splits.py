"""Which problems belong to which split, and the random streams they are drawn from.

A problem's content alone decides its split, so the splits are disjoint whatever is drawn, by whatever seed.
The halves of a split are disjoint too: predictions are made from one half and held against the other.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal

import numpy as np

from assay.errors import ConfigError
from assay.world.problem import Difficulty, Problem, Task
from assay.world.words import World

Split = Literal["base", "probe", "query", "probe/1", "probe/2", "query/1", "query/2"]
QUERIES_OF: Mapping[Split, Split] = {
    "base": "query",
    "probe": "query",
    "query": "query",
    "probe/1": "query/1",
    "probe/2": "query/2",
    "query/1": "query/1",
    "query/2": "query/2",
}
"""The queries that a model trained on a split is asked."""
_TRIES = 2000


def split_of(problem: Problem) -> Split:
    """60% of all problems are "base" (pretraining and fine-tuning), 20% "probe", 20% "query"."""
    share = _hash(problem)[0] % 5
    return "probe" if share == 3 else "query" if share == 4 else "base"


def belongs(problem: Problem, split: Split) -> bool:
    """Whether a problem is in a split, or in one of its halves."""
    whole, _, half = split.partition("/")
    return split_of(problem) == whole and (not half or _hash(problem)[1] % 2 == int(half) - 1)


def _hash(problem: Problem) -> bytes:
    return hashlib.sha256(f"{problem.task}\n{problem.query}".encode()).digest()


def draw(
    task: Task,
    world: World,
    rng: np.random.Generator,
    split: Split,
    difficulty: Difficulty,
    avoid: frozenset[str] | set[str] = frozenset(),
) -> Problem:
    """A problem of `split` whose query is not in `avoid`.

    Raises ConfigError when the task runs out of different problems.
    """
    for _ in range(_TRIES):
        problem = task.problem(world, rng, difficulty)
        if belongs(problem, split) and problem.query not in avoid:
            return problem
    raise ConfigError(
        f"The task {task.name!r} has no more different problems at difficulty {difficulty} in the split "
        f"{split!r}; ask for fewer examples per task."
    )
