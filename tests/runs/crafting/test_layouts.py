"""Which sets a craft writes from one reference, with what pairs, and what is left out of all of them."""

from dataclasses import replace
from typing import Any

import pytest

from assay.asking.request import Failure, Request
from assay.crafting.outcome import Failed, Rejected
from assay.crafting.reference import Reference
from assay.crafting.strategy import Strategy, Written
from assay.data.example import Example
from assay.errors import ConfigError
from assay.runs.crafting.config import craft_config
from assay.runs.crafting.layouts import Plan, plan
from assay.runs.crafting.references import Taken, query_key
from assay.runs.crafting.working import Result, work
from tests.runs.crafting.made import KNOWN, SIMILAR, assistant, reference, strategy, through, user, writes


def planned(*strategies: Strategy, models: bool = True, **settings: Any) -> Plan:
    chosen = strategies or (strategy(),)
    values = {"strategies": [one.name for one in chosen], "references": "r.jsonl", **settings}
    return plan(craft_config(values), chosen, SIMILAR, models=models)


def done(
    made: Plan, about: Reference | None = None, reply: Any = writes, **more: Any
) -> tuple[Result, list[Request]]:
    about = about or reference()
    taken = Taken(about, more.get("sibling"))
    return through(work(taken, made, KNOWN, more.get("prompts", {query_key(about)})), reply)


def only(result: Result, name: str) -> Example:
    (example,) = result.sets[name]
    return example


def said(example: Example) -> list[str]:
    return [message.content for message in example.messages]


def test_the_papers_layout_probes_the_reference_and_asks_its_sibling() -> None:
    result, asked = done(planned())
    assert said(only(result, "cot")) == ["what is 1 plus 1 ? think.", "because it is so, 2"]
    assert said(only(result, "plain")) == ["what is 1 plus 1 ?", "2"]
    assert said(only(result, "queries")) == ["what is 1001 plus 1001 ?", "2002"]
    assert [only(result, name).id for name in result.sets] == ["add-1-cot", "add-1-plain", "add-1-queries"]
    assert {example.task for (example,) in result.sets.values()} == {"add"}
    assert len(asked) == 2


def test_probe_and_control_are_a_pair_and_the_sibling_is_not_of_it() -> None:
    result, _ = done(planned())
    assert only(result, "cot").pair == only(result, "plain").pair == "add-1"
    assert only(result, "queries").pair not in (None, "add-1", only(result, "cot").id)


def test_references_that_are_queries_are_never_trained_on() -> None:
    result, _ = done(planned(references_are="queries"))
    assert said(only(result, "queries")) == ["what is 1 plus 1 ?", "2"]
    for name in ("cot", "plain"):
        assert "1001" in said(only(result, name))[0]
        assert only(result, name).pair != only(result, "queries").pair
    assert only(result, "cot").pair == only(result, "plain").pair


def test_with_queries_of_the_users_no_sibling_is_asked_for() -> None:
    made = planned(queries={"dev": "dev.jsonl"})
    result, asked = done(made, prompts=set())
    assert set(result.sets) == {one.file for one in made.sets} == {"cot", "plain"}
    assert len(asked) == 1
    left_out, asked = done(made, prompts={query_key(reference())})
    assert left_out.sets == {}, "a query of the user's is never trained on"
    assert asked == []


def test_a_build_is_the_strategy_alone() -> None:
    made = planned(strategy(), strategy("other"), build=True)
    result, asked = done(made)
    assert set(result.sets) == {"cot", "other"}
    assert len(asked) == 2


def test_a_row_as_sibling_asks_no_model_for_it_and_keeps_its_place() -> None:
    row = reference(7, columns={"why": "seven twice"})
    for settings, name in (({}, "queries"), ({"references_are": "queries"}, "cot")):
        made = planned(models=False, **settings)
        assert made.rows_are_siblings
        about = reference(columns={"why": "one twice"})
        result, asked = done(made, about, sibling=row)
        assert asked == []
        assert only(result, name).source.row == 7
        assert only(result, name).id == f"add-1-{name}"


def test_a_reference_of_which_one_strategy_makes_nothing_is_in_no_set() -> None:
    bad = "cot"

    def reply(request: Request) -> str:
        return "no number" if request.turns[-1].content.startswith(bad) else writes(request)

    result, _ = done(planned(strategy(), strategy("other")), reply=reply)
    assert result.sets == {}
    (problem,) = result.problems
    assert problem.strategy == "cot"
    assert isinstance(problem.outcome, Rejected)
    assert [one.text for one in problem.outcome.tried] == ["no number", "no number"]


def test_a_build_keeps_what_was_made() -> None:
    def reply(request: Request) -> str:
        return "no number" if request.turns[-1].content.startswith("cot") else writes(request)

    result, _ = done(planned(strategy(), strategy("other"), build=True), reply=reply)
    assert set(result.sets) == {"other"}
    assert [one.strategy for one in result.problems] == ["cot"]


def test_without_its_sibling_a_reference_is_in_no_set() -> None:
    def reply(request: Request) -> str | Failure:
        return Failure("gone") if request.turns[-1].content.startswith("similar") else writes(request)

    result, _ = done(planned(), reply=reply)
    assert result.sets == {}
    assert isinstance(result.problems[0].outcome, Failed)


@pytest.mark.parametrize("settings", [{}, {"references_are": "queries"}])
def test_a_sibling_that_asks_what_another_reference_asks_is_refused(settings: dict[str, Any]) -> None:
    other = query_key(reference(1001))
    result, _ = done(planned(**settings), prompts={query_key(reference()), other})
    assert result.sets == {}
    assert "word for word" in result.problems[0].outcome.reason


def whole() -> Strategy:
    turns = (user("{{ query }} think."), assistant("{{ text }}"))
    sibling = (user("another {{ id }}"), assistant("{{ text }}"))
    return strategy(
        "whole",
        writes=(
            Written("mine", turns),
            Written("base", (user("{{ query }}"), assistant("{{ text }}")), "control", "pos"),
            Written("pos", sibling, "query"),
            Written("own", (user("{{ query }}"), assistant("{{ response }}")), "query"),
            Written("neg", sibling, "undesired"),
        ),
    )


def test_a_whole_strategy_says_all_sets_and_asks_no_sibling() -> None:
    made = planned(whole())
    result, asked = done(made)
    assert [(one.file, one.name, one.role) for one in made.sets] == [
        ("mine", "mine", "probe"),
        ("base", "pos", "control"),
        ("pos", "pos", "query"),
        ("own", "own", "query"),
        ("neg", "neg", "undesired"),
    ]
    assert set(result.sets) == {one.file for one in made.sets}
    assert len(asked) == 1


def test_its_queries_have_the_pair_of_a_reference_only_where_they_ask_what_it_asks() -> None:
    result, _ = done(planned(whole()))
    assert only(result, "own").pair == only(result, "mine").pair == only(result, "base").pair == "add-1"
    assert "add-1" not in (only(result, "pos").pair, only(result, "neg").pair)


def test_a_query_of_a_whole_strategy_that_another_reference_asks_is_refused() -> None:
    other = query_key(reference(query="another add-1"))
    result, _ = done(planned(whole()), prompts={query_key(reference()), other})
    assert result.sets == {}
    assert {problem.outcome.step for problem in result.problems} == {"pos", "neg"}


@pytest.mark.parametrize(
    ("strategies", "settings", "named"),
    [
        ((whole(), strategy()), {}, "stands alone"),
        ((whole(),), {"queries": {"dev": "dev.jsonl"}}, "leave out --queries"),
        ((whole(),), {"references_are": "queries"}, "leave out --references-are"),
        ((replace(whole(), writes=whole().writes[:2]),), {}, "writes no query set"),
        ((strategy("plain"),), {}, "Two sets are called plain"),
        ((strategy(), strategy("other", writes=strategy().writes)), {}, "Two sets are called cot"),
    ],
)
def test_what_does_not_fit_together(
    strategies: tuple[Strategy, ...], settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        planned(*strategies, **settings)


def test_a_design_of_the_paper_is_taken_where_the_sets_fit_it() -> None:
    made = planned(replace(strategy(), design="cot"))
    assert made.design == "cot"
    assert [one.name for one in made.sets] == ["cot", "plain", "plain"]
    assert planned(strategy()).design is None
    assert planned(replace(strategy(), design="clarify")).design is None, "its control is pos"
    assert planned(replace(strategy(), design="cot"), queries={"dev": "d"}).design is None
