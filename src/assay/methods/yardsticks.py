"""Choices that know nothing of the model: chance and length. Every other choice is compared with them.

A draw is keyed by the seed and the candidate's id, so it depends neither on the pool's order nor on who else
is in it.
"""

import hashlib
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from assay.methods.method import Measured, Method


def draw(seed: int, *names: str) -> float:
    """A number in [0, 1) of its own for every seed and sequence of names, uniform over them."""
    digest = hashlib.sha256("\n".join((str(seed), *names)).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


def random(m: Measured) -> Float[np.ndarray, "n"]:
    """A draw for every candidate."""
    return _draws(m, "random")


def random_balanced(m: Measured) -> Float[np.ndarray, "n"]:
    """Rounds of one candidate of each task that is left: minus the round (0, 1, …), plus a draw below 1.

    The order within a task is random, and so is the order of tasks within a round. Candidates without a task
    are one task.
    """
    numbers: dict[str | None, int] = {}
    tasks = np.fromiter((numbers.setdefault(task, len(numbers)) for task in m.tasks), np.int32, len(m))
    order = np.lexsort((_draws(m, "within a task"), tasks))
    first = np.searchsorted(tasks[order], tasks[order])  # where each one's task begins in the order
    score = _draws(m, "within a round")
    score[order] -= np.arange(len(m)) - first
    return score


def _draws(m: Measured, what: str) -> Float[np.ndarray, "n"]:
    return np.fromiter((draw(m.seed, what, name) for name in m.ids), np.float64, len(m))


def length(m: Measured) -> Float[np.ndarray, "n"]:
    """Completion tokens."""
    return np.asarray(m.tokens, dtype=np.float64)


RANDOM = Method(
    name="random",
    title="Random",
    formula="a uniform draw by seed and id",
    source="chance; Xia et al. 2024, arXiv 2410.09335, on how hard it is to beat at scale",
    needs="a seed",
    cost="none",
    good_for="the yardstick of every choice; use three seeds or more",
    measure=None,
    per_query=False,
    checkpoints="none",
    score=random,
)

RANDOM_BALANCED = replace(
    RANDOM,
    name="random_balanced",
    title="Random, balanced by task",
    formula="rounds of one random candidate of each task",
    source="Ivison et al. 2025, arXiv 2503.01807 (balanced random)",
    needs="a seed, tasks of candidates",
    good_for="the yardstick of choices that shift the mix of tasks",
    score=random_balanced,
)

LENGTH = replace(
    RANDOM,
    name="length",
    title="Length",
    formula="n_z",
    source="Xia et al. 2024, arXiv 2410.09335",
    needs="a tokenizer",
    good_for="seeing whether another choice is more than a choice of long completions",
    score=length,
)

ROWS = (RANDOM, RANDOM_BALANCED, LENGTH)
