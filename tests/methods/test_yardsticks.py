"""Chance is uniform, repeatable, keyed by id, and balanced where it says so."""

from collections import Counter

import numpy as np
import pytest

from assay.methods.table import METHODS, Measured
from assay.methods.yardsticks import draw


def pool(tasks: list[str | None], seed: int = 0) -> Measured:
    names = [f"{task}-{row}" for row, task in enumerate(tasks)]
    return Measured(names, tasks, np.ones(len(tasks)), seed=seed)


def test_draws_are_uniform_and_unlike_each_other() -> None:
    draws = METHODS["random"].score(pool([None] * 20_000))
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    assert (abs(counts - 2000) < 5 * np.sqrt(2000)).all()
    assert len(np.unique(draws)) == 20_000


def test_a_draw_is_the_same_on_every_machine() -> None:
    digest = "4c022f07550af098"  # printf '0\\nrandom\\na' | sha256sum
    assert draw(0, "random", "a") == (int(digest, 16) >> 11) / 2**53


def test_another_seed_draws_anew() -> None:
    first, second = (METHODS["random"].score(pool(["a"] * 500, seed)) for seed in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


def test_a_draw_does_not_depend_on_who_else_is_in_the_pool() -> None:
    whole, part = pool(["a", "b"] * 10), pool(["a", "b"] * 5)
    assert np.array_equal(METHODS["random"].score(whole)[:10], METHODS["random"].score(part))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_balanced_rounds_hold_one_of_each_task_that_is_left(seed: int) -> None:
    tasks = [*["many"] * 9, *["few"] * 2, *[None] * 4]
    order = np.argsort(-METHODS["random_balanced"].score(pool(tasks, seed)))
    rounds = [3, 3, 2, 2, 1, 1, 1, 1, 1]
    expected = [{"many", "few", None}, {"many", "few", None}, {"many", None}, {"many", None}, *[{"many"}] * 5]
    start = 0
    for size, members in zip(rounds, expected, strict=True):
        turn = [tasks[row] for row in order[start : start + size]]
        assert Counter(turn) == Counter(members)
        start += size


def test_no_task_leads_its_rounds_and_no_candidate_its_task() -> None:
    tasks = [*["many"] * 40, *["few"] * 4]
    firsts, leaders = Counter(), Counter()
    for seed in range(400):
        order = np.argsort(-METHODS["random_balanced"].score(pool(tasks, seed)))
        firsts[tasks[order[0]]] += 1
        leaders[next(int(row) for row in order if tasks[row] == "few")] += 1
    assert abs(firsts["many"] - 200) < 50
    assert all(abs(leaders[row] - 100) < 45 for row in range(40, 44))
