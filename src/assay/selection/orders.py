"""Orders of candidates by a score, and how numbers are said. Knows no rules and no files.

NaN stands for a candidate without a score: it is in no order.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from assay.errors import NumericsError


def best_first(scores: Float[np.ndarray, "n"]) -> Int[np.ndarray, "m"]:
    """The m candidates that have a score, highest first; of equal scores the earlier candidate first."""
    scored = np.flatnonzero(~np.isnan(scores))
    return scored[np.argsort(-scores[scored], kind="stable")]


def places(order: Int[np.ndarray, "m"], candidates: int) -> Int[np.ndarray, "n"]:
    """The place of every candidate in an order, from 1; 0 for those that are not in it."""
    found = np.zeros(candidates, dtype=np.int64)
    found[order] = np.arange(1, len(order) + 1)
    return found


def standing(scores: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The share of scored candidates below each, plus half of its equals and itself: in (0, 1), NaN stays."""
    scored = ~np.isnan(scores)
    found = np.full(len(scores), np.nan)
    found[scored] = (rankdata(scores[scored], method="average") - 0.5) / max(1, int(scored.sum()))
    return found


def require_no_infinity(values: Float[np.ndarray, "n *more"], ids: Sequence[str], name: str) -> None:
    """Raise NumericsError naming the first candidate with an infinite value; NaN means that there is none."""
    rows = np.flatnonzero(np.isinf(values).reshape(len(values), -1).any(axis=1))
    if len(rows):
        raise NumericsError(f"The {name} of candidate {ids[int(rows[0])]!r} is infinite; score it again.")


def figure(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def percent(part: float, whole: float) -> str:
    """A share with one decimal."""
    return f"{100 * part / whole:.1f}%"


def chosen(indices: Sequence[int] | Int[np.ndarray, "k"], candidates: int) -> Bool[np.ndarray, "n"]:
    """A mask of these candidates."""
    mask = np.zeros(candidates, dtype=bool)
    mask[np.asarray(indices, dtype=np.int64)] = True
    return mask
