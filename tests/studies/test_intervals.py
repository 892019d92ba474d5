"""Intervals come from tasks that leave or examples that are redrawn; that of a contrast is its own."""

from itertools import combinations

import numpy as np
import pytest
from benchmarks.interval_coverage import World, coverage
from scipy.stats import t as student

from assay.studies.estimators import ESTIMATORS
from assay.studies.intervals import Draws, jackknife_error
from assay.studies.layout import CONTEXTS, lay_out, survives_every_deletion
from assay.studies.measurements import Measurements
from assay.studies.replicates import Replicates
from assay.studies.resampling import bootstrap_weights
from assay.studies.result import Context
from tests.studies.simulate import examples, from_gradients, from_influences, without_task

TASKS = [f"t{i}" for i in range(6) for _ in range(3)]


def study(tasks: list[str] | None = None) -> Measurements:
    labels = TASKS if tasks is None else tasks
    pairs = [f"r{i}" for i in range(len(labels))]
    return from_gradients(
        [examples("cot", labels, pairs=pairs), examples("plain", labels, pairs=pairs)],
        [examples("eval", labels)],
        control="plain",
        exclude=0.1,
    )


def values(measured: Measurements, name: str, probe_set: str, context: Context) -> np.ndarray:
    replicates = Replicates(measured, lay_out(measured))
    mask = replicates.mask(context, [probe_set], ["eval"])
    return replicates.draws(name, probe_set, "eval", mask).values


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "median"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_leave_one_out_equals_a_study_in_which_the_task_never_was(name: str, context: Context) -> None:
    measured = study()
    replicates = Replicates(measured, lay_out(measured))
    draws = replicates.draws(name, "cot", "eval", replicates.mask(context, ["cot"], ["eval"]))
    assert (draws.kind, draws.tasks, draws.draws.shape) == ("jackknife", 6, (3, 6))
    for k, task in enumerate(sorted(set(TASKS))):
        expected = values(without_task(measured, task), name, "cot", context)
        np.testing.assert_allclose(draws.draws[:, k], expected, rtol=1e-9)


def test_the_jackknife_interval_of_a_mean_is_the_t_interval_of_its_tasks() -> None:
    cells = np.array([0.3, 0.5, 0.1, 0.9, 0.4, 0.6, 0.2])
    influence = np.diag(cells)
    measured = from_influences({("cot", "eval"): [influence]}, tasks=7)
    replicates = Replicates(measured, lay_out(measured))
    got = replicates.draws("relinf", "cot", "eval", np.eye(7, dtype=bool)).at(0)
    error = cells.std(ddof=1) / np.sqrt(7)
    reach = student.ppf(0.975, 6) * error
    assert got.standard_error == pytest.approx(error)
    assert (got.low, got.high) == pytest.approx((cells.mean() - reach, cells.mean() + reach))
    assert (got.target, got.tasks) == ("tasks like these", 7)


def test_the_interval_of_a_paired_difference_is_that_of_the_differences() -> None:
    generator = np.random.default_rng(3)
    shared, apart = generator.normal(size=8), 0.1 * generator.normal(size=8)
    measured = from_influences(
        {("cot", "eval"): [np.diag(shared + apart + 0.5)], ("plain", "eval"): [np.diag(shared)]}, tasks=8
    )
    replicates = Replicates(measured, lay_out(measured))
    cot, plain = (replicates.draws("relinf", s, "eval", np.eye(8, dtype=bool)) for s in ("cot", "plain"))
    got = (cot - plain).at(0)
    assert got.standard_error == pytest.approx((apart + 0.5).std(ddof=1) / np.sqrt(8))
    assert got.standard_error < cot.at(0).standard_error / 3


def test_checkpoints_are_not_replicates() -> None:
    """The same checkpoint ten times over makes no interval narrower."""
    influence = np.random.default_rng(1).normal(size=(12, 12))
    once, often = (from_influences({("cot", "eval"): [influence] * count}, tasks=6) for count in (1, 10))
    errors = []
    for measured in (once, often):
        count = len(measured.checkpoints)
        replicates = Replicates(measured, lay_out(measured))
        draws = replicates.draws("relinf", "cot", "eval", ~np.eye(6, dtype=bool))
        errors.append(draws.combined(np.full(count, 1 / count)).standard_error)
    assert errors[0] == pytest.approx(errors[1])


def test_below_five_tasks_examples_are_redrawn_and_the_target_says_so() -> None:
    measured = study([f"t{i}" for i in range(4) for _ in range(6)])
    replicates = Replicates(measured, lay_out(measured))
    mask = replicates.mask("in-task", ["cot"], ["eval"])
    got = replicates.draws("relinf", "cot", "eval", mask).at(0)
    assert (got.target, got.method, got.tasks) == ("these tasks", "bootstrap within tasks", 4)
    assert got.low < got.value < got.high


def test_the_bootstrap_of_a_mean_over_probes_has_its_standard_error() -> None:
    """Queries that all agree leave only the probes to vary: s²/n, not (n−1)/n of it."""
    per_probe = np.random.default_rng(2).normal(size=5)
    measured = from_influences({("cot", "eval"): [np.tile(per_probe[:, None], (1, 3))]}, tasks=1)
    replicates = Replicates(measured, lay_out(measured), resamples=20_000)
    got = replicates.draws("relinf", "cot", "eval", np.ones((1, 1), dtype=bool)).at(0)
    assert got.standard_error == pytest.approx(per_probe.std(ddof=1) / np.sqrt(5), rel=0.03)


def test_paired_probes_are_redrawn_together_and_others_on_their_own() -> None:
    pairs = ["r0", "r1", "r2", "r3", "r4"]
    sets = {
        "plain": examples("plain", ["a"] * 5, pairs=pairs),
        "cot": examples("cot", ["a"] * 5, pairs=pairs[::-1]),
        "other": examples("other", ["a"] * 5),
    }
    tasks = {name: np.zeros(5, dtype=int) for name in sets}
    drawn = bootstrap_weights(sets, tasks, 1, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn["plain"], drawn["cot"][:, ::-1])
    assert not np.array_equal(drawn["plain"], drawn["other"])
    assert np.all(drawn["plain"].sum(1) == 4)


def test_a_set_that_lost_a_reference_keeps_its_part_of_the_common_draw() -> None:
    sets = {
        "plain": examples("plain", ["a"] * 4, pairs=["r0", "r1", "r2", "r3"]),
        "cot": examples("cot", ["a"] * 2, pairs=["r0", "r2"]),
    }
    tasks = {"plain": np.zeros(4, dtype=int), "cot": np.zeros(2, dtype=int)}
    drawn = bootstrap_weights(sets, tasks, 1, 200, np.random.default_rng(0))
    kept = drawn["plain"][:, [0, 2]]
    empty = kept.sum(1) == 0
    assert empty.any()
    np.testing.assert_array_equal(drawn["cot"][~empty], kept[~empty])
    assert np.all(drawn["cot"][empty] == 1)


def test_a_control_that_is_the_reference_itself_is_redrawn_with_its_versions() -> None:
    """It carries no pair, and the strategy's pairs are its ids."""
    plain = examples("plain", ["a"] * 4)
    cot = examples("cot", ["a"] * 4, pairs=list(plain.ids))
    tasks = {"plain": np.zeros(4, dtype=int), "cot": np.zeros(4, dtype=int)}
    drawn = bootstrap_weights({"plain": plain, "cot": cot}, tasks, 1, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn["plain"], drawn["cot"])


def test_one_probe_per_task_and_few_tasks_leave_no_interval() -> None:
    measured = from_influences({("cot", "eval"): [np.eye(3)]}, tasks=3)
    replicates = Replicates(measured, lay_out(measured))
    got = replicates.draws("relinf", "cot", "eval", np.eye(3, dtype=bool)).at(0)
    assert got.method.startswith("no interval")
    assert got.low == got.value == got.high == 1.0


def test_a_context_that_rests_on_one_task_is_not_jackknifed() -> None:
    """All cross-task pairs start from task 0: without it nothing is left, whatever the number of tasks."""
    mask = np.zeros((6, 6), dtype=bool)
    mask[0, 1:] = True
    assert not survives_every_deletion(mask)
    measured = study()
    replicates = Replicates(measured, lay_out(measured))
    assert replicates.draws("relinf", "cot", "eval", mask).kind == "bootstrap"


def test_a_difference_of_unlike_intervals_is_refused() -> None:
    one = Draws(np.zeros(1), np.zeros((1, 5)), "jackknife", 5)
    other = Draws(np.zeros(1), np.zeros((1, 6)), "jackknife", 6)
    with pytest.raises(ValueError, match="same tasks"):
        _ = one - other


def test_more_confidence_is_a_wider_interval() -> None:
    draws = Draws(np.zeros(1), np.random.default_rng(0).normal(size=(1, 6)), "jackknife", 6)
    narrow, wide = (draws.at(0, confidence) for confidence in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("leaving", [1, 2, 4])
def test_leaving_out_one_or_more_gives_the_same_error_of_a_mean(leaving: int) -> None:
    values = np.random.default_rng(5).normal(size=7)
    left = [np.delete(values, gone).mean() for gone in map(list, combinations(range(7), leaving))]
    assert jackknife_error(np.array(left), 7, leaving) == pytest.approx(values.std(ddof=1) / np.sqrt(7))


def test_the_median_leaves_half_of_the_tasks_out_and_equals_brute_force() -> None:
    measured = study()
    replicates = Replicates(measured, lay_out(measured))
    draws = replicates.draws("median", "cot", "eval", replicates.mask("cross-task", ["cot"], ["eval"]))
    assert (draws.kind, draws.leaving, draws.draws.shape) == ("jackknife", 3, (3, 20))
    for r, gone in enumerate(combinations(sorted(set(TASKS)), 3)):
        left = measured
        for task in gone:
            left = without_task(left, task)
        np.testing.assert_allclose(draws.draws[:, r], values(left, "median", "cot", "cross-task"))


@pytest.mark.parametrize("tasks", [7, 12])
def test_nominal_95_percent_intervals_hold_the_truth_at_least_92_times_in_100(tasks: int) -> None:
    found = coverage(World(tasks=tasks, probes=4, queries=4), trials=600, seed=1)
    assert len(found) == 4
    assert min(found.values()) >= 0.92, found


def test_intervals_for_these_tasks_hold_their_own_truth() -> None:
    found = coverage(World(tasks=3, probes=12, queries=12), trials=120, seed=1, resamples=200)
    assert min(found.values()) >= 0.90, found


def test_the_intervals_of_the_median_hold_with_a_single_query_per_task() -> None:
    """Where a delete-one jackknife would hold the truth in 72 to 85 of 100."""
    found = coverage(World(tasks=12, probes=1, queries=1), 400, estimator="median", seed=1)
    assert min(found.values()) >= 0.90, found
