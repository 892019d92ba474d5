"""Top, trim and middle against longhand orders, with ties and missing scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.selection.ranked import middle, top, trim
from tests.selection.pools import kept, limit

NAN = float("nan")
scores_strategy = st.lists(
    st.one_of(st.just(NAN), st.integers(-3, 3).map(float)), min_size=2, max_size=12
).filter(lambda values: any(value == value for value in values))


def longhand_order(scores: list[float]) -> list[int]:
    return sorted((i for i, s in enumerate(scores) if s == s), key=lambda i: (-scores[i], i))


@settings(max_examples=60, deadline=None)
@given(scores=scores_strategy, data=st.data())
def test_top_is_the_longest_beginning_of_the_order_that_fits(
    scores: list[float], data: st.DataObject
) -> None:
    tokens = data.draw(st.lists(st.integers(1, 9), min_size=len(scores), max_size=len(scores)))
    order = longhand_order(scores)
    budget = data.draw(st.integers(tokens[order[0]], sum(tokens)))
    fits = [k for k in range(len(order) + 1) if sum(tokens[i] for i in order[:k]) <= budget]
    choice = top(np.array(scores), limit(f"{budget}tok", len(scores), tokens), "s")
    assert kept(choice.kept) == sorted(order[: max(fits)])


@settings(max_examples=60, deadline=None)
@given(scores=scores_strategy, data=st.data())
def test_trim_drops_from_the_low_end_and_never_what_has_no_score(
    scores: list[float], data: st.DataObject
) -> None:
    order = longhand_order(scores)
    without = [i for i in range(len(scores)) if i not in order]
    budget = data.draw(st.integers(len(without) + 1, len(scores)))
    staying = list(order)
    while len(staying) + len(without) > budget:
        staying.pop()
    choice = trim(np.array(scores), limit(budget, len(scores)), "s")
    assert kept(choice.kept) == sorted(staying + without)


@settings(max_examples=60, deadline=None)
@given(scores=scores_strategy, data=st.data())
def test_middle_is_a_band_with_as_many_above_as_below(scores: list[float], data: st.DataObject) -> None:
    order = longhand_order(scores)
    budget = data.draw(st.integers(1, len(order)))
    choice = middle(np.array(scores), limit(budget, len(scores)), "s")
    above = (len(order) - budget) // 2
    assert kept(choice.kept) == sorted(order[above : above + budget])


def test_a_band_starts_where_it_is_asked_to() -> None:
    scores = np.arange(100, 0, -1.0)
    assert kept(middle(scores, limit("50%", 100), "s", 0.33).kept) == list(range(33, 83))
    assert kept(middle(scores, limit(1, 100), "s", 0.29).kept) == [29]
    with pytest.raises(ConfigError, match=r"90 of 100 candidates cannot start at 0.33; start it at 0.1 or"):
        middle(scores, limit("90%", 100), "s", 0.33)
    for start in (-0.1, 1.0, NAN):
        with pytest.raises(ConfigError, match="share from 0"):
            middle(scores, limit(1, 100), "s", start)


def test_a_band_of_tokens_lies_in_the_middle_of_the_tokens() -> None:
    tokens = [10, 10, 40, 10, 10]
    choice = middle(np.array([5.0, 4, 3, 2, 1]), limit("40tok", 5, tokens), "s")
    assert kept(choice.kept) == [2]


def test_equal_scores_go_by_the_order_of_the_pool() -> None:
    scores = np.array([1.0, 2, 1, 2, 1])
    assert kept(top(scores, limit(3, 5), "s").kept) == [0, 1, 3]
    assert kept(trim(scores, limit(3, 5), "s").kept) == [0, 1, 3]


def test_reasons_and_reading_say_the_numbers() -> None:
    choice = top(np.array([0.5, NAN, 0.25, 0.125]), limit("2", 4), "ekfac")
    assert choice.reasons == (
        "rank 1 of 3 by ekfac",
        "no score by ekfac, so not chosen",
        "rank 2 of 3 by ekfac",
        "rank 3 of 3 by ekfac, beyond the budget",
    )
    assert choice.reading == (
        "Kept the highest ekfac first until the budget of 2 of 4 candidates was full: 2 candidates, 66.7% of "
        "those with a score, have 0.25 or more, the highest dropped has 0.125; equal scores go by the order "
        "of the pool.",
        "1 candidate has no score by ekfac and is not chosen.",
    )
    choice = middle(np.array([4.0, 3, 2, 1]), limit("2", 4), "loss")
    assert choice.reasons[0] == "rank 1 of 4 by loss, above the band"
    assert choice.reasons[3] == "rank 4 of 4 by loss, below the band"
    assert "ranks 2 to 3 of 4, with 3 down to 2" in choice.reading[0]
    choice = trim(np.array([4.0, NAN, 2, 1]), limit("3", 4), "s")
    assert choice.reasons[1] == "no score by s, so kept"
    assert choice.reasons[3] == "rank 3 of 3 by s, among the lowest"
    assert (
        choice.reading[1]
        == "1 candidate has no score by s and is kept, since nothing speaks for dropping them."
    )


def test_a_budget_that_scores_cannot_fill_is_said() -> None:
    choice = top(np.array([1.0, NAN, NAN]), limit("2", 3), "s")
    assert kept(choice.kept) == [0]
    assert choice.reading[-1] == "The budget of 2 of 3 candidates is not filled (1): nobody else has a score."


def test_nothing_to_choose_by_is_an_error() -> None:
    with pytest.raises(ConfigError, match="No candidate has a score by s"):
        top(np.array([NAN, NAN]), limit(1, 2), "s")
    with pytest.raises(ConfigError, match="alone has 10 learned tokens, more than the budget of 9"):
        top(np.array([1.0, 0.0]), limit("9tok", 2), "s")
    with pytest.raises(ConfigError, match="2 candidates without a score by s would be kept, with 2 of the 2"):
        trim(np.array([1.0, NAN, NAN]), limit(2, 3), "s")
    with pytest.raises(ConfigError, match="those with a score by s have 1"):
        middle(np.array([1.0, NAN, NAN]), limit(2, 3), "s")
