"""An AUC is the share of pairs in the right order, and its interval holds the true one."""

import numpy as np
import pytest
from scipy.stats import norm

from assay.errors import DataError
from assay.validation.auc import auc

PLANTED = np.array([True, True, False, False, False])


def test_auc_is_the_share_of_pairs_in_order_ties_counting_half() -> None:
    assert auc(np.array([3.0, 1.0, 2.0, 1.0, 0.0]), PLANTED).value == pytest.approx((3 + 0 + 0.5 + 1) / 6)


def test_a_perfect_find_is_one_with_an_interval_that_is_no_point() -> None:
    found = auc(np.array([5.0, 4.0, 3.0, 2.0, 1.0]), PLANTED)
    assert (found.value, found.high) == (1, 1)
    assert 0.1 < found.low < 0.9
    mirrored = auc(-np.array([5.0, 4.0, 3.0, 2.0, 1.0]), PLANTED)
    assert (mirrored.low, mirrored.high) == pytest.approx((0, 1 - found.low))


def test_candidates_without_a_score_are_left_out() -> None:
    scores = np.array([3.0, np.nan, 2.0, 4.0, np.nan])
    assert auc(scores, PLANTED).value == 0.5
    with pytest.raises(DataError, match="0 planted candidates and 3 others"):
        auc(np.array([np.nan, np.nan, 1.0, 2.0, 3.0]), PLANTED)


@pytest.mark.parametrize("true", [0.5, 0.8, 0.97])
def test_intervals_hold_the_true_auc(true: float) -> None:
    rng = np.random.default_rng(0)
    planted = np.arange(150) < 25
    shift = np.sqrt(2) * norm.ppf(true)
    held = []
    for _ in range(300):
        found = auc(rng.normal(size=150) + shift * planted, planted)
        held.append(found.low <= true <= found.high)
    assert 0.92 <= np.mean(held) <= 0.99
