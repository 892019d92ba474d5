"""A whole selection by every rule: budgets, order of the pool, weights, overlaps, drift and refusals."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import ConfigError, NumericsError
from assay.selection.result import QUANTILES, Pool, SelectionResult
from assay.selection.rules import RULES, Columns, Options
from assay.selection.select import select
from tests.selection.pools import kept, pool

PRUNING = ("correct", "incorrect", "combined")
PICKING = tuple(name for name in RULES if name not in PRUNING)


def drawn(seed: int, n: int) -> tuple[Pool, Columns]:
    """A pool with distinct scores everywhere."""
    draw = np.random.default_rng(seed)
    names = ("correct", "incorrect")
    columns = Columns(
        scores={name: draw.normal(size=n) for name in names},
        ranks={name: draw.permutation(n) / n for name in names},
        by_query=draw.normal(size=(n, 3)),
        queries=("a", "b", "c"),
        embeddings=draw.normal(size=(n, 6)),
    )
    tokens = draw.integers(1, 30, n).tolist()
    return pool(n, tokens=tokens, tasks=[f"t{i % 3}" for i in range(n)], files=["x", "y"] * (n // 2)), columns


def options(rule: str) -> Options:
    return Options() if rule in PRUNING else Options(order="correct")


def permuted(given: Pool, columns: Columns, order: np.ndarray) -> tuple[Pool, Columns]:
    def of(values: tuple) -> tuple:
        return tuple(values[i] for i in order)

    assert columns.by_query is not None
    assert columns.embeddings is not None
    return Pool(
        of(given.ids),
        of(given.files),
        given.rows[order],
        of(given.tasks),
        given.tokens[order],
        of(given.prompts),
        of(given.completions),
    ), replace(
        columns,
        scores={name: values[order] for name, values in columns.scores.items()},
        ranks={name: values[order] for name, values in columns.ranks.items()},
        by_query=columns.by_query[order],
        embeddings=columns.embeddings[order],
    )


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9999), n=st.integers(2, 20).map(lambda half: 2 * half), data=st.data())
def test_every_rule_meets_its_budget_and_says_why_for_everyone(
    rule: str, seed: int, n: int, data: st.DataObject
):
    given_pool, columns = drawn(seed, n)
    budget = data.draw(st.integers(1, n))
    result = select(given_pool, columns, rule, budget, options(rule))
    count = int(result.kept.sum())
    assert count <= budget or rule in ("correct", "incorrect")
    if rule in ("top", "trim", "middle", "round_robin", "balance", "combined"):
        assert count == budget
    if rule in ("correct", "incorrect"):
        assert budget <= count <= budget + 1
        assert any("asks to drop" in one for one in result.reading) == (count > budget)
    assert len(result.reasons) == n
    assert all(result.reasons)
    assert result.reading[-1].startswith(f"Kept are {count:,} of {n:,} candidates")


@pytest.mark.parametrize("rule", [name for name in RULES if name not in ("middle", "diverse")])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9999), data=st.data())
def test_a_larger_budget_keeps_what_a_smaller_one_kept(rule: str, seed: int, data: st.DataObject) -> None:
    given_pool, columns = drawn(seed, 20)
    whole = int(given_pool.tokens.sum())
    if data.draw(st.booleans()):
        small, large = sorted(data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20))))
        budgets = (str(small), str(large))
    else:
        small, large = sorted(data.draw(st.tuples(st.integers(30, whole), st.integers(30, whole))))
        budgets = (f"{small}tok", f"{large}tok")
    less, more = (select(given_pool, columns, rule, budget, options(rule)).kept for budget in budgets)
    assert not (less & ~more).any()


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9999), budget=st.sampled_from(["1", "30%", "7", "90%"]))
def test_the_order_of_the_pool_does_not_matter_where_scores_differ(rule: str, seed: int, budget: str) -> None:
    given_pool, columns = drawn(seed, 24)
    order = np.random.default_rng(seed + 1).permutation(24)
    if rule == "balance":
        given_pool = replace(given_pool, tasks=tuple(f"t{min(2, i // 5)}" for i in range(24)))
    here = select(given_pool, columns, rule, budget, options(rule))
    there = select(*permuted(given_pool, columns, order), rule, budget, options(rule))
    assert (here.kept[order] == there.kept).all()
    assert tuple(here.reasons[i] for i in order) == there.reasons or rule == "combined"


@pytest.mark.parametrize("rule", RULES)
def test_the_same_input_gives_the_same_output(rule: str) -> None:
    given_pool, columns = drawn(5, 30)
    first, second = (select(given_pool, columns, rule, "40%", options(rule)) for _ in range(2))
    assert (first.kept == second.kept).all()
    assert (first.reasons, first.reading, first.overlaps) == (second.reasons, second.reading, second.overlaps)
    assert json.loads(json.dumps(first.about)) == {
        "budget": "40%",
        "options": json.loads(json.dumps(first.about["options"])),
        **({"turns": "query"} if rule == "round_robin" else {}),
    }


def test_lowest_first_turns_the_order_around() -> None:
    given_pool = pool(4)
    columns = Columns({"self": np.array([3.0, 1, 2, np.nan])})
    result = select(given_pool, columns, "top", 2, Options(lowest_first=True))
    assert kept(result.kept) == [1, 2]
    assert result.reasons[1] == "rank 1 of 3 by minus self"
    assert result.order == "self"
    assert result.scores["self"] is columns.scores["self"]


def test_ranks_stand_among_the_scores_of_the_result() -> None:
    given_pool, columns = drawn(1, 6)
    result = select(given_pool, columns, "combined", 3)
    assert list(result.scores) == ["correct", "incorrect", "rank by correct", "rank by incorrect"]
    assert result.region is not None
    assert (result.order, result.region.x, result.region.y) == ("correct", "correct", "incorrect")
    alone = Columns({"correct": columns.scores["correct"]}, {"correct": columns.ranks["correct"]})
    region = select(given_pool, alone, "correct", 3).region
    assert region is not None
    assert region.y == ""


def weighted(rule: str, columns: Columns, n: int, budget: str, **more: object) -> SelectionResult:
    return select(pool(n), columns, rule, budget, replace(options(rule), weights=True, **more))  # type: ignore[arg-type]


def test_weights_fall_in_a_line_with_the_rank() -> None:
    result = weighted("top", Columns({"correct": np.array([1.0, 4, 2, 3, 0])}), 5, "4")
    assert result.weights is not None
    np.testing.assert_allclose(result.weights, [0.625, 1.375, 0.875, 1.125, 0])
    assert "from about 1.5 for the best" in result.reading[-1]
    result = weighted("top", Columns({"correct": np.array([2.0, 2, 1, 0])}), 4, "3")
    assert result.weights is not None
    np.testing.assert_allclose(result.weights, [7 / 6, 7 / 6, 2 / 3, 0])
    result = weighted("trim", Columns({"correct": np.array([2.0, np.nan, 1, 0])}), 4, "3")
    assert result.weights is not None
    np.testing.assert_allclose(result.weights, [1.25, 1, 0.75, 0])
    assert select(pool(1), Columns({"s": np.ones(1)}), "top", 1).weights is None


@pytest.mark.parametrize("rule", RULES)
def test_weights_have_mean_1_over_kept_and_are_0_for_dropped(rule: str) -> None:
    given_pool, columns = drawn(8, 30)
    result = select(given_pool, columns, rule, "50%", replace(options(rule), weights=True))
    assert result.weights is not None
    assert result.weights[result.kept].mean() == pytest.approx(1)
    assert (result.weights[~result.kept] == 0).all()
    assert ((result.weights > 0.5) & (result.weights < 1.5))[result.kept].all()


def test_weights_favour_what_pruning_favours() -> None:
    _, columns = drawn(8, 30)
    for rule, sign in (("correct", 1), ("incorrect", -1)):
        result = weighted(rule, columns, 30, "50%")
        assert result.weights is not None
        inside = result.kept
        rho = np.corrcoef(np.argsort(np.argsort(columns.scores[rule][inside])), result.weights[inside])[0, 1]
        assert rho == pytest.approx(sign)


def test_overlaps_are_shares_of_the_kept_beside_chance() -> None:
    tokens = [5, 1, 4, 2, 3, 6, 7, 8]
    columns = Columns(
        {
            "s": np.arange(8.0),
            "perplexity": np.array([0.0, 1, 2, 3, 4, 5, 6, np.nan]),
            "none": np.full(8, np.nan),
        }
    )
    words = ("random", "longest", "shortest", "highest:perplexity", "lowest:perplexity", "middle:perplexity")
    result = select(
        pool(8, tokens=tokens), columns, "top", 4, Options(order="s", beside=(*words, "highest:none"))
    )
    found = {one.name: (one.shared, one.by_chance) for one in result.overlaps}
    assert found == {
        "random": (0.5, 0.5),
        "longest": (0.75, 0.5),
        "shortest": (0.25, 0.5),
        "highest perplexity": (0.75, 0.5),
        "lowest perplexity": (0.0, 0.5),
        "middle perplexity": (0.5, 0.5),
        "highest none": (0.0, 0.0),
    }
    usual = select(pool(8, tokens=tokens), columns, "top", 4, Options(order="s")).overlaps
    assert [one.name for one in usual] == [
        "random",
        "longest",
        "shortest",
        "highest perplexity",
        "highest none",
    ]
    for word in ("shortest:s", "highest:other", "best"):
        with pytest.raises(ConfigError, match="There is no choice"):
            select(pool(8), columns, "top", 4, Options(order="s", beside=(word,)))


def test_chance_is_what_random_choices_share_on_average() -> None:
    draw = np.random.default_rng(0)
    shared = []
    for _ in range(400):
        columns = Columns({"s": draw.normal(size=40), "other": draw.normal(size=40)})
        result = select(pool(40), columns, "top", 10, Options(order="s", beside=("highest:other",)))
        shared.append(result.overlaps[0].shared)
    assert result.overlaps[0].by_chance == 0.25
    assert np.mean(shared) == pytest.approx(0.25, abs=0.02)


def test_drift_tells_lengths_tasks_and_sources_before_and_after() -> None:
    given_pool = pool(
        4, tokens=[10, 20, 30, 100], tasks=["sums", None, "sums", "poems"], files=["a", "a", "b", "b"]
    )
    result = select(given_pool, Columns({"s": np.array([4.0, 3, 2, 1])}), "top", 2)
    drift = result.drift
    assert drift is not None
    assert (drift.whole.mean, drift.kept.mean, drift.dropped.mean) == (40.0, 15.0, 65.0)
    assert drift.dropped.quantiles == pytest.approx([30 + 70 * q for q in QUANTILES])
    assert [(one.name, one.before, one.after) for one in drift.tasks] == [
        ("sums", 2, 1),
        (None, 1, 1),
        ("poems", 1, 0),
    ]
    assert [(one.share_before, one.share_after) for one in drift.sources] == [(0.5, 1.0), (0.5, 0.0)]
    assert result.notes == (
        "Completions kept have 15.0 learned tokens on average, those dropped 65.0, the whole pool 40.0.",
        "Nothing is kept of task poems.",
        "Nothing is kept of source b.",
    )
    whole = select(given_pool, Columns({"s": np.arange(4.0)}), "top", "100%")
    assert whole.drift is not None
    assert np.isnan(whole.drift.dropped.mean)
    assert whole.notes == ("Completions have 40.0 learned tokens on average; nothing was dropped.",)


def test_balance_goes_over_tasks_or_sources() -> None:
    given_pool = pool(4, tasks=[None, None, "t", "t"], files=["a", "b", "a", "b"])
    columns = Columns({"s": np.array([4.0, 3, 2, 1])})
    by_task = select(given_pool, columns, "balance", 2)
    assert kept(by_task.kept) == [0, 2]
    assert "in task (no task), which keeps 1" in by_task.reasons[0]
    assert kept(select(given_pool, columns, "balance", 2, Options(by="source")).kept) == [0, 1]


@pytest.mark.parametrize(
    ("rule", "columns", "options", "says"),
    [
        ("best", Columns({"s": np.ones(3)}), Options(), "no rule 'best'; did you mean|choose one of"),
        ("round-robin", Columns({"s": np.ones(3)}), Options(), "did you mean round_robin"),
        ("top", Columns({}), Options(), "Name the score that decides; there are none"),
        ("top", Columns({"a": np.ones(3), "b": np.ones(3)}), Options(), "Name the score.*a, b"),
        ("top", Columns({"a": np.ones(3)}), Options(order="b"), "no score 'b'; there are a"),
        ("top", Columns({"a": np.ones(2)}), Options(), "a has 2 values, but the pool has 3 candidates"),
        (
            "top",
            Columns({"a": np.ones(3)}),
            Options(start=0.1),
            "top has no option start; it belongs to middle",
        ),
        ("correct", Columns({"a": np.ones(3)}), Options(), "query set 'correct', which were not computed"),
        ("combined", Columns({"correct": np.ones(3)}, {"correct": np.ones(3)}), Options(), "set 'incorrect'"),
        ("correct", Columns({}), Options(lowest_first=True), "correct has no option lowest_first"),
        ("round_robin", Columns({"a": np.ones(3)}), Options(), "needs a score for every query"),
        ("diverse", Columns({"a": np.ones(3)}), Options(), "needs embeddings"),
    ],
)
def test_what_a_rule_needs_is_asked_for_in_one_sentence(
    rule: str, columns: Columns, options: Options, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        select(pool(3), columns, rule, 2, options)


def test_infinite_scores_name_the_candidate_and_empty_pools_are_refused() -> None:
    with pytest.raises(NumericsError, match="The s of candidate 'c1' is infinite"):
        select(pool(3), Columns({"s": np.array([1, np.inf, 2])}), "top", 2)
    by_query = np.array([[1.0, 2], [3, 4], [5, -np.inf]])
    with pytest.raises(NumericsError, match="candidate 'c2'"):
        select(pool(3), Columns({}, by_query=by_query, queries=("a", "b")), "round_robin", 2)
    with pytest.raises(ConfigError, match="no candidates"):
        select(pool(0), Columns({"s": np.ones(0)}), "top", 2)


def test_rounds_of_queries_need_no_other_score() -> None:
    by_query = np.array([[1.0, 2], [3, 4], [5, 0]])
    result = select(pool(3), Columns({}, by_query=by_query, queries=("a", "b")), "round_robin", 2)
    assert kept(result.kept) == [1, 2]
    assert result.order == ""
    assert "its highest score that" in result.reading[0]
    turned = Options(lowest_first=True)
    result = select(pool(3), Columns({}, by_query=by_query, queries=("a", "b")), "round_robin", 2, turned)
    assert kept(result.kept) == [0, 2]
    assert "its highest minus score that" in result.reading[0]


def test_one_group_is_not_balanced() -> None:
    columns = Columns({"s": np.ones(3)})
    with pytest.raises(ConfigError, match=r"nothing to balance but one task, \(no task\)"):
        select(pool(3), columns, "balance", 2)
    with pytest.raises(ConfigError, match=r"nothing to balance but one source, pool\.jsonl"):
        select(pool(3, tasks=["a", "b", "a"]), columns, "balance", 2, Options(by="source"))
