"""Every caveat appears where its reason was put, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from assay.studies.analyse import analyse
from assay.studies.flags import effective_queries, small_denominators
from assay.studies.measurements import Measurements
from assay.studies.result import StudyResult
from tests.studies.simulate import examples, from_gradients, from_influences

K, N = 6, 16


def plane(inside: float, across: float = 0.1, noise: float = 0.01, seed: int = 0, n: int = N) -> np.ndarray:
    tasks = np.repeat(np.arange(K), n)
    drawn = np.random.default_rng(seed).normal(size=(K * n, K * n))
    return np.where(tasks[:, None] == tasks, inside, across) + noise * drawn


def clean(**options: object) -> Measurements:
    return from_influences(
        {("cot", "eval"): [plane(0.4), plane(0.5, seed=1)], ("plain", "eval"): [plane(0.7, 0.3)] * 2},
        tasks=K,
        control="plain",
        **options,  # type: ignore[arg-type]
    )


def codes(result: StudyResult, probe_set: str = "cot", context: str = "in-task") -> set[str]:
    found = next(v for v in result.verdicts if (v.probe_set, v.context) == (probe_set, context))
    return {flag.code for flag in found.flags}


def with_loss(measured: Measurements, losses: dict[str, float]) -> Measurements:
    checkpoints = tuple(
        replace(
            at, probe_loss={name: np.full_like(each, losses[name]) for name, each in at.probe_loss.items()}
        )
        for at in measured.checkpoints
    )
    return replace(measured, checkpoints=checkpoints)


def test_a_clean_study_carries_only_the_caveat_that_every_study_carries() -> None:
    result = analyse(with_loss(clean(), {"cot": 9.0, "plain": 3.0}))
    assert codes(result) == set()
    assert [flag.code for flag in result.flags] == ["one_trajectory", "first_look"]
    alone = from_influences({("cot", "eval"): [plane(0.4)] * 2}, tasks=K)
    assert "first_look" not in {flag.code for flag in analyse(alone).flags}


def test_few_probes_and_queries_are_counted_per_task() -> None:
    measured = from_influences({("cot", "eval"): [plane(0.4, n=4)]}, tasks=K)
    found = analyse(measured).verdicts[0]
    assert {"too_few_probes", "too_few_queries"} <= {flag.code for flag in found.flags}
    assert any("cot has 4 probes per task" in flag.sentence for flag in found.flags)


def test_small_denominators_are_found_by_their_share() -> None:
    relinf = np.ones((K * N, K * N))
    relinf[:, ::12] = 20.0  # every twelfth query, in every task …
    norms = np.ones(K * N)
    norms[::12] = 1e-3  # … has a gradient that has nearly vanished
    measured = from_influences({("cot", "eval"): [relinf]}, tasks=K, query_norms=norms)
    share = small_denominators(measured, "cot", "eval", np.ones_like(relinf, dtype=bool))
    effective = effective_queries(measured, "eval", np.arange(K * N))
    assert share == pytest.approx((8 * 20 + 2) / (8 * 20 + 88))
    assert effective == pytest.approx(88, rel=0.01)
    assert "small_denominators" in codes(analyse(measured, estimator="relinf"))
    assert "small_denominators" not in codes(analyse(measured, estimator="median"))


def test_a_ratio_of_sums_that_rests_on_few_queries_says_so_once_of_each_query_set() -> None:
    """A flag of the study: every verdict on these queries would carry the same."""
    norms = np.ones(K * N)
    norms[:3] = 1e3
    measured = from_influences(
        {(name, "eval"): [plane(0.4)] for name in ("cot", "other")}, tasks=K, query_norms=norms
    )
    result = analyse(measured, estimator="ratio_of_sums")
    said = [flag.sentence for flag in result.flags if flag.code == "large_queries"]
    assert said == [
        f"On eval, the ratio of sums rests on about 3 of {K * N} queries: those with the largest gradients."
    ]
    assert not any(flag.code == "large_queries" for v in result.verdicts for flag in v.flags)
    published = analyse(measured, estimator="relinf")
    assert "large_queries" not in {flag.code for flag in published.flags}


def test_length_is_a_confound_where_longer_probes_lose_token_for_token() -> None:
    longer = from_influences(
        {("cot", "eval"): [plane(0.8)], ("plain", "eval"): [plane(0.5)]},
        tasks=K,
        control="plain",
        tokens={"cot": 12, "plain": 4, "eval": 4},
    )
    result = analyse(longer, estimator="ratio_of_sums")
    assert {"length_confound", "estimators_disagree"} <= codes(result)
    sentence = next(f.sentence for f in result.verdicts[0].flags if f.code == "length_confound")
    assert "3.0 times as long as those of plain" in sentence
    even = clean(tokens={"cot": 12, "plain": 4, "eval": 4})
    assert "length_confound" not in codes(analyse(even, estimator="ratio_of_sums"))


def test_the_baseline_without_gradients_may_disagree() -> None:
    agrees, differs = (analyse(with_loss(clean(), {"cot": cot, "plain": 4.0})) for cot in (8.0, 2.0))
    assert "baseline_disagrees" not in codes(agrees)
    assert "baseline_disagrees" in codes(differs)


def test_the_baseline_says_nothing_about_undesired_queries() -> None:
    for cot in (8.0, 2.0):
        measured = with_loss(clean(), {"cot": cot, "plain": 4.0})
        undesired = replace(measured.query_sets["eval"], direction="undesired")
        assert "baseline_disagrees" not in codes(analyse(replace(measured, query_sets={"eval": undesired})))


def test_checkpoints_of_opposite_sign_are_counted() -> None:
    measured = from_influences(
        {("cot", "eval"): [plane(level, seed=i) for i, level in enumerate((0.5, 0.5, 0.4, -0.2))]}, tasks=K
    )
    result = analyse(measured)
    assert "checkpoints_disagree" in codes(result)
    sentence = next(f.sentence for f in result.verdicts[0].flags if f.code == "checkpoints_disagree")
    assert "at 1 of 4 checkpoints (1 of them with an interval that excludes 0)" in sentence
    assert "checkpoints_disagree" not in codes(analyse(clean()))


def test_the_study_says_what_its_labels_do_not_allow() -> None:
    some = [None if i == 0 else f"t{i % 3}" for i in range(12)]
    few = analyse(from_gradients([examples("cot", some)], [examples("eval", some)]))
    assert {"few_tasks", "unlabelled_examples", "no_control"} <= {flag.code for flag in few.flags}
    none = analyse(from_gradients([examples("cot", [None] * 5)], [examples("eval", some)]))
    assert "no_task_labels" in {flag.code for flag in none.flags}
    assert {v.context for v in none.verdicts} == {"in-task"}
    assert none.verdicts[0].effect.target == "these tasks"
    assert "within a task" not in none.verdicts[0].sentence


def test_one_checkpoint_cannot_tell_when() -> None:
    result = analyse(from_influences({("cot", "eval"): [plane(0.4)]}, tasks=K))
    assert "one_checkpoint" in {flag.code for flag in result.flags}
    assert result.curves[0].trend is None


def test_a_disagreement_about_the_effect_is_said_beside_a_control_too() -> None:
    """The difference is the same by every estimator and at every checkpoint; only the effect is not."""
    norms = np.tile([100.0] + [1.0] * (N - 1), K)
    lifted, lowered = (plane(0, 0) + np.where(norms > 1, large, -0.3) for large in (0.5, 0.2))
    estimators = from_influences(
        {("cot", "eval"): [lifted] * 2, ("plain", "eval"): [lowered - 0.3] * 2},
        tasks=K,
        control="plain",
        query_norms=norms,
    )
    result = analyse(estimators, estimator="ratio_of_sums")
    cot = next(v for v in result.verdicts if (v.probe_set, v.context) == ("cot", "in-task"))
    assert (cot.vs_zero, cot.vs_control) == ("helps", "better")
    said = [flag.sentence for flag in cot.flags if flag.code == "estimators_disagree"]
    assert len(said) == 1 and "relative influence" in said[0] and "the effect has the other sign" in said[0]

    levels = (0.5, 0.5, 0.4, -0.2)
    turning = analyse(
        from_influences(
            {
                ("cot", "eval"): [plane(level, seed=i) for i, level in enumerate(levels)],
                ("plain", "eval"): [plane(level - 0.5, seed=i) for i, level in enumerate(levels)],
            },
            tasks=K,
            control="plain",
        )
    )
    cot = next(v for v in turning.verdicts if (v.probe_set, v.context) == ("cot", "in-task"))
    said = [flag.sentence for flag in cot.flags if flag.code == "checkpoints_disagree"]
    assert len(said) == 1 and "the effect has the other sign at 1 of 4" in said[0]
