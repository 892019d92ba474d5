"""Rank correlation of a redrawn sample without sorting it again. Knows nothing of what is correlated."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

FLAT = 1e-9
"""Ranks that spread less than this are all equal: they are half-integers, so anything less is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """The order of every column of a table of s rows and q columns, found once.

    `order` lists a column's rows by rising value; `first` and `last` are, for each row, the places in that
    order of the first and the last row of equal value.
    """

    order: Int[np.ndarray, "s q"]
    first: Int[np.ndarray, "s q"]
    last: Int[np.ndarray, "s q"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "s q"]) -> "Ordered":
        order = np.argsort(values, axis=0, kind="stable")
        ranked = np.take_along_axis(values, order, axis=0)
        new = np.ones(values.shape, dtype=bool)
        new[1:] = ranked[1:] != ranked[:-1]
        places = np.arange(len(values))[:, None]
        first = np.maximum.accumulate(np.where(new, places, 0), axis=0)
        ends = np.where(np.roll(new, -1, axis=0), places, len(values) - 1)
        ends[-1] = len(values) - 1
        last = np.minimum.accumulate(ends[::-1], axis=0)[::-1]
        found = np.empty((2, *values.shape), dtype=np.intp)
        np.put_along_axis(found[0], order, first, axis=0)
        np.put_along_axis(found[1], order, last, axis=0)
        return cls(order, found[0], found[1])

    def ranks(self, times: Float[np.ndarray, "s"]) -> Float[np.ndarray, "s q"]:
        """Rank of each row where row i stands `times[i]` times in the sample; equal values share their mean.

        A row that was not drawn gets the rank it would have beside the sample; its weight is 0.
        """
        up_to = np.concatenate([np.zeros((1, self.order.shape[1])), np.cumsum(times[self.order], axis=0)])
        before = np.take_along_axis(up_to, self.first, axis=0)
        through = np.take_along_axis(up_to, self.last + 1, axis=0)
        return np.asarray((before + through + 1) / 2)


def correlation_of_ranks(
    x: Float[np.ndarray, "s q"], y: Float[np.ndarray, "s q"], times: Float[np.ndarray, "s"]
) -> Float[np.ndarray, "q"]:
    """Pearson's correlation of each column of ranks x with that of y, row i counted `times[i]` times.

    0 where x is constant (it predicts no difference), NaN where y is (there is none to predict).
    """
    weights = times / times.sum()
    x, y = x - weights @ x, y - weights @ y
    spread_x, spread_y = np.sqrt(weights @ x**2), np.sqrt(weights @ y**2)
    known = np.minimum(spread_x, spread_y) > FLAT
    found = np.divide(weights @ (x * y), spread_x * spread_y, out=np.zeros(x.shape[1]), where=known)
    return np.where(spread_y > FLAT, found, np.nan)


def spearman(
    x: Float[np.ndarray, "s q"], y: Float[np.ndarray, "s q"], times: Float[np.ndarray, "s"] | None = None
) -> Float[np.ndarray, "q"]:
    """Spearman's rank correlation by column, with ties; constants as in `correlation_of_ranks`."""
    times = np.ones(len(x)) if times is None else times
    return correlation_of_ranks(Ordered.of(x).ranks(times), Ordered.of(y).ranks(times), times)
