"""Predictions beside outcomes: signs, ranks and commitments against scipy and by hand."""

from math import atanh, sqrt, tanh

import numpy as np
import pytest
from scipy.stats import binomtest, spearmanr

from assay.studies.result import Context, Estimate, Verdict, VsControl, VsZero
from assay.validation.against import Prediction, agreements_of, beside, predictions_of, rank
from assay.validation.result import Against, Beside, Direction, Effect


def effect(value: float, reach: float = 0.1) -> Effect:
    return Effect(value, value - reach, value + reach, 0.05, 0.1, "t over seeds", "seeds", 3, 9, (value,))


def row(
    verdict: str,
    predicted: float,
    true: float,
    context: Context = "in-task",
    against: Against = "base",
    direction: Direction = "desired",
) -> Beside:
    said = Prediction("cot", "pos", context, against, verdict, predicted, None, None)
    return beside(said, effect(true), model="tiny", measure="loss", arm="base+cot", direction=direction)


@pytest.mark.parametrize(
    ("verdict", "predicted", "true", "committed", "clear", "agrees", "kept"),
    [
        ("helps", 0.4, 0.3, True, True, True, True),
        ("helps", 0.4, -0.3, True, True, False, False),
        ("harms", -0.4, -0.05, True, False, True, True),
        ("undecided", 0.1, -0.3, False, True, False, None),
        ("none", 0.0, 0.3, False, True, None, None),
        ("better", 0.2, 0.0, True, False, None, False),
        ("worse", -0.2, -0.3, True, True, True, True),
    ],
)
def test_a_row_says_whether_the_verdict_held(
    verdict: str,
    predicted: float,
    true: float,
    committed: bool,
    clear: bool,
    agrees: bool | None,
    kept: bool | None,
) -> None:
    found = row(verdict, predicted, true)
    assert (found.committed, found.clear, found.agrees, found.kept) == (committed, clear, agrees, kept)


def test_agreement_counts_signs_commitments_and_ranks() -> None:
    rows = [
        row("helps", 0.5, 0.9),
        row("helps", 0.4, 0.2),
        row("undecided", 0.1, 0.3),
        row("harms", -0.2, 0.01),
        row("undecided", 0.0, -0.4),
    ]
    (found,) = agreements_of(rows)
    assert (found.signs.count, found.signs.of) == (3, 4)
    expected = binomtest(3, 4).proportion_ci(0.95, method="wilson")
    assert (found.signs.low, found.signs.high) == pytest.approx((expected.low, expected.high))
    assert (found.committed.count, found.committed.of) == (3, 5)
    assert (found.kept.count, found.kept.of) == (2, 3)
    assert (found.clear_committed.count, found.clear_committed.of) == (2, 4)
    assert found.rank.value == pytest.approx(
        spearmanr([one.predicted for one in rows], [one.true for one in rows]).statistic
    )
    assert found.rows == tuple(rows)


def test_contexts_and_what_is_held_against_are_not_pooled() -> None:
    rows = [
        row("helps", 1.0, 1.0),
        row("helps", 1.0, 1.0, "cross-task"),
        row("better", 1.0, 1.0, "cross-task", "control"),
        row("harms", -1.0, 1.0),
    ]
    found = agreements_of(rows)
    assert [(one.context, one.against, len(one.rows)) for one in found] == [
        ("in-task", "base", 2),
        ("cross-task", "base", 1),
        ("cross-task", "control", 1),
    ]


def test_mirrored_query_sets_are_counted_once_for_each_direction() -> None:
    mirrored = [
        row("harms", -1.0, -0.9, direction="undesired"),
        row("helps", 1.0, 0.9),
        row("harms", -2.0, -0.8, direction="undesired"),
        row("helps", 2.0, 0.8),
    ]
    found = agreements_of(mirrored)
    assert [one.direction for one in found] == ["desired", "undesired"]
    for one in found:
        assert (one.signs.count, one.signs.of, one.rank.n) == (2, 2, 2)
        assert (one.committed.of, one.kept.of) == (2, 2)
        assert {each.direction for each in one.rows} == {one.direction}


@pytest.mark.parametrize("seed", range(5))
def test_spearman_is_scipys_with_ties_and_its_interval_is_bonett_and_wrights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, 9).astype(float), rng.normal(size=9)
    found = rank(x.tolist(), y.tolist())
    r = float(spearmanr(x, y).statistic)
    reach = 1.959963984540054 * sqrt((1 + r**2 / 2) / 6)
    assert found.value == pytest.approx(r)
    assert (found.low, found.high) == pytest.approx((tanh(atanh(r) - reach), tanh(atanh(r) + reach)))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_order_is_not_taken_for_certain(sign: int) -> None:
    numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    swapped = [2.0, 1.0, 3.0, 4.0, 5.0, 6.0]
    perfect = rank(numbers, [sign * each for each in numbers])
    near = rank(numbers, [sign * each for each in swapped])
    assert perfect.value == sign
    if sign > 0:
        assert perfect.high == 1.0
        assert perfect.low == pytest.approx(near.low)
    else:
        assert perfect.low == -1.0
        assert perfect.high == pytest.approx(near.high)


def test_ranks_that_are_not_defined_have_no_value() -> None:
    assert rank([1.0], [2.0]).value is None
    assert rank([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).value is None
    three = rank([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert (three.value, three.low) == (pytest.approx(0.5), None)


def estimate(value: float, method: str = "jackknife") -> Estimate:
    return Estimate(value, value - 1, value + 1, 0.5, "these tasks", 3, method)


def verdict(vs_zero: VsZero, vs_control: VsControl | None, difference: Estimate | None) -> Verdict:
    return Verdict(
        probe_set="cot",
        query_set="pos",
        context="in-task",
        estimator="relinf",
        vs_control=vs_control,
        vs_zero=vs_zero,
        when="early",
        sentence="",
        effect=estimate(0.5, "no interval: one probe"),
        control_effect=None,
        difference=difference,
        margin=None,
    )


def test_a_verdict_predicts_against_the_base_and_against_the_control() -> None:
    found = predictions_of([verdict("helps", "worse", estimate(-2.0)), verdict("none", None, None)])
    assert [(one.against, one.verdict, one.value, one.low, one.high) for one in found] == [
        ("base", "helps", 0.5, None, None),
        ("control", "worse", -2.0, -3.0, -1.0),
        ("base", "none", 0.5, None, None),
    ]
