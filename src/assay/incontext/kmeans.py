"""k-means of many small sets of points at once, from their inner products alone. Knows not what they are.

Distances to a mean follow from inner products G, with j and l over the cluster C:
‖x_i − μ_C‖² = G_ii − 2/|C| Σ_j G_ij + 1/|C|² Σ_jl G_jl. So the width of the points does not matter once G is
there. Products are rounded to a grid on which sums are exact, and draws belong to a set: what shares a batch
with it changes nothing.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.streams import stream

GRID = 2.0**30
MOST_STEPS = 100
ROUNDING = 1e-12
"""Squared distances that differ by less are equal."""
NO_CLUSTER = -1


def clusters(
    products: Float[np.ndarray, "m p p"],
    there: Bool[np.ndarray, "m p"],
    count: int,
    draws: Float[np.ndarray, "m k"],
) -> Int[np.ndarray, "m p"]:
    """The cluster of every point, 0 … count − 1; −1 where there is no point.

    `products` are the inner products of a set's points; where a point is not `there` they are not looked at.
    Seeded by k-means++ (Arthur and Vassilvitskii 2007) with one uniform number of `draws` for each centre,
    then Lloyd's steps (1982) until no point moves, at most 100. A point moves only to a strictly nearer mean,
    so the sum of squared distances never rises. A cluster that is empty takes the point that is furthest from
    its mean: with `count` points or more in a set none stays empty.
    """
    both = there[:, :, None] & there[:, None, :]
    rounded = np.where(both, np.round(np.where(both, products, 0.0) * GRID) / GRID, 0.0)
    found = _seeded(rounded, there, count, draws)
    for _ in range(MOST_STEPS):
        after = _filled(rounded, there, _moved(rounded, there, found, count), count)
        if np.array_equal(after, found):
            break
        found = after
    return found


def draws_of(ids: Sequence[str], count: int, seed: int) -> Float[np.ndarray, "m k"]:
    """Uniform numbers on [0, 1) that follow from a set's id and the seed alone."""
    return np.array([stream("k-means", seed, one).random(count) for one in ids]).reshape(len(ids), count)


def _seeded(
    products: Float[np.ndarray, "m p p"],
    there: Bool[np.ndarray, "m p"],
    count: int,
    draws: Float[np.ndarray, "m k"],
) -> Int[np.ndarray, "m p"]:
    """Every point with the nearest of the centres that k-means++ draws.

    The first is drawn evenly, each next one in proportion to the squared distance from the nearest so far; or
    evenly where all points lie on a centre.
    """
    sets, everyone = np.arange(len(products)), there.astype(np.float64)
    lengths = np.einsum("mpp->mp", products)
    nearest, found = np.full(there.shape, np.inf), np.full(there.shape, NO_CLUSTER)
    weights = everyone
    for cluster in range(count):
        centre = _drawn(weights, draws[:, cluster])
        distances = lengths + lengths[sets, centre][:, None] - 2 * products[sets, centre]
        nearer = there & (distances < nearest)
        found[nearer], nearest = cluster, np.where(nearer, distances, nearest)
        far = np.where(there, np.maximum(nearest, 0.0), 0.0)
        weights = np.where(far.any(axis=1, keepdims=True), far, everyone)
    return found


def _drawn(weights: Float[np.ndarray, "m p"], uniform: Float[np.ndarray, "m"]) -> Int[np.ndarray, "m"]:
    """The first point whose cumulative weight exceeds that share of the whole."""
    reached = weights.cumsum(axis=1)
    return np.asarray((reached > (uniform * reached[:, -1])[:, None]).argmax(axis=1))


def _moved(
    products: Float[np.ndarray, "m p p"],
    there: Bool[np.ndarray, "m p"],
    found: Int[np.ndarray, "m p"],
    count: int,
) -> Int[np.ndarray, "m p"]:
    """One step: every point with the nearest mean, or where it is if none is strictly nearer."""
    distances = _squared_distances(products, found, count)
    nearer = there & (distances.min(axis=2) < _own(distances, found) - ROUNDING)
    return np.where(nearer, distances.argmin(axis=2), found)


def _filled(
    products: Float[np.ndarray, "m p p"],
    there: Bool[np.ndarray, "m p"],
    found: Int[np.ndarray, "m p"],
    count: int,
) -> Int[np.ndarray, "m p"]:
    """Each empty cluster gets the point furthest from its mean, the first of equals, of those in company."""
    found = found.copy()
    for cluster in range(count):
        sizes = _members(found, count).sum(axis=1)
        company = there & (np.take_along_axis(sizes, np.maximum(found, 0), axis=1) > 1)
        wanting = np.flatnonzero((sizes[:, cluster] == 0) & company.any(axis=1))
        if len(wanting):
            own = _own(_squared_distances(products[wanting], found[wanting], count), found[wanting])
            found[wanting, np.where(company[wanting], own, -np.inf).argmax(axis=1)] = cluster
    return found


def _squared_distances(
    products: Float[np.ndarray, "m p p"], found: Int[np.ndarray, "m p"], count: int
) -> Float[np.ndarray, "m p k"]:
    """From every point to every cluster's mean; infinite to an empty one."""
    members = _members(found, count)
    sizes = members.sum(axis=1)[:, None, :]
    towards = products @ members
    within = np.einsum("mpk,mpk->mk", members, towards)[:, None, :]
    filled = np.maximum(sizes, 1.0)
    distances = np.einsum("mpp->mp", products)[:, :, None] - 2 * towards / filled + within / filled**2
    return np.asarray(np.where(sizes > 0, distances, np.inf))


def _own(distances: Float[np.ndarray, "m p k"], found: Int[np.ndarray, "m p"]) -> Float[np.ndarray, "m p"]:
    """Of every point to its own cluster's mean; 0 where there is no point."""
    taken = np.take_along_axis(distances, np.maximum(found, 0)[:, :, None], axis=2)[:, :, 0]
    return np.where(found >= 0, taken, 0.0)


def _members(found: Int[np.ndarray, "m p"], count: int) -> Float[np.ndarray, "m p k"]:
    return np.asarray(found[:, :, None] == np.arange(count), dtype=np.float64)
