"""Influence pruning: drop what helps least where fine-tuning helped, and most where it harmed.

After "Influence Functions for Efficient Data Selection in Reasoning" (arXiv 2510.06108). s_C is the mean
influence on queries that fine-tuning turned right, with the right completion as target; s_I that on queries
that it turned (or left) wrong, with the wrong completion as target; r_C and r_I are the mean percentile ranks
within queries, 1 for the highest influence. Positive: training on the candidate lowers the loss of the
target, so high s_I is harm. The paper's thresholds are not public: `READING` is ours, and stands first in
every result.

Pure functions over arrays.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.data.texts import counted
from assay.selection.budget import Limit, in_turn
from assay.selection.choice import Choice, Reasons, on_unscored, require_room
from assay.selection.orders import standing
from assay.selection.quantiles import Quantiles, Side
from assay.selection.result import Region

READING = (
    "This is our reading of influence pruning (arXiv 2510.06108), whose exact thresholds are not public: low "
    "(or high) in score and in rank share one quantile, moved until what is in both meets the budget."
)
ALTERNATELY = (
    "Combined pruning drops alternately the next candidate of correct (low s_C and low r_C) and of incorrect "
    "pruning (high s_I and high r_I), in the order in which a moving quantile takes them in."
)


def prune_correct(
    score: Float[np.ndarray, "n"], rank: Float[np.ndarray, "n"], limit: Limit, name: str, other: str = ""
) -> Choice:
    """Drop low s_C ∧ low r_C, by the largest quantile that drops no more than the budget asks for.

    `name` is the column of s_C, `other` that of s_I, for the plane of the region. Equal values are told apart
    by the order of the pool, the earlier being the higher. A quantile can take in two candidates at once;
    where it jumps over the budget less is dropped, and the reading says so. Candidates for which score or
    rank is NaN are kept; raises ConfigError where those fill the budget alone.
    """
    choice, at = _by_quantile(Side(name, score, rank, low=True), limit)
    region = Region(name, other, at and at[0], None, at and at[1], None)
    return replace(choice, region=region)


def prune_incorrect(
    score: Float[np.ndarray, "n"], rank: Float[np.ndarray, "n"], limit: Limit, name: str, other: str = ""
) -> Choice:
    """Drop high s_I ∧ high r_I: as `prune_correct`, from the other end. `other` is the column of s_C."""
    choice, at = _by_quantile(Side(name, score, rank, low=False), limit)
    region = Region(other, name, None, at and at[0], None, at and at[1])
    return replace(choice, region=region)


def prune_combined(
    correct: tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]],
    incorrect: tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]],
    limit: Limit,
    names: tuple[str, str],
) -> Choice:
    """Drop alternately the next of *correct* and the next of *incorrect* pruning until the budget is met.

    `correct` is (s_C, r_C), `incorrect` (s_I, r_I), `names` the columns of s_C and s_I. Each side goes by the
    quantile that takes a candidate in (`Quantiles.in_turn`) and passes over what the other has dropped;
    *correct* begins. The first that would drop more than the budget asks for ends it. Candidates for which
    any of the four is NaN are kept; raises ConfigError where those fill the budget alone.
    """
    known = _known(*correct, *incorrect)
    _require_room(known, limit, " and ".join(names))
    sides = (
        Quantiles.of(Side(names[0], *correct, low=True), known),
        Quantiles.of(Side(names[1], *incorrect, low=False), known),
    )
    dropped_by = _alternately([side.in_turn() for side in sides], limit)
    at = [int(side.level[dropped_by == turn].max(initial=0)) for turn, side in enumerate(sides)]
    used = [(side, level) for side, level in zip(sides, at, strict=True) if level]

    def said(i: int) -> str:
        turn = int(dropped_by[i])
        if not known[i]:
            return _without(names)
        if turn >= 0:
            return sides[turn].inside(i, at[turn])
        if any(side.level_of(i) <= level for side, level in used):
            return "the budget was met just before its turn to be dropped"
        return "; ".join(side.outside(i, level) for side, level in used) or _KEEPS_ALL

    dropped = np.flatnonzero(dropped_by >= 0)
    taken_in = " and ".join(
        f"{counted(int((dropped_by == turn).sum()), 'candidate')} by {side.said(level)}"
        for turn, (side, level) in enumerate(zip(sides, at, strict=True))
        if level
    )
    reading = (
        READING,
        ALTERNATELY,
        *_symbols(sides[0].side, sides[1].side),
        f"Dropped {taken_in}; the budget is {limit}." if taken_in else _NOTHING,
        *_short(limit, dropped, "the next in turn is too large"),
        *on_unscored(int((~known).sum()), " and ".join(names), kept=True),
    )
    x, y = (side.threshold(level) if level else None for side, level in zip(sides, at, strict=True))
    region = Region(*names, x and x[0], y and y[0], x and x[1], y and y[1])
    helps, harms = (standing(np.where(known, score, np.nan)) for score, _ in (correct, incorrect))
    preference = (helps + 1 - harms) / 2
    return Choice(dropped_by < 0, Reasons(len(known), said), reading, preference, region)


_NOTHING = "Nothing was dropped."
_KEEPS_ALL = "nothing was dropped"


def _by_quantile(side: Side, limit: Limit) -> tuple[Choice, tuple[float, float] | None]:
    """The choice by one side, and its thresholds (score, rank) where anything is dropped."""
    known = _known(side.score, side.rank)
    _require_room(known, limit, side.name)
    quantiles = Quantiles.of(side, known)
    level = quantiles.level
    size = np.bincount(level, weights=limit.sizes * known, minlength=quantiles.known + 1)
    dropped_at = np.cumsum(size).astype(np.int64)
    largest = int(np.searchsorted(dropped_at, limit.to_drop, side="right")) - 1
    dropped = np.flatnonzero(known & (level <= largest))
    at = int(level[dropped].max(initial=0))
    kept = np.ones(len(limit), dtype=bool)
    kept[dropped] = False

    def said(i: int) -> str:
        if not known[i]:
            return _without((side.name,))
        if not kept[i]:
            return quantiles.inside(i, at)
        return quantiles.outside(i, at) if at else _KEEPS_ALL

    following = int(dropped_at[min(largest + 1, quantiles.known)])
    reading = (
        READING,
        *_symbols(side),
        f"Dropped {counted(len(dropped), 'candidate')} among {quantiles.said(at)}; the budget is {limit}."
        if at
        else _NOTHING,
        *_short(limit, dropped, f"the next larger quantile would drop {following:,}"),
        *on_unscored(int((~known).sum()), side.name, kept=True),
    )
    preference = np.where(known, side.score if side.low else -side.score, np.nan)
    choice = Choice(kept, Reasons(len(kept), said), reading, preference)
    return choice, quantiles.threshold(at) if at else None


def _alternately(queues: list[Int[np.ndarray, "m"]], limit: Limit) -> Int[np.ndarray, "n"]:
    """Which queue drops each candidate, taking turns until the budget is met; −1 for what is kept."""
    dropped_by = np.full(len(limit), -1, dtype=np.int8)
    left, turn = limit.to_drop, 0
    waiting = [in_turn(queue) for queue in queues]
    while left > 0:
        candidate = next(one for one in waiting[turn] if dropped_by[one] < 0)
        left -= int(limit.sizes[candidate])
        if left >= 0:
            dropped_by[candidate] = turn
        turn = 1 - turn
    return dropped_by


def _known(*values: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    known: Bool[np.ndarray, "n"] = ~np.isnan(values[0])
    for other in values[1:]:
        known &= ~np.isnan(other)
    return known


def _require_room(known: Bool[np.ndarray, "n"], limit: Limit, name: str) -> None:
    without = np.flatnonzero(~known)
    require_room(len(without), limit.taken(without), limit, name)


def _without(names: tuple[str, ...]) -> str:
    return f"no score by {' and '.join(names)}, so kept"


def _symbols(*sides: Side) -> list[str]:
    said = [f"{side.symbols[0]} is {side.name!r} and {side.symbols[1]} its percentile rank" for side in sides]
    return [f"Here {', '.join(said)} within queries, averaged over queries."]


def _short(limit: Limit, dropped: Int[np.ndarray, "k"], why: str) -> tuple[str, ...]:
    """The sentence on a budget that could not be met exactly, and was approached from the careful side."""
    taken = limit.taken(dropped)
    if taken == limit.to_drop:
        return ()
    asked = f"{limit.to_drop:,} of {limit.total:,} {limit.unit}"
    return (f"The budget asks to drop {asked}; dropped are {taken:,}, since {why}.",)
