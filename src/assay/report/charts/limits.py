"""Where an axis of scores ends: long tails must not press all others flat. Knows nothing of what is drawn."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class Limits:
    """Both ends of an axis; `below` and `above` values lie beyond them, out to `least` and `most`."""

    low: float
    high: float
    below: int
    above: int
    least: float
    most: float

    @property
    def cuts(self) -> bool:
        return bool(self.below or self.above)


def limits_of(values: Float[np.ndarray, "m"], shown: Iterable[float | None] = ()) -> Limits:
    """The middle 90% of finite values, and as much as their span again on either side where there is any.

    Widened so that what is `shown` beside them (thresholds) lies within. Of equal values, or of none, the
    limits are a little apart all the same.
    """
    if not len(values):
        return Limits(0.0, 1.0, 0, 0, 0.0, 1.0)
    least, most = float(values.min()), float(values.max())
    fifth, last = (float(value) for value in np.quantile(values, [0.05, 0.95]))
    span = last - fifth or most - least
    low, high = max(least, fifth - span), min(most, last + span)
    for value in shown:
        if value is not None and np.isfinite(value):
            low, high = min(low, value - 0.05 * span), max(high, value + 0.05 * span)
    if not high > low:
        apart = abs(low) / 10 or 1.0
        low, high = low - apart, high + apart
    return Limits(low, high, int((values < low).sum()), int((values > high).sum()), least, most)
