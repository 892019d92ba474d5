"""The two ways in which the benchmark is cut in two, both by fixed rules. Knows nothing of models.

Strategies: choices are made on the development half alone, results are reported on the other. Tasks: a
strategy is trained on one half of them, so that its effect is in-task there and cross-task on the other.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

from assay.streams import stream
from assay.world.families import EVERY_STRATEGY

Half = Literal["development", "reported"]
CONTROL = "direct"
EASY_TO_TELL = ("same", "wrong", "shuffled", "random", "echo", "irrelevant", "chatty", "truncated")
"""Garbage and the leak; every other strategy is *graded*."""


def half_of(strategy: str) -> Half:
    """By a hash of the name; the control belongs to both and is asked of neither."""
    return "reported" if _hash(strategy) % 2 else "development"


def strategies(half: Half | None = None) -> list[str]:
    """The strategies that are compared with the control, of one half or all, in the order of the table."""
    return [name for name in EVERY_STRATEGY if name != CONTROL and half in (None, half_of(name))]


def few(count: int) -> list[str]:
    """`count` strategies for costly regimes, as many of each half as there are, in an order by hash."""
    ordered = sorted(strategies(), key=_hash)
    halves = [[name for name in ordered if half_of(name) == half] for half in ("development", "reported")]
    paired = [name for pair in zip(*halves, strict=False) for name in pair]
    return paired[:count]


def task_halves(tasks: Sequence[str], seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two halves of the tasks, drawn by the seed, each in the order of `tasks`."""
    drawn = stream("truth", "task halves", seed).permutation(len(tasks))[: len(tasks) // 2]
    first = {tasks[i] for i in drawn}
    return tuple(t for t in tasks if t in first), tuple(t for t in tasks if t not in first)


def _hash(strategy: str) -> int:
    return int.from_bytes(hashlib.sha256(f"truth\n{strategy}".encode()).digest()[:8])
