"""The linear datamodelling score: do summed scores order what training on random subsets really does to a
query?

For a query it is Spearman's correlation, over subsets of the pool, between the sum of the scores of a
subset's members and the true decrease of the query's loss after training on the subset (mean over seeds);
then the mean over queries (Park et al. 2023, arXiv 2303.14186; Ilyas et al. 2022, arXiv 2202.00622). Pure
statistics: knows no models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from assay.errors import DataError, NumericsError
from assay.streams import stream
from assay.validation.ranks import Ordered, correlation_of_ranks

RESAMPLES = 1000
TIE = 1e-12
"""Predictions that differ by less than this share of the largest are equal: sums of floats are no finer."""

Scores = Float[np.ndarray, "n q"] | Float[np.ndarray, "n"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its interval, at the confidence that was asked for."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Retrained:
    """What training on s subsets of n candidates with k seeds did to q queries.

    `members[i, z]`: candidate z is in subset i. `decreases[i, j, q]`: loss of query q before training minus
    loss after training on subset i with seed j, nats, positive where training helped; NaN where subset i was
    not trained with seed j. `groups` names each query's task, if it has one. Raises DataError for arrays that
    do not fit together and for fewer than three subsets, NumericsError for a loss that is missing for some
    queries only or infinite.
    """

    members: Bool[np.ndarray, "s n"]
    decreases: Float[np.ndarray, "s k q"]
    groups: Sequence[str | None] | None = None

    def __post_init__(self) -> None:
        s, q = len(self.members), self.decreases.shape[2]
        if len(self.decreases) != s or (self.groups is not None and len(self.groups) != q):
            raise DataError(
                f"{s} subsets and {len(self.decreases)} rows of losses, {q} queries and "
                f"{q if self.groups is None else len(self.groups)} of their tasks do not fit together."
            )
        if s < 3:
            raise DataError(f"{s} subsets cannot be ranked; train on three or more.")
        missing = np.isnan(self.decreases)
        if np.isinf(self.decreases).any() or (missing.any(2) != missing.all(2)).any():
            raise NumericsError("The loss of a query after training on a subset is not finite.")
        if missing.all((1, 2)).any():
            raise DataError(
                f"Subset {int(missing.all((1, 2)).argmax())} was trained with no seed; leave it out."
            )

    @cached_property
    def decrease(self) -> Float[np.ndarray, "s q"]:
        """Mean over the seeds a subset was trained with."""
        return np.asarray(np.nanmean(self.decreases, axis=1))

    @cached_property
    def order(self) -> Ordered:
        return Ordered.of(self.decrease)

    @cached_property
    def seeds(self) -> float:
        """Seeds for each subset; the harmonic mean where they differ, since noise falls with 1/seeds."""
        trained = (~np.isnan(self.decreases[:, :, 0])).sum(1)
        return float(1 / np.mean(1 / trained))


@dataclass(frozen=True, slots=True, eq=False)
class Lds:
    """A method's LDS with its interval, and of what it is a mean.

    `per_query` is NaN where a query could not be counted: none of its scores is defined, or its loss is the
    same after every training; `left_out` counts such queries. `undefined` is the share of pairs without a
    score. `drawn` is `per_query` in each redraw, in which query q counts `weights[·, q]` times.
    """

    estimate: Interval
    per_query: Float[np.ndarray, "q"]
    left_out: int
    undefined: float
    drawn: Float[np.ndarray, "b q"]
    weights: Float[np.ndarray, "b q"]


def predictions(scores: Scores, members: Bool[np.ndarray, "s n"], q: int) -> Float[np.ndarray, "s q"]:
    """Sum of the scores of each subset's members, for each of q queries; (n,) scores count for every query
    alike.

    A pair without a score (NaN) is left out, not taken for 0: the sum is the subset's size times the mean
    over its members that have one, which is the plain sum where all have. NaN where no member has a score.
    """
    n = members.shape[1]
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape not in ((n,), (n, q)):
        raise DataError(f"Scores of shape {scores.shape} do not fit {n} candidates and {q} queries.")
    if np.isinf(scores).any():
        raise NumericsError(
            f"The score of candidate {int(np.argwhere(np.isinf(scores))[0, 0])} is not finite."
        )
    table = scores if scores.ndim == 2 else np.repeat(scores[:, None], q, axis=1)
    known, inside = ~np.isnan(table), members.astype(np.float64)
    count = inside @ known
    total = inside @ np.where(known, table, 0.0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    summed = mean * members.sum(1)[:, None]
    largest = np.abs(np.where(np.isnan(summed), 0.0, summed)).max(0)
    return np.asarray(np.round(summed / np.where(largest > 0, largest, 1.0) / TIE) * TIE * largest)


def lds(
    scores: Scores, truth: Retrained, *, resamples: int = RESAMPLES, seed: int = 0, confidence: float = 0.95
) -> Lds:
    """LDS of scores with a percentile interval; see `redrawn` for what is redrawn.

    A query at which every subset is predicted alike counts as 0. Raises DataError where no query can be
    counted.
    """
    predicted = predictions(scores, truth.members, truth.decrease.shape[1])
    order, undefined = Ordered.of(predicted), np.isnan(predicted).any(0)

    def by_query(times: Float[np.ndarray, "s"]) -> Float[np.ndarray, "q"]:
        found = correlation_of_ranks(order.ranks(times), truth.order.ranks(times), times)
        return np.where(undefined, np.nan, found)

    per_query = by_query(np.ones(len(truth.members)))
    if np.isnan(per_query).all():
        raise DataError("No query has both scores and losses that differ between subsets.")
    draws = list(redrawn(truth, resamples, seed))
    drawn = np.stack([by_query(times) for times, _ in draws])
    weights = np.stack([weights for _, weights in draws])
    left_out = int(np.isnan(per_query).sum())
    estimate = _over_queries(per_query, drawn, weights, confidence)
    return Lds(estimate, per_query, left_out, float(np.isnan(scores).mean()), drawn, weights)


def lds_difference(first: Lds, second: Lds, *, confidence: float = 0.95) -> Interval:
    """LDS of `first` minus that of `second` over the queries that both count, paired redraw by redraw.

    Both must come from the same truth, resamples and seed; else ValueError.
    """
    if not np.array_equal(first.weights, second.weights):
        raise ValueError("only scores held against the same redraws of the same truth can be compared")
    per_query, drawn = first.per_query - second.per_query, first.drawn - second.drawn
    return _over_queries(per_query, drawn, first.weights, confidence)


def noise_ceiling(
    truth: Retrained, *, resamples: int = RESAMPLES, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """About the highest LDS that the truth's own noise allows: √(S r / (1 + (S − 1) r)).

    r is the correlation over subsets between the decreases of two seeds, the mean over pairs of seeds and
    queries (on the subsets trained with both), S the number of seeds; a perfect prediction of the expected
    decrease correlates by the root of the mean's reliability (Spearman 1910; Brown 1910). 0 where r is
    negative. Scores that share the training's own draws could pass it. Raises DataError where no three
    subsets have two seeds.
    """
    trained = ~np.isnan(truth.decreases[:, :, 0])
    pairs = []
    for i, j in combinations(range(trained.shape[1]), 2):
        both = trained[:, i] & trained[:, j]
        if both.sum() >= 3:
            pairs.append((both, *(Ordered.of(truth.decreases[both, k]) for k in (i, j))))
    if not pairs:
        raise DataError("No three subsets were trained with two seeds, so nothing is known of the noise.")

    def ceiling(times: Float[np.ndarray, "s"], weights: Float[np.ndarray, "q"]) -> float:
        found = []
        for both, one, other in pairs:
            mine = times[both]
            if mine.sum() > 0:
                found.append(_mean(correlation_of_ranks(one.ranks(mine), other.ranks(mine), mine), weights))
        r = max(float(np.mean(found)) if found else np.nan, 0.0)
        return float(np.sqrt(truth.seeds * r / (1 + (truth.seeds - 1) * r)))

    whole = ceiling(np.ones(len(trained)), np.ones(truth.decrease.shape[1]))
    drawn = [ceiling(times, weights) for times, weights in redrawn(truth, resamples, seed)]
    return _interval(whole, drawn, confidence)


def redrawn(
    truth: Retrained, resamples: int, seed: int
) -> Iterator[tuple[Float[np.ndarray, "s"], Float[np.ndarray, "q"]]]:
    """How often each subset and each query stands in each redraw; equal seeds give equal redraws.

    Subsets are redrawn whole, with all their seeds and for all queries at once: one training answers all
    queries, so their errors belong together, and whatever is random in a training varies from subset to
    subset. Queries are redrawn as well, within their tasks where they have some: the interval speaks of
    queries like these, of these tasks. Of m units m − 1 are drawn, so that
    variances are not (m − 1)/m too small (Rao and Wu 1988). Both at once counts a little too much, never too
    little (Owen 2007, arXiv 0712.1111). What the scores themselves owe to chance (the run they were made in)
    does not vary here.
    """
    draws = stream("lds", seed)
    groups = truth.groups if truth.groups is not None else [None] * truth.decrease.shape[1]
    places: dict[str | None, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    for _ in range(resamples):
        weights = np.zeros(len(groups))
        for mine in places.values():
            # A task's total is kept, so every task counts the same in every redraw.
            weights[mine] = _draw(draws, len(mine)) * len(mine) / max(len(mine) - 1, 1)
        yield _draw(draws, len(truth.members)), weights


def _draw(draws: np.random.Generator, count: int) -> Float[np.ndarray, "m"]:
    return draws.multinomial(max(count - 1, 1), np.full(count, 1.0 / count)).astype(np.float64)


def _mean(values: Float[np.ndarray, "q"], weights: Float[np.ndarray, "q"]) -> float:
    """Weighted mean over the queries that have a value; NaN where none has."""
    known = ~np.isnan(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else np.nan


def _over_queries(
    per_query: Float[np.ndarray, "q"],
    drawn: Float[np.ndarray, "b q"],
    weights: Float[np.ndarray, "b q"],
    confidence: float,
) -> Interval:
    means = [_mean(each, times) for each, times in zip(drawn, weights, strict=True)]
    return _interval(_mean(per_query, np.ones(len(per_query))), means, confidence)


def _interval(value: float, drawn: Sequence[float], confidence: float) -> Interval:
    low, high = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))
