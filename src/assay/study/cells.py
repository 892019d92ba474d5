"""Reduces one checkpoint's products to task × task cells, under any weighting of probes and queries.

A plain estimate weighs every example 1; a bootstrap is a batch of other weights. The estimators are written
once, over a leading axis of weightings, and never hear of the difference. Knows no estimator by name.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import comb
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.study.layout import members

HALVES = 200
BLOCK = 4_000_000  # numbers held at once

ProbeScale = Literal["one", "per gradient norm", "per token"]


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


class Slice:
    """One checkpoint, one probe set, one query set, and B weightings of their examples.

    `usable[p, q]` is False for excluded pairs and for queries whose gradient has vanished exactly. `*_tasks`
    number the tasks 0 … k−1 (−1: left out). `*_mean_sqnorm[b, i]` is ‖mean gradient of task i‖², or None
    where products within the set were not measured.
    """

    def __init__(
        self,
        *,
        k: int,
        dot: Float[np.ndarray, "p q"],
        usable: Bool[np.ndarray, "p q"],
        probe_tasks: Int[np.ndarray, "p"],
        query_tasks: Int[np.ndarray, "q"],
        probe_weights: Float[np.ndarray, "b p"],
        query_weights: Float[np.ndarray, "b q"],
        probe_sqnorm: Float[np.ndarray, "p"],
        query_sqnorm: Float[np.ndarray, "q"],
        probe_tokens: Int[np.ndarray, "p"],
        query_tokens: Int[np.ndarray, "q"],
        probe_loss: Float[np.ndarray, "p"],
        probe_mean_sqnorm: Float[np.ndarray, "b k"] | None,
        query_mean_sqnorm: Float[np.ndarray, "b k"] | None,
    ) -> None:
        self.k = k
        self.query_tasks = query_tasks
        self.query_sqnorm = query_sqnorm
        self.query_tokens = query_tokens
        self.query_weights = query_weights
        self.probe_loss_per_token = probe_loss / probe_tokens
        self.probe_mean_sqnorm = probe_mean_sqnorm
        self.query_mean_sqnorm = query_mean_sqnorm
        self._probe_weights = probe_weights
        self._probe_members = members(probe_tasks, k)
        self._query_one_hot = (query_tasks[:, None] == np.arange(k)).astype(float)
        self._usable = usable.astype(float)
        self._dot = np.where(usable, dot, 0.0)
        self._scales: dict[ProbeScale, Float[np.ndarray, "p"]] = {
            "one": np.ones(len(probe_tasks)),
            "per gradient norm": inverse(np.sqrt(probe_sqnorm)),
            "per token": 1.0 / probe_tokens,
        }
        self._dots: dict[ProbeScale, Float[np.ndarray, "b k q"]] = {}

    def dots(self, scale: ProbeScale = "one") -> Float[np.ndarray, "b k q"]:
        """Σ over the probes of each task of weight · scale · ⟨g_z, g_q⟩, over usable pairs."""
        if scale not in self._dots:
            self._dots[scale] = self._by_probe_task(self._dot * self._scales[scale][:, None])
        return self._dots[scale]

    @cached_property
    def pairs(self) -> Float[np.ndarray, "b k q"]:
        """Weight of the usable probes of each task, for every query."""
        return self._by_probe_task(self._usable)

    @cached_property
    def cell_pairs(self) -> Float[np.ndarray, "b k k"]:
        """Weight of the usable probe-query pairs of each cell."""
        return self.cell_sums(self.pairs)

    def cell_sums(self, per_query: Float[np.ndarray, "b k q"]) -> Float[np.ndarray, "b k k"]:
        """Σ over the queries of each task of weight · value."""
        return np.asarray((per_query * self.query_weights[:, None, :]) @ self._query_one_hot)

    def cell_means(self, per_query: Float[np.ndarray, "b k q"]) -> CellRatio:
        """Mean over the pairs of each cell of values already summed over probes; every cell counts 1."""
        sums, pairs = self.cell_sums(per_query), self.cell_pairs
        return CellRatio(sums * inverse(pairs), (pairs > 0).astype(float))

    def probe_task_means(self, per_probe: Float[np.ndarray, "p"]) -> Float[np.ndarray, "b k"]:
        """Weighted mean of a number of each probe, by task; 0 where a task has none."""
        sums = self._by_probe_task(per_probe[:, None])[:, :, 0]
        weight = self._by_probe_task(np.ones((len(per_probe), 1)))[:, :, 0]
        return np.asarray(sums * inverse(weight))

    def _by_probe_task(self, values: Float[np.ndarray, "p q"]) -> Float[np.ndarray, "b k q"]:
        out = np.zeros((len(self._probe_weights), self.k, values.shape[1]))
        for task, probes in enumerate(self._probe_members):
            if len(probes):
                out[:, task] = self._probe_weights[:, probes] @ values[probes]
        return out


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


def inverse(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """1 / x, and 0 where x is 0: what has vanished takes no part."""
    return np.asarray(np.divide(1.0, values, out=np.zeros_like(values, dtype=float), where=values > 0))


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
