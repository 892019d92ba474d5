"""What in-context influence says of a pool beside its scores, and how sets of demonstrations compare.

Influence of a candidate: how much easier it makes other examples when it stands before them as a
demonstration. Plain data and counting; knows no files, and not how anything was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from assay.selection.orders import best_first, chosen

PARTS = (0.1, 0.3, 0.5)
"""Parts of the pool, highest first, that are compared."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's rank correlation over n candidates; None where there is none or no interval, `method` says
    why or how."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str

    @property
    def sign(self) -> int:
        """+1 or −1 where the interval leaves out 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True, slots=True)
class TopShare:
    """Of the highest `part` of one column, the share that is among the highest `part` of another, too."""

    part: float
    shared: float
    by_chance: float


@dataclass(frozen=True, slots=True)
class Difficulty:
    """A measure of difficulty beside influence: their correlation, and the overlap of their highest."""

    name: str
    correlation: Correlation
    shared: tuple[TopShare, ...]


@dataclass(frozen=True, slots=True)
class Taught:
    """A query of a demonstration: `influence` is IFD before minus after, `weight` what it counts by.

    `before` and `after` are the query's IFD without the demonstration and behind it; texts are cut for
    reading. NaN with a reason where there is no influence.
    """

    id: str
    task: str | None
    prompt: str
    completion: str
    influence: float
    weight: float
    before: float
    after: float
    reason: str


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A candidate by its place in the pool, and the queries before which it was shown, most helped first."""

    candidate: int
    taught: tuple[Taught, ...]


@dataclass(frozen=True, slots=True)
class Ablation:
    """The choice with one part of the method left out.

    `shared` is how much of what the whole method keeps it would keep, too; `correlation` is that of the two
    scores, None where the score is the same.
    """

    name: str
    without: str
    correlation: Correlation | None
    shared: float
    by_chance: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How the scores of `candidates` are spread: quantiles `QUANTILES`, and how many lie above 0."""

    candidates: int
    mean: float
    quantiles: tuple[float, ...]
    above_zero: int


@dataclass(frozen=True, slots=True, eq=False)
class Influence:
    """Everything the report says of the column `name`.

    `difficulty` are the values of the first of `difficulties`, for a chart (None where there is none).
    `whole` says whose choice the ablations are held against. `left_out` counts pairs of demonstration and
    query that have no influence, by their reason, of `pairs` in all. `carried` says how many of the highest
    tenth owe more than half of their score, signs aside, to a single query, and how many those are.
    """

    name: str
    spread: Spread
    difficulties: tuple[Difficulty, ...]
    difficulty: Float[np.ndarray, "n"] | None
    most: tuple[Demonstration, ...]
    least: tuple[Demonstration, ...]
    ablations: tuple[Ablation, ...]
    whole: str
    pairs: int = 0
    left_out: tuple[tuple[str, int], ...] = ()
    carried: tuple[int, int] = (0, 0)


def spread_of(scores: Float[np.ndarray, "n"]) -> Spread:
    """NaN are left out; mean and quantiles of nothing are NaN."""
    known = scores[~np.isnan(scores)]
    if not len(known):
        return Spread(0, float("nan"), (float("nan"),) * len(QUANTILES), 0)
    quantiles = tuple(np.quantile(known, QUANTILES).tolist())
    return Spread(len(known), float(known.mean()), quantiles, int((known > 0).sum()))


def top_shares(
    first: Float[np.ndarray, "n"], second: Float[np.ndarray, "n"], parts: Sequence[float] = PARTS
) -> tuple[TopShare, ...]:
    """Overlaps of the highest of two columns, among candidates that have both; none where nobody has.

    A part is rounded down to whole candidates, at least one; by chance two sets of m of n share m/n.
    """
    known = ~np.isnan(first) & ~np.isnan(second)
    n = int(known.sum())
    if not n:
        return ()
    found = []
    for part in parts:
        size = max(1, int(part * n))
        mine, theirs = (highest(column[known], size) for column in (first, second))
        found.append(TopShare(part, float((mine & theirs).sum()) / size, size / n))
    return tuple(found)


def highest(scores: Float[np.ndarray, "n"], size: int) -> Bool[np.ndarray, "n"]:
    """The `size` candidates with the highest scores; equal ones in the order of the pool; NaN never."""
    return chosen(best_first(scores)[:size], len(scores))


def shared_part(of: Bool[np.ndarray, "n"], other: Bool[np.ndarray, "n"]) -> tuple[float, float]:
    """The share of one set that another holds, and what a random set of the other's size would hold."""
    return float((of & other).sum()) / max(1, int(of.sum())), float(other.sum()) / len(of)
