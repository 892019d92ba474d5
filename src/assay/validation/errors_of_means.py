"""Standard errors of means of seeds and queries, and p of several tests. Pure statistics."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

ALIKE = 1e-12
"""Differences that spread by less than this share of the largest are equal: sums of floats are no finer."""


def error_of_mean(units: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """Standard error of the mean and its degrees of freedom; 0 where there is one unit or all are alike."""
    if len(units) < 2:
        return 0.0, 0.0
    error = float(units.std(ddof=1) / np.sqrt(len(units)))
    return (error if error > ALIKE * float(np.abs(units).max()) else 0.0), len(units) - 1.0


def error_of_crossed(table: Float[np.ndarray, "s q"]) -> tuple[float, float]:
    """Standard error and degrees of freedom of the mean of a table whose rows and columns are both redrawn.

    SE² = V_seeds + V_queries − V_both, no less than either alone (Cameron, Gelbach and Miller 2011), with
    V_both = s²/(S Q) of the residuals, which the other two both hold; SE⁴ / Σ V²/freedom degrees of freedom
    (Satterthwaite 1946), no fewer than the fewest of seeds and queries.
    """
    seeds, queries = table.shape
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    freedoms = np.array([seeds - 1, queries - 1, (seeds - 1) * (queries - 1)])
    parts = np.array(
        [
            table.mean(axis=1).var(ddof=1) / seeds,
            table.mean(axis=0).var(ddof=1) / queries,
            (rest**2).sum() / freedoms[2] / (seeds * queries),
        ]
    )
    squared = max(parts[0] + parts[1] - parts[2], parts[0], parts[1])
    if squared <= (ALIKE * float(np.abs(table).max())) ** 2:
        return 0.0, 0.0
    freedom = max(squared**2 / float((parts**2 / freedoms).sum()), float(freedoms[:2].min()))
    return float(np.sqrt(squared)), float(freedom)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down p of each of m tests (1979): the largest (m − rank + 1) p up to its own, at most 1."""
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = largest
    return adjusted
