"""What a selection says: a decision and a reason for every candidate, and what to show of them.

Plain data; the report is made from it alone. Knows nothing of how scores were computed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The candidates, n of them, in the order of their files.

    `tokens` counts learned tokens, `files` and `rows` are the source (rows from 1), `prompts` and
    `completions` are the texts, cut for reading where they are long.
    """

    ids: tuple[str, ...]
    files: tuple[str, ...]
    rows: Int[np.ndarray, "n"]
    tasks: tuple[str | None, ...]
    tokens: Int[np.ndarray, "n"]
    prompts: tuple[str, ...]
    completions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of the kept set another choice of the same size would keep, too: both as shares of it.

    `by_chance` is what a random choice of that size would share on average.
    """

    name: str
    shared: float
    by_chance: float


@dataclass(frozen=True, slots=True)
class Region:
    """The pruned region of a pruning rule in a plane of two scores: thresholds; None where one is not used.

    A candidate is in it where low_x (x below, with a low rank) or high_y (y above, with a high rank) say so.
    """

    x: str
    y: str
    low_x: float | None
    high_y: float | None


@dataclass(frozen=True, slots=True, eq=False)
class SelectionResult:
    """A finished selection.

    `rule` is its name and `reading` the sentences that say exactly what it did. `scores` are named columns
    over the pool (NaN where a candidate has none); `order` names the one that decided. `reasons` has a clause
    for every candidate. `weights` (mean 1 over kept, 0 for dropped) are there on request.
    """

    pool: Pool
    kept: Bool[np.ndarray, "n"]
    reasons: tuple[str, ...]
    rule: str
    reading: tuple[str, ...]
    scores: Mapping[str, Float[np.ndarray, "n"]]
    order: str
    overlaps: tuple[Overlap, ...] = ()
    region: Region | None = None
    weights: Float[np.ndarray, "n"] | None = None
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
