"""Agreement with the truth, by hand and by simulation."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from assay.truth.agreement import (
    ceiling,
    commitments,
    differences,
    ranked,
    spearman,
)
from assay.truth.evaluate import truth_itself
from assay.truth.halves import CONTROL
from assay.truth.table import Effects, Truth


def test_spearman_is_scipys_also_with_ties():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, size=(2, 40)).astype(float)
    assert float(spearman(a, b)) == pytest.approx(spearmanr(a, b).statistic)


def test_untrained_strategies_are_left_out_of_their_regime_alone():
    predicted = np.array([1.0, 2, 3, 4])
    true = np.array([[1.0, 2, 3, 4], [2, 1, np.nan, np.nan]])
    found = ranked(predicted, true)
    assert found.values == pytest.approx([1, -1])
    assert found.pooled().value == pytest.approx(0)
    assert found.at(1).value == pytest.approx(-1)


def test_a_gain_is_a_paired_difference():
    rng = np.random.default_rng(1)
    true = rng.normal(size=60)
    three = true + 0.1 * rng.normal(size=(3, 60))
    good, bad = (ranked(true + noise * rng.normal(size=60), three) for noise in (0.3, 3))
    gain = (good - bad).pooled()
    assert gain.value == pytest.approx(good.pooled().value - bad.pooled().value)
    assert gain.low > 0
    none = (good - good).pooled()
    assert (none.value, none.low, none.high) == (0, 0, 0)


def test_the_interval_of_a_rank_agreement_covers():
    rng = np.random.default_rng(2)
    large = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=100_000)
    truth = float(spearman(large[:, 0], large[:, 1]))
    covered = 0
    for _ in range(60):
        a, b = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=40).T
        found = ranked(a, b[None]).pooled()
        covered += found.low <= truth <= found.high
    assert covered >= 51


def test_the_ceiling_is_what_a_perfect_prediction_reaches():
    rng = np.random.default_rng(3)
    real = rng.normal(size=4000)
    effects = real[:, None] + rng.normal(size=(4000, 3))
    reached = float(spearman(real, effects.mean(axis=1)))
    assert ceiling(effects) == pytest.approx(reached, abs=0.02)
    assert ceiling(np.stack([real, -real], axis=1)) == 0.0


def test_differences_are_a_paired_t_test():
    effects = np.array([[1.0, 2.0, 3.0], [5.0, 5.1, 5.2]])
    found = differences(effects, np.array([1.0, 1.0, 1.0]))
    assert found.mean == pytest.approx([1.0, 4.1])
    assert found.reach == pytest.approx([4.302653 / np.sqrt(3), 4.302653 * 0.1 / np.sqrt(3)], rel=1e-5)
    assert found.clear.tolist() == [False, True]


def test_commitments_count_what_was_said_and_what_was_right():
    true = differences(np.array([[1.0, 1.1, 1.2], [-1, -1.1, -1.2], [1, 1.1, 1.2], [-3, 0, 3]]), np.zeros(3))
    said = commitments(["better", "better", "undecided", "worse"], true)
    assert (said.committed, said.right, said.clear, said.clear_committed) == (3, 1, 3, 2)


def test_the_truth_itself_commits_where_tasks_agree():
    """Two strategies are as clear on these tasks; only one is alike on all of them."""
    rng = np.random.default_rng(5)
    tasks = tuple("abcdefgh")
    alike, unlike = np.full(8, 0.5), np.array([4.0, 0, 0, 0, 0, 0, 0, 0])
    loss = np.stack([np.zeros(8), alike, unlike])[:, None] + rng.normal(0, 0.01, (3, 3, 8))
    effects = Effects((CONTROL, "alike", "unlike"), (1, 2, 3), tasks, loss, loss)
    truth = Truth(0, {("middle", c): effects for c in ("in-task", "cross-task")}, {})
    rows = {(row.context, row.against): row for row in truth_itself(truth, ["alike", "unlike"])}
    assert len(rows) == 4
    for row in rows.values():
        found = row.by_regime["middle"]
        assert (found.committed, found.right, found.clear, found.clear_committed) == (1, 1, 2, 1)
