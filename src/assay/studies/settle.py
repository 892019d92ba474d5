"""What keeps a question open: too few tasks, probes or queries; and about how many more would close it.

The squared standard error of today's estimate is split into what tasks, probes within tasks and queries
within tasks contribute, and each part shrinks with its own count (and all of them with the number of tasks).
Knows no estimators.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import norm as normal

from assay.studies.intervals import quantile
from assay.studies.result import Estimate, Settle

Unit = Literal["probes", "queries", "tasks"]
ROOM = float(normal.ppf(0.8))  # standard errors: settled in four of five repeats, not in one of two
FURTHEST = 100  # beyond a hundred times of what there is, no number is realistic


@dataclass(frozen=True, slots=True)
class Components:
    """Parts of a squared standard error at the present counts (probes and queries are per task)."""

    between_tasks: float
    from_probes: float
    from_queries: float
    tasks: int
    probes: float
    queries: float
    few_tasks: bool  # the interval speaks of these tasks only

    def squared_error(self, tasks: float, probes: float, queries: float) -> float:
        """The squared standard error expected with other counts."""
        within = self.from_probes * self.probes / probes + self.from_queries * self.queries / queries
        return self.tasks / tasks * (self.between_tasks + within)

    def reach(self, tasks: int, probes: float, queries: float, confidence: float) -> float:
        """Half the width of the interval expected with other counts, and room for the estimate to fall short
        of the truth four times in five."""
        error = float(np.sqrt(self.squared_error(tasks, probes, queries)))
        return (quantile(None if self.few_tasks else tasks, confidence) + ROOM) * error

    def largest(self) -> Unit:
        sizes: dict[Unit, float] = {
            "probes": self.from_probes,
            "queries": self.from_queries,
            "tasks": self.between_tasks,
        }
        return max(sizes, key=lambda unit: sizes[unit])


def components(
    estimate: Estimate,
    probe_draws: Float[np.ndarray, "b"],
    query_draws: Float[np.ndarray, "b"],
    probes: float,
    queries: float,
) -> Components:
    """Split the squared error of `estimate` by a method of moments.

    `probe_draws` are the estimate with only probes redrawn within tasks, `query_draws` with only queries; the
    rest of a jackknife's squared error is left to tasks (never below 0), and so is all of it where there are
    no draws because a task has a single probe or query. Where the estimate speaks of these tasks only, tasks
    contribute nothing.
    """
    from_probes, from_queries = (
        float(np.var(draws, ddof=1)) if len(draws) > 1 else 0.0 for draws in (probe_draws, query_draws)
    )
    few_tasks = estimate.target == "these tasks"
    rest = estimate.standard_error**2 - from_probes - from_queries
    return Components(
        between_tasks=0.0 if few_tasks else max(rest, 0.0),
        from_probes=from_probes,
        from_queries=from_queries,
        tasks=estimate.tasks,
        probes=probes,
        queries=queries,
        few_tasks=few_tasks,
    )


def settle(
    parts: Components, value: float, within: float, confidence: float = 0.95, question: str = "it"
) -> Settle:
    """About how many of the limiting unit would settle an estimate of `value`; `question` names it in words.

    Settled is an interval that excludes 0, or lies within ±`within` (0 where there is no such margin); the
    easier of the two is aimed at with a chance of 80%, and today's estimate is taken for the truth.
    """
    aim = max(abs(value), within - abs(value))
    limits = parts.largest()
    have = {"probes": parts.probes, "queries": parts.queries, "tasks": float(parts.tasks)}
    more = _fewest(parts, limits, aim, confidence)
    present = max(1, round(have[limits]))
    per = "" if limits == "tasks" or parts.tasks == 1 else " per task"
    if more is not None:
        sentence = (
            f"The number of {limits} limits this: about {_rounded(more)}{per} in all, "
            f"instead of {present}, would probably settle {question}."
        )
        return Settle(limits, present, _rounded(more), sentence)
    return Settle(limits, present, None, _not_by_one_unit(parts, limits, aim, confidence, question))


def _not_by_one_unit(parts: Components, limits: Unit, aim: float, confidence: float, question: str) -> str:
    """What to say where no realistic number of the limiting unit alone is enough."""
    alone = f"More {limits} alone will not settle {question}"
    if limits != "tasks" and not parts.few_tasks:
        tasks = _fewest(parts, "tasks", aim, confidence)
        if tasks is not None:
            return f"{alone}; about {_rounded(tasks)} tasks instead of {parts.tasks} probably would."
    if limits != "tasks" and parts.few_tasks:
        both = _fewest(parts, "both", aim, confidence)
        if both is not None:
            return f"{alone}; about {_rounded(both)} probes and as many queries per task probably would."
    return (
        f"No realistic number of examples will settle {question}: what is estimated is too close to 0 for "
        f"its spread over {limits}."
    )


def _fewest(
    parts: Components, unit: Literal["probes", "queries", "tasks", "both"], aim: float, confidence: float
) -> int | None:
    """The smallest count of one unit, the others as they are, whose interval reaches no further than aim."""

    def reaches(count: int) -> bool:
        tasks = count if unit == "tasks" else parts.tasks
        probes = float(count) if unit in ("probes", "both") else parts.probes
        queries = float(count) if unit in ("queries", "both") else parts.queries
        return bool(parts.reach(tasks, probes, queries, confidence) <= aim)

    counts: dict[str, float] = {
        "probes": parts.probes,
        "queries": parts.queries,
        "tasks": parts.tasks,
        "both": max(parts.probes, parts.queries),
    }
    now = counts[unit]
    low, high = int(now) + 1, int(now * FURTHEST)
    if not reaches(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle + 1, high)
    return low


def _rounded(count: int) -> int:
    """Two significant digits, upwards: the prediction is no better than that."""
    step = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // step) * step


def unreplicated(probes: float, queries: float) -> Settle:
    """Where a task has a single probe or query, nothing can be learned of their spread."""
    limits: Unit = "probes" if probes <= queries else "queries"
    return Settle(
        limits,
        max(1, round(min(probes, queries))),
        None,
        f"There is no interval with fewer than two usable {limits} in a task; 16 per task are a good "
        "beginning.",
    )
