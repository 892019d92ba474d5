"""What pairs of tasks contribute to an estimator: its value over any of them, and without some of the tasks.

Two shapes are enough: a ratio of sums over cells (of which a mean is one), and a median. Knows no gradients.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.studies.layout import members

HALVES = 200  # where there are more ways than this to leave half of the tasks out, this many are drawn
BLOCK = 4_000_000  # numbers held at once


class Contributions(Protocol):
    """What each pair of tasks contributes to an estimator: B weightings of K × K cells."""

    def over(self, mask: Bool[np.ndarray, "k k"]) -> Float[np.ndarray, "b"]:
        """The estimate over the cells of `mask`, for every weighting; NaN where nothing is left."""
        ...

    def left_out(self, mask: Bool[np.ndarray, "k k"], tasks: Int[np.ndarray, "t"]) -> "LeftOut":
        """The estimate (first weighting) with tasks of `tasks` gone, as probe and as query."""
        ...

    def table(self) -> Float[np.ndarray, "k k"]:
        """Each cell's own estimate (first weighting); NaN where a cell is empty."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """What an estimate becomes when `leaving` tasks at a time are gone; NaN where nothing is left."""

    values: Float[np.ndarray, "r"]
    leaving: int


@dataclass(frozen=True, slots=True, eq=False)
class CellRatio:
    """Σ numerator / Σ denominator over cells.

    With a denominator of 1 for every cell that holds something, this is the mean over cells, in which every
    pair of tasks counts the same. Both have shape (b, k, k) and are 0 in empty cells.
    """

    numerator: Float[np.ndarray, "b k k"]
    denominator: Float[np.ndarray, "b k k"]

    def over(self, mask: Bool[np.ndarray, "k k"]) -> Float[np.ndarray, "b"]:
        return _divide(self.numerator[:, mask].sum(-1), self.denominator[:, mask].sum(-1))

    def left_out(self, mask: Bool[np.ndarray, "k k"], tasks: Int[np.ndarray, "t"]) -> LeftOut:
        """One task after another."""
        left = [_sum_without_each(part[0] * mask)[tasks] for part in (self.numerator, self.denominator)]
        return LeftOut(_divide(left[0], left[1]), 1)

    def table(self) -> Float[np.ndarray, "k k"]:
        return _divide(self.numerator[0], self.denominator[0])


@dataclass(frozen=True, slots=True, eq=False)
class CellMedian:
    """The median over queries of what a task's probes do to each of them.

    `values[b, i, q]` is the effect of task i's probes on query q, `weights[b, i, q]` its weight, 0 where
    there is none; the weights of a cell sum to 1, so that every pair of tasks counts the same.
    """

    values: Float[np.ndarray, "b k q"]
    weights: Float[np.ndarray, "b k q"]
    query_tasks: Int[np.ndarray, "q"]

    def over(self, mask: Bool[np.ndarray, "k k"]) -> Float[np.ndarray, "b"]:
        values, weights, _, _ = self._pooled(mask)
        return weighted_median(values, weights)

    def left_out(self, mask: Bool[np.ndarray, "k k"], tasks: Int[np.ndarray, "t"]) -> LeftOut:
        """Half of the tasks at a time: the delete-one jackknife of a median is not consistent, that of a
        growing share is (Shao and Wu 1989)."""
        values, weights, probe_task, query_task = self._pooled(mask)
        halves = _halves(tasks, len(mask))
        blocks = np.array_split(halves, max(1, halves.shape[0] * values.shape[1] // BLOCK))
        medians = [
            weighted_median(values[0], weights[0] * ~(gone[:, probe_task] | gone[:, query_task]))
            for gone in blocks
        ]
        return LeftOut(np.concatenate(medians), int(halves[0].sum()))

    def table(self) -> Float[np.ndarray, "k k"]:
        k = self.values.shape[1]
        out = np.full((k, k), np.nan)
        for task, queries in enumerate(members(self.query_tasks, k)):
            if len(queries):
                out[:, task] = weighted_median(self.values[0][:, queries], self.weights[0][:, queries])
        return out

    def _pooled(
        self, mask: Bool[np.ndarray, "k k"]
    ) -> tuple[
        Float[np.ndarray, "b n"], Float[np.ndarray, "b n"], Int[np.ndarray, "n"], Int[np.ndarray, "n"]
    ]:
        """Values and weights of everything inside the mask, with the tasks of each."""
        inside = mask[:, self.query_tasks] & (self.query_tasks >= 0)
        probe_task, query = np.nonzero(inside)
        return (
            self.values[:, probe_task, query],
            self.weights[:, probe_task, query],
            probe_task,
            self.query_tasks[query],
        )


def _halves(tasks: Int[np.ndarray, "t"], k: int) -> Bool[np.ndarray, "r k"]:
    """Which tasks leave together: every half of `tasks` (rounded up), or always the same `HALVES` of them."""
    size = (len(tasks) + 1) // 2
    if comb(len(tasks), size) <= HALVES:
        chosen = np.array(list(combinations(range(len(tasks)), size)))
    else:
        shuffled = np.random.default_rng(0).permuted(np.tile(np.arange(len(tasks)), (HALVES, 1)), axis=1)
        chosen = shuffled[:, :size]
    gone = np.zeros((len(chosen), k), dtype=bool)
    gone[np.arange(len(chosen))[:, None], tasks[chosen]] = True
    return gone


def weighted_median(
    values: Float[np.ndarray, "*b n"], weights: Float[np.ndarray, "... n"]
) -> Float[np.ndarray, "..."]:
    """The middle of the weight along the last axis; the mean of both neighbours where it falls between two.

    One row of values may serve many rows of weights. NaN where there is no weight at all.
    """
    if values.shape[-1] == 0:
        return np.full(weights.shape[:-1], np.nan)
    order = np.argsort(values, axis=-1)
    ordered = np.broadcast_to(np.take_along_axis(values, order, axis=-1), weights.shape)
    weight = weights[..., order] if values.ndim == 1 else np.take_along_axis(weights, order, axis=-1)
    reached = np.cumsum(weight, axis=-1)
    total = reached[..., -1:]
    slack = 1e-9 * total
    below = np.argmax(reached >= total / 2 - slack, axis=-1)[..., None]
    above = np.argmax(reached > total / 2 + slack, axis=-1)[..., None]
    middle = (np.take_along_axis(ordered, below, -1) + np.take_along_axis(ordered, above, -1)) / 2
    return np.asarray(np.where(total > 0, middle, np.nan)[..., 0])


def _sum_without_each(cells: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k"]:
    """Σ of a table without row k and column k, for every k."""
    return np.asarray(cells.sum() - cells.sum(axis=0) - cells.sum(axis=1) + np.diag(cells))


def _divide(above: Float[np.ndarray, "..."], below: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.asarray(np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0))
