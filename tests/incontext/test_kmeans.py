"""Many small k-means at once against one at a time, with the points themselves."""

import numpy as np
import pytest

from assay.incontext import kmeans
from assay.incontext.kmeans import clusters, draws_of


def sets(m: int, p: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points in a few lumps, and their inner products."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(m, 4, width))
    points = middles[np.arange(m)[:, None], rng.integers(0, 4, (m, p))] + 0.3 * rng.normal(size=(m, p, width))
    return points, points @ points.transpose(0, 2, 1)


def ids(m: int) -> list[str]:
    return [f"z{i}" for i in range(m)]


def spread(points: np.ndarray, found: np.ndarray) -> float:
    """Σ_i ‖x_i − μ‖², μ the mean of the cluster of i."""
    return sum(float(((points[found == k] - points[found == k].mean(axis=0)) ** 2).sum()) for k in set(found))


def longhand(points: np.ndarray, count: int, draws: np.ndarray) -> np.ndarray:
    """k-means++ and Lloyd's steps on one set with its points in the open, loop by loop."""
    n = len(points)

    def pick(weights: list[float], share: float) -> int:
        reached = 0.0
        for i, weight in enumerate(weights):
            reached += weight
            if reached > share * sum(weights):
                return i
        raise AssertionError

    def squared(a: np.ndarray, b: np.ndarray) -> float:
        return float(((a - b) ** 2).sum())

    def refilled(found: np.ndarray) -> np.ndarray:
        for k in range(count):
            if k not in found:
                own = [
                    squared(x, points[found == c].mean(axis=0)) for x, c in zip(points, found, strict=True)
                ]
                company = [(found == c).sum() > 1 for c in found]
                found[max(np.flatnonzero(company), key=lambda i: round(own[i], 12))] = k
        return found

    centres = [pick([1.0] * n, draws[0])]
    for share in draws[1:count]:
        far = [min(squared(x, points[c]) for c in centres) for x in points]
        centres.append(pick(far if any(far) else [1.0] * n, share))
    found = refilled(np.array([int(np.argmin([squared(x, points[c]) for c in centres])) for x in points]))
    for _ in range(100):
        means = [points[found == k].mean(axis=0) if (found == k).any() else None for k in range(count)]
        after = found.copy()
        for i, x in enumerate(points):
            distances = [np.inf if mean is None else squared(x, mean) for mean in means]
            if min(distances) < distances[found[i]] - 1e-12:
                after[i] = int(np.argmin(distances))
        after = refilled(after)
        if (after == found).all():
            return found
        found = after
    raise AssertionError


def test_clusters_are_those_of_lloyds_steps_on_the_points_themselves() -> None:
    points, products = sets(40, 16, 7)
    draws = draws_of(ids(40), 4, seed=3)
    found = clusters(products, np.ones((40, 16), dtype=bool), 4, draws)
    for one in range(40):
        np.testing.assert_array_equal(found[one], longhand(points[one], 4, draws[one]))


@pytest.mark.parametrize(("side", "p", "width"), [(3, 9, 1), (4, 12, 2)])
def test_ties_and_empty_clusters_go_as_they_do_longhand(side: int, p: int, width: int) -> None:
    points = np.random.default_rng(0).integers(0, side, (60, p, width)).astype(np.float64)
    draws = draws_of(ids(60), 5, seed=0)
    found = clusters(points @ points.transpose(0, 2, 1), np.ones((60, p), dtype=bool), 5, draws)
    for one in range(60):
        np.testing.assert_array_equal(found[one], longhand(points[one], 5, draws[one]))


def test_what_shares_a_batch_changes_no_cluster() -> None:
    _, products = sets(25, 32, 12, seed=1)
    there = np.arange(32) < np.random.default_rng(0).integers(1, 33, 25)[:, None]
    draws = draws_of(ids(25), 5, seed=0)
    together = clusters(products, there, 5, draws)
    for one in range(25):
        alone = clusters(products[[one]], there[[one]], 5, draws[[one]])
        np.testing.assert_array_equal(alone[0], together[one])
    assert (together[~there] == -1).all()


def test_points_that_are_not_there_play_no_part() -> None:
    _, products = sets(6, 12, 5)
    there = np.ones((6, 12), dtype=bool)
    there[:, 9:] = False
    spoilt = products.copy()
    spoilt[:, 9:], spoilt[:, :, 9:] = np.nan, np.nan
    draws = draws_of(ids(6), 3, seed=0)
    found = clusters(spoilt, there, 3, draws)
    np.testing.assert_array_equal(found[:, :9], clusters(products[:, :9, :9], there[:, :9], 3, draws))


def test_the_sum_of_squared_distances_never_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    points, products = sets(60, 32, 3, seed=2)
    there, draws = np.ones((60, 32), dtype=bool), draws_of(ids(60), 5, seed=1)
    heights = []
    for steps in range(12):
        monkeypatch.setattr(kmeans, "MOST_STEPS", steps)
        found = clusters(products, there, 5, draws)
        heights.append([spread(*one) for one in zip(points, found, strict=True)])
    falls = -np.diff(heights, axis=0)
    assert (falls >= -1e-9).all()
    assert falls[0].max() > 0.01
    assert falls[-1].max() == 0


def test_no_cluster_stays_empty_where_there_are_points_enough() -> None:
    same = np.ones((1, 8, 8))
    draws = draws_of(["a"], 5, seed=0)
    found = clusters(same, np.ones((1, 8), dtype=bool), 5, draws)
    assert set(found[0]) == {0, 1, 2, 3, 4}
    two = clusters(same, np.arange(8)[None] < 2, 5, draws)
    assert len(set(two[0, :2])) == 2


def test_draws_follow_from_id_and_seed_alone() -> None:
    drawn = draws_of(["a", "b", "c"], 5, seed=4)
    np.testing.assert_array_equal(draws_of(["c", "a"], 5, seed=4), drawn[[2, 0]])
    assert (draws_of(["a"], 5, seed=5) != drawn[0]).all()
    assert draws_of([], 5, seed=0).shape == (0, 5)
