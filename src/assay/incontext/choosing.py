"""The queries on which a demonstration is tried: near it, apart from each other, and the most complex there.

After arXiv 2604.25132: the nearest neighbours of a candidate in k-means clusters, of each cluster the most
complex. Knows no texts, no models and no losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from assay.errors import ConfigError
from assay.incontext.kmeans import clusters, draws_of
from assay.incontext.neighbours import NOBODY, Neighbours, nearest

NEIGHBOURS = 32
CLUSTERS = 5
SETS_NUMBERS = 2**22
"""Features of neighbours in memory at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The queries B_a of each candidate a, nearest first.

    `positions` count over the pool; −1, with a cosine of NaN, where there are fewer. Cosines between f(x_a)
    and f(x_b), float64.
    """

    positions: Int[np.ndarray, "m k"]
    cosines: Float[np.ndarray, "m k"]


def choose(
    features: Float[np.ndarray, "n h"],
    rows: Int[np.ndarray, "m"],
    ids: Sequence[str],
    labels: Int[np.ndarray, "n c"],
    complexity: Float[np.ndarray, "n"],
    *,
    neighbours: int = NEIGHBOURS,
    count: int = CLUSTERS,
    seed: int = 0,
    eligible: Bool[np.ndarray, "n"] | None = None,
    device: torch.device | str = "cpu",
) -> Chosen:
    """B_a for the candidates `rows`, whose ids are `ids`.

    The `neighbours` nearest by cosine, as `neighbours.nearest` finds them, in `count` clusters, of each the
    one of the highest `complexity` (the nearer of equals). With no more than `count` neighbours all of them
    are queries. A candidate without a finite complexity is nobody's query. Draws of k-means++ follow from a
    candidate's id and `seed`, so that it does not matter which rows are asked for together.
    Raises ConfigError for sizes that cannot be.
    """
    require_sizes(neighbours, count)
    usable = np.isfinite(complexity) & (True if eligible is None else eligible)
    near = nearest(features, rows, labels, neighbours, eligible=usable, device=device)
    size = max(1, SETS_NUMBERS // (neighbours * features.shape[1]))
    parts = [
        _most_complex(
            features,
            Neighbours(near.positions[start : start + size], near.cosines[start : start + size]),
            complexity,
            count,
            draws_of(ids[start : start + size], count, seed),
        )
        for start in range(0, len(rows), size)
    ]
    if not parts:
        return Chosen(np.empty((0, count), np.int64), np.empty((0, count)))
    return Chosen(
        np.concatenate([part.positions for part in parts]), np.concatenate([part.cosines for part in parts])
    )


def choose_nearest(
    features: Float[np.ndarray, "n h"],
    rows: Int[np.ndarray, "m"],
    labels: Int[np.ndarray, "n c"],
    complexity: Float[np.ndarray, "n"],
    *,
    count: int = CLUSTERS,
    eligible: Bool[np.ndarray, "n"] | None = None,
    device: torch.device | str = "cpu",
) -> Chosen:
    """The ablation without clusters: the `count` nearest of those that may be queries in `choose`, too."""
    require_sizes(count, count)
    usable = np.isfinite(complexity) & (True if eligible is None else eligible)
    near = nearest(features, rows, labels, count, eligible=usable, device=device)
    return Chosen(near.positions, near.cosines)


def require_sizes(neighbours: int, count: int) -> None:
    """Raises ConfigError where there are no clusters, or fewer neighbours than clusters."""
    if count < 1:
        raise ConfigError(f"--clusters is {count}; it must be at least 1.")
    if neighbours < count:
        raise ConfigError(
            f"--neighbours is {neighbours}, fewer than --clusters {count}; give one or more for each cluster."
        )


def _most_complex(
    features: Float[np.ndarray, "n h"],
    near: Neighbours,
    complexity: Float[np.ndarray, "n"],
    count: int,
    draws: Float[np.ndarray, "m k"],
) -> Chosen:
    there = near.positions != NOBODY
    points = np.asarray(features[np.maximum(near.positions, 0)], dtype=np.float64)
    found = clusters(points @ points.transpose(0, 2, 1), there, count, draws)
    heights = np.where(there, complexity[np.maximum(near.positions, 0)], -np.inf)
    places = np.full((len(found), count), near.positions.shape[1])
    for cluster in range(count):
        inside = found == cluster
        filled = inside.any(axis=1)
        best = np.where(inside, heights, -np.inf).argmax(axis=1)
        places[filled, cluster] = best[filled]
    places.sort(axis=1)
    return Chosen(
        np.take_along_axis(_widened(near.positions, NOBODY), places, axis=1),
        np.take_along_axis(_widened(near.cosines, np.nan), places, axis=1),
    )


def _widened(values: np.ndarray, filler: float) -> np.ndarray:
    """With one more column, for what is not there."""
    return np.concatenate([values, np.full((len(values), 1), filler, dtype=values.dtype)], axis=1)
