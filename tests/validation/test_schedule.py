"""Arms differ in nothing but their sets: the same base batches, every row as often as its epochs say."""

from collections import Counter

import pytest

from assay.errors import ConfigError, DataError
from assay.validation.arms import DESIGNS, parse_arm
from assay.validation.schedule import Match, Schedule, schedule

SETS = {
    "base": [3, 5, 2, 8, 1, 4, 4, 9, 2, 6, 7, 3, 5],
    "cot": [11, 7, 9, 12, 8],
    "clarify": [2, 2, 3, 1, 4, 2, 3],
    "eval": [5] * 29,
    "pos": [6, 4, 7, 3, 8, 2],
}
BASE = parse_arm("base")
TEXTS = [arm.name for arm in DESIGNS["cross-task"].arms]


def made(text: str, match: Match = "examples", seed: int = 0, epochs: int = 3, batch: int = 4) -> Schedule:
    arm = parse_arm(text)
    return schedule(arm, SETS, batch_size=batch, epochs=epochs, seed=seed, match=match, reference=BASE)


def of_base(plan: Schedule) -> list[tuple[int, ...]]:
    batches = [tuple(one.row for one in step.rows if one.set == "base") for step in plan.steps]
    return [batch for batch in batches if batch]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_arm_has_the_same_base_batches_in_the_same_order(text: str, seed: int) -> None:
    assert of_base(made(text, seed=seed)) == of_base(made("base", seed=seed))


@pytest.mark.parametrize("text", TEXTS)
def test_matched_arms_keep_to_the_order_of_the_base_batches(text: str) -> None:
    whole = made("base")
    for match in ("steps", "tokens"):
        for epoch in range(3):
            mine = of_base(Schedule(tuple(s for s in made(text, match).steps if s.epoch == epoch)))
            base = of_base(Schedule(tuple(s for s in whole.steps if s.epoch == epoch)))
            assert mine == base[: len(mine)]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("batch", [1, 4, 13, 50])
def test_every_row_is_learned_once_in_each_epoch(text: str, batch: int) -> None:
    plan = made(text, batch=batch)
    for epoch in range(3):
        rows = Counter(one for step in plan.steps if step.epoch == epoch for one in step.rows)
        assert set(rows.values()) == {1}
        assert Counter(one.set for one in rows) == {name: len(SETS[name]) for name in parse_arm(text).sets}
    assert plan.tokens == 3 * sum(sum(SETS[name]) for name in parse_arm(text).sets)


def test_added_rows_are_dealt_evenly() -> None:
    for name in ("cot", "eval"):
        counts = [sum(one.set == name for one in step.rows) for step in made(f"base+{name}").steps]
        assert max(counts) - min(counts) <= 1


def test_a_set_comes_in_the_same_order_whatever_it_is_mixed_with() -> None:
    def cot(text: str) -> list[list[int]]:
        return [[one.row for one in step.rows if one.set == "cot"] for step in made(text).steps]

    assert cot("base+cot") == cot("base+cot+eval") == cot("base+clarify+cot")


def test_equal_seeds_give_equal_steps_and_other_seeds_and_epochs_other_ones() -> None:
    assert made("base+cot") == made("base+cot")
    assert of_base(made("base", seed=1)) != of_base(made("base"))
    first, second = (of_base(made("base"))[start : start + 4] for start in (0, 4))
    assert first != second


def test_steps_are_the_same_on_every_machine() -> None:
    """A run that is resumed elsewhere must not draw other batches."""
    assert of_base(made("base"))[:2] == [(9, 7, 3, 1), (11, 5, 2, 0)]


@pytest.mark.parametrize("text", TEXTS)
def test_arms_matched_in_steps_take_as_many_as_the_base(text: str) -> None:
    assert len(made(text, "steps")) == len(made("base")) == 12


def test_a_mixture_matched_in_steps_is_whole() -> None:
    assert made("base+cot+eval", "steps") == made("base+cot+eval")


@pytest.mark.parametrize("text", TEXTS)
def test_arms_matched_in_tokens_end_with_the_step_that_reaches_those_of_the_base(text: str) -> None:
    plan, aim = made(text, "tokens"), made("base").tokens
    assert plan.tokens >= aim > plan.tokens - plan.steps[-1].tokens


@pytest.mark.parametrize("match", ["steps", "tokens"])
def test_a_shortened_staged_arm_still_passes_all_its_phases_in_every_epoch(match: Match) -> None:
    plan = made("base -> eval", match)
    order = [(step.epoch, step.phase) for step in plan.steps]
    assert order == sorted(order)
    assert set(order) == {(epoch, phase) for epoch in range(3) for phase in range(2)}
    # Both phases lose the same share, up to a step.
    whole, kept = Counter(s.phase for s in made("base -> eval").steps), Counter(s.phase for s in plan.steps)
    shares = [kept[phase] / whole[phase] for phase in range(2)]
    assert abs(shares[0] - shares[1]) < 3 * 2 / min(whole.values())


def test_an_arm_that_is_too_short_goes_on_for_more_epochs() -> None:
    first = parse_arm("continue(base) -> eval")
    for text in ("continue(base) -> pos", "continue(base) -> pos -> cot"):
        for match, whole in (("steps", 16), ("tokens", 2 * 29 * 5)):
            arm = parse_arm(text)
            plan = schedule(
                arm,
                SETS,
                batch_size=4,
                epochs=2,
                seed=0,
                match=match,
                reference=first,  # type: ignore[arg-type]
            )
            found = len(plan) if match == "steps" else plan.tokens
            assert whole <= found < whole + (1 if match == "steps" else plan.steps[-1].tokens)
            assert max(step.epoch for step in plan.steps) > 1


def test_tokens_of_a_step_are_those_of_its_rows() -> None:
    for step in made("base+cot").steps:
        assert step.tokens == sum(SETS[one.set][one.row] for one in step.rows)


def test_what_cannot_be_scheduled_is_refused() -> None:
    def refused(text: str, sets: dict[str, list[int]], batch: int = 4, match: str = "steps") -> None:
        schedule(parse_arm(text), sets, batch_size=batch, epochs=1, seed=0, match=match)  # type: ignore[arg-type]

    with pytest.raises(DataError, match="no set 'cot'"):
        refused("base+cot", {"base": [1]})
    with pytest.raises(DataError, match="'base' is empty"):
        refused("base", {"base": []})
    with pytest.raises(DataError, match="Row 2 of the set 'base'"):
        refused("base", {"base": [1, 0]})
    with pytest.raises(ConfigError, match="must be 1 or more"):
        refused("base", {"base": [1]}, batch=0)
    with pytest.raises(ConfigError, match="not in 'rows'"):
        refused("base", {"base": [1]}, match="rows")


def test_an_arm_that_is_too_long_ends_early_within_its_own_order() -> None:
    arm, first = parse_arm("continue(base) -> eval"), parse_arm("continue(base) -> pos")
    whole = schedule(arm, SETS, batch_size=4, epochs=1, seed=0, match="examples")
    for match in ("steps", "tokens"):
        plan = schedule(
            arm,
            SETS,
            batch_size=4,
            epochs=1,
            seed=0,
            match=match,  # type: ignore[arg-type]
            reference=first,
        )
        assert plan.steps == whole.steps[: len(plan)]
        # Two batches of pos, or its 30 tokens in steps of 4 rows of 5.
        assert len(plan) == 2
