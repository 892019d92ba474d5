"""Weights for training on what is kept: a line in the rank. Knows no scores' units."""

import numpy as np
from jaxtyping import Bool, Float

from assay.selection.orders import rising_ranks

HOW = "Weights fall in a line with the rank among the kept, from about 1.5 for the best to 0.5 for the last."


def rank_weights(preference: Float[np.ndarray, "n"], kept: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """w = ½ + (K − j + ½) / K for the j-th best of K kept by `preference`, so within ½ and 1½; 0 for dropped.

    Equals share the mean of their ranks, and kept candidates whose preference is NaN weigh 1: the mean over
    kept is 1. By ranks, since the tails of influence scores are long.
    """
    weights = np.where(kept, 1.0, 0.0)
    ranked = kept & ~np.isnan(preference)
    if ranked.any():
        rising = rising_ranks(preference[ranked])
        weights[ranked] = 0.5 + (rising - 0.5) / len(rising)
    return weights
