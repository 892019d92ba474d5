"""Puts intervals on estimates from what they become when tasks leave or examples are redrawn.

An estimate travels as `Draws`: its value at every checkpoint, and its values under every deletion or
resample. A difference, a mean over checkpoints or a trend is the same arithmetic on both, so the interval is
always that of the quantity itself. Knows no estimators and no sets.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from assay.study.result import Estimate, Target

Kind = Literal["jackknife", "bootstrap", "none"]

METHODS: dict[Kind, str] = {
    "jackknife": "delete-one-task jackknife, t",
    "bootstrap": "bootstrap within tasks",
    "none": "no interval: fewer than two probes or queries in a task",
}


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """`values[c]` is the estimate at checkpoint c, `draws[c, r]` what it becomes in replicate r.

    "jackknife": replicate r leaves one task out; "bootstrap": it redraws probes and queries within tasks;
    "none": there is nothing to learn the variation from, and no draws.
    """

    values: Float[np.ndarray, "c"]
    draws: Float[np.ndarray, "c r"]
    kind: Kind
    tasks: int

    def __sub__(self, other: "Draws") -> "Draws":
        """The difference, replicate by replicate; both must stand on the same tasks."""
        if "none" in (self.kind, other.kind):
            nothing = np.zeros((len(self.values), 0))
            return Draws(self.values - other.values, nothing, "none", self.tasks)
        if (self.kind, self.tasks) != (other.kind, other.tasks):
            raise ValueError("a paired difference needs both sides on the same tasks")
        return Draws(self.values - other.values, self.draws - other.draws, self.kind, self.tasks)

    def signed(self, sign: float) -> "Draws":
        return Draws(sign * self.values, sign * self.draws, self.kind, self.tasks)

    def combined(self, weights: Float[np.ndarray, "c"], confidence: float = 0.95) -> Estimate:
        """The estimate Σ_c weights[c] · value[c] with its interval."""
        return interval(float(weights @ self.values), weights @ self.draws, self.kind, self.tasks, confidence)

    def at(self, checkpoint: int, confidence: float = 0.95) -> Estimate:
        return interval(
            float(self.values[checkpoint]), self.draws[checkpoint], self.kind, self.tasks, confidence
        )


def interval(
    value: float, draws: Float[np.ndarray, "r"], kind: Kind, tasks: int, confidence: float = 0.95
) -> Estimate:
    """Jackknife: value ± t_{K−1} · √((K−1)/K Σ (θ₋ₖ − θ̄₋)²); bootstrap: percentiles of the finite draws.

    There is no interval where a deletion, or half of the resamples, leaves nothing to average.
    """
    target: Target = "tasks like these" if kind == "jackknife" else "these tasks"
    finite = draws[np.isfinite(draws)]
    if len(finite) < max(2, len(draws) if kind == "jackknife" else len(draws) // 2):
        kind = "none"
    if kind == "none":
        return Estimate(value, value, value, 0.0, target, tasks, METHODS[kind])
    if kind == "jackknife":
        error = jackknife_error(draws)
        reach = quantile(len(draws), confidence) * error
        return Estimate(value, value - reach, value + reach, error, target, tasks, METHODS[kind])
    tail = (1 - confidence) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    error = float(finite.std(ddof=1))
    return Estimate(value, float(low), float(high), error, target, tasks, METHODS[kind])


def jackknife_error(left_out: Float[np.ndarray, "k"]) -> float:
    """Standard error from the K leave-one-out values (Tukey 1958)."""
    k = len(left_out)
    return float(np.sqrt((k - 1) / k * np.sum((left_out - left_out.mean()) ** 2)))


@lru_cache
def quantile(tasks: int | None, confidence: float) -> float:
    """How many standard errors an interval reaches: Student's t on tasks − 1 degrees of freedom; the normal
    for None."""
    freedom = np.inf if tasks is None else tasks - 1
    return float(student.ppf((1 + confidence) / 2, freedom))


def has_interval(estimate: Estimate) -> bool:
    return estimate.method != METHODS["none"]
