"""Rounds of queries and shares of groups against longhand versions."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.selection import rounds
from assay.selection.rounds import balance, round_robin
from tests.selection.pools import kept, limit

NAN = float("nan")


def longhand_rounds(scores: np.ndarray, amount: int) -> list[int]:
    """Every query looks through all candidates for its best one left."""
    taken: list[int] = []
    while True:
        before = len(taken)
        for column in scores.T:
            left = [i for i in range(len(scores)) if i not in taken and column[i] == column[i]]
            if left and len(taken) < amount:
                taken.append(max(left, key=lambda i: (column[i], -i)))
        if len(taken) == before:
            return taken


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 12),
    queries=st.integers(1, 4),
    holes=st.sampled_from([0, 0.4]),
)
def test_each_query_in_turn_takes_its_best_candidate_left(
    seed: int, n: int, queries: int, holes: float
) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.integers(0, 5, (n, queries)).astype(float)
    scores[draw.random((n, queries)) < holes] = NAN
    scores[0, 0] = 1.0
    amount = int(draw.integers(1, n + 1))
    choice = round_robin(scores, limit(amount, n), "s", [f"q{j}" for j in range(queries)])
    taken = longhand_rounds(scores, amount)
    assert kept(choice.kept) == sorted(taken)
    assert np.argsort(-choice.preference, kind="stable")[: len(taken)].tolist() == taken


@pytest.mark.parametrize("alike", [True, False])
def test_queries_that_look_up_few_at_a_time_take_the_same(
    alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "LEAST_AHEAD", 1)
    draw = np.random.default_rng(3)
    scores = draw.normal(size=(60, 1)) + np.zeros((60, 12)) if alike else draw.normal(size=(60, 12))
    scores[draw.random(60) < 0.2] = NAN
    choice = round_robin(scores, limit(40, 60), "s", [f"q{j}" for j in range(12)])
    taken = longhand_rounds(scores, 40)
    assert np.argsort(-choice.preference, kind="stable")[: len(taken)].tolist() == taken


def test_rounds_say_who_took_what() -> None:
    scores = np.array([[9.0, 8], [8, 9], [7, 7], [NAN, NAN], [1, 6]])
    choice = round_robin(scores, limit(3, 5), "s", ["sums", "sorting"], "task")
    assert choice.reasons == (
        "task sums took it in round 1",
        "task sorting took it in round 1",
        "task sums took it in round 2",
        "no score for any task, so not chosen",
        "not taken before the budget was full; its best rank is 4, for task sums",
    )
    assert choice.reading[0].startswith(
        "Each of 2 tasks in turn took the candidate with its highest s that was left, for 2 rounds"
    )
    assert "Each of 2 queries in turn" in round_robin(scores, limit(3, 5), "s", ["a", "b"]).reading[0]
    with pytest.raises(ConfigError, match="a score for every query"):
        round_robin(scores, limit(3, 5), "s", [])


def longhand_webster(sizes: dict[str, int], best: dict[str, list[float]], amount: int) -> dict[str, int]:
    """Seats one by one to the largest size / (2 · seats + 1); `best` holds each group's scores, falling."""
    seats = dict.fromkeys(sizes, 0)
    for _ in range(amount):
        open_ = [group for group in sizes if seats[group] < len(best[group])]
        if not open_:
            break
        winner = max(open_, key=lambda g: (Fraction(sizes[g], 2 * seats[g] + 1), best[g][seats[g]]))
        seats[winner] += 1
    return seats


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.sampled_from("abcd"), min_size=1, max_size=20), data=st.data(), equally=st.booleans()
)
def test_groups_share_the_budget_by_size_or_equally_and_keep_their_best(
    groups: list[str], data: st.DataObject, equally: bool
) -> None:
    n = len(groups)
    scores = np.array(data.draw(st.permutations(range(n))), dtype=float)
    missing = data.draw(st.sets(st.integers(0, n - 1), max_size=n - 1))
    scores[list(missing)] = NAN
    amount = data.draw(st.integers(1, n))
    choice = balance(scores, limit(amount, n), "s", groups, "equal" if equally else "size")
    sizes = {group: 1 if equally else groups.count(group) for group in dict.fromkeys(groups)}
    best = {
        g: sorted(scores[i] for i in range(n) if groups[i] == g and i not in missing)[::-1] for g in sizes
    }
    seats = longhand_webster(sizes, best, amount)
    assert Counter(groups[i] for i in kept(choice.kept)) == Counter(seats)
    for group in sizes:
        mine = sorted(
            (i for i in range(n) if groups[i] == group and i not in missing), key=lambda i: -scores[i]
        )
        assert [i for i in mine if choice.kept[i]] == mine[: seats[group]]


def test_shares_of_tokens_follow_the_tokens_of_the_groups() -> None:
    groups = ["long"] * 4 + ["short"] * 20
    tokens = [100] * 4 + [10] * 20
    choice = balance(np.arange(24.0), limit("300tok", 24, tokens), "s", groups)
    assert [sum(tokens[i] for i in kept(choice.kept) if groups[i] == g) for g in ("long", "short")] == [
        200,
        100,
    ]


def test_a_group_that_runs_out_leaves_its_share_to_the_others() -> None:
    choice = balance(np.arange(6.0), limit(5, 6), "s", ["a", "b", "b", "b", "b", "b"], "equal", "task")
    assert kept(choice.kept) == [0, 2, 3, 4, 5]
    assert choice.reasons[1] == "rank 5 of 5 by s in task b, which keeps 4"
    assert (
        "between 2 tasks equally, and kept the highest s of each: a keeps 1 of 1, b keeps 4 of 5"
        in (choice.reading[0])
    )
