"""Puts intervals on estimates from what they become when tasks leave or examples are redrawn.

An estimate travels as `Draws`: its value at every checkpoint, and its values under every deletion or
resample. A difference, a mean over checkpoints or a trend is the same arithmetic on both, so the interval is
always that of the quantity itself. Knows no estimators and no sets.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from assay.studies.result import Estimate, Target

Kind = Literal["jackknife", "bootstrap", "none"]

JACKKNIFE = "delete-one-task jackknife with t quantiles"
JACKKNIFE_OF_HALVES = "delete-half-of-the-tasks jackknife with t quantiles"
BOOTSTRAP = "bootstrap within tasks"
NO_INTERVAL = "no interval: fewer than two probes or queries in a task"


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """`values[c]` is the estimate at checkpoint c, `draws[c, r]` what it becomes in replicate r.

    "jackknife": replicate r leaves `leaving` of the `tasks` out; "bootstrap": it redraws probes and queries
    within tasks; "none": there is nothing to learn the variation from, and no draws.
    """

    values: Float[np.ndarray, "c"]
    draws: Float[np.ndarray, "c r"]
    kind: Kind
    tasks: int
    leaving: int = 1

    def __sub__(self, other: "Draws") -> "Draws":
        """The difference, replicate by replicate; both must stand on the same tasks."""
        if "none" in (self.kind, other.kind):
            nothing = np.zeros((len(self.values), 0))
            return Draws(self.values - other.values, nothing, "none", self.tasks)
        if (self.kind, self.tasks, self.leaving) != (other.kind, other.tasks, other.leaving):
            raise ValueError("a paired difference needs both sides on the same tasks")
        return replace(self, values=self.values - other.values, draws=self.draws - other.draws)

    def signed(self, sign: float) -> "Draws":
        return replace(self, values=sign * self.values, draws=sign * self.draws)

    def combined(self, weights: Float[np.ndarray, "c"], confidence: float = 0.95) -> Estimate:
        """The estimate Σ_c weights[c] · value[c] with its interval.

        Jackknife: value ± t_{K−1} · SE; bootstrap: percentiles of the draws. There is no interval where more
        than half of the replicates leave nothing to average.
        """
        value, draws = float(weights @ self.values), weights @ self.draws
        finite = draws[np.isfinite(draws)]
        target: Target = "tasks like these" if self.kind == "jackknife" else "these tasks"
        if self.kind == "none" or len(finite) < max(2, len(draws) / 2):
            return Estimate(value, value, value, 0.0, target, self.tasks, NO_INTERVAL)
        if self.kind == "jackknife":
            error = jackknife_error(finite, self.tasks, self.leaving)
            reach = quantile(self.tasks, confidence) * error
            method = JACKKNIFE if self.leaving == 1 else JACKKNIFE_OF_HALVES
            return Estimate(value, value - reach, value + reach, error, target, self.tasks, method)
        tail = (1 - confidence) / 2
        low, high = (float(each) for each in np.quantile(finite, [tail, 1 - tail]))
        return Estimate(value, low, high, float(finite.std(ddof=1)), target, self.tasks, BOOTSTRAP)

    def at(self, checkpoint: int, confidence: float = 0.95) -> Estimate:
        """The estimate at one checkpoint with its interval."""
        return self.combined(np.eye(len(self.values))[checkpoint], confidence)


def jackknife_error(left_out: Float[np.ndarray, "r"], tasks: int, leaving: int = 1) -> float:
    """√((K − d) / (d R) · Σ_r (θ_r − θ̄)²): standard error from R values with d of K tasks left out.

    With d = 1 it is Tukey's (1958), √((K − 1)/K Σ (θ₋ₖ − θ̄)²); with more that of Shao and Wu (1989).
    """
    scale = (tasks - leaving) / (leaving * len(left_out))
    return float(np.sqrt(scale * np.sum((left_out - left_out.mean()) ** 2)))


@lru_cache
def quantile(tasks: int | None, confidence: float) -> float:
    """How many standard errors an interval reaches: Student's t on tasks − 1 degrees of freedom; the normal
    for None."""
    freedom = np.inf if tasks is None else tasks - 1
    return float(student.ppf((1 + confidence) / 2, freedom))


def has_interval(estimate: Estimate) -> bool:
    """False for those with nothing to learn the variation from, whose method begins with "no interval"."""
    return not estimate.method.startswith("no interval")
