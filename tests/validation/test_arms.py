"""Arms say what they are trained on, and what is wrong with a text that says nothing."""

import pytest

from assay.errors import ConfigError
from assay.validation.arms import (
    DESIGNS,
    Arm,
    Comparison,
    Phase,
    arms_of,
    comparisons_of,
    control_arm,
    design_named,
    in_order,
    matched_to,
    parse_arm,
)


@pytest.mark.parametrize(
    ("text", "arm"),
    [
        ("base", Arm("base", (Phase(("base",)),))),
        (" base + few-shot ", Arm("base+few-shot", (Phase(("base", "few-shot")),))),
        ("base→clarify", Arm("base -> clarify", (Phase(("base",)), Phase(("clarify",))))),
        ("base->a+b -> c", Arm("base -> a+b -> c", (Phase(("base",)), Phase(("a", "b")), Phase(("c",))))),
        ("continue( base )→pos", Arm("continue(base) -> pos", (Phase(("pos",)),), "base")),
        (
            "continue(continue(base) -> pos) -> cot",
            Arm("continue(continue(base) -> pos) -> cot", (Phase(("cot",)),), "continue(base) -> pos"),
        ),
    ],
)
def test_the_text_of_an_arm_says_its_sets_phases_and_start(text: str, arm: Arm) -> None:
    assert parse_arm(text) == arm
    assert parse_arm(arm.name) == arm


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names ''"),
        ("base+", "names ''"),
        ("-> base", "names ''"),
        ("a b", "names 'a b'"),
        ("base+base", "mixes a set with itself"),
        ("continue(base)", "what to go on with"),
        ("continue(base) pos", "what to go on with"),
        ("continue(base -> pos", "not closed"),
        ("continue() -> pos", "names ''"),
    ],
)
def test_a_text_that_is_no_arm_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_arm(text)


def test_arms_that_do_not_fit_together_are_refused() -> None:
    for texts, sets, words in (
        ([], None, "no arm"),
        (["base", "base + a", "base+a"], None, "there twice"),
        (["base", "continue(base+a) -> b"], None, r"continues 'base\+a'"),
        (["base", "base+a"], ["base", "b"], r"'a', which is not among the sets \(base, b\)"),
    ):
        with pytest.raises(ConfigError, match=words):
            arms_of(texts, sets)


def test_an_arm_is_trained_after_the_one_it_continues() -> None:
    texts = ["continue(continue(base) -> a) -> b", "continue(base) -> a", "base+a", "base"]
    assert [arm.name for arm in in_order(arms_of(texts))] == ["base+a", "base", texts[1], texts[0]]


def test_an_arm_is_matched_to_the_first_with_its_start() -> None:
    arms = DESIGNS["in-task"].arms
    assert [matched_to(arm, arms).name for arm in arms] == ["base"] + ["continue(base) -> pos"] * 4
    arms = DESIGNS["cross-task"].arms
    assert {matched_to(arm, arms).name for arm in arms} == {"base"}


def test_the_arm_of_the_control_has_the_control_in_the_strategys_place() -> None:
    arms = arms_of(["base", "base+pos", "base+cot", "continue(base) -> cot", "continue(base) -> pos"])
    assert control_arm(arms[2], "cot", "pos", arms) == arms[1]
    assert control_arm(arms[3], "cot", "pos", arms) == arms[4]
    assert control_arm(arms[2], "cot", "eval", arms) is None


def test_the_designs_are_the_papers_tables() -> None:
    assert {name: len(design.arms) for name, design in DESIGNS.items()} == {"in-task": 5, "cross-task": 9}
    assert DESIGNS["in-task"].sets == ("base", "pos", "cot", "clarify", "eval")
    assert DESIGNS["cross-task"].sets == ("base", "cot", "clarify", "eval")
    with pytest.raises(ConfigError, match="in-task, cross-task"):
        design_named("other")


def test_mixtures_are_asked_beside_their_single_sets_and_stages_beside_their_mixture() -> None:
    assert DESIGNS["in-task"].comparisons == ()
    assert DESIGNS["cross-task"].comparisons == (
        Comparison("staged", "base -> clarify", ("base+clarify",)),
        Comparison("together", "base+cot+clarify", ("base+cot", "base+clarify"), "base"),
        Comparison("together", "base+cot+eval", ("base+cot", "base+eval"), "base"),
        Comparison("together", "base+clarify+eval", ("base+clarify", "base+eval"), "base"),
        Comparison("together", "base+cot+clarify+eval", ("base+cot", "base+clarify", "base+eval"), "base"),
    )
    assert comparisons_of(arms_of(["base", "base+a", "base+a+b"])) == ()
    assert comparisons_of(arms_of(["base", "base -> a+b", "base+a+b"])) == ()
    pos, cot, both = (f"continue(base) -> {sets}" for sets in ("pos+a", "pos+b", "pos+a+b"))
    assert comparisons_of(arms_of(["base", pos, cot, both])) == (Comparison("together", both, (pos, cot)),)
    alone = "continue(base) -> pos"
    assert comparisons_of(arms_of(["base", alone, pos, cot, both]))[0].common == alone
