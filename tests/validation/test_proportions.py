"""Shares and paired shares against scipy and against formulas written out."""

from math import sqrt

import pytest
from scipy.stats import binom, binomtest

from assay.validation.proportions import Paired, wilson_share


@pytest.mark.parametrize(("count", "of"), [(0, 7), (3, 7), (7, 7), (350, 402), (1, 1)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilsons_interval_is_scipys(count: int, of: int, confidence: float) -> None:
    found = wilson_share(count, of, confidence=confidence)
    expected = binomtest(count, of).proportion_ci(confidence, method="wilson")
    assert found.value == count / of
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_share_of_nothing_has_no_value() -> None:
    found = wilson_share(0, 0)
    assert (found.value, found.low, found.high) == (None, None, None)
    with pytest.raises(ValueError):
        wilson_share(3, 2)


@pytest.mark.parametrize(("won", "lost"), [(9, 2), (2, 9), (5, 5), (1, 0), (30, 14)])
def test_mcnemars_test_doubles_the_smaller_tail_of_the_binomial(won: int, lost: int) -> None:
    tail = float(binom.cdf(min(won, lost), won + lost, 0.5))
    assert Paired(100, won, lost).p == pytest.approx(min(1.0, 2 * tail))


def test_pairs_that_never_differ_say_nothing_against_equality() -> None:
    pairs = Paired(40, 0, 0)
    assert pairs.p == 1.0
    found = pairs.difference()
    assert found.value == 0.0
    assert found.low == pytest.approx(-found.high)
    assert found.high > 0.05


def test_bonett_and_prices_interval_is_the_formula() -> None:
    a, b, z = 10 / 52, 3 / 52, 1.959963984540054
    reach = z * sqrt((a + b - (a - b) ** 2) / 52)
    found = Paired(50, 9, 2).difference()
    assert found.value == pytest.approx(7 / 50)
    assert (found.low, found.high) == pytest.approx((a - b - reach, a - b + reach))
    assert Paired(1, 1, 0).difference().high <= 1.0
