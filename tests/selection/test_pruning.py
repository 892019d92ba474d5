"""Influence pruning against longhand quantiles: what is low in both, the careful side, alternation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.selection.choice import Choice
from assay.selection.pruning import READING, prune_combined, prune_correct, prune_incorrect
from tests.selection.pools import kept, limit

NAN = float("nan")


def lowest(values: list[float], known: list[int], count: int) -> set[int]:
    """The `count` lowest; of equal values the later is the lower."""
    return set(sorted(known, key=lambda i: (values[i], -i))[:count])


def highest(values: list[float], known: list[int], count: int) -> set[int]:
    return set(sorted(known, key=lambda i: (-values[i], i))[:count])


def longhand(score: list[float], rank: list[float], drop: int, end: object) -> set[int]:
    """Raise the shared quantile by one candidate after another while the intersection keeps to the budget."""
    known = [i for i in range(len(score)) if score[i] == score[i] and rank[i] == rank[i]]
    dropped: set[int] = set()
    for count in range(len(known) + 1):
        both = end(score, known, count) & end(rank, known, count)  # type: ignore[operator]
        if len(both) <= drop:
            dropped = both
    return dropped


columns = st.integers(2, 14).flatmap(
    lambda n: st.tuples(
        *[st.lists(st.integers(0, 6).map(float), min_size=n, max_size=n)] * 4,
        st.sets(st.integers(0, n - 1), max_size=n // 3),
        st.integers(1, n),
    )
)


@settings(max_examples=60, deadline=None)
@given(drawn=columns)
def test_one_sided_pruning_drops_the_largest_intersection_within_the_budget(drawn: tuple) -> None:
    score, rank, _, _, missing, budget = drawn
    n = len(score)
    score = [NAN if i in missing else value for i, value in enumerate(score)]
    if len(missing) >= budget and missing:
        with pytest.raises(ConfigError, match="without a score"):
            prune_correct(np.array(score), np.array(rank), limit(budget, n), "C")
        return
    choice = prune_correct(np.array(score), np.array(rank), limit(budget, n), "C")
    assert set(kept(~choice.kept)) == longhand(score, rank, n - budget, lowest)
    choice = prune_incorrect(np.array(score), np.array(rank), limit(budget, n), "I")
    assert set(kept(~choice.kept)) == longhand(score, rank, n - budget, highest)


def entering(score: list[float], rank: list[float], end: object) -> list[int]:
    """Candidates in the order in which the shared quantile takes them in, found by raising it."""
    known = list(range(len(score)))

    def entry(i: int, values: list[float]) -> int:
        return next(c for c in range(1, 99) if i in end(values, known, c))  # type: ignore[operator]

    order: list[int] = []
    for count in range(1, len(known) + 1):
        fresh = end(score, known, count) & end(rank, known, count) - set(order)  # type: ignore[operator]
        order += sorted(fresh, key=lambda i: (min(entry(i, score), entry(i, rank)), entry(i, score)))
    return order


@settings(max_examples=60, deadline=None)
@given(drawn=columns)
def test_combined_pruning_takes_turns_until_the_budget_is_met_exactly(drawn: tuple) -> None:
    s_c, r_c, s_i, r_i, _, budget = drawn
    n = len(s_c)
    queues = [entering(s_c, r_c, lowest), entering(s_i, r_i, highest)]
    dropped: list[int] = []
    for turn in range(n - budget):
        dropped.append(next(i for i in queues[turn % 2] if i not in dropped))
    choice = prune_combined(
        (np.array(s_c), np.array(r_c)), (np.array(s_i), np.array(r_i)), limit(budget, n), ("C", "I")
    )
    assert kept(~choice.kept) == sorted(dropped)


def test_the_region_is_where_candidates_were_dropped() -> None:
    draw = np.random.default_rng(1)
    s_c, r_c, s_i, r_i = draw.normal(size=(4, 200))
    for budget in ("90%", "50%"):
        choice = prune_correct(s_c, r_c, limit(budget, 200), "C", "I")
        region = choice.region
        assert region is not None
        assert (region.x, region.y, region.high_y, region.high_rank_y) == ("C", "I", None, None)
        inside = (s_c <= region.low_x) & (r_c <= region.low_rank_x)
        assert (inside == ~choice.kept).all()
        choice = prune_incorrect(s_i, r_i, limit(budget, 200), "I", "C")
        region = choice.region
        assert region is not None
        assert (region.x, region.y, region.low_x, region.low_rank_x) == ("C", "I", None, None)
        assert (((s_i >= region.high_y) & (r_i >= region.high_rank_y)) == ~choice.kept).all()
        choice = prune_combined((s_c, r_c), (s_i, r_i), limit(budget, 200), ("C", "I"))
        region = choice.region
        assert region is not None
        inside = ((s_c <= region.low_x) & (r_c <= region.low_rank_x)) | (
            (s_i >= region.high_y) & (r_i >= region.high_rank_y)
        )
        assert set(kept(~choice.kept)) <= set(kept(inside))
        late = kept(inside & choice.kept)
        assert len(late) <= 2
        assert all(choice.reasons[i] == "the budget was met just before its turn to be dropped" for i in late)


def test_an_intersection_that_jumps_stays_below_and_says_so() -> None:
    score, rank = np.array([1.0, 2, 9, 8]), np.array([2.0, 1, 9, 8])
    choice = prune_correct(score, rank, limit(3, 4), "C")
    assert choice.kept.all()
    assert choice.reading[-2:] == (
        "Nothing was dropped.",
        "The budget asks to drop 1 of 4 candidates; dropped are 0, since the next larger quantile would drop "
        "2.",
    )
    assert set(choice.reasons) == {"nothing was dropped"}
    assert choice.region is not None
    assert choice.region.low_x is None
    exact = prune_correct(score, rank, limit(2, 4), "C")
    assert kept(exact.kept) == [2, 3]
    assert not any("asks to drop" in sentence for sentence in exact.reading)


def test_what_has_no_score_is_kept_and_says_so() -> None:
    score, rank = np.array([1.0, NAN, 3, 0]), np.array([1.0, 0, NAN, 0])
    choice = prune_correct(score, rank, limit(3, 4), "C")
    assert kept(choice.kept) == [0, 1, 2]
    assert choice.reasons[1:3] == ("no score by C, so kept", "no score by C, so kept")
    assert (
        choice.reading[-1]
        == "2 candidates have no score by C and are kept, since nothing speaks for dropping them."
    )
    combined = prune_combined((score, rank), (rank, score), limit(3, 4), ("C", "I"))
    assert combined.reasons[1] == "no score by C and I, so kept"
    with pytest.raises(ConfigError, match="2 candidates without a score by C would be kept"):
        prune_correct(score, rank, limit(2, 4), "C")


def test_reading_and_reasons_carry_the_numbers() -> None:
    score, rank = np.array([-0.5, -0.25, 0.125, 1.0]), np.array([0.2, 0.3, 0.1, 0.9])
    choice = prune_correct(score, rank, limit(3, 4), "won")
    assert choice.reading == (
        READING,
        "Here s_C is 'won' and r_C its percentile rank within queries, averaged over queries.",
        "Dropped 1 candidate among the lowest 50.0% of s_C (-0.25 or less) and of r_C (0.2 or less); the "
        "budget is 3 of 4 candidates.",
    )
    assert choice.reasons == (
        "s_C -0.5 and r_C 0.2 are both among the lowest 50.0%",
        "r_C not among the lowest 50.0%",
        "s_C not among the lowest 50.0%",
        "s_C and r_C not among the lowest 50.0%",
    )
    choice = prune_combined((score, rank), (score, rank), limit(2, 4), ("won", "lost"))
    assert choice.reading[0] == READING
    assert "s_I is 'lost' and r_I its percentile rank" in choice.reading[2]
    assert choice.reading[3] == (
        "Dropped 1 candidate by the lowest 50.0% of s_C (-0.25 or less) and of r_C (0.2 or less) and 1 "
        "candidate by the highest 25.0% of s_I (1 or more) and of r_I (0.9 or more); the budget is 2 of 4 "
        "candidates."
    )
    assert choice.reasons[3] == "s_I 1 and r_I 0.9 are both among the highest 25.0%"
    assert choice.reasons[1] == "r_C not among the lowest 50.0%; s_I and r_I not among the highest 25.0%"


def test_the_whole_pool_as_budget_drops_nothing() -> None:
    column = np.array([1.0, 2, 3])
    choices: list[Choice] = [
        prune_correct(column, column, limit("100%", 3), "C"),
        prune_combined((column, column), (column, column), limit("100%", 3), ("C", "I")),
    ]
    for choice in choices:
        assert choice.kept.all()
        assert "Nothing was dropped." in choice.reading
        assert set(choice.reasons) == {"nothing was dropped"}


def test_budgets_of_tokens_drop_no_more_tokens_than_asked() -> None:
    draw = np.random.default_rng(2)
    tokens = draw.integers(1, 50, 100)
    s_c, r_c, s_i, r_i = draw.normal(size=(4, 100))
    whole = int(tokens.sum())
    asked = limit(f"{whole // 2}tok", 100, tokens.tolist())
    for choice in (
        prune_correct(s_c, r_c, asked, "C"),
        prune_incorrect(s_i, r_i, asked, "I"),
        prune_combined((s_c, r_c), (s_i, r_i), asked, ("C", "I")),
    ):
        dropped = int(tokens[~choice.kept].sum())
        assert asked.to_drop - 100 <= dropped <= asked.to_drop
        assert any(f"dropped are {dropped:,}" in one for one in choice.reading) == (dropped != asked.to_drop)
