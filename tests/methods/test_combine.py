"""Aggregates over queries and ranks, against loops."""

import numpy as np
import pytest
from scipy.stats import rankdata

from assay.methods.combine import (
    Ordered,
    over_queries,
    percentile_ranks,
    ranks,
    task_means,
)

TASKS = ["sums", None, "letters", "sums", None, "sums"]
nan = np.nan


def scores(n: int = 9, q: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, q))


def test_task_means_are_means_over_the_queries_of_a_task() -> None:
    found = task_means(scores(), TASKS)
    assert list(found) == ["sums", None, "letters"]
    np.testing.assert_allclose(found["sums"], scores()[:, [0, 3, 5]].mean(1))
    np.testing.assert_allclose(found[None], scores()[:, [1, 4]].mean(1))
    np.testing.assert_allclose(found["letters"], scores()[:, 2])


def test_a_query_set_is_the_mean_of_its_queries_or_the_largest_mean_of_a_task() -> None:
    s = scores()
    np.testing.assert_allclose(over_queries(s, TASKS), [row.mean() for row in s])
    expected = [max(np.mean(row[[0, 3, 5]]), np.mean(row[[1, 4]]), row[2]) for row in s]
    np.testing.assert_allclose(over_queries(s, TASKS, "max over tasks"), expected)


def test_undefined_scores_are_left_out_of_means() -> None:
    s = np.array([[1.0, nan, 3.0], [nan, nan, nan], [nan, nan, 5.0]])
    np.testing.assert_equal(over_queries(s, ["a", "a", "b"]), [2.0, nan, 5.0])
    np.testing.assert_equal(over_queries(s, ["a", "a", "b"], "max over tasks"), [3.0, nan, 5.0])
    np.testing.assert_equal(task_means(s, ["a", "a", "b"])["a"], [1.0, nan, nan])


def test_rank_1_is_the_highest_ties_share_and_nan_is_left_out() -> None:
    found = ranks(np.array([2.0, nan, 5.0, 2.0, -1.0, 2.0]))
    np.testing.assert_equal(found, [3.0, nan, 1.0, 3.0, 5.0, 3.0])


def test_columns_are_ranked_on_their_own() -> None:
    s = scores()
    s[3, 1] = nan
    s[[0, 5], 2] = 7.0
    together = ranks(s)
    for q in range(6):
        np.testing.assert_equal(together[:, q], ranks(s[:, q]))
        for z in range(9):
            if not np.isnan(s[z, q]):
                higher, same = (s[:, q] > s[z, q]).sum(), (s[:, q] == s[z, q]).sum()
                assert together[z, q] == higher + (same + 1) / 2


@pytest.mark.parametrize("empty", [np.full(3, nan), np.empty(0), np.empty((0, 2)), np.full((3, 2), nan)])
def test_nothing_to_rank_gives_nothing(empty: np.ndarray) -> None:
    for ranked in (ranks, percentile_ranks):
        np.testing.assert_equal(ranked(empty), empty)


def test_a_percentile_rank_is_the_share_below_and_half_of_the_same() -> None:
    s = np.round(scores(n=40), 1)
    s[[2, 7], 4] = nan
    found = percentile_ranks(s)
    for q in range(6):
        known = s[~np.isnan(s[:, q]), q]
        for z in range(40):
            if np.isnan(s[z, q]):
                assert np.isnan(found[z, q])
            else:
                share = np.mean(known < s[z, q]) + np.mean(known == s[z, q]) / 2
                assert found[z, q] == pytest.approx(share, abs=1e-12)
        assert np.nanmean(found[:, q]) == pytest.approx(0.5)
        np.testing.assert_equal(percentile_ranks(s[:, q]), found[:, q])


def test_the_best_candidate_has_rank_1_and_the_highest_percentile() -> None:
    s = scores(n=50)[:, 0]
    assert np.argmin(ranks(s)) == np.argmax(percentile_ranks(s)) == np.argmax(s)
    assert 0 < percentile_ranks(s).min() < percentile_ranks(s).max() < 1


def test_ranks_in_parts_are_those_of_scipy() -> None:
    values = np.random.default_rng(1).integers(0, 9, 50).astype(float)
    values[::7], values[3], values[4], values[5] = nan, np.inf, -np.inf, -0.0
    ordered = Ordered.of(values)
    parts = np.concatenate([ordered.ranks(values[start : start + 8]) for start in range(0, 50, 8)])
    known = ~np.isnan(values)
    expected = np.full(50, nan)
    expected[known] = rankdata(-values[known])
    np.testing.assert_array_equal(parts, expected)
    np.testing.assert_array_equal(ranks(values), expected)
    np.testing.assert_array_equal(
        percentile_ranks(values)[known], (rankdata(values[known]) - 0.5) / known.sum()
    )
