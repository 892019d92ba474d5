"""The interval of a share: so many of so many. Knows nothing of what was counted."""

from math import sqrt

from scipy.stats import norm


def wilson(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval (1927) of `count` in `of` ≥ 1: all θ with |count/of − θ| ≤ z √(θ (1 − θ) / of)."""
    z, share = float(norm.ppf((1 + confidence) / 2)), count / of
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    reach = z / (1 + z**2 / of) * sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    # Both ends are exact where all or none are counted; rounding would miss them.
    return 0.0 if count == 0 else middle - reach, 1.0 if count == of else middle + reach
