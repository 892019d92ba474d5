"""Reduces one checkpoint's products to task × task cells, under any weighting of probes and queries.

A plain estimate weighs every example 1; a bootstrap is a batch of other weights. The estimators are written
once, over a leading axis of weightings, and never hear of the difference. Knows no estimator by name.
"""

from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.studies.contributions import CellRatio
from assay.studies.layout import members

ProbeScale = Literal["one", "per gradient norm", "per token"]


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


def inverse(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """1 / x, and 0 where x is 0: what has vanished takes no part."""
    return np.asarray(np.divide(1.0, values, out=np.zeros_like(values, dtype=float), where=values > 0))
