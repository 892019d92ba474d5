"""LDS is what its formula says, its interval holds the truth, and the truth's own noise sets its ceiling."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from assay.errors import DataError, NumericsError
from assay.validation.lds import Retrained, lds, lds_difference, noise_ceiling, predictions, redrawn
from assay.validation.ranks import spearman


def halves(s: int, n: int, rng: np.random.Generator) -> np.ndarray:
    return np.stack([np.isin(np.arange(n), rng.permutation(n)[: n // 2]) for _ in range(s)])


def world(
    s: int = 30, n: int = 24, q: int = 6, k: int = 2, noise: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, Retrained]:
    """True effects (n, q) that add up, and trainings on random halves whose losses are noisy."""
    rng = np.random.default_rng(seed)
    effects, members = rng.normal(size=(n, q)), halves(s, n, rng)
    exact = members.astype(float) @ effects
    return effects, Retrained(members, exact[:, None] + noise * rng.normal(size=(s, k, q)))


def as_scored(effects: np.ndarray, correlation: float, rng: np.random.Generator) -> np.ndarray:
    return correlation * effects + np.sqrt(1 - correlation**2) * rng.normal(size=effects.shape)


def of_gaussians(correlation: float) -> float:
    """Spearman's correlation of two normal variables with Pearson's."""
    return 6 / np.pi * np.arcsin(correlation / 2)


def test_lds_is_the_mean_over_queries_of_spearman_over_subsets() -> None:
    _, truth = world(noise=2.0)
    scores = np.random.default_rng(1).integers(0, 3, size=(24, 6)).astype(float)
    expected = []
    for query in range(6):
        sums = [scores[members, query].sum() for members in truth.members]
        expected.append(spearmanr(sums, truth.decreases[:, :, query].mean(1))[0])
    found = lds(scores, truth, resamples=20)
    np.testing.assert_allclose(found.per_query, expected, rtol=1e-12)
    assert found.estimate.value == pytest.approx(np.mean(expected))
    assert (found.left_out, found.undefined) == (0, 0.0)


def test_true_effects_score_one_and_their_opposite_minus_one() -> None:
    effects, truth = world()
    assert lds(effects, truth, resamples=20).estimate.value == pytest.approx(1)
    assert lds(-effects, truth, resamples=20).estimate.value == pytest.approx(-1)


def test_a_score_of_a_candidate_counts_for_every_query_alike() -> None:
    _, truth = world(noise=1.0)
    scores = np.random.default_rng(1).normal(size=24)
    alone, repeated = (lds(each, truth, resamples=20) for each in (scores, np.tile(scores[:, None], 6)))
    assert alone.estimate == repeated.estimate


def test_a_redrawn_rank_correlation_is_that_of_the_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, size=(25, 5)).astype(float)
    y = x + rng.integers(0, 7, size=(25, 5))
    times = rng.multinomial(24, np.full(25, 1 / 25)).astype(float)
    rows = np.repeat(np.arange(25), times.astype(int))
    expected = [spearmanr(x[rows, at], y[rows, at])[0] for at in range(5)]
    np.testing.assert_allclose(spearman(x, y, times), expected, rtol=1e-12)


def test_equal_scores_predict_nothing_and_count_as_zero() -> None:
    _, truth = world()
    found = lds(np.full(24, 0.1), truth, resamples=20)
    assert found.estimate.value == 0
    assert found.left_out == 0


def test_a_query_whose_loss_never_changes_is_left_out_and_counted() -> None:
    effects, truth = world()
    decreases = truth.decreases.copy()
    decreases[:, :, 2] = 0.7
    found = lds(effects, Retrained(truth.members, decreases), resamples=20)
    assert np.isnan(found.per_query[2])
    assert (found.left_out, found.estimate.value) == (1, pytest.approx(1))


def test_a_pair_without_a_score_is_no_zero() -> None:
    scores = np.array([10.0, 10.0, np.nan, 10.0])
    members = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]], dtype=bool)
    np.testing.assert_allclose(predictions(scores, members, 2), [[20, 20], [20, 20], [20, 20], [40, 40]])
    only = predictions(np.array([np.nan, 1.0]), np.eye(2, dtype=bool), 1)
    np.testing.assert_array_equal(only, [[np.nan], [1.0]])


def test_undefined_scores_are_counted_and_change_no_other_query() -> None:
    effects, truth = world(noise=1.0)
    scores = effects.copy()
    scores[:, 1], scores[3, 4] = np.nan, np.nan
    whole, holed = lds(effects, truth, resamples=20), lds(scores, truth, resamples=20)
    assert holed.undefined == pytest.approx(25 / 144)
    assert (holed.left_out, int(np.isnan(holed.per_query).argmax())) == (1, 1)
    others = [0, 2, 3, 5]
    np.testing.assert_array_equal(whole.per_query[others], holed.per_query[others])
    assert holed.estimate.value == pytest.approx(np.mean(holed.per_query[[0, 2, 3, 4, 5]]))


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8])
def test_scores_of_a_known_correlation_have_that_lds(correlation: float) -> None:
    effects, truth = world(s=200, n=100, q=150)
    scores = as_scored(effects, correlation, np.random.default_rng(1))
    found = lds(scores, truth, resamples=20)
    assert found.estimate.value == pytest.approx(of_gaussians(correlation), abs=0.03)


def test_the_ceiling_is_what_true_effects_reach_under_noise() -> None:
    """Sums over halves of 100 candidates have variance 25; noise 5 makes one seed's reliability a half."""
    effects, truth = world(s=200, n=100, q=150, k=3, noise=5.0)
    ceiling, reached = noise_ceiling(truth, resamples=20), lds(effects, truth, resamples=20)
    assert ceiling.value == pytest.approx(np.sqrt(3 / 4), abs=0.03)
    assert reached.estimate.value == pytest.approx(ceiling.value, abs=0.03)


def test_a_second_seed_for_some_subsets_is_used_for_what_it_says() -> None:
    effects, truth = world(s=200, n=100, q=150, k=2, noise=5.0)
    decreases = truth.decreases.copy()
    decreases[100:, 1] = np.nan
    partly = Retrained(truth.members, decreases)
    assert partly.seeds == pytest.approx(1 / 0.75)
    found = noise_ceiling(partly, resamples=20)
    assert found.value == pytest.approx(np.sqrt(1 / (1 + 0.75)), abs=0.03)
    assert lds(effects, partly, resamples=20).estimate.value == pytest.approx(found.value, abs=0.04)


def test_seeds_that_contradict_each_other_leave_a_ceiling_of_zero() -> None:
    _, truth = world()
    decreases = truth.decreases.copy()
    decreases[:, 1] *= -1
    assert noise_ceiling(Retrained(truth.members, decreases), resamples=20).value == 0


def test_a_difference_is_paired() -> None:
    """Two methods that err alike differ by little, however little is known of either."""
    effects, truth = world(s=40, q=8, noise=3.0)
    first = as_scored(effects, 0.6, np.random.default_rng(1))
    second = first + 0.1 * np.random.default_rng(2).normal(size=first.shape)
    one, other, best = (lds(each, truth, resamples=200) for each in (first, second, effects))
    same = lds_difference(one, one)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    found = lds_difference(one, other)
    assert found.value == pytest.approx(one.estimate.value - other.estimate.value)
    assert found.high - found.low < 0.5 * (one.estimate.high - one.estimate.low)
    assert lds_difference(best, one).low > 0
    with pytest.raises(ValueError, match="same redraws"):
        lds_difference(one, lds(second, truth, resamples=200, seed=1))


def test_a_difference_is_over_the_queries_that_both_count() -> None:
    effects, truth = world(noise=1.0)
    holed = effects.copy()
    holed[:, 1] = np.nan
    whole, less = lds(effects, truth, resamples=20), lds(holed, truth, resamples=20)
    assert whole.estimate.value != less.estimate.value
    assert lds_difference(whole, less).value == 0


def test_tasks_are_not_redrawn_only_queries_within_them() -> None:
    """One task is predicted perfectly and one not at all: certain of these tasks, not of these queries."""
    effects, truth = world(s=200, n=60, q=20)
    scores = effects.copy()
    scores[:, 10:] = np.random.default_rng(1).normal(size=(60, 10))
    tasks = ["a"] * 10 + ["b"] * 10
    blind = lds(scores, truth, resamples=200).estimate
    within = lds(scores, Retrained(truth.members, truth.decreases, tasks), resamples=200).estimate
    assert within.value == blind.value
    assert within.high - within.low < 0.5 * (blind.high - blind.low)
    for _, weights in redrawn(Retrained(truth.members, truth.decreases, tasks), 5, 0):
        assert (weights[:10].sum(), weights[10:].sum()) == pytest.approx((10, 10))


def test_intervals_hold_the_lds_of_all_queries_and_subsets() -> None:
    """Queries differ in how well they are predicted, and candidates' scores err alike for all of them.

    Nominal .95. Redrawing subsets alone or queries alone is too narrow here; both at once is somewhat wide.
    """
    rng = np.random.default_rng(0)
    n, everyone = 24, 300
    effects = rng.normal(size=(n, everyone))
    scores = effects + rng.normal(size=(n, 1))
    rough = rng.random(everyone) < 0.5
    scores[:, rough] += 3 * rng.normal(size=(n, rough.sum()))

    def train(s: int, asked: np.ndarray) -> Retrained:
        members = halves(s, n, rng)
        losses = (members.astype(float) @ effects[:, asked])[:, None]
        return Retrained(members, losses + rng.normal(size=losses.shape))

    target = lds(scores, train(2000, np.arange(everyone)), resamples=2).estimate.value
    found = []
    for _ in range(100):
        asked = rng.choice(everyone, size=24, replace=False)
        found.append(lds(scores[:, asked], train(30, asked), resamples=100).estimate)
    assert np.mean([one.low <= target <= one.high for one in found]) >= 0.92
    width = np.mean([one.high - one.low for one in found])
    spread = np.std([one.value for one in found])
    assert 1.0 < width / (2 * 1.96 * spread) < 1.4


def test_what_does_not_fit_is_said() -> None:
    effects, truth = world()
    with pytest.raises(DataError, match="do not fit 24 candidates and 6 queries"):
        lds(effects[:-1], truth)
    with pytest.raises(DataError, match="do not fit together"):
        Retrained(truth.members, truth.decreases, ["a"])
    with pytest.raises(DataError, match="three or more"):
        Retrained(truth.members[:2], truth.decreases[:2])
    with pytest.raises(DataError, match="No query has both"):
        lds(np.full(24, np.nan), truth)
    with pytest.raises(DataError, match="nothing is known of the noise"):
        noise_ceiling(Retrained(truth.members, truth.decreases[:, :1]))
    with pytest.raises(NumericsError, match="candidate 3 is not finite"):
        lds(np.where(np.arange(24) == 3, np.inf, 0.0), truth)
    holed = truth.decreases.copy()
    holed[4, 1, 2] = np.nan
    with pytest.raises(NumericsError, match="not finite"):
        Retrained(truth.members, holed)
    holed[4] = np.nan
    with pytest.raises(DataError, match="Subset 4 was trained with no seed"):
        Retrained(truth.members, holed)
