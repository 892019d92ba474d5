"""Which queries a demonstration gets, written out."""

import numpy as np
import pytest

from assay.errors import ConfigError
from assay.incontext import choosing
from assay.incontext.choosing import choose, choose_nearest
from assay.incontext.kmeans import clusters, draws_of
from assay.incontext.neighbours import nearest


def pool(n: int = 60, width: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(n, width))
    features = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return features, np.arange(n)[:, None], rng.normal(size=n), [f"z{i}" for i in range(n)]


def test_queries_are_the_most_complex_of_each_cluster_of_neighbours_nearest_first() -> None:
    features, labels, complexity, ids = pool()
    found = choose(features, np.arange(60), ids, labels, complexity, neighbours=12, count=4, seed=9)
    near = nearest(features, np.arange(60), labels, 12)
    for a in range(60):
        points = features[near.positions[a]].astype(np.float64)
        groups = clusters(
            (points @ points.T)[None], np.ones((1, 12), dtype=bool), 4, draws_of([ids[a]], 4, 9)
        )
        best = [
            max(np.flatnonzero(groups[0] == k), key=lambda i: complexity[near.positions[a, i]])
            for k in range(4)
        ]
        assert found.positions[a].tolist() == near.positions[a, sorted(best)].tolist()
        cosines = [float(features[a].astype(float) @ features[b].astype(float)) for b in found.positions[a]]
        np.testing.assert_allclose(found.cosines[a], cosines, atol=1e-14)


def test_shards_and_their_sizes_change_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, complexity, ids = pool()
    whole = choose(features, np.arange(60), ids, labels, complexity, neighbours=12)
    monkeypatch.setattr(choosing, "SETS_NUMBERS", 7 * 12 * 8)
    for rows in (np.arange(13), np.arange(13, 60), np.array([59, 4])):
        part = choose(features, rows, [ids[row] for row in rows], labels, complexity, neighbours=12)
        np.testing.assert_array_equal(part.positions, whole.positions[rows])
        np.testing.assert_array_equal(part.cosines, whole.cosines[rows])


def test_few_neighbours_are_all_queries_and_the_rest_is_marked() -> None:
    features, labels, complexity, ids = pool(4)
    found = choose(features, np.arange(4), ids, labels, complexity)
    assert found.positions.shape == (4, 5)
    for a in range(4):
        assert sorted(found.positions[a, :3].tolist()) == [b for b in range(4) if b != a]
    assert (found.positions[:, 3:] == -1).all()
    assert np.isnan(found.cosines[:, 3:]).all()
    none = choose(features, np.array([], dtype=np.int64), [], labels, complexity)
    assert none.positions.shape == (0, 5)


def test_who_has_no_complexity_or_is_not_eligible_is_nobodys_query() -> None:
    features, labels, complexity, ids = pool()
    complexity[::3] = np.nan
    eligible = np.arange(60) % 5 != 0
    for found in (
        choose(features, np.arange(60), ids, labels, complexity, neighbours=12, eligible=eligible),
        choose_nearest(features, np.arange(60), labels, complexity, eligible=eligible),
    ):
        assert (found.positions >= 0).all()
        assert np.isfinite(complexity[found.positions]).all()
        assert eligible[found.positions].all()


def test_the_ablation_takes_the_nearest() -> None:
    features, labels, complexity, _ = pool()
    found = choose_nearest(features, np.arange(60), labels, complexity)
    np.testing.assert_array_equal(found.positions, nearest(features, np.arange(60), labels, 5).positions)


def test_sizes_that_cannot_be_are_refused() -> None:
    features, labels, complexity, ids = pool(6)
    with pytest.raises(ConfigError, match="--neighbours is 3, fewer than --clusters 5"):
        choose(features, np.arange(6), ids, labels, complexity, neighbours=3)
    with pytest.raises(ConfigError, match="--clusters is 0"):
        choose(features, np.arange(6), ids, labels, complexity, count=0)
