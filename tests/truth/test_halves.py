"""What the benchmark is cut into never overlaps, and the truth's arms differ in the strategy alone."""

import numpy as np
import pytest

from assay.data.example import Tokens
from assay.truth.arms import Arm, steps_of
from assay.truth.halves import CONTROL, EASY_TO_TELL, few, half_of, strategies, task_halves
from assay.truth.regimes import REGIMES
from assay.world.examples import make_examples, query_examples
from assay.world.families import EVERY_STRATEGY
from assay.world.tasks import DEMO_TASKS


def test_there_are_sixty_strategies_and_two_halves_without_the_control():
    both = strategies("development"), strategies("reported")
    assert len(strategies()) >= 60
    assert sorted([*both[0], *both[1]]) == sorted(set(EVERY_STRATEGY) - {CONTROL})
    assert not set(both[0]) & set(both[1])
    assert set(EASY_TO_TELL) < set(EVERY_STRATEGY)
    chosen = few(20)
    assert len(set(chosen)) == 20
    assert sum(half_of(name) == "reported" for name in chosen) == 10


@pytest.mark.parametrize("strategy", ["direct", "harder", "two", "cover6", "same"])
def test_the_truth_sees_no_problem_that_predictions_see(strategy):
    mine, theirs = (
        {e.messages[0].content for e in make_examples(strategy, ("sort", "swap"), 20, split=split)}
        for split in ("probe/1", "probe/2")
    )
    assert not mine & theirs


def test_the_leak_is_of_the_queries_of_its_own_side():
    for side in ("1", "2"):
        queries = query_examples(tasks=("sort",), per_task=8, split=f"query/{side}")
        leaked = make_examples("same", ("sort",), 8, split=f"probe/{side}")
        assert [e.messages for e in queries] == [e.messages for e in leaked]


def test_task_halves_part_the_tasks():
    for seed in range(4):
        first, second = task_halves(DEMO_TASKS, seed)
        assert len(first) == len(second) == 6
        assert set(first) | set(second) == set(DEMO_TASKS)


def tokens(name, count):
    weights = np.array([0, 1, 1], dtype=np.float32)
    return [Tokens(f"{name}{i}", np.array([1, 2, 3]), weights) for i in range(count)]


def test_arms_share_their_base_batches_and_the_numbers_of_their_examples():
    regime = REGIMES["middle"]
    base, cot, plain = tokens("b", 20), tokens("c", 12), tokens("p", 12)
    alone, one, two = (steps_of(Arm(regime, 1, base, s)) for s in ((), cot, plain))
    for a, b, c in zip(alone, one, two, strict=True):
        assert a.tokens == b.tokens[: regime.base] == c.tokens[: regime.base]
        assert np.array_equal(a.shares, b.shares[: regime.base])  # the base keeps its weights
        assert [t.id[1:] for t in b.tokens[regime.base :]] == [t.id[1:] for t in c.tokens[regime.base :]]
    assert len(alone) == regime.steps


def test_a_pooled_regime_takes_one_mean_over_all_tokens():
    regime = REGIMES["pooled"]
    step = steps_of(Arm(regime, 1, tokens("b", 20), tokens("c", 12)))[0]
    assert step.shares == pytest.approx(np.full(regime.base + regime.added, 1 / (2 * len(step.tokens))))
