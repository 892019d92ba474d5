"""Coverage counts what an interval held, by hand and where the true share is known."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from assay.studies.lookahead import LookaheadMeasurements
from assay.studies.result import Estimate
from assay.truth import coverage
from assay.truth.coverage import Coverage, coverages, holds
from assay.truth.regimes import AHEAD
from assay.truth.table import Effects, Truth
from tests.studies.lookaheads import make_lookahead

TASKS = tuple("abcdefghijkl")
QUERIES = 4
CONTEXTS = ("in-task", "cross-task")


@pytest.fixture(autouse=True)
def queries_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "QUERIES", "eval")


def test_an_interval_holds_what_lies_in_it_and_more_where_the_truth_has_noise() -> None:
    said = Estimate(1.0, 0.5, 1.5, 0.2, "tasks like these", 12, "")
    assert holds(said, 1.4) and holds(said, 0.6)
    assert not holds(said, 1.6) and not holds(said, 0.4)
    assert holds(said, 1.6, reach=0.4)  # √(.5² + .4²) = .64
    assert not holds(said, 1.7, reach=0.4)


@dataclass(frozen=True)
class Drawn:
    """Standard deviations of effects over strategies' tasks, and of the two sides' seeds; a wrong shift."""

    tasks: float = 0.4
    said_seeds: float = 0.2
    true_seeds: float = 0.2
    shift: float = 0.0


def draw(how: Drawn, strategies: int = 60, seed: int = 0) -> tuple[Truth, LookaheadMeasurements]:
    """Strategies whose tasks have effects of their own that both sides share, seeds their own noise."""
    rng = np.random.default_rng(seed)
    names = ("direct", *(f"s{i}" for i in range(strategies)))
    effects = {(name, c): rng.normal(0.2, how.tasks, len(TASKS)) for name in names for c in CONTEXTS}

    def measured(deviation: float) -> dict[str, dict[str, np.ndarray]]:
        return {
            name: {c: effects[name, c] + rng.normal(0, deviation, (3, 1)) for c in CONTEXTS} for name in names
        }

    said, done = measured(how.said_seeds), measured(how.true_seeds)
    repeated = {name: {c: np.repeat(t, QUERIES, axis=1) for c, t in by.items()} for name, by in said.items()}
    ahead = make_lookahead(repeated, np.repeat(TASKS, QUERIES).tolist(), control="direct")
    true = {}
    for c in CONTEXTS:
        loss = np.stack([done[name][c] for name in names])
        loss[1:] += how.shift
        true[AHEAD, c] = Effects(names, (1, 2, 3), TASKS, loss, loss)
    return Truth(0, true, {}), ahead


def counted(how: Drawn) -> dict[tuple[str, str], Coverage]:
    truth, ahead = draw(how)
    rows = coverages(truth, ahead, 16, [name for name in ahead.probe_sets if name != "direct"])
    return {(row.context, row.against): row for row in rows}


def test_intervals_that_are_right_are_seen_to_be() -> None:
    found = counted(Drawn())
    assert set(found) == {(c, a) for c in CONTEXTS for a in ("control", "zero")}
    for row in found.values():
        assert (row.per_task, row.strategies, row.asked_elsewhere) == (16, 60, 120)
        assert row.held >= 0.9 * 60 and row.held_with_noise >= row.held
        assert row.elsewhere >= 0.88 * 120


def test_intervals_that_are_wrong_are_seen_to_be() -> None:
    for row in counted(Drawn(shift=1.5)).values():
        assert row.held <= 0.1 * 60 and row.elsewhere <= 0.6 * 120


def test_the_noise_of_the_truth_counts_against_an_interval_until_it_is_granted() -> None:
    row = counted(Drawn(tasks=0.02, said_seeds=0.02, true_seeds=0.3))["cross-task", "zero"]
    assert row.held <= 0.4 * 60 and row.held_with_noise >= 0.9 * 60


def test_tasks_that_both_sides_share_put_no_interval_over_tasks_to_the_test() -> None:
    """Every interval holds the truth of its own tasks, however far tasks are from each other."""
    row = counted(Drawn(tasks=1.0, said_seeds=0.01, true_seeds=0.01))["in-task", "zero"]
    assert row.held == row.strategies
    assert 0.88 * 120 <= row.elsewhere < 120


def test_other_tasks_are_other_tasks() -> None:
    """Where one half of the tasks is unlike the other, intervals from either miss the other's truth."""
    truth, ahead = draw(Drawn(tasks=0.05))
    apart = np.where(np.arange(len(TASKS)) % 2, 2.0, 0.0)
    moved = {key: replace(one, loss=one.loss + apart) for key, one in truth.effects.items()}
    replicates = tuple(
        replace(
            one,
            arms=tuple(
                replace(arm, losses={"eval": arm.losses["eval"] - np.repeat(apart, QUERIES)})
                for arm in one.arms
            ),
        )
        for one in ahead.replicates
    )
    rows = coverages(
        Truth(0, moved, {}), replace(ahead, replicates=replicates), 16, [f"s{i}" for i in range(60)]
    )
    row = next(one for one in rows if (one.context, one.against) == ("in-task", "zero"))
    assert row.held == 60 and row.elsewhere == 0


def test_without_truth_of_like_steps_nothing_is_said() -> None:
    truth, ahead = draw(Drawn(), strategies=3)
    others = {("middle", c): effects for (_, c), effects in truth.effects.items()}
    assert coverages(Truth(0, others, {}), ahead, 16, ["s0"]) == []
