"""Effects, intervals and verdicts of a lookahead against cases worked by hand and a simulated truth."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import t as student

from assay.studies.lookahead import effects, whole_seeds
from assay.studies.lookahead_verdicts import lookahead_verdicts, stands
from assay.studies.result import Context, Verdict
from assay.studies.rungs import added, open_sets, strongest
from assay.studies.seeds import ONE_SEED, QUERIES_AND_SEEDS, TASKS_AND_SEEDS, seeded, settle_seeded
from tests.studies.lookaheads import make_lookahead

TASKS = tuple("aabbccddeeff")


def gains(inside: float, across: float, seeds: int = 3) -> dict[str, np.ndarray]:
    return {
        "in-task": np.full((seeds, len(TASKS)), inside),
        "cross-task": np.full((seeds, len(TASKS)), across),
    }


def test_the_effect_is_the_base_loss_minus_that_with_probes_by_context() -> None:
    measured = make_lookahead({"cot": gains(0.5, -0.25), "plain": gains(0.75, 0.0)}, TASKS)
    expected: dict[Context, tuple[float, float]] = {"in-task": (0.5, -0.25), "cross-task": (-0.25, -0.25)}
    for context, (value, beside) in expected.items():
        np.testing.assert_allclose(effects(measured, "cot", "eval", context), value)
        np.testing.assert_allclose(effects(measured, "cot", "eval", context, "plain"), beside)
        assert effects(measured, "cot", "eval", context).shape == (3, len(TASKS))


def test_a_query_that_a_seed_does_not_ask_has_no_effect_there() -> None:
    measured = make_lookahead({"cot": gains(0.5, 0.0)}, TASKS, control=None)
    asked = np.ones(len(TASKS), dtype=bool)
    asked[3] = False
    first = replace(measured.replicates[0], asked={"eval": asked})
    found = effects(replace(measured, replicates=(first, *measured.replicates[1:])), "cot", "eval", "in-task")
    assert np.isnan(found[0, 3]) and np.isfinite(found).sum() == found.size - 1


def test_a_seed_without_every_checkpoint_is_left_out() -> None:
    measured = make_lookahead({"cot": gains(0.5, 0.0)}, TASKS, control=None, checkpoints=("one", "two"))
    cut = replace(measured, replicates=measured.replicates[:-1])
    assert whole_seeds(cut, "cot") == (0, 1)
    assert len(effects(cut, "cot", "eval", "in-task")) == 2


def test_the_difference_uses_halves_that_both_sides_have() -> None:
    """The control lost one of its arms: what remains of both is compared."""
    measured = make_lookahead({"cot": gains(0.5, 0.0), "plain": gains(0.2, 0.0)}, TASKS)
    first = measured.replicates[0]
    without = tuple(arm for arm in first.arms if (arm.probe_set, arm.half) != ("plain", 1))
    cut = replace(measured, replicates=(replace(first, arms=without), *measured.replicates[1:]))
    found = effects(cut, "cot", "eval", "in-task", "plain")
    inside = next(arm.trained for arm in first.arms if arm.half == 0)
    there = np.array([task in inside for task in TASKS])
    np.testing.assert_allclose(found[0, there], 0.3)
    assert np.isnan(found[0, ~there]).all() and np.isfinite(effects(cut, "cot", "eval", "in-task")).all()


def test_the_interval_of_five_tasks_and_two_seeds_by_hand() -> None:
    task_effects = np.array([0.1, 0.2, 0.3, 0.4, 1.0])
    seed_effects = np.array([-0.1, 0.1])
    table = seed_effects[:, None] + np.repeat(task_effects, 2)[None, :]
    found = seeded(table, np.repeat(np.arange(5), 2))
    assert found is not None
    of_tasks, of_seeds = task_effects.var(ddof=1) / 5, 0.02 / 2
    error = np.sqrt(of_tasks + of_seeds)
    freedom = error**4 / (of_tasks**2 / 4 + of_seeds**2 / 1)
    one = found.estimate
    assert (one.method, one.target, one.tasks) == (TASKS_AND_SEEDS, "tasks like these", 5)
    assert one.value == pytest.approx(0.4) and one.standard_error == pytest.approx(error)
    assert one.high - one.value == pytest.approx(student.ppf(0.975, freedom) * error)
    assert one.value - one.low == pytest.approx(one.high - one.value)


def test_a_task_counts_once_however_many_queries_it_has() -> None:
    table = np.array([[0.0] * 9 + [1.0]] * 2)
    found = seeded(table, np.array([0] * 9 + [1]))
    assert found is not None and found.estimate.value == 0.5


def test_below_five_tasks_queries_are_redrawn_and_the_interval_speaks_of_these_tasks() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(3, 20))
    tasks = np.repeat([0, 1], 10)
    found = seeded(table, tasks)
    assert found is not None
    per_query = table.mean(axis=0)
    within = sum(per_query[tasks == k].var(ddof=1) / 10 for k in (0, 1)) / 4
    by_seed = np.stack([table[:, tasks == k].mean(axis=1) for k in (0, 1)]).mean(axis=0)
    assert found.estimate.standard_error == pytest.approx(np.sqrt(within + by_seed.var(ddof=1) / 3))
    assert (found.estimate.method, found.estimate.target) == (QUERIES_AND_SEEDS, "these tasks")


def test_one_seed_has_no_interval_and_decides_nothing() -> None:
    measured = make_lookahead({"cot": gains(0.5, 0.1, 1), "plain": gains(0.2, 0.1, 1)}, TASKS)
    for verdict in lookahead_verdicts(measured, steps=4):
        assert verdict.effect.method == ONE_SEED
        assert verdict.vs_zero == "undecided" and verdict.vs_control in (None, "undecided")
        assert not stands(verdict)
        assert "few_seeds" in {flag.code for flag in verdict.flags}


def test_what_tasks_and_seeds_both_count_is_counted_once() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(0, 0.3, (4, 6)) + rng.normal(0, 0.3, (1, 6)) + rng.normal(0, 0.3, (4, 1))
    found = seeded(table, np.arange(6))
    assert found is not None
    of_tasks, of_seeds = table.mean(axis=0).var(ddof=1) / 6, table.mean(axis=1).var(ddof=1) / 4
    rest = table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()
    both = (rest**2).sum() / (3 * 5) / 24
    squared = of_tasks + of_seeds - both
    assert squared > max(of_tasks, of_seeds)
    freedom = squared**2 / (of_tasks**2 / 5 + of_seeds**2 / 3 + both**2 / 15)
    one = found.estimate
    assert one.standard_error == pytest.approx(np.sqrt(squared))
    assert one.high - one.value == pytest.approx(student.ppf(0.975, freedom) * np.sqrt(squared))


def test_no_interval_is_narrower_than_that_of_tasks_alone_or_of_seeds_alone() -> None:
    """Where tasks fare so differently with every seed that means hardly vary, nothing more is taken away."""
    table = np.array([[1.0, -1.0, 1.0, -1.0, 0.1], [-1.0, 1.0, -1.0, 1.0, 0.0]])
    found = seeded(table, np.arange(5))
    assert found is not None
    of_tasks, of_seeds = table.mean(axis=0).var(ddof=1) / 5, table.mean(axis=1).var(ddof=1) / 2
    assert found.overlap.variance > of_tasks + of_seeds
    assert found.estimate.standard_error == pytest.approx(np.sqrt(max(of_tasks, of_seeds)))
    reach = found.estimate.high - found.estimate.value
    assert reach == pytest.approx(student.ppf(0.975, 1) * found.estimate.standard_error)


def test_where_a_seed_lacks_a_task_nothing_is_taken_away() -> None:
    table = np.random.default_rng(4).normal(size=(3, 6))
    table[0, 2] = np.nan
    found = seeded(table, np.arange(6))
    assert found is not None and found.overlap.variance == 0
    of_both = sum(part.variance for part in found.parts)
    assert found.estimate.standard_error == pytest.approx(np.sqrt(of_both))


@dataclass(frozen=True)
class Spread:
    """Standard deviations of what tasks, seeds, a task with a seed, a query, and chance do to an effect."""

    tasks: float = 0.0
    seeds: float = 0.0
    together: float = 0.0
    queries: float = 0.0
    noise: float = 0.01


EVERYTHING = Spread(0.5, 0.3, 0.3, 0.8, 0.2)
SHAPES = [(8, 3, 8), (12, 3, 4), (5, 5, 8)]


def simulate(
    rng: np.random.Generator, tasks: int, seeds: int, queries: int, spread: Spread
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects, their tasks, and the true effects of these tasks; that of all tasks is 0.3."""
    truth = 0.3 + rng.normal(0, spread.tasks, tasks)
    numbers = np.repeat(np.arange(tasks), queries)
    of_query = rng.normal(0, spread.queries, tasks * queries)
    of_seed = rng.normal(0, spread.seeds, (seeds, 1))
    together = rng.normal(0, spread.together, (seeds, tasks))
    noise = rng.normal(0, spread.noise, (seeds, tasks * queries))
    return truth[numbers] + of_query + of_seed + together[:, numbers] + noise, numbers, truth


@pytest.mark.parametrize(
    ("shape", "spread"),
    [
        *((shape, EVERYTHING) for shape in (*SHAPES, (3, 3, 16), (1, 4, 16))),
        *((shape, Spread(tasks=0.5)) for shape in SHAPES),
        *((shape, Spread(seeds=0.3)) for shape in SHAPES),
        *((shape, Spread(together=0.3)) for shape in SHAPES),
        *((shape, Spread(seeds=0.3, together=0.3)) for shape in SHAPES),
        *((shape, Spread(tasks=0.5, together=0.3)) for shape in SHAPES),
    ],
)
def test_nominal_95_percent_intervals_hold_the_truth(shape: tuple[int, int, int], spread: Spread) -> None:
    """500 draws: 93 of 100 or more hold it, within simulation error; what ignores seeds holds it less often
    where seeds matter."""
    tasks, seeds, queries = shape
    rng = np.random.default_rng(tasks)
    held = narrow = 0
    for _ in range(500):
        table, numbers, drawn = simulate(rng, tasks, seeds, queries, spread)
        truth = 0.3 if tasks >= 5 else float(drawn.mean())
        found = seeded(table, numbers)
        assert found is not None
        held += found.estimate.low <= truth <= found.estimate.high
        alone = found.parts[0]
        reach = student.ppf(0.975, alone.freedom) * np.sqrt(alone.variance)
        narrow += abs(found.estimate.value - truth) <= reach
    assert held / 500 >= 0.93
    if not spread.together or spread.tasks:
        assert held / 500 <= 0.985
    if spread.seeds:
        assert narrow < held


def words(
    measured_gains: dict[str, dict[str, np.ndarray]], **options: object
) -> dict[tuple[str, str], Verdict]:
    measured = make_lookahead(measured_gains, TASKS, noise=0.02, **options)  # type: ignore[arg-type]
    return {(v.probe_set, v.context): v for v in lookahead_verdicts(measured, steps=4)}


def test_words_follow_the_intervals() -> None:
    found = words({"good": gains(0.9, 0.3), "bad": gains(-0.5, 0.0), "plain": gains(0.6, 0.0)})
    assert (found["good", "in-task"].vs_control, found["good", "in-task"].vs_zero) == ("better", "helps")
    assert (found["bad", "in-task"].vs_control, found["bad", "in-task"].vs_zero) == ("worse", "harms")
    assert found["bad", "cross-task"].vs_control == "undecided"
    assert found["plain", "in-task"].vs_control is None
    assert found["good", "in-task"].evidence == "lookahead"
    assert "nats per query after 4 real steps" in found["good", "in-task"].sentence
    assert words({"same": gains(0.61, 0.0), "plain": gains(0.6, 0.0)})["same", "in-task"].vs_control == "like"


def test_on_undesired_queries_every_sign_turns() -> None:
    found = words({"good": gains(0.9, 0.3), "plain": gains(0.6, 0.0)}, direction="undesired")
    assert (found["good", "in-task"].vs_control, found["good", "in-task"].vs_zero) == ("worse", "harms")
    assert found["good", "in-task"].effect.value < 0


def test_what_limits_a_lookahead_and_how_many_would_do() -> None:
    rng = np.random.default_rng(1)
    table = 0.2 + rng.normal(0, 0.3, (3, 1)) + rng.normal(0, 0.02, (3, 12))
    found = seeded(table, np.repeat(np.arange(6), 2))
    assert found is not None
    settle = settle_seeded(found, 0.0, 0.95, "whether it helps")
    assert settle is not None and settle.limits == "seeds" and settle.have == 3
    assert settle.more is not None and settle.more > 3
    assert f"about {settle.more} in all (--lookahead-seeds), instead of 3" in settle.sentence


def verdicts_of(measured_gains: dict[str, dict[str, np.ndarray]], evidence: str) -> list[Verdict]:
    found = lookahead_verdicts(make_lookahead(measured_gains, TASKS, noise=0.02), steps=4)
    return [replace(verdict, evidence=evidence) for verdict in found]  # type: ignore[arg-type]


def test_the_stronger_rung_takes_the_place_of_the_weaker_and_says_where_they_contradict() -> None:
    below = verdicts_of({"a": gains(0.9, 0.0), "b": gains(0.9, 0.0), "plain": gains(0.6, 0.0)}, "gradient")
    above = verdicts_of({"a": gains(0.2, 0.0), "plain": gains(0.6, 0.0)}, "lookahead")
    final = {(v.probe_set, v.context): v for v in strongest(below, above, "plain")}
    assert len(final) == len(below)
    assert (final["a", "in-task"].evidence, final["a", "in-task"].vs_control) == ("lookahead", "worse")
    assert [flag.code for flag in final["a", "in-task"].flags] == ["rungs_disagree"]
    assert (final["b", "in-task"].evidence, final["b", "in-task"].vs_control) == ("gradient", "better")
    assert not final["b", "in-task"].flags
    assert "contradicted 1" in added(below, above, "plain")


def test_sets_with_the_most_open_verdicts_are_climbed_first() -> None:
    decided = verdicts_of({"a": gains(0.9, 0.3), "plain": gains(0.6, 0.0)}, "gradient")
    half = verdicts_of({"b": gains(0.9, 0.0), "plain": gains(0.6, 0.0)}, "gradient")
    open_ = [replace(v, probe_set="c", vs_control="undecided") for v in half if v.probe_set == "b"]
    assert open_sets([*decided, *half, *open_], "plain") == ["c", "b"]
