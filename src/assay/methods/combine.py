"""From scores of pairs to one number per candidate, and to ranks: pure functions.

NaN stands for a score that is undefined (a query or candidate whose gradient is exactly zero has no
direction). It is left out of means and ranks, never taken for 0. Knows no methods and no files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.methods.method import Aggregate


def task_means(
    scores: Float[np.ndarray, "n q"], query_tasks: Sequence[str | None]
) -> dict[str | None, Float[np.ndarray, "n"]]:
    """Mean over the queries of each task, tasks in the order of their first query.

    Queries without a task are one task, None.
    """
    columns: dict[str | None, list[int]] = {}
    for column, task in enumerate(query_tasks):
        columns.setdefault(task, []).append(column)
    return {task: mean(scores[:, mine]) for task, mine in columns.items()}


def over_queries(
    scores: Float[np.ndarray, "n q"], query_tasks: Sequence[str | None], aggregate: Aggregate = "mean"
) -> Float[np.ndarray, "n"]:
    """One number per candidate for a set of queries: the mean, or the largest of `task_means` (LESS)."""
    if aggregate == "mean":
        return mean(scores)
    means = np.stack(list(task_means(scores, query_tasks).values()), axis=1)
    largest = np.where(np.isnan(means), -np.inf, means).max(axis=1, initial=-np.inf)
    return np.where(np.isnan(means).all(axis=1), np.nan, largest)


def mean(scores: Float[np.ndarray, "n q"]) -> Float[np.ndarray, "n"]:
    """Mean over the queries at which a candidate has a score, NaN where it has none."""
    known = ~np.isnan(scores)
    count = known.sum(axis=1)
    total = np.where(known, scores, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(scores), np.nan), where=count > 0))


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """The m known scores of a column in rising order. The rank of each follows from it, so ranks can be told
    in parts of any size and need not be held."""

    rising: Float[np.ndarray, "m"]

    @classmethod
    def of(cls, scores: Float[np.ndarray, "n"]) -> "Ordered":
        """Leaves `scores` as they are."""
        rising = scores[~np.isnan(scores)]
        rising.sort()
        return cls(rising)

    def __len__(self) -> int:
        return len(self.rising)

    def ranks(self, scores: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
        """Ranks of some of the column's scores: as `ranks` gives them."""
        lower = np.searchsorted(self.rising, scores, "left")
        not_higher = np.searchsorted(self.rising, scores, "right")
        found: Int[np.ndarray, "k"] = 2 * len(self) - lower - not_higher + 1
        return np.where(np.isnan(scores), np.nan, found / 2)


def ranks(scores: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
    """1 for the highest score of a column, equal scores sharing the mean of their ranks; NaN stays NaN."""
    return _by_column(scores, lambda column: Ordered.of(column).ranks(column))


def percentile_ranks(scores: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
    """Within a column, the share of candidates that score lower, plus half of those that score the same.

    A candidate counts itself as the same, so the values lie strictly between 0 (lowest score) and 1 (highest)
    and their mean is ½. Undefined scores stay NaN and are not counted.
    """
    return percentiles_of(ranks(scores), np.sum(~np.isnan(scores), axis=0))


def percentiles_of(
    ranks: Float[np.ndarray, "n ..."], known: Int[np.ndarray, "..."] | int
) -> Float[np.ndarray, "n ..."]:
    """The percentile ranks of what has these ranks among so many known scores."""
    return np.asarray((known + 0.5 - ranks) / np.maximum(known, 1))


def _by_column(
    scores: Float[np.ndarray, "n ..."],
    each: Callable[[Float[np.ndarray, "n"]], Float[np.ndarray, "n"]],
) -> Float[np.ndarray, "n ..."]:
    whole = np.asarray(scores, dtype=np.float64)
    flat = whole.reshape(len(whole), int(np.prod(whole.shape[1:])))
    found = [each(column) for column in flat.T]
    return np.stack(found, axis=1).reshape(whole.shape) if found else whole.copy()
