"""What a selection says: a decision and a reason for every candidate, and what to show of them.

Plain data; the report is made from it alone. Knows nothing of how scores were computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.selection.in_context import Influence


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The candidates, n of them, in the order of their files.

    `tokens` counts learned tokens, `files` and `rows` are the source (rows from 1), `prompts` and
    `completions` are the texts, cut for reading where they are long. Ids and texts may be read when they are
    asked for; files and tasks may be held once for all that share them (`data.coded`).
    """

    ids: Sequence[str]
    files: Sequence[str]
    rows: Int[np.ndarray, "n"]
    tasks: Sequence[str | None]
    tokens: Int[np.ndarray, "n"]
    prompts: Sequence[str]
    completions: Sequence[str]

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

    `x` and `y` name columns of scores, or are empty where a rule that uses one side alone knows no other. A
    candidate is in it where its x and its rank by x are at or below `low_x` and `low_rank_x`, or its y and
    its rank by y at or above `high_y` and `high_rank_y`; of candidates on a threshold some may be kept.
    """

    x: str
    y: str
    low_x: float | None
    high_y: float | None
    low_rank_x: float | None = None
    high_rank_y: float | None = None


@dataclass(frozen=True, slots=True)
class Lengths:
    """Learned tokens of some candidates: how many candidates, the mean, and the quantiles `QUANTILES`.

    Mean and quantiles are NaN where there is no candidate.
    """

    candidates: int
    mean: float
    quantiles: tuple[float, ...]


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Share:
    """How many candidates have a task (None: no task) or a source before and after the selection."""

    name: str | None
    before: int
    after: int
    share_before: float
    share_after: float


@dataclass(frozen=True, slots=True)
class Drift:
    """What a selection changes besides scores: completion lengths, and the mix of tasks and of sources.

    `tasks` and `sources` stand in the order of the pool.
    """

    whole: Lengths
    kept: Lengths
    dropped: Lengths
    tasks: tuple[Share, ...]
    sources: tuple[Share, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SelectionResult:
    """A finished selection.

    `rule` is its name and `reading` the sentences that say exactly what it did. `scores` are named columns
    over the pool (NaN where a candidate has none), which may be read when they are asked for; `order` names
    the one that decided. `reasons` has a clause for every candidate. `weights` (mean 1 over kept, 0 for
    dropped) are there on request. `drift` says what else changed, `in_context` what is known of
    demonstrations where they were scored.
    """

    pool: Pool
    kept: Bool[np.ndarray, "n"]
    reasons: Sequence[str]
    rule: str
    reading: tuple[str, ...]
    scores: Mapping[str, Float[np.ndarray, "n"]]
    order: str
    overlaps: tuple[Overlap, ...] = ()
    region: Region | None = None
    weights: Float[np.ndarray, "n"] | None = None
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    drift: Drift | None = None
    in_context: Influence | None = None
