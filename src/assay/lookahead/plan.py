"""What a lookahead does: how many steps, on how much of what, how often. Knows nothing of models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.errors import ConfigError
from assay.streams import stream


@dataclass(frozen=True, slots=True)
class Plan:
    """A lookahead takes `steps` optimizer steps on base examples and, beside it, on the same and probes.

    Every step learns from `base` base examples and `added` probes; the probes' mean loss per learned token
    joins the base's with `weight`. Each of the `seeds` draws base batches, probes and halves of tasks of its
    own.
    """

    steps: int = 20
    base: int = 8
    added: int = 8
    weight: float = 1.0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Raise ConfigError for a plan that cannot be followed."""
        for name in ("steps", "base", "added", "seeds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"A lookahead's {name} must be 1 or more, not {getattr(self, name)}.")
        if not self.weight > 0:
            raise ConfigError(f"A lookahead's weight must be above 0, not {self.weight}.")


def task_halves(tasks: Sequence[str], seed: int) -> tuple[frozenset[str], ...]:
    """The tasks in two halves, drawn by the seed; probes of one half at a time are trained on.

    Queries of that half then see an in-task effect, those of the other half a cross-task one. A single task
    is trained on whole.
    """
    if len(tasks) < 2:
        return (frozenset(tasks),)
    drawn = stream("lookahead", "task halves", seed).permutation(len(tasks))[: len(tasks) // 2]
    first = frozenset(tasks[i] for i in drawn)
    return first, frozenset(tasks) - first


def positions(count: int, wanted: int, *names: str | int) -> list[int]:
    """`wanted` of the positions 0 … count − 1 in random order, all of them before any comes again."""
    rng = stream("lookahead", *names)
    drawn: list[int] = []
    while len(drawn) < wanted:
        drawn.extend(np.asarray(rng.permutation(count)).tolist())
    return drawn[:wanted]
