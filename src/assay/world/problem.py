"""What a problem is, and what a task is: a small function that makes problems with exact answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from assay.world.words import World

Difficulty = Literal[0, 1, 2]
DIFFICULTIES: tuple[Difficulty, ...] = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its one right answer.

    `query` asks as people do; `clear` asks the same with every requirement spelled out; `reasoning` is the
    way to `answer` in short sentences, ending with a full stop.
    """

    task: str
    difficulty: Difficulty
    query: str
    clear: str
    answer: str
    reasoning: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a task's function returns: a problem that does not yet know its task and difficulty."""

    query: str
    clear: str
    answer: str
    reasoning: str


Make = Callable[[World, np.random.Generator, Difficulty], Draft]


@dataclass(frozen=True, slots=True)
class Task:
    """A named family of problems; `what` is one line for people."""

    name: str
    what: str
    make: Make

    def problem(self, world: World, rng: np.random.Generator, difficulty: Difficulty) -> Problem:
        """One problem of the family; uses nothing but its arguments, so equal streams give equal problems."""
        draft = self.make(world, rng, difficulty)
        return Problem(self.name, difficulty, draft.query, draft.clear, draft.answer, draft.reasoning)
