"""Exact neighbours against a loop in float64, with little in memory."""

from typing import Any

import numpy as np
import pytest

from assay.incontext import neighbours
from assay.incontext.neighbours import nearest


def points(n: int, width: int = 6, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(n, width))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def by_loop(
    features: np.ndarray, labels: np.ndarray, count: int, eligible: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Each pair on its own, then a stable sort."""
    n = len(features)
    positions, cosines = np.full((n, count), -1), np.full((n, count), np.nan)
    for a in range(n):
        found = []
        for b in range(n):
            alike = any(labels[a, c] == labels[b, c] >= 0 for c in range(labels.shape[1]))
            cosine = float(features[a].astype(np.float64) @ features[b].astype(np.float64))
            barred = a == b or alike or (eligible is not None and not eligible[b])
            if not barred and np.isfinite(cosine):
                found.append((-round(cosine * 2**30), b, cosine))
        for place, (_, b, cosine) in enumerate(sorted(found)[:count]):
            positions[a, place], cosines[a, place] = b, cosine
    return positions, cosines


@pytest.mark.parametrize("block", [4, 64, 500])
def test_neighbours_are_those_of_a_loop_over_all_pairs(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "LARGEST_BLOCK", block)
    rng = np.random.default_rng(1)
    features = points(90)
    features[40:45], features[70] = features[3], features[8]
    features[20] = np.nan
    labels = np.stack([rng.integers(-1, 30, 90), rng.integers(-1, 12, 90)], axis=1)
    eligible = rng.random(90) < 0.8
    found = nearest(features, np.arange(90), labels, 8, eligible=eligible)
    positions, cosines = by_loop(features, labels, 8, eligible)
    np.testing.assert_array_equal(found.positions, positions)
    np.testing.assert_allclose(found.cosines, cosines, atol=1e-14)
    assert (found.positions[20] == -1).all()


def test_of_equal_cosines_the_earlier_candidate_is_nearer() -> None:
    features = points(12)
    features[[2, 5, 9, 11]] = features[0]
    found = nearest(features, np.array([0, 9]), np.full((12, 1), -1), 3)
    assert found.positions.tolist() == [[2, 5, 9], [0, 2, 5]]


def test_a_candidate_and_those_with_one_of_its_labels_are_never_its_neighbours() -> None:
    features = np.repeat(points(1), 5, axis=0)
    labels = np.array([[1, 7], [1, -1], [2, 7], [3, -1], [4, -1]])
    found = nearest(features, np.arange(5), labels, 4)
    assert found.positions.tolist() == [
        [3, 4, -1, -1],
        [2, 3, 4, -1],
        [1, 3, 4, -1],
        [0, 1, 2, 4],
        [0, 1, 2, 3],
    ]
    assert np.isnan(found.cosines[0, 2:]).all()


def test_which_rows_are_asked_together_changes_nothing() -> None:
    features, labels = points(200, 9), np.arange(200)[:, None]
    together = nearest(features, np.arange(200), labels, 5)
    for rows in (np.arange(200)[::-1].copy(), np.array([17]), np.arange(60, 131)):
        alone = nearest(features, rows, labels, 5)
        np.testing.assert_array_equal(alone.positions, together.positions[rows])
        np.testing.assert_array_equal(alone.cosines, together.cosines[rows])


class Counting:
    """Features that tell how many rows were read at a time, and refuse to be taken as a whole."""

    def __init__(self, inner: np.ndarray) -> None:
        self.inner, self.shape, self.most = inner, inner.shape, 0

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, at: Any) -> np.ndarray:
        taken = self.inner[at]
        self.most = max(self.most, len(taken))
        return taken

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise AssertionError("the whole was asked for")


def test_no_more_than_a_block_of_features_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = points(300, 16)
    features: Any = Counting(inner)
    monkeypatch.setattr(neighbours, "BLOCK_NUMBERS", 16 * 40)
    found = nearest(features, np.arange(300), np.arange(300)[:, None], 4)
    assert features.most == 40
    np.testing.assert_array_equal(
        found.positions, nearest(inner, np.arange(300), np.arange(300)[:, None], 4).positions
    )


def test_a_pool_of_one_has_no_neighbours() -> None:
    found = nearest(points(1), np.array([0]), np.zeros((1, 1), dtype=np.int64), 3)
    assert found.positions.tolist() == [[-1, -1, -1]]
