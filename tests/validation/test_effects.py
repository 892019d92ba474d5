"""Effects are paired by seed and query, positive is good, and every interval says what it redraws."""

import numpy as np
import pytest
from jaxtyping import Float
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_rel

from assay.errors import DataError, NumericsError
from assay.validation.arms import Comparison
from assay.validation.effects import Measured, effect, interactions_of, level, rows_of, sentences, with_holm
from assay.validation.errors_of_means import error_of_crossed, error_of_mean, holm
from assay.validation.result import Direction, Effect, Measure

LOSS = Measure("loss", "Loss", "nats per query", higher_is_better=False)
RIGHT = Measure("right", "Right answers", "share of right answers")
DIFFERENCE = {"arm": 1.0, "base": -1.0}

Table = Float[np.ndarray, "s q"]


def measured(values: dict[str, Table], measure: Measure = LOSS, direction: Direction = "desired") -> Measured:
    return Measured("tiny", "pos", direction, measure, values)


def normal(seeds: int, queries: int, *arms: str, seed: int = 0) -> dict[str, Table]:
    rng = np.random.default_rng(seed)
    return {arm: rng.normal(place, 1.0, (seeds, queries)) for place, arm in enumerate(arms)}


def rights(seeds: int, queries: int, *arms: str, seed: int = 0) -> dict[str, Table]:
    rng = np.random.default_rng(seed)
    return {arm: (rng.random((seeds, queries)) < 0.5).astype(float) for arm in arms}


def test_several_seeds_are_tested_by_the_paired_t_of_their_means() -> None:
    values = normal(4, 9, "base", "arm")
    found = effect(measured(values), DIFFERENCE)
    base, arm = values["base"].mean(1), values["arm"].mean(1)
    expected = ttest_rel(base, arm)
    assert found.value == pytest.approx(base.mean() - arm.mean())
    assert found.per_seed == pytest.approx(tuple(base - arm))
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.test, found.resampled) == ("t over seeds", "seeds")
    assert (found.seeds, found.queries) == (4, 9)


def test_seeds_are_what_varies_not_queries() -> None:
    few = normal(3, 5, "base", "arm")
    many = {arm: np.tile(table, (1, 50)) for arm, table in few.items()}
    one, other = effect(measured(few), DIFFERENCE), effect(measured(many), DIFFERENCE)
    assert (one.low, one.high, one.p) == pytest.approx((other.low, other.high, other.p))


@pytest.mark.parametrize(
    ("measure", "direction", "sign"),
    [(LOSS, "desired", -1), (LOSS, "undesired", 1), (RIGHT, "desired", 1), (RIGHT, "undesired", -1)],
)
def test_a_positive_effect_is_good_for_the_user(measure: Measure, direction: Direction, sign: int) -> None:
    values = {"base": np.zeros((2, 4)), "arm": np.eye(2, 4)}
    assert effect(measured(values, measure, direction), DIFFERENCE).value == sign * 0.25


def test_one_seed_of_right_answers_is_mcnemars_over_queries() -> None:
    base = np.array([[0.0] * 9 + [1.0] * 2 + [1.0] * 9])
    arm = np.array([[1.0] * 9 + [0.0] * 2 + [1.0] * 9])
    found = effect(measured({"base": base, "arm": arm}, RIGHT), DIFFERENCE)
    assert found.value == pytest.approx(7 / 20)
    assert found.p == pytest.approx(2 * (1 + 11 + 55) / 2**11)
    assert (found.test, found.resampled, found.seeds) == ("exact McNemar over queries", "queries", 1)


def test_one_seed_of_losses_is_a_paired_t_over_queries() -> None:
    values = normal(1, 12, "base", "arm")
    found = effect(measured(values), DIFFERENCE)
    expected = ttest_rel(values["base"][0], values["arm"][0])
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.test, found.resampled) == ("paired t over queries", "queries")


def test_units_that_do_not_differ_are_not_tested() -> None:
    for seeds, queries in ((3, 4), (1, 1)):
        found = effect(
            measured({"base": np.full((seeds, queries), 0.3), "arm": np.zeros((seeds, queries))}), DIFFERENCE
        )
        assert found.value == pytest.approx(0.3)
        assert (found.low, found.high, found.p, found.test, found.resampled) == (
            None,
            None,
            None,
            "no test",
            "nothing",
        )
        assert found.sign == 0


def test_differences_that_rounding_makes_are_none() -> None:
    base = np.array([[0.1 + 0.2], [0.3], [0.3]])
    assert effect(measured({"base": base, "arm": np.zeros((3, 1))}), DIFFERENCE).test == "no test"


def test_a_query_counts_only_where_both_arms_have_a_value() -> None:
    values = rights(3, 6, "base", "arm")
    values["arm"][0, 2] = values["base"][1, 4] = np.nan
    found = effect(measured(values, RIGHT), DIFFERENCE)
    difference = values["arm"] - values["base"]
    assert found.left_out == 2
    assert found.value == pytest.approx(np.mean([np.nanmean(row) for row in difference]))
    values["arm"][2] = np.nan
    assert effect(measured(values, RIGHT), DIFFERENCE).seeds == 2
    values["arm"][:] = np.nan
    with pytest.raises(DataError, match="Right answers"):
        effect(measured(values, RIGHT), DIFFERENCE)


def test_values_that_make_no_sense_are_refused() -> None:
    with pytest.raises(NumericsError, match="'arm' on pos is not finite"):
        measured({"base": np.zeros((1, 2)), "arm": np.array([[0.0, np.inf]])})
    with pytest.raises(NumericsError, match="neither 0 nor 1"):
        measured({"base": np.full((1, 2), 0.5)}, RIGHT)
    with pytest.raises(DataError, match="same seeds and queries"):
        measured({"base": np.zeros((1, 2)), "arm": np.zeros((2, 2))})
    with pytest.raises(DataError, match="'other' was not measured"):
        effect(measured({"base": np.zeros((1, 2))}), {"other": 1.0, "base": -1.0})


def test_redrawn_queries_add_their_variance() -> None:
    table = np.random.default_rng(1).normal(size=(3, 8)) + np.linspace(-2, 2, 8) + [[-1], [0], [1]]
    rest = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
    parts = [table.mean(1).var(ddof=1) / 3, table.mean(0).var(ddof=1) / 8, (rest**2).sum() / 14 / 24]
    squared = parts[0] + parts[1] - parts[2]
    assert squared > max(parts)
    error, freedom = error_of_crossed(table)
    assert error == pytest.approx(np.sqrt(squared))
    assert freedom == pytest.approx(squared**2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 7 + parts[2] ** 2 / 14))
    found = effect(measured({"base": table, "arm": np.zeros((3, 8))}), DIFFERENCE, "redrawn")
    assert found.standard_error == pytest.approx(error)
    assert found.high == pytest.approx(found.value + student.ppf(0.975, freedom) * error)
    assert found.resampled == "seeds and queries"
    fixed = effect(measured({"base": table, "arm": np.zeros((3, 8))}), DIFFERENCE)
    assert fixed.standard_error == pytest.approx(error_of_mean(table.mean(1))[0])
    assert fixed.standard_error < error


def test_intervals_cover_what_they_say() -> None:
    """Seeds and queries both vary: 95% intervals that redraw both hold the truth (0) about as often."""
    rng, held, drawn = np.random.default_rng(2), 0, 400
    for _ in range(drawn):
        table = rng.normal(size=(4, 1)) * 0.3 + rng.normal(size=(1, 25)) + rng.normal(size=(4, 25))
        found = effect(measured({"base": table, "arm": np.zeros((4, 25))}), DIFFERENCE, "redrawn")
        assert found.low is not None and found.high is not None
        held += found.low <= 0 <= found.high
    assert 0.92 < held / drawn < 0.995


def test_a_row_for_every_arm_and_holm_over_those_that_are_tested() -> None:
    values = normal(3, 6, "base", "a", "b") | {"same": normal(3, 6, "base")["base"]}
    rows = rows_of(measured(values), "base")
    assert [row.arm for row in rows] == ["base", "a", "b", "same"]
    assert rows[0].effect is None
    effects = [row.effect for row in rows[1:]]
    assert [one.family for one in effects if one] == [2, 2, 0]
    known = [one.p for one in effects if one and one.p is not None]
    assert [one.p_holm for one in effects if one and one.p is not None] == pytest.approx(holm(known))
    assert rows[1].level.value == pytest.approx(values["a"].mean())


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_level_has_an_interval_over_seeds_or_over_the_queries_of_one() -> None:
    values = normal(3, 6, "base")["base"]
    found = level(measured({"base": values}), "base")
    interval = ttest_1samp(values.mean(1), 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.resampled == "seeds"
    found = level(measured({"base": np.array([[1.0, 1.0, 1.0]])}, RIGHT), "base")
    assert (found.value, found.high, found.resampled) == (1.0, 1.0, "queries")
    assert found.low is not None and found.low < 0.5
    found = level(measured({"base": np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])}, RIGHT), "base")
    assert (found.value, found.high, found.resampled) == (pytest.approx(5 / 6), 1.0, "seeds")


def test_arms_are_held_against_what_they_are_made_of() -> None:
    values = normal(4, 7, "base", "base+a", "base+b", "base+a+b", "base -> a")
    comparisons = (
        Comparison("together", "base+a+b", ("base+a", "base+b"), "base"),
        Comparison("staged", "base -> a", ("base+a",)),
    )
    together, staged = interactions_of(measured(values), comparisons)
    means = {arm: -table.mean(1) for arm, table in values.items()}
    for part, found in zip(("base+a", "base+b"), together.beyond, strict=True):
        assert found.per_seed == pytest.approx(tuple(means["base+a+b"] - means[part]))
    more = means["base+a+b"] - means["base+a"] - means["base+b"] + means["base"]
    assert together.additivity is not None and staged.additivity is None
    assert together.additivity.per_seed == pytest.approx(tuple(more))
    assert together.additivity.p == pytest.approx(ttest_1samp(more, 0.0).pvalue)
    assert staged.beyond[0].per_seed == pytest.approx(tuple(means["base -> a"] - means["base+a"]))
    tested = [*together.beyond, together.additivity, *staged.beyond]
    assert {one.family for one in tested} == {4}
    assert not together.more_than_each


def test_more_than_each_needs_every_interval_above_zero() -> None:
    rng = np.random.default_rng(3)
    values = {arm: rng.normal(-place, 0.01, (3, 5)) for place, arm in enumerate(("base", "x", "y", "x+y"))}
    comparison = (Comparison("together", "x+y", ("x", "y")),)
    assert interactions_of(measured(values), comparison)[0].more_than_each
    values["y"] = values["x+y"] + rng.normal(0, 0.01, (3, 5))
    assert not interactions_of(measured(values), comparison)[0].more_than_each


def test_a_sum_of_right_answers_of_one_seed_is_a_t_over_queries() -> None:
    values = rights(1, 30, "base", "a", "b", "ab")
    found = interactions_of(measured(values, RIGHT), [Comparison("together", "ab", ("a", "b"), "base")])[0]
    assert [one.test for one in found.beyond] == ["exact McNemar over queries"] * 2
    assert found.additivity is not None and found.additivity.test == "paired t over queries"


def test_tests_that_were_not_made_are_in_no_family() -> None:
    made = Effect(0.0, None, None, None, 0.02, "t over seeds", "seeds", 3, 5, (0.0,))
    blank = Effect(0.0, None, None, None, None, "no test", "nothing", 1, 1, (0.0,))
    found = with_holm([blank, made, made])
    assert [(one.p_holm, one.family) for one in found] == [(None, 0), (0.04, 2), (0.04, 2)]


def test_the_sentences_say_what_was_redrawn_and_what_was_adjusted() -> None:
    assert "One seed" in sentences("fixed", 1, 1)[0]
    assert "queries fixed" in sentences("fixed", 3, 1)[0]
    assert "seeds and the queries" in sentences("redrawn", 3, 1)[0]
    assert "one base model" in sentences("fixed", 3, 2)[1]
