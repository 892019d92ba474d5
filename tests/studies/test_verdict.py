"""Verdicts on data whose answer was put there."""

from dataclasses import replace

import numpy as np
import pytest

from assay.studies.analyse import analyse
from assay.studies.judge import yardstick
from assay.studies.measurements import Measurements
from assay.studies.result import Context, Estimate, StudyResult, Verdict
from assay.studies.sentences import number
from assay.studies.verdict import versus_control, versus_zero
from tests.studies.simulate import from_influences

K, N = 6, 4


def influence(inside: float, across: float = 0.0, noise: float = 0.02, seed: int = 0) -> np.ndarray:
    tasks = np.repeat(np.arange(K), N)
    same = tasks[:, None] == tasks
    drawn = np.random.default_rng(seed).normal(size=(K * N, K * N))
    return np.where(same, inside, across) + noise * drawn


def study(
    strategy: float, control: float, *, noise: float = 0.02, undesired: bool = False, checkpoints: int = 4
) -> Measurements:
    return from_influences(
        {
            ("cot", "eval"): [influence(strategy, noise=noise, seed=c) for c in range(checkpoints)],
            ("plain", "eval"): [influence(control, noise=noise, seed=99 + c) for c in range(checkpoints)],
        },
        tasks=K,
        control="plain",
        undesired=["eval"] if undesired else [],
    )


def verdict(result: StudyResult, probe_set: str = "cot", context: Context = "in-task") -> Verdict:
    return next(v for v in result.verdicts if (v.probe_set, v.context) == (probe_set, context))


@pytest.mark.parametrize(
    ("strategy", "control", "vs_control", "vs_zero"),
    [
        (0.4, 0.6, "worse", "helps"),
        (0.8, 0.5, "better", "helps"),
        (0.52, 0.5, "like", "helps"),
        (-0.3, 0.5, "worse", "harms"),
        (0.0, 0.5, "worse", "none"),
    ],
)
def test_a_verdict_finds_what_was_put_there(
    strategy: float, control: float, vs_control: str, vs_zero: str
) -> None:
    found = verdict(analyse(study(strategy, control)))
    assert (found.vs_control, found.vs_zero) == (vs_control, vs_zero)


def test_noise_is_undecided_and_says_so() -> None:
    found = verdict(analyse(study(0.1, 0.12, noise=8.0, checkpoints=2)))
    assert (found.vs_control, found.vs_zero) == ("undecided", "undecided")
    assert found.sentence.startswith("Whether cot helps within a task on eval cannot be told yet: level ")
    assert "not to be told apart from plain yet" in found.sentence
    assert found.settle is not None


def test_the_sentence_carries_the_numbers_that_the_verdict_rests_on() -> None:
    found = verdict(analyse(study(0.4, 0.6), estimator="relinf"))
    assert found.difference is not None
    assert found.sentence == (
        f"cot helps within a task on eval: level {number(found.effect)} of training on the query itself, "
        f"worse than plain (difference {number(found.difference)}), throughout the run."
    )


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (0.41, 0.08, "0.41 [0.33, 0.49]"),
        (-0.22, 0.09, "−0.22 [−0.31, −0.13]"),
        (0.0049, 0.015, "0.005 [−0.010, 0.020]"),
        (3.21, 1.4, "3.2 [1.8, 4.6]"),
        (12345.0, 3000.0, "12345 [9345, 15345]"),
        (2e-8, 1e-8, "2.0e-08 [1.0e-08, 3.0e-08]"),
        (-0.001, 0.3, "0.00 [−0.30, 0.30]"),
        (0.2, 0.0, "0.2000 [0.2000, 0.2000]"),
        (0.0804, 0.08, "0.08 [0.0004, 0.16]"),
        (-0.2, 0.1999, "−0.20 [−0.40, −0.0001]"),
    ],
)
def test_a_number_is_written_as_finely_as_its_interval_deserves(
    value: float, half: float, shown: str
) -> None:
    low, high = value - half, value + half
    assert (
        number(
            Estimate(
                value, low, high, 0.1, "tasks like these", 7, "delete-one-task jackknife with t quantiles"
            )
        )
        == shown
    )


def test_undesired_queries_turn_every_sign_around() -> None:
    good, bad = (analyse(study(0.4, 0.6, undesired=flag)) for flag in (False, True))
    a, b = verdict(good), verdict(bad)
    assert (a.vs_zero, b.vs_zero) == ("helps", "harms")
    assert (a.vs_control, b.vs_control) == ("worse", "better")
    assert a.difference is not None and b.difference is not None
    assert (b.effect.value, b.difference.value) == (-a.effect.value, -a.difference.value)
    assert (b.effect.low, b.effect.high) == pytest.approx((-a.effect.high, -a.effect.low))
    assert "undesired" in b.sentence
    curves = [next(c for c in r.curves if c.probe_set == "cot") for r in (good, bad)]
    assert curves[0].level == curves[1].level, "curves stay as measured"


def test_the_control_is_held_against_zero_only() -> None:
    found = verdict(analyse(study(0.4, 0.6)), "plain")
    assert (found.vs_control, found.vs_zero, found.difference, found.margin) == (None, "helps", None, None)
    assert found.sentence.startswith("plain helps within a task on eval: level ")


def test_without_a_control_nothing_is_ever_called_none() -> None:
    measured = from_influences({("cot", "eval"): [influence(0.0)]}, tasks=K)
    result = analyse(measured)
    assert {v.vs_control for v in result.verdicts} == {None}
    assert "none" not in {v.vs_zero for v in result.verdicts}
    assert "no_control" in {flag.code for flag in result.flags}


@pytest.mark.parametrize(
    ("levels", "when"),
    [
        ([0.5, 0.5, 0.45, 0.5], "throughout"),
        ([0.6, 0.5, 0.4, 0.4], "throughout"),
        ([0.0, 0.0, 0.5, 0.6], "late"),
        ([0.9, 0.8, 0.1, 0.1], "early"),
        ([-0.9, -0.8, -0.1, -0.1], "early"),
        ([0.0, -0.1, -0.5, -0.8], "late"),
        ([0.5], "undecided"),
    ],
)
def test_when_says_in_which_part_of_the_run_the_effect_is(levels: list[float], when: str) -> None:
    measured = from_influences(
        {("cot", "eval"): [influence(level, seed=i) for i, level in enumerate(levels)]}, tasks=K
    )
    assert verdict(analyse(measured)).when == when


def estimate(low: float, high: float) -> Estimate:
    middle = (low + high) / 2
    return Estimate(
        middle, low, high, 0.1, "tasks like these", 7, "delete-one-task jackknife with t quantiles"
    )


def test_like_needs_the_whole_interval_within_the_margin() -> None:
    assert versus_control(estimate(-0.09, 0.05), 0.1) == "like"
    assert versus_control(estimate(-0.11, 0.05), 0.1) == "undecided"
    assert versus_control(estimate(-0.11, -0.05), 0.1) == "worse"
    assert versus_control(estimate(-0.09, -0.05), 0.1) == "like", "too small to matter, however sure"
    assert versus_zero(estimate(-0.09, 0.05), 0.0) == "undecided"


def test_a_strategy_on_other_tasks_than_the_control_is_compared_on_the_common_ones() -> None:
    measured = study(0.4, 0.6)
    plain = measured.probe_sets["plain"]
    moved = tuple("elsewhere" if task == "task-00" else task for task in plain.tasks)
    cut = replace(measured, probe_sets={**measured.probe_sets, "plain": replace(plain, tasks=moved)})
    found = verdict(analyse(cut))
    assert found.effect.tasks == K
    assert found.difference is not None and found.difference.tasks == K - 1
    assert "unmatched_tasks" in {flag.code for flag in found.flags}


def test_good_minus_bad_responses_is_reported_as_a_paired_contrast() -> None:
    """Both query sets move together over tasks; what is left between them is small and sure."""
    swing = np.random.default_rng(4).normal(size=(K * N, 1))
    measured = from_influences(
        {
            (p, q): [influence(lift, noise=0.01, seed=7) + swing]
            for p, lifts in {"clarify": (0.3, 0.1), "plain": (0.2, 0.2)}.items()
            for q, lift in zip(("pos", "neg"), lifts, strict=True)
        },
        tasks=K,
        control="plain",
        undesired=["neg"],
    )
    result = analyse(measured)
    found = next(c for c in result.contrasts if (c.probe_set, c.context) == ("clarify", "in-task"))
    assert found.leans == "desired"
    assert found.estimate.value == pytest.approx(0.2)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.2)
    assert found.sentence.startswith("clarify lifts pos more than neg within a task: difference 0.20")
    assert {c.probe_set for c in result.contrasts} == {"clarify", "plain"}


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.02, 0.06, 0.008), (-0.06, -0.02, 0.008), (-0.01, 0.09, 0.0)]
)
def test_a_control_that_may_do_nothing_is_no_yardstick(low: float, high: float, expected: float) -> None:
    assert yardstick(estimate(low, high), 0.2) == pytest.approx(expected)
    assert yardstick(None, 0.2) == 0
