"""A mean difference between two arms and its intervals. Knows no arms."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference, its 95% interval over seeds (t, questions fixed), and that over seeds and questions.

    The second adds the variance of the mean over questions (within task and form) to that over seeds, with
    Satterthwaite's degrees of freedom; what both hold of the noise of single trainings is counted twice.
    """

    value: float
    low: float
    high: float
    wide_low: float
    wide_high: float

    @property
    def sure(self) -> bool:
        """Whether both intervals leave out 0."""
        return min(self.low, self.wide_low) > 0 or max(self.high, self.wide_high) < 0


def difference(found: Float[np.ndarray, "s q"], strata: np.ndarray) -> Difference:
    seeds, questions = found.shape
    by_seed, by_question = found.mean(1), found.mean(0)
    of_seeds = by_seed.var(ddof=1) / seeds
    groups = [by_question[strata == one] for one in np.unique(strata)]
    of_questions = sum(len(one) * one.var(ddof=1) for one in groups) / questions**2
    both = of_seeds + of_questions
    free = both**2 / (of_seeds**2 / (seeds - 1) + of_questions**2 / (questions - len(groups)))
    value = float(by_seed.mean())
    near = float(stats.t.ppf(0.975, seeds - 1) * np.sqrt(of_seeds))
    wide = float(stats.t.ppf(0.975, free) * np.sqrt(both))
    return Difference(value, value - near, value + near, value - wide, value + wide)
