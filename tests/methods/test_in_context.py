"""Methods in context against their formulas written out, one number after another, in perplexities."""

import math
from dataclasses import replace

import numpy as np
import pytest

from assay.methods.table import METHODS, InContext, Measured
from tests.methods.measurements import context

N, M = 7, 5


def measured(c: InContext) -> Measured:
    return Measured([f"z{row}" for row in range(N)], [None] * N, np.ones(N, dtype=np.int64), context=c)


def score(name: str, c: InContext) -> np.ndarray:
    return METHODS[name].score(measured(c))


def some(**changes: object) -> InContext:
    return replace(context(N, M, 3), **changes)


def ici(c: InContext, a: int, b: int) -> float:
    """IFD(b) − IFD(b | a), each a ratio of two perplexities."""
    alone, given, shown = (math.exp(one[a, b]) for one in (c.query_alone, c.query_given, c.shown))
    return given / alone - shown / alone


def test_difficulty_is_the_ratio_of_perplexities_with_and_without_the_prompt() -> None:
    c = some()
    expected = [math.exp(c.given[z]) / math.exp(c.alone[z]) for z in range(N)]
    np.testing.assert_allclose(score("ifd", c), expected, rtol=1e-12)


def test_influence_is_the_mean_of_what_queries_gain() -> None:
    c = some()
    expected = [sum(ici(c, a, b) for b in range(M)) / M for a in range(N)]
    np.testing.assert_allclose(score("ici", c), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["wici", "wici_nearest"])
def test_weighted_influence_is_the_formula_of_the_paper(name: str) -> None:
    c = some()
    expected = [sum((1 - c.cosine[a, b]) / (2 * M) * ici(c, a, b) for b in range(M)) for a in range(N)]
    np.testing.assert_allclose(score(name, c), expected, rtol=1e-12)


def test_a_demonstration_that_makes_its_queries_easier_scores_above_zero() -> None:
    c = some()
    easier = replace(c, shown=c.query_given - 0.1)
    harder = replace(c, shown=c.query_given + 0.1)
    for name in ("ici", "wici", "wici_nearest"):
        assert (score(name, easier) > 0).all()
        assert (score(name, harder) < 0).all()
    assert score("nuggets", easier).all()
    assert not score("nuggets", harder).any()


def test_nuggets_counts_the_queries_that_become_likelier() -> None:
    c = some()
    expected = [
        [float(math.exp(c.shown[a, b]) < math.exp(c.query_given[a, b])) for b in range(M)] for a in range(N)
    ]
    assert score("nuggets", c).tolist() == expected
    same = replace(c, shown=c.query_given)
    assert not score("nuggets", same).any()


def test_complexity_is_as_it_was_measured() -> None:
    c = some()
    assert score("complexity", c).tolist() == c.complexity.tolist()


def test_what_is_not_known_is_left_out_and_never_zero() -> None:
    """Of M queries one without a number: the mean is that of the others; without any there is no score."""
    for missing in ("shown", "query_given", "query_alone"):
        c = some()
        getattr(c, missing)[2, 1] = np.nan
        getattr(c, missing)[4] = np.nan
        left = [0, 2, 3, 4]
        assert score("ici", c)[2] == pytest.approx(sum(ici(c, 2, b) for b in left) / 4)
        assert score("wici", c)[2] == pytest.approx(
            sum((1 - c.cosine[2, b]) / 8 * ici(c, 2, b) for b in left)
        )
        for name in ("ici", "wici", "wici_nearest"):
            assert np.isnan(score(name, c)).tolist() == [row == 4 for row in range(N)]
    c = some()
    c.shown[3, 2] = np.nan
    assert np.isnan(score("nuggets", c)).nonzero() == (3, 2)
    c.given[1], c.alone[5] = np.nan, np.nan
    assert np.isnan(score("ifd", c)).nonzero()[0].tolist() == [1, 5]


def test_a_ratio_beyond_float64_is_no_score() -> None:
    c = some()
    c.given[0] = 1e6
    c.shown[0] = 1e6
    assert np.isnan(score("ifd", c)[0])
    assert np.isnan(score("ici", c)[0])


def test_the_departure_positive_only_takes_the_mean_over_what_helps() -> None:
    c = some(departures=frozenset({"positive-only"}))
    c.shown[5] = c.query_given[5] + 1
    c.shown[6] = np.nan
    for a in range(5):
        helped = [b for b in range(M) if ici(c, a, b) > 0]
        expected = sum((1 - c.cosine[a, b]) / 2 * ici(c, a, b) for b in helped) / max(len(helped), 1)
        assert score("wici", c)[a] == pytest.approx(expected)
    assert score("wici", c)[5] == 0
    assert np.isnan(score("wici", c)[6])


def test_the_departure_failed_as_zero_turns_failures_into_the_best_scores() -> None:
    c = some(departures=frozenset({"failed-as-zero"}))
    c.shown[2], c.failed[2] = np.nan, True
    c.shown[3] = np.nan  # nothing was tried: too long
    c.given[4] = np.nan
    before = [math.exp(c.query_given[2, b] - c.query_alone[2, b]) for b in range(M)]
    assert score("ici", c)[2] == pytest.approx(sum(before) / M)
    assert np.isnan(score("ici", c)[3])
    assert score("nuggets", c)[2].all()
    assert score("ifd", c)[4] == 0
    assert np.isnan(score("ici", replace(c, departures=frozenset()))[2])
