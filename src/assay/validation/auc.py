"""How well scores find what was planted: the area under the ROC curve, with an interval. Pure statistics."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from assay.errors import DataError
from assay.validation.lds import Interval

EDGE = 1e-9
"""V is 0 at 0 and 1, which are no bounds of an interval that begins there."""


def auc(
    suspicion: Float[np.ndarray, "n"], planted: Bool[np.ndarray, "n"], *, confidence: float = 0.95
) -> Interval:
    """The chance that a planted candidate is more suspicious than another, equal ones counting half.

    ½ is blind, 1 finds all. NaN suspicions are left out. The interval holds all θ with |value − θ| ≤ z √V(θ),
    where V(θ) = θ (1 − θ) (1 + (N − 1) ((1 − θ)/(2 − θ) + θ/(1 + θ))) / (m n), N = (m + n)/2 (Newcombe 2006,
    method 5); so it does not shrink to a point at 0 or 1. Raises DataError where either kind is missing.
    """
    known = ~np.isnan(suspicion)
    found, mine = np.asarray(suspicion)[known], np.asarray(planted, dtype=bool)[known]
    m, n = int(mine.sum()), int((~mine).sum())
    if not m or not n:
        raise DataError(f"{m} planted candidates and {n} others have scores; an AUC needs both.")
    value = float((rankdata(found)[mine].sum() - m * (m + 1) / 2) / (m * n))
    z, mean = float(norm.ppf((1 + confidence) / 2)), (m + n) / 2

    def excess(theta: float) -> float:
        shape = 1 + (mean - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return float((value - theta) ** 2 - z**2 * theta * (1 - theta) * shape / (m * n))

    low = 0.0 if value <= 0 else float(brentq(excess, 0.0, min(value, 1 - EDGE)))
    high = 1.0 if value >= 1 else float(brentq(excess, max(value, EDGE), 1.0))
    return Interval(value, low, high)
