"""An interval for effects that were measured on several tasks with several seeds. Knows nothing of steps.

Tasks and seeds are two samples crossed with each other: tasks from the tasks one cares about, seeds from all
the draws of batches, probes and halves that might have been made. The squared standard error adds both and
takes away what both count: how a task fares with one seed in particular.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm as normal
from scipy.stats import t as student

from assay.studies.intervals import NO_INTERVAL
from assay.studies.layout import LEFT_OUT
from assay.studies.lookahead import mean
from assay.studies.replicates import FEWEST_TASKS
from assay.studies.result import Estimate, Settle, Target

Unit = Literal["tasks", "queries", "seeds"]

TASKS_AND_SEEDS = "delete-one-task jackknife and variance over seeds with t quantiles"
QUERIES_AND_SEEDS = "variance within tasks and over seeds with t quantiles"
ONE_SEED = f"{NO_INTERVAL.split(':')[0]}: fewer than two seeds"
ROOM = float(normal.ppf(0.8))
FURTHEST = 100


@dataclass(frozen=True, slots=True)
class Part:
    """What one kind of sampling contributes to a squared standard error; `have` counts its units."""

    unit: Unit
    variance: float
    freedom: float
    have: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """What both parts of a squared standard error count: the variation of tasks with seeds."""

    variance: float = 0.0
    freedom: float = 1.0


@dataclass(frozen=True, slots=True)
class Seeded:
    """An estimate and the parts of its squared standard error; no parts where there is no interval."""

    estimate: Estimate
    parts: tuple[Part, ...]
    overlap: Overlap = Overlap()


def seeded(
    effects: Float[np.ndarray, "s q"], tasks: Int[np.ndarray, "q"], confidence: float = 0.95
) -> Seeded | None:
    """The mean effect over queries within a task, then over seeds and tasks, with its interval.

    `effects` may hold NaN for what a seed did not measure; `tasks` number the queries' tasks (−1: left out).
    SE² = V_tasks + V_seeds − V_both, but no less than V_tasks or V_seeds alone (Cameron, Gelbach and Miller
    2011). V_tasks is Tukey's delete-one-task jackknife of the tasks' means over seeds; V_seeds = s²_seeds / S
    with the variance over seeds of the mean over tasks; V_both = s² / (S K) with the residual variance of the
    table of S seeds and K tasks, which either of the others holds too. Below five tasks, V_tasks is that of
    redrawing queries within these tasks and V_both is 0, as it is where a seed lacks a task. The interval is
    ± t · SE, t on ν = SE⁴ / Σ (V² / freedom) degrees of freedom (Satterthwaite 1946; Welch 1947), and on no
    fewer than the fewest of V_tasks and V_seeds. None where no task has an effect.
    """
    numbers = sorted({int(task) for task in tasks if task != LEFT_OUT})
    if not len(effects) or not numbers:
        return None
    table = np.stack([_by_seed(effects[:, tasks == number]) for number in numbers], axis=1)
    filled = np.isfinite(table).any(axis=0)
    if not filled.any():
        return None
    table, numbers = table[:, filled], [n for n, keep in zip(numbers, filled, strict=True) if keep]
    per_task, per_seed = mean(list(table)), mean(list(table.T))
    per_seed = per_seed[np.isfinite(per_seed)]
    value, count = float(per_task.mean()), len(numbers)
    target: Target = "tasks like these" if count >= FEWEST_TASKS else "these tasks"
    if len(per_seed) < 2:
        return Seeded(Estimate(value, value, value, 0.0, target, count, ONE_SEED), ())
    if count >= FEWEST_TASKS:
        first = Part("tasks", float(per_task.var(ddof=1)) / count, count - 1, count)
        method, overlap = TASKS_AND_SEEDS, _overlap(table)
    else:
        within = _within_tasks([mean(list(effects[:, tasks == number])) for number in numbers])
        if within is None:
            return Seeded(Estimate(value, value, value, 0.0, target, count, NO_INTERVAL), ())
        first, method, overlap = within, QUERIES_AND_SEEDS, Overlap()
    seeds = len(per_seed)
    parts = (first, Part("seeds", float(per_seed.var(ddof=1)) / seeds, seeds - 1, seeds))
    error, reach = _error_and_reach(parts, overlap, confidence)
    return Seeded(Estimate(value, value - reach, value + reach, error, target, count, method), parts, overlap)


def _by_seed(effects: Float[np.ndarray, "s n"]) -> Float[np.ndarray, "s"]:
    return mean(list(effects.T))


def _within_tasks(per_query: list[Float[np.ndarray, "n"]]) -> Part | None:
    """Σ_k s²_k / n_k / K²: the squared error of the mean of task means when queries are redrawn within tasks.

    None where a task has fewer than two queries.
    """
    values = [each[np.isfinite(each)] for each in per_query]
    if min(map(len, values)) < 2:
        return None
    each = np.array([one.var(ddof=1) / len(one) for one in values]) / len(values) ** 2
    freedoms = np.array([len(one) - 1 for one in values])
    squares = float((each**2 / freedoms).sum())
    total = float(each.sum())
    freedom = total**2 / squares if squares > 0 else float(freedoms.sum())
    return Part("queries", total, freedom, round(float(np.mean([len(one) for one in values]))))


def _overlap(table: Float[np.ndarray, "s k"]) -> Overlap:
    """s² / (S K), with the residual variance of the table on (S − 1)(K − 1) degrees of freedom."""
    seeds, tasks = table.shape
    if not np.isfinite(table).all():
        return Overlap()
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    freedom = (seeds - 1) * (tasks - 1)
    return Overlap(float((rest**2).sum()) / freedom / (seeds * tasks), freedom)


def _error_and_reach(
    parts: tuple[Part, ...], overlap: Overlap, confidence: float, room: float = 0.0
) -> tuple[float, float]:
    """Standard error, and (t + room) of them."""
    variances = [part.variance for part in parts]
    squared = max(sum(variances) - overlap.variance, *variances)
    if squared <= 0:
        return 0.0, 0.0
    terms = sum(part.variance**2 / part.freedom for part in parts) + overlap.variance**2 / overlap.freedom
    freedom = max(squared**2 / terms, min(part.freedom for part in parts))
    error = float(np.sqrt(squared))
    return error, float(student.ppf((1 + confidence) / 2, freedom) + room) * error


def settle_seeded(found: Seeded, within: float, confidence: float, question: str) -> Settle | None:
    """About how many more seeds, tasks or queries would settle an estimate, whichever limits it.

    Settled is an interval that excludes 0 or lies within ±`within`, with a chance of 80%; today's estimate is
    taken for the truth. None where there is no interval.
    """
    if not found.parts:
        return None
    value = abs(found.estimate.value)
    aim = max(value, within - value)
    limit = max(found.parts, key=lambda part: part.variance)
    per = " per task" if limit.unit == "queries" else ""
    lead = f"The number of {limit.unit} limits this"
    low, high = limit.have + 1, limit.have * FURTHEST
    if not _reaches(found, limit, high, aim, confidence):
        return Settle(
            limit.unit,
            limit.have,
            None,
            f"{lead}, and no realistic number of them alone will settle {question}.",
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _reaches(found, limit, middle, aim, confidence) else (middle + 1, high)
    how = " (--lookahead-seeds)" if limit.unit == "seeds" else ""
    sentence = (
        f"{lead}: about {low}{per} in all{how}, instead of {limit.have}, would probably settle {question}."
    )
    return Settle(limit.unit, limit.have, low, sentence)


def _reaches(found: Seeded, limit: Part, count: int, aim: float, confidence: float) -> bool:
    """Whether `count` units of what limits the estimate would do. What both parts count shrinks in both."""
    share = limit.have / count
    freedom = count - 1 if limit.unit != "queries" else limit.freedom / share
    changed = Part(limit.unit, limit.variance * share, freedom, count)
    overlap = Overlap(found.overlap.variance * share, found.overlap.freedom / share)
    gone = found.overlap.variance - overlap.variance
    parts = tuple(
        changed if part is limit else replace(part, variance=max(part.variance - gone, 0.0))
        for part in found.parts
    )
    return _error_and_reach(parts, overlap, confidence, ROOM)[1] <= aim
