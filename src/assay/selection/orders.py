"""Orders of candidates by a score, and how numbers are said. Knows no rules and no files.

NaN stands for a candidate without a score: it is in no order.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.errors import NumericsError

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
STEP = 2**14
"""Values that are looked up at a time."""


def best_first(scores: Float[np.ndarray, "n"]) -> Int[np.ndarray, "m"]:
    """The m candidates that have a score, highest first; of equal scores the earlier candidate first."""
    order = np.argsort(-scores, kind="stable")  # NaN comes last
    return order[: len(order) - int(np.isnan(scores).sum())]


def places(order: Int[np.ndarray, "m"], candidates: int) -> Int[np.ndarray, "n"]:
    """The place of every candidate in an order, from 1; 0 for those that are not in it."""
    found = np.zeros(candidates, dtype=np.int32)
    found[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    return found


def standing(scores: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The share of scored candidates below each, plus half of its equals and itself: in (0, 1), NaN stays."""
    scored = ~np.isnan(scores)
    found = np.full(len(scores), np.nan)
    found[scored] = (rising_ranks(scores[scored]) - 0.5) / max(1, int(scored.sum()))
    return found


def rising_ranks(values: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
    """1 for the lowest value, equal ones sharing the mean of their ranks; nothing may be NaN."""
    ordered, found = np.sort(values), np.empty(len(values))
    for start in range(0, len(values), STEP):
        part = values[start : start + STEP]
        lower, not_higher = (np.searchsorted(ordered, part, side) for side in SIDES)
        found[start : start + STEP] = (lower + not_higher + 1) / 2
    return found


def require_no_infinity(values: Float[np.ndarray, "n *more"], ids: Sequence[str], name: str) -> None:
    """Raise NumericsError naming the first candidate with an infinite value; NaN means that there is none."""
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.argwhere(infinite)[0, 0])
        raise NumericsError(f"The {name} of candidate {ids[row]!r} is infinite; score it again.")


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
