"""How well predictions agree with the truth: ranks, signs, commitments, each with an interval.

Knows nothing of how either came about. Strategies are the units that are redrawn for intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from scipy.stats import t as student

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Interval:
    value: float
    low: float
    high: float


def spearman(a: Float[np.ndarray, "*b n"], b: Float[np.ndarray, "*b n"]) -> Float[np.ndarray, "*b"]:
    """Rank correlation along the last axis, ties at their mean rank; NaN where one side is constant."""
    x, y = (rankdata(each, axis=-1) for each in (a, b))
    x, y = (each - each.mean(-1, keepdims=True) for each in (x, y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1)))


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Spearman of a prediction with the truth, `values[r]` in each regime and `draws[r, b]` with strategies
    redrawn; the same strategies for every prediction of the same truth, so that differences are paired.
    """

    values: Float[np.ndarray, "r"]
    draws: Float[np.ndarray, "r b"]

    def __sub__(self, other: "Ranked") -> "Ranked":
        return Ranked(self.values - other.values, self.draws - other.draws)

    def pooled(self) -> Interval:
        """The mean over regimes."""
        return _interval(float(self.values.mean()), self.draws.mean(axis=0))

    def at(self, regime: int) -> Interval:
        return _interval(float(self.values[regime]), self.draws[regime])


def ranked(predicted: Float[np.ndarray, "p"], true: Float[np.ndarray, "r p"], seed: int = 0) -> Ranked:
    """Rank agreement over strategies in every regime, and its bootstrap over strategies.

    Strategies that were not trained in a regime are NaN in `true` and left out of that regime.
    """
    rng = np.random.default_rng(seed)
    places = rng.random(size=(RESAMPLES, true.shape[1]))
    values, draws = [], []
    for row in true:
        known = np.flatnonzero(np.isfinite(row))
        mine = known[(places[:, : len(known)] * len(known)).astype(int)]
        values.append(float(spearman(predicted[known], row[known])))
        draws.append(spearman(predicted[mine], row[mine]))
    return Ranked(np.array(values), np.array(draws))


def _interval(value: float, draws: Float[np.ndarray, "b"]) -> Interval:
    """Percentiles of the draws; a draw of equal strategies alone has no ranks and is left out."""
    finite = draws[np.isfinite(draws)]
    low, high = (float(q) for q in np.quantile(finite, [0.025, 0.975])) if len(finite) else (np.nan, np.nan)
    return Interval(value, low, high)


def ceiling(effects: Float[np.ndarray, "p s"]) -> float:
    """The Spearman that a perfect prediction can reach with S seeds: √(S r / (1 + (S − 1) r)).

    r is the mean Spearman of one seed with another (Spearman and Brown 1910); 0 where r is not positive.
    """
    seeds = effects.shape[1]
    pairs = [float(spearman(effects[:, i], effects[:, j])) for i in range(seeds) for j in range(i + 1, seeds)]
    r = float(np.mean(pairs)) if pairs else float("nan")
    return float(np.sqrt(seeds * r / (1 + (seeds - 1) * r))) if r > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Differences:
    """True differences from the control: their means over seeds and the half widths of their intervals."""

    mean: Float[np.ndarray, "p"]
    reach: Float[np.ndarray, "p"]

    @property
    def clear(self) -> Bool[np.ndarray, "p"]:
        """Whose interval excludes zero."""
        return np.asarray(np.abs(self.mean) > self.reach)


def differences(effects: Float[np.ndarray, "p s"], control: Float[np.ndarray, "s"]) -> Differences:
    """Paired by seed, with Student's t on S − 1 degrees of freedom (95%)."""
    each = effects - control
    seeds = each.shape[1]
    error = each.std(axis=1, ddof=1) / np.sqrt(seeds)
    return Differences(each.mean(axis=1), float(student.ppf(0.975, seeds - 1)) * error)


@dataclass(frozen=True, slots=True)
class Commitments:
    """Of committed verdicts how many were `right`; of the `clear` true differences how many were committed
    on."""

    committed: int
    right: int
    clear: int
    clear_committed: int


SIGNS = {"better": 1, "helps": 1, "worse": -1, "harms": -1}


def commitments(words: Sequence[str], true: Differences) -> Commitments:
    """Count verdicts with a sign as commitments; one is right if the true difference has its sign."""
    said = np.array([SIGNS.get(word, 0) for word in words])
    right = said * np.sign(true.mean) > 0
    return Commitments(
        committed=int(np.count_nonzero(said)),
        right=int(np.count_nonzero(right)),
        clear=int(np.count_nonzero(true.clear)),
        clear_committed=int(np.count_nonzero(true.clear & (said != 0))),
    )
