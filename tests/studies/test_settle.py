"""What limits an undecided verdict is found, and the number that is named would settle it."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.interval_coverage import RELINF, World, draw

from assay.studies.analyse import analyse
from assay.studies.intervals import quantile
from assay.studies.layout import lay_out
from assay.studies.replicates import Replicates
from assay.studies.result import Estimate
from assay.studies.settle import Components, components, settle, unreplicated
from tests.studies.simulate import from_influences

QUIET = {"probe_task": 0.0, "query_task": 0.0, "task_pair": 0.0, "own_task": 0.0}
QUIET |= {"probe": 0.0, "query": 0.0, "pair": 0.0}


def split(world: World, generator: np.random.Generator) -> Components:
    """Components of the in-task level of one simulated study."""
    measured, _ = draw(world, generator)
    replicates = Replicates(measured, lay_out(measured), estimators=RELINF, resamples=200)
    mask = replicates.mask("in-task", ["strategy"], ["eval"])
    estimate = replicates.draws("relinf", "strategy", "eval", mask).at(0)
    probes, queries = (
        replicates.within("relinf", "strategy", "eval", mask, vary)[0] for vary in ("probes", "queries")
    )
    return components(estimate, probes, queries, world.probes, world.queries)


@pytest.mark.parametrize(
    ("loud", "limits"), [("probe", "probes"), ("query", "queries"), ("own_task", "tasks")]
)
def test_the_unit_that_varies_is_the_unit_that_limits(loud: str, limits: str) -> None:
    """In most studies: the squared error over ten tasks is itself known within about half of it."""
    world = World(**{**QUIET, "tasks": 10, "probes": 5, "queries": 5, "pair": 0.05, loud: 2.0})
    generator = np.random.default_rng(0)
    found = [split(world, generator).largest() for _ in range(30)]
    assert found.count(limits) >= 24


def test_variance_components_have_the_size_that_was_put_in() -> None:
    """Mean over 150 simulated studies against τ²/K, σ_p²/(K n_p), σ_q²/(K n_q)."""
    sizes = {"own_task": 0.3, "probe": 0.5, "query": 0.4}
    world = World(**{**QUIET, "tasks": 8, "probes": 6, "queries": 10, **sizes})
    generator = np.random.default_rng(1)
    found = [split(world, generator) for _ in range(150)]
    mean = np.mean([(each.between_tasks, each.from_probes, each.from_queries) for each in found], axis=0)
    np.testing.assert_allclose(mean, (0.3**2 / 8, 0.5**2 / 48, 0.4**2 / 80), rtol=0.15)


def test_an_undecided_verdict_names_what_limits_it_and_what_there_is() -> None:
    world = World(**{**QUIET, "tasks": 10, "probes": 5, "queries": 5, "query": 3.0})
    measured, _ = draw(world, np.random.default_rng(0))
    found = next(v for v in analyse(measured).verdicts if v.probe_set == "strategy")
    assert (found.context, found.vs_control) == ("in-task", "undecided")
    assert found.settle is not None
    assert (found.settle.limits, found.settle.have) == ("queries", 5)
    assert "how strategy compares with control" in found.settle.sentence


def test_the_named_number_is_the_smallest_that_excludes_zero_four_times_in_five() -> None:
    parts = Components(0.0, 0.04, 0.0005, tasks=10, probes=4, queries=20, few_tasks=False)
    got = settle(parts, value=0.3, within=0.0)
    assert got.limits == "probes" and got.have == 4 and got.more is not None
    reach = quantile(10, 0.95) + 0.8416
    errors = {n: reach * np.sqrt(0.04 * 4 / n + 0.0005) for n in (got.more, got.more - 1)}
    assert errors[got.more] <= 0.3 < errors[got.more - 1]
    assert str(got.more) in got.sentence and "per task" in got.sentence


def test_the_named_number_settles_simulated_studies_as_often_as_it_says() -> None:
    """Level 0.5, noise of probes alone: today undecided, with the named number decided in about 80%."""
    noise = {**QUIET, "tasks": 8, "queries": 4, "probe": 4.0}
    few = World(**noise, probes=4)
    parts = Components(0.0, few.probe**2 / (8 * 4), 0.0, tasks=8, probes=4, queries=4, few_tasks=False)
    named = settle(parts, value=0.5, within=0.0).more
    assert named is not None
    generator = np.random.default_rng(2)
    share = {}
    for probes in (4, named):
        decided = []
        for _ in range(200):
            measured, _ = draw(World(**noise, probes=probes), generator)
            replicates = Replicates(measured, lay_out(measured), estimators=RELINF)
            mask = replicates.mask("in-task", ["strategy"], ["eval"])
            decided.append(replicates.draws("relinf", "strategy", "eval", mask).at(0).low > 0)
        share[probes] = np.mean(decided)
    assert share[4] < 0.3
    assert 0.7 < share[named] < 0.9


def test_lying_within_the_margin_settles_too_where_it_is_easier() -> None:
    parts = Components(0.0, 0.04, 0.0005, tasks=10, probes=4, queries=20, few_tasks=False)
    assert settle(parts, value=0.01, within=0.0).more is None
    assert settle(parts, value=0.01, within=0.4).more is not None


def test_more_probes_do_not_help_where_tasks_differ_as_much() -> None:
    parts = Components(0.03, 0.04, 0.01, tasks=6, probes=4, queries=8, few_tasks=False)
    got = settle(parts, value=0.2, within=0.0)
    assert (got.limits, got.more) == ("probes", None)
    assert (
        got.sentence.startswith("More probes alone will not settle it")
        and "tasks instead of 6" in got.sentence
    )


def test_for_these_tasks_only_more_examples_are_offered() -> None:
    parts = Components(0.0, 0.04, 0.03, tasks=2, probes=4, queries=8, few_tasks=True)
    got = settle(parts, value=0.2, within=0.0)
    assert (got.limits, got.more) == ("probes", None)
    assert "probes and as many queries per task" in got.sentence


def test_an_effect_of_zero_is_settled_by_no_number() -> None:
    parts = Components(0.04, 0.01, 0.01, tasks=8, probes=4, queries=8, few_tasks=False)
    got = settle(parts, value=1e-6, within=0.0)
    assert got.more is None and got.sentence.startswith("No realistic number")


def test_an_estimate_for_these_tasks_has_no_variance_between_tasks() -> None:
    estimate = Estimate(0.1, -0.4, 0.6, 0.25, "these tasks", 3, "bootstrap within tasks")
    draws = np.random.default_rng(0).normal(size=(2, 400))
    assert components(estimate, 0.1 * draws[0], 0.1 * draws[1], 4, 4).between_tasks == 0.0


def test_with_one_probe_per_task_everything_is_left_to_tasks() -> None:
    """As in the paper: one example per task, so that only more tasks can be offered."""
    world = World(tasks=10, probes=1, queries=1)
    measured, _ = draw(world, np.random.default_rng(0))
    found = next(v for v in analyse(measured).verdicts if v.vs_control == "undecided")
    assert found.effect.target == "tasks like these" and found.settle is not None
    assert (found.settle.limits, found.settle.have) == ("tasks", 10)


def test_a_single_probe_per_task_is_named_as_the_limit() -> None:
    assert unreplicated(1, 5).limits == "probes"
    measured = from_influences({("cot", "eval"): [np.ones((3, 6))]}, tasks=3)
    found = analyse(measured).verdicts[0]
    assert found.vs_zero == "undecided" and found.settle is not None
    assert "fewer than two usable probes" in found.settle.sentence
    assert "no_interval" in {flag.code for flag in found.flags}


def test_what_is_decided_needs_nothing_more_where_there_is_no_task_to_compare_on() -> None:
    """Strategy and control stand on different tasks: no number of examples would compare them."""
    influence = np.where(np.eye(12, dtype=bool), 0.5, 0.0)
    measured = from_influences(
        {("cot", "eval"): [influence[:6]], ("plain", "eval"): [influence[6:]]}, tasks=12, control="plain"
    )
    half = {
        name: replace(each, tasks=tuple(f"task-{i + first:02d}" for i in range(6)))
        for (name, each), first in zip(measured.probe_sets.items(), (0, 6), strict=True)
    }
    found = next(v for v in analyse(replace(measured, probe_sets=half)).verdicts if v.context == "in-task")
    assert (found.vs_zero, found.vs_control, found.difference) == ("helps", "undecided", None)
    assert found.settle is None
